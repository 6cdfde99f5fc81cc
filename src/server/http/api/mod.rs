//! Prometheus' HTTP API for rules and alerts (<https://prometheus.io/docs/prometheus/latest/querying/api/>), so that
//! promtool, Grafana and others read this server as they read Prometheus.

mod explain;
mod filter;
mod shape;

pub(super) use self::explain::explain;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use self::filter::Filter;
use self::shape::{Alert, RuleGroup};
use super::{Shared, ask};
use crate::engine::GroupView;

/// `GET /api/v1/rules`.
pub(super) async fn rules(State(state): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct RuleGroups<'a> {
        groups: Vec<RuleGroup<'a>>,
    }
    let filter = Filter::parse(query.as_deref().unwrap_or_default())?;
    let groups = groups(&state).await?;
    Ok(success(RuleGroups { groups: groups.iter().filter_map(|group| RuleGroup::new(group, &filter)).collect() }))
}

/// `GET /api/v1/alerts`.
pub(super) async fn alerts(State(state): State<Shared>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Alerts<'a> {
        alerts: Vec<Alert<'a>>,
    }
    let groups = groups(&state).await?;
    let rules = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.alert.as_ref());
    Ok(success(Alerts { alerts: rules.flat_map(|rule| rule.active.iter().map(Alert::new)).collect() }))
}

/// `GET /api/v1/status/buildinfo`. What has no meaning here is empty.
#[allow(clippy::unused_async)] // a handler
pub(super) async fn build_info() -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct BuildInfo {
        version: &'static str,
        revision: &'static str,
        branch: &'static str,
        build_user: &'static str,
        build_date: &'static str,
        go_version: &'static str,
    }
    success(BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("FOREWARN_REVISION").unwrap_or(""),
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    })
}

/// What goes wrong in the API, as Prometheus' envelope tells it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// A parameter.
    #[error("invalid parameter {name:?}: {problem}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No such path.
    #[error("{0}")]
    NotFound(String),
    /// The path takes other methods.
    #[error("{0}")]
    Method(String),
    /// The engine does not answer.
    #[error(transparent)]
    Engine(#[from] ask::Unanswered),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Failure {
            status: &'static str,
            error_type: &'static str,
            error: String,
        }
        // Types and codes of prometheus/prometheus `web/api/v1/api.go`.
        let (code, error_type) = match &self {
            Self::Parameter { .. } => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "bad_data"),
            Self::Engine(ask::Unanswered::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Engine(ask::Unanswered::Gone(_)) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        (code, Json(Failure { status: "error", error_type, error: self.to_string() })).into_response()
    }
}

fn success(data: impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Success<T> {
        status: &'static str,
        data: T,
    }
    Json(Success { status: "success", data }).into_response()
}

/// By file and name, as Prometheus gives them.
async fn groups(state: &Shared) -> Result<Vec<GroupView>, ask::Unanswered> {
    let mut groups = ask::within(ask::API_PATIENCE, state.engine.groups()).await?;
    let alerts = groups.iter_mut().flat_map(|group| &mut group.rules).filter_map(|rule| rule.alert.as_mut());
    for alert in alerts.flat_map(|rule| &mut rule.active) {
        state.traces.annotate(alert.labels.as_ref(), &mut alert.annotations);
    }
    groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    Ok(groups)
}
