//! Remote write 2.0: takes a request and says how much of it was written.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>: an answer of 2xx says that everything was written; where
//! something was left out for good it is 400, and the headers say how much was written nevertheless. All exemplars of series that
//! were taken count as written: that only those of traces are of use here is no fault of the sender's, who would call others failed.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Decoded, Refusal, RemoteWrite, count, decode, in_time, read};
use crate::base::Limits;
use crate::source::decode::remote_write_v2;

/// What was written of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    samples: u64,
    exemplars: u64,
    /// What was left out, and why; empty if nothing was.
    left_out: String,
}

pub(super) async fn take(state: &RemoteWrite, headers: &HeaderMap, body: Body) -> Result<Written, Refusal> {
    let body = read(state, headers, body).await?;
    let room = state.intake.room(state.patience).await?;
    let created = state.created_timestamps;
    let read = move |body: &[u8], limits: &Limits, scratch: &mut Vec<u8>| {
        remote_write_v2::decode(body, limits, created, scratch)
    };
    let decoded = decode(body, &state.limits, read).await?;
    let Decoded { batch, dropped, traces, exemplars } = in_time(state, decoded)?;
    let samples = batch.measured();
    room.take(batch, None).await?;
    count(state, samples, &dropped);
    state.exemplars.keep_all(traces);
    let reasons: Vec<String> = dropped.iter().map(|(reason, n)| format!("{reason}: {n}")).collect();
    Ok(Written { samples, exemplars, left_out: reasons.join(", ") })
}

impl Written {
    pub(super) fn response(&self) -> Response {
        let mut response = match self.left_out.as_str() {
            "" => StatusCode::NO_CONTENT.into_response(),
            reasons => (StatusCode::BAD_REQUEST, format!("left out, by reason: {reasons}; all else is written\n"))
                .into_response(),
        };
        for (name, n) in [
            ("x-prometheus-remote-write-samples-written", self.samples),
            ("x-prometheus-remote-write-histograms-written", 0),
            ("x-prometheus-remote-write-exemplars-written", self.exemplars),
        ] {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(n));
        }
        response
    }
}
