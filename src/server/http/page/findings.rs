//! The last changes of alerts. Pure.

use super::html::Html;
use super::{View, format};
use crate::alert::{AlertState, Reason};
use crate::server::http::Finding;

/// The list.
pub(super) fn section(html: &mut Html, view: &View) {
    html.raw("<section><h2>Recent findings</h2>");
    if view.findings.is_empty() {
        html.raw("<p class=\"note\">None since the start.</p></section>");
        return;
    }
    html.raw("<table><thead><tr><th>State<th>Alert<th>When</tr></thead><tbody>");
    for finding in &view.findings {
        html.raw("<tr><td>").raw(pill(finding)).raw("<td class=\"wide\"><b>").text(&finding.name).raw("</b>");
        if !finding.summary.is_empty() {
            html.raw("<div class=\"summary\">").text(&finding.summary).raw("</div>");
        }
        format::labels(html, finding.labels.as_ref());
        html.raw("<td class=\"when\" data-name=\"When\">");
        format::instant(html, finding.at, view.now);
        html.raw("</tr>");
    }
    html.raw("</tbody></table></section>");
}

fn pill(finding: &Finding) -> &'static str {
    match (finding.from, finding.to, finding.reason) {
        (_, _, Reason::RuleRemoved) => "<span class=\"pill\">rule removed</span>",
        (_, _, Reason::OverLimit) => "<span class=\"pill warn\">over limit</span>",
        (_, AlertState::Firing, _) => "<span class=\"pill bad\">firing</span>",
        (_, AlertState::Pending, _) => "<span class=\"pill warn\">pending</span>",
        (AlertState::Pending, AlertState::Inactive, _) => "<span class=\"pill\">cleared</span>",
        (_, AlertState::Inactive, _) => "<span class=\"pill good\">resolved</span>",
    }
}
