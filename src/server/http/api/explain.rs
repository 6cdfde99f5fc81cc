//! `GET /api/v1/explain?alert=NAME{label="value"}`: what the models behind a rule say, and the same as text.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use url::form_urlencoded;

use super::super::{Shared, ask};
use super::{ApiError, success};
use crate::base::METRIC_NAME;
use crate::engine::Explanation;
use crate::promql::parse_metric;

/// Explanations of one answer.
const MOST: usize = 100;

/// An explanation and its text.
#[derive(Serialize)]
struct Explained {
    text: String,
    /// A trace that it may be about, see [`TraceLinks`](crate::server::TraceLinks).
    #[serde(flatten)]
    trace: BTreeMap<String, String>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// `GET /api/v1/explain`.
pub(in crate::server::http) async fn explain(
    State(state): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Explanations {
        explanations: Vec<Explained>,
    }
    let fault = |problem: String| ApiError::Parameter { name: "alert", problem };
    let query = query.unwrap_or_default();
    let alert = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "alert");
    let (_, alert) = alert.ok_or_else(|| fault("is missing; write alert=NAME{label=\"value\"}".to_owned()))?;
    let labels = parse_metric(&alert).map_err(|e| fault(e.to_string()))?;
    let rule = labels.as_ref().metric_name().to_owned();
    let others = labels.as_ref().iter().filter(|(name, _)| *name != METRIC_NAME);
    let others = others.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let found = ask::within(ask::API_PATIENCE, state.engine.explain(rule, others, MOST)).await?;
    let explained = |explanation: Explanation| {
        let mut trace = Vec::new();
        state.traces.annotate(explanation.labels.as_ref(), &mut trace);
        let told = trace.last().map(|(_, value)| format!("; a trace of it: {value}"));
        let text = explanation.model.to_string() + &told.unwrap_or_default();
        Explained { text, trace: trace.into_iter().collect(), explanation }
    };
    Ok(success(Explanations { explanations: found.into_iter().map(explained).collect() }))
}
