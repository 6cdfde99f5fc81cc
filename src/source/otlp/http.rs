//! OTLP over HTTP: `POST /v1/metrics` (at the path where Prometheus has it, too) and `/v1/traces`, protobuf or JSON, plain or
//! gzip.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>: an answer is in the encoding of its request; 429 and 503 mean
//! "come again", with `Retry-After`; other errors "never send this again".

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use tonic::Code;

use super::super::durable::ComeAgain;
use super::super::http_body::{gunzip, header, read};
use super::rpc_status::{RpcStatus, code};
use super::{OtlpEncoding, OtlpReceiver, Refusal, Signal, Taken};

/// Bytes up to which a body is unpacked on the runtime's own thread: messages become about ten times as large.
const INLINE_PACKED_BYTES: usize = super::INLINE_BYTES / 10;

/// The routes.
pub fn router(receiver: OtlpReceiver) -> Router {
    Router::new()
        .route("/v1/metrics", post(metrics))
        .route("/api/v1/otlp/v1/metrics", post(metrics))
        .route("/v1/traces", post(traces))
        .with_state(receiver)
}

async fn metrics(State(receiver): State<OtlpReceiver>, headers: HeaderMap, body: Body) -> Response {
    respond(&receiver, Signal::Metrics, &headers, body).await
}

async fn traces(State(receiver): State<OtlpReceiver>, headers: HeaderMap, body: Body) -> Response {
    respond(&receiver, Signal::Traces, &headers, body).await
}

async fn respond(receiver: &OtlpReceiver, signal: Signal, headers: &HeaderMap, body: Body) -> Response {
    let (encoding, outcome) = match encoding(headers) {
        Ok(encoding) => (encoding, take(receiver, signal, encoding, headers, body).await),
        // Whoever sends neither gets JSON, which people can read.
        Err(refusal) => (OtlpEncoding::Json, Err(refusal)),
    };
    let response = match outcome {
        Ok(taken) => success(encoding, signal, taken),
        Err(refusal) => {
            tracing::debug!(source = receiver.metrics.name(), %refusal, "OTLP request refused");
            failure(encoding, &refusal)
        }
    };
    receiver.metrics.request(response.status().as_u16());
    response
}

async fn take(
    receiver: &OtlpReceiver,
    signal: Signal,
    encoding: OtlpEncoding,
    headers: &HeaderMap,
    body: Body,
) -> Result<Taken, Refusal> {
    let coding = header(headers, &CONTENT_ENCODING).unwrap_or("identity");
    let is_gzip = match coding.to_ascii_lowercase().as_str() {
        "gzip" => true,
        "identity" | "" => false,
        _ => return Err(Refusal::Encoding(coding.to_owned())),
    };
    let mut bytes = read(headers, body, receiver.limits.request_bytes).await?;
    if is_gzip {
        let bound = receiver.limits.otlp_bytes;
        bytes = match bytes.len() <= INLINE_PACKED_BYTES {
            true => gunzip(&bytes, bound)?,
            false => {
                tokio::task::spawn_blocking(move || gunzip(&bytes, bound)).await.map_err(|_| Refusal::Decoder)??
            }
        };
    }
    receiver.take(signal, encoding, bytes).await
}

fn encoding(headers: &HeaderMap) -> Result<OtlpEncoding, Refusal> {
    let kind = header(headers, &CONTENT_TYPE).unwrap_or("");
    match kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Ok(OtlpEncoding::Protobuf),
        "application/json" => Ok(OtlpEncoding::Json),
        _ => Err(Refusal::ContentType(kind.to_owned())),
    }
}

fn success(encoding: OtlpEncoding, signal: Signal, taken: Taken) -> Response {
    match encoding {
        OtlpEncoding::Protobuf => protobuf(StatusCode::OK, message(signal, taken)),
        OtlpEncoding::Json if taken.rejected == 0 => json(StatusCode::OK, &serde_json::json!({})),
        OtlpEncoding::Json => {
            let rejected = match signal {
                Signal::Metrics => "rejectedDataPoints",
                Signal::Traces => "rejectedSpans",
            };
            let partial = serde_json::json!({rejected: taken.rejected.to_string(), "errorMessage": taken.message});
            json(StatusCode::OK, &serde_json::json!({"partialSuccess": partial}))
        }
    }
}

/// The answer to a message that was taken, in protobuf.
pub(super) fn message(signal: Signal, taken: Taken) -> Vec<u8> {
    let rejected = i64::try_from(taken.rejected).unwrap_or(i64::MAX);
    match signal {
        Signal::Metrics => {
            let partial = ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: taken.message };
            ExportMetricsServiceResponse { partial_success: (rejected > 0).then_some(partial) }.encode_to_vec()
        }
        Signal::Traces => {
            let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: taken.message };
            ExportTraceServiceResponse { partial_success: (rejected > 0).then_some(partial) }.encode_to_vec()
        }
    }
}

/// The status of an answer.
pub(super) fn status(refusal: Option<&Refusal>) -> StatusCode {
    let Some(refusal) = refusal else { return StatusCode::OK };
    match (code(refusal), refusal) {
        (_, Refusal::ComeAgain(ComeAgain::Busy)) => StatusCode::TOO_MANY_REQUESTS,
        (Code::Unavailable, _) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Refusal::ContentType(_) | Refusal::Encoding(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (Code::ResourceExhausted, _) => StatusCode::PAYLOAD_TOO_LARGE,
        (Code::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn failure(encoding: OtlpEncoding, refusal: &Refusal) -> Response {
    let status = status(Some(refusal));
    let told = RpcStatus::of(refusal);
    let mut response = match encoding {
        OtlpEncoding::Protobuf => protobuf(status, told.encode_to_vec()),
        OtlpEncoding::Json => json(status, &told.json()),
    };
    if code(refusal) == Code::Unavailable {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(super::RETRY_AFTER.as_secs()));
    }
    response
}

fn protobuf(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, "application/x-protobuf")], body).into_response()
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
