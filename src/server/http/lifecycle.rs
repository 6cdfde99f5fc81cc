//! `/metrics` and what operators and orchestrators ask: healthy, ready, reload.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::telemetry::TEXT_FORMAT;

/// The process' own metrics in Prometheus' text format.
pub(super) async fn metrics(State(state): State<Shared>) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// 200 while the process answers at all.
pub(super) async fn healthy() -> &'static str {
    "forewarn is healthy.\n"
}

/// 200 once alerts are live; until then 503 and how far it is.
pub(super) async fn ready(State(state): State<Shared>) -> Response {
    let readiness = state.ready.borrow().clone();
    if readiness.is_ready() {
        return "forewarn is ready.\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], format!("{readiness}\n")).into_response()
}

/// Reloads, and says what came of it.
pub(super) async fn reload(State(state): State<Shared>) -> Response {
    match state.reload.reload().await {
        Ok(done) => format!("{}\n", done.trim_end()).into_response(),
        Err(faults) => {
            let mut text = "not reloaded, the old rules stay in force:\n".to_owned();
            for fault in &faults {
                text.push_str(fault.trim_end());
                text.push('\n');
            }
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
