//! The status page: HTML made here, without scripts and without anything from elsewhere.
//!
//! Gathers what there is to show and hands it to [`render`]; the sections are pure.

mod alerts;
mod findings;
mod format;
mod html;
mod layout;
mod parts;
mod rules;
#[cfg(test)]
mod tests;

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Redirect, Response};
use url::form_urlencoded;

use super::{Finding, Readiness, Shared, Summary, ask};
use crate::base::Millis;
use crate::engine::{GroupView, Holdings};
use crate::source::clock;

/// All that the page shows, as it was at `now`.
#[derive(Debug)]
struct View {
    now: Millis,
    started: Millis,
    readiness: Readiness,
    groups: Result<Vec<GroupView>, ask::Unanswered>,
    holdings: Result<Holdings, ask::Unanswered>,
    summary: Summary,
    findings: Vec<Finding>,
    /// The expression that a link from an alert asks about.
    asked: Option<String>,
}

/// `GET /`, with `expr` the expression of a rule to show first.
pub(super) async fn status(State(state): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let (groups, holdings) = tokio::join!(
        ask::within(ask::PAGE_PATIENCE, state.engine.groups()),
        ask::within(ask::PAGE_PATIENCE, state.engine.holdings())
    );
    let view = View {
        now: clock::now(),
        started: state.started,
        readiness: state.ready.borrow().clone(),
        groups,
        holdings,
        summary: (state.summary)(),
        findings: state.findings.list(),
        asked: parameter(query.as_deref(), "expr"),
    };
    Html(layout::render(&view)).into_response()
}

/// `GET /graph?g0.expr=...`, where an alert's `generatorURL` points: to the rule on the status page.
pub(super) async fn graph(RawQuery(query): RawQuery) -> Redirect {
    let expr = parameter(query.as_deref(), "g0.expr").unwrap_or_default();
    // Relative, since a proxy may serve this under a path of its own.
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("expr", &expr).finish();
    Redirect::to(&if expr.is_empty() { "./".to_owned() } else { format!("./?{query}") })
}

/// `GET /style.css`.
pub(super) async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, include_str!("style.css")).into_response()
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}
