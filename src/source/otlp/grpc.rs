//! OTLP over gRPC: the `Export` methods as routes, to be served over HTTP/2.
//!
//! Messages come as bytes (a codec of our own) and go the way of those over HTTP: what `opentelemetry-proto` generates would
//! have built a message's objects before a limit could be held against it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf as _, BufMut as _};
use prost::Message as _;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::rpc_status::{RpcStatus, code};
use super::{OtlpEncoding, OtlpReceiver, Refusal, Signal, http};

/// The routes. Whatever else is asked for is answered as gRPC demands.
pub fn router(receiver: OtlpReceiver) -> Router {
    Router::new()
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(metrics))
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", post(traces))
        .fallback(unimplemented)
        .with_state(receiver)
}

async fn metrics(State(receiver): State<OtlpReceiver>, request: Request) -> Response {
    export(receiver, Signal::Metrics, request).await
}

async fn traces(State(receiver): State<OtlpReceiver>, request: Request) -> Response {
    export(receiver, Signal::Traces, request).await
}

#[allow(clippy::unused_async)] // a handler
async fn unimplemented() -> Response {
    let status = Status::unimplemented("forewarn takes metrics and traces");
    status.into_http::<axum::body::Body>()
}

async fn export(receiver: OtlpReceiver, signal: Signal, request: Request) -> Response {
    let mut grpc = Grpc::new(BytesCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(receiver.limits.otlp_bytes);
    let (metrics, is_read) = (receiver.metrics.clone(), Arc::new(AtomicBool::new(false)));
    let export = Export { receiver, signal, is_read: Arc::clone(&is_read) };
    let mut response = grpc.unary(export, request).await.map(axum::body::Body::new);
    if !is_read.load(Relaxed) && is_too_large(&response) {
        // tonic says OUT_OF_RANGE of some, for which OTLP has senders come again, and again.
        response.headers_mut().insert(Status::GRPC_STATUS, HeaderValue::from(Code::ResourceExhausted as i32));
        metrics.request(StatusCode::PAYLOAD_TOO_LARGE.as_u16());
    }
    response
}

/// Whether tonic has refused to read a message for its size.
fn is_too_large(response: &Response) -> bool {
    let code = response.headers().get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    matches!(code, Some(Code::OutOfRange | Code::ResourceExhausted))
}

struct Export {
    receiver: OtlpReceiver,
    signal: Signal,
    /// Whether the message could be read.
    is_read: Arc<AtomicBool>,
}

impl UnaryService<Bytes> for Export {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (receiver, signal) = (self.receiver.clone(), self.signal);
        self.is_read.store(true, Relaxed);
        Box::pin(async move {
            let outcome = receiver.take(signal, OtlpEncoding::Protobuf, request.into_inner()).await;
            // By the HTTP status that says the same, so that one metric tells of both.
            receiver.metrics.request(http::status(outcome.as_ref().err()).as_u16());
            match outcome {
                Ok(taken) => Ok(tonic::Response::new(http::message(signal, taken))),
                Err(refusal) => Err(status(&refusal)),
            }
        })
    }
}

fn status(refusal: &Refusal) -> Status {
    let code = code(refusal);
    let details = match code {
        Code::Unavailable => RpcStatus::of(refusal).encode_to_vec(),
        _ => Vec::new(),
    };
    Status::with_details(code, refusal.to_string(), details.into())
}

/// Messages as bytes.
#[derive(Clone, Copy, Debug, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
