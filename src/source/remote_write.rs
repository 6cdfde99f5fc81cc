//! Receives Prometheus remote write 1.0 and 2.0 over HTTP: `POST /api/v1/write`. The content type says which.
//!
//! Answers as senders expect (<https://prometheus.io/docs/specs/prw/remote_write_spec/>): 2xx once the samples are
//! queued, and durable where state is kept, 5xx for "send it again", 4xx for "never send this again". To version 2 headers tell
//! how much was written, and 400 that something was left out (`v2`); version 1 cannot be told, and gets 204 all the same.
//!
//! Back-pressure: a request waits for room in the queue before it is decoded, and gets 503 with `Retry-After` when there
//! is none for a while; Prometheus then keeps the samples and retries. So it does where the segment log refuses, see
//! [`super::durable`].

mod v2;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::clock;
use super::decode::{CreatedTimestamps, Decoded, Dropped, remote_write};
use super::durable::{ComeAgain, Form, Intake};
use super::exemplars::Exemplars;
use super::http_body::{self, BodyError, header};
use super::watermark::drop_out_of_time;
use crate::base::Limits;
use crate::telemetry::OneSource;

/// Compressed bytes up to which a request is decoded on the runtime's own thread. Decoding runs at about 100 ns a
/// sample and Prometheus sends 2,000 samples (some 50 KiB) at once: that is 0.2 ms. Larger ones go to a blocking thread.
const INLINE_BYTES: usize = 256 << 10;

/// The receiver's state.
#[derive(Clone, Debug)]
pub struct RemoteWrite {
    /// Where samples go.
    pub intake: Intake,
    /// Bounds on requests.
    pub limits: Arc<Limits>,
    /// The source's metrics.
    pub metrics: OneSource,
    /// How long a request may wait for room in the queue.
    pub patience: Duration,
    /// Where traces go that exemplars name.
    pub exemplars: Exemplars,
    /// What becomes of created timestamps.
    pub created_timestamps: CreatedTimestamps,
}

/// The route, to be merged into the host's router.
pub fn router(state: RemoteWrite) -> Router {
    Router::new().route("/api/v1/write", post(write)).with_state(state)
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "content type {0:?} is not supported: send application/x-protobuf, with proto=prometheus.WriteRequest or \
         proto=io.prometheus.write.v2.Request"
    )]
    ContentType(String),
    #[error("content encoding {0:?} is not supported: send a snappy block")]
    Encoding(String),
    #[error("the body is larger than limits.request_bytes ({0} bytes)")]
    TooLarge(usize),
    #[error(transparent)]
    Body(BodyError),
    #[error(transparent)]
    Malformed(#[from] remote_write::DecodeError),
    #[error(transparent)]
    ComeAgain(#[from] ComeAgain),
    #[error("decoding failed within")]
    Decoder,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::ContentType(_) | Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::ComeAgain(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Decoder => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string() + "\n").into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
        }
        response
    }
}

async fn write(State(state): State<RemoteWrite>, headers: HeaderMap, body: Body) -> Response {
    let response = match version(&headers) {
        Ok(Version::One) => take(&state, &headers, body).await.map(|()| StatusCode::NO_CONTENT.into_response()),
        Ok(Version::Two) => v2::take(&state, &headers, body).await.map(|written| written.response()),
        Err(refusal) => Err(refusal),
    };
    let response = response.unwrap_or_else(|refusal| {
        tracing::debug!(source = state.metrics.name(), %refusal, "remote write request refused");
        refusal.into_response()
    });
    state.metrics.request(response.status().as_u16());
    response
}

async fn take(state: &RemoteWrite, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
    let body = read(state, headers, body).await?;
    let room = state.intake.room(state.patience).await?;
    let decoded = decode(body.clone(), &state.limits, remote_write::decode).await?;
    let Decoded { batch, dropped, .. } = in_time(state, decoded)?;
    let samples = batch.all_samples().len() as u64;
    room.take(batch, Some((Form::RemoteWrite, &body))).await?;
    count(state, samples, &dropped);
    Ok(())
}

async fn read(state: &RemoteWrite, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let bound = state.limits.request_bytes;
    http_body::read(headers, body, bound).await.map_err(|e| match e {
        BodyError::TooLarge(_) => Refusal::TooLarge(bound),
        e => Refusal::Body(e),
    })
}

/// Without the samples that are too old or lie in the future.
fn in_time(state: &RemoteWrite, decoded: Decoded) -> Result<Decoded, Refusal> {
    let now = clock::now();
    let decoded = drop_out_of_time(decoded, now, &state.limits);
    state.intake.check_clock(decoded.dropped.future, now)?;
    Ok(decoded)
}

fn count(state: &RemoteWrite, samples: u64, dropped: &Dropped) {
    for (reason, samples) in dropped.iter() {
        state.metrics.dropped(reason, samples);
    }
    state.metrics.samples.inc_by(samples);
}

/// Of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Absent headers are let pass, as in Prometheus' own receiver.
fn version(headers: &HeaderMap) -> Result<Version, Refusal> {
    let mut version = Version::One;
    if let Some(kind) = header(headers, &CONTENT_TYPE) {
        let mut parts = kind.split(';').map(str::trim);
        let right = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("application/x-protobuf"));
        let message = parts.find_map(|p| p.strip_prefix("proto=")).unwrap_or("prometheus.WriteRequest");
        version = match message.trim_matches('"') {
            "prometheus.WriteRequest" if right => Version::One,
            "io.prometheus.write.v2.Request" if right => Version::Two,
            _ => return Err(Refusal::ContentType(kind.to_owned())),
        };
    }
    match header(headers, &CONTENT_ENCODING) {
        None => Ok(version),
        Some(coding) if coding.eq_ignore_ascii_case("snappy") => Ok(version),
        Some(coding) => Err(Refusal::Encoding(coding.to_owned())),
    }
}

/// Decodes here or, if it takes long, on a thread for such work.
async fn decode<T: Send + 'static>(
    body: Bytes,
    limits: &Arc<Limits>,
    decode: impl Fn(&[u8], &Limits, &mut Vec<u8>) -> Result<T, remote_write::DecodeError> + Send + 'static,
) -> Result<T, Refusal> {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    if body.len() <= INLINE_BYTES {
        return Ok(SCRATCH.with_borrow_mut(|scratch| decode(&body, limits, scratch))?);
    }
    let limits = Arc::clone(limits);
    let task = tokio::task::spawn_blocking(move || decode(&body, &limits, &mut Vec::new()));
    Ok(task.await.map_err(|_| Refusal::Decoder)??)
}

#[cfg(test)]
mod tests;
