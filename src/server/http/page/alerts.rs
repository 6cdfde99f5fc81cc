//! Firing and pending alerts. Pure.

use super::html::Html;
use super::{View, format};
use crate::alert::AlertState;
use crate::engine::{AlertView, RuleView};
use crate::server::http::findings::summary;

/// Rows shown; the API has all.
const SHOWN: usize = 200;

/// All active alerts with their rules.
pub(super) fn active(view: &View) -> impl Iterator<Item = (&RuleView, &AlertView)> {
    let rules = view.groups.iter().flatten().flat_map(|group| &group.rules);
    rules
        .filter_map(|rule| Some((rule, rule.alert.as_ref()?)))
        .flat_map(|(rule, a)| a.active.iter().map(move |v| (rule, v)))
}

/// The table: firing ones first, the newest first among each.
pub(super) fn section(html: &mut Html, view: &View) {
    html.raw("<section><h2>Alerts</h2>");
    if let Err(reason) = &view.groups {
        html.raw("<p class=\"note warn\">Not known right now: ").text(reason.to_string()).raw(".</p></section>");
        return;
    }
    let mut alerts: Vec<_> = active(view).collect();
    alerts.sort_by_key(|(_, alert)| (alert.state != AlertState::Firing, std::cmp::Reverse(alert.active_at)));
    if alerts.is_empty() {
        html.raw("<p class=\"note\">Nothing is firing or pending.</p></section>");
        return;
    }
    html.raw("<table><thead><tr><th>State<th>Alert<th class=\"num\">Value<th>Since</tr></thead><tbody>");
    for (rule, alert) in alerts.iter().take(SHOWN) {
        row(html, rule, alert, view);
    }
    html.raw("</tbody></table>");
    if alerts.len() > SHOWN {
        html.raw("<p class=\"note\">And ").text(format::count((alerts.len() - SHOWN) as u64));
        html.raw(" more: <a href=\"api/v1/alerts\">all alerts as JSON</a>.</p>");
    }
    html.raw("</section>");
}

fn row(html: &mut Html, rule: &RuleView, alert: &AlertView, view: &View) {
    html.raw("<tr><td>").raw(pill(alert.state));
    if alert.keep_firing_since.is_some() {
        html.raw(" <span class=\"quiet\">kept</span>");
    }
    html.raw("<td class=\"wide\"><b>").text(&rule.name).raw("</b>");
    let text = summary(&alert.annotations);
    if !text.is_empty() {
        html.raw("<div class=\"summary\">").text(text).raw("</div>");
    }
    format::labels(html, alert.labels.as_ref());
    html.raw("<td class=\"num\" data-name=\"Value\">").text(format::value(alert.value));
    html.raw("<td class=\"when\" data-name=\"Since\">");
    format::instant(html, alert.active_at, view.now);
    html.raw("</tr>");
}

/// A state as a coloured word.
pub(super) fn pill(state: AlertState) -> &'static str {
    match state {
        AlertState::Firing => "<span class=\"pill bad\">firing</span>",
        AlertState::Pending => "<span class=\"pill warn\">pending</span>",
        AlertState::Inactive => "<span class=\"pill\">inactive</span>",
    }
}
