//! HTTP: the status page, health, metrics, reload, and Prometheus' API for rules and alerts.
//!
//! Asks the engine's owner through [`EngineHandle`](super::EngineHandle) and is told the rest through [`AppState`]; knows
//! nothing of how sources, sinks and reloads work.

mod api;
mod ask;
mod findings;
pub(super) mod guard;
mod lifecycle;
mod page;
mod reloader;
mod serve;
mod stall;
mod state;

pub use findings::{Finding, RecentFindings};
pub use reloader::{ReloadOutcome, ReloadRequest, Reloader};
pub use serve::{Patience, Protocol, serve, serve_with};
pub use state::{AppState, Health, Readiness, ReloadReport, SinkStatus, SourceStatus, Summary};

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

/// What handlers share.
type Shared = Arc<AppState>;

/// All routes, those of [`AppState::receivers`] among them.
pub fn router(state: AppState) -> Router {
    guarded_router(state, |router| router)
}

/// The same behind a guard, to which the deadline and the headers of all answers apply as well.
pub fn guarded_router(state: AppState, guard: impl FnOnce(Router) -> Router) -> Router {
    let receivers = state.receivers.clone();
    let (request_bytes, metrics) = (state.limits.request_bytes, state.metrics.http.clone());
    let state: Shared = Arc::new(state);
    let router = Router::new()
        .route("/", get(page::status))
        .route("/graph", get(page::graph))
        .route("/style.css", get(page::style))
        .route("/metrics", get(lifecycle::metrics))
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready))
        .route("/-/reload", post(lifecycle::reload).put(lifecycle::reload))
        .route("/api/v1/rules", get(api::rules))
        .route("/api/v1/alerts", get(api::alerts))
        .route("/api/v1/explain", get(api::explain))
        .route("/api/v1/status/buildinfo", get(api::build_info))
        .with_state(Arc::clone(&state))
        .merge(receivers)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(request_bytes))
        .layer(from_fn_with_state(state, guard::same_site));
    guard::around(guard(router), &metrics)
}

async fn not_found(uri: Uri) -> Response {
    let text = format!("there is no {}", uri.path());
    if is_api(&uri) {
        return api::ApiError::NotFound(text).into_response();
    }
    (StatusCode::NOT_FOUND, text + "\n").into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let text = format!("{} does not take {method}", uri.path());
    if is_api(&uri) {
        return api::ApiError::Method(text).into_response();
    }
    (StatusCode::METHOD_NOT_ALLOWED, text + "\n").into_response()
}

fn is_api(uri: &Uri) -> bool {
    uri.path() == "/api" || uri.path().starts_with("/api/")
}
