//! Rule groups with each rule's state, and the one rule that a link asks about. Pure.

use super::html::Html;
use super::{View, alerts, format};
use crate::base::format_duration;
use crate::engine::{AlertRuleView, GroupView, RuleView};

/// Rules shown; the API has all.
const SHOWN: usize = 1_000;

/// Rules up to which all groups are open.
const OPEN: usize = 40;

/// The rule whose expression a link from an alert carries.
pub(super) fn asked(html: &mut Html, view: &View) {
    let Some(asked) = view.asked.as_deref().map(str::trim).filter(|asked| !asked.is_empty()) else { return };
    let rules = view.groups.iter().flatten().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    let found: Vec<_> = rules.filter(|(_, rule)| rule.expr.trim() == asked).collect();
    html.raw("<section class=\"asked\"><h2>The rule you came for</h2>");
    if found.is_empty() {
        html.raw("<p class=\"note\">No rule in force has this expression:</p><pre>").text(asked).raw("</pre>");
    }
    for (group, rule) in found {
        html.raw("<table><tbody>");
        row(html, rule);
        html.raw("</tbody></table><p class=\"note\">In group <b>").text(&group.name).raw("</b> of <code>");
        html.text(&group.file).raw("</code>");
        if let Some(alert) = &rule.alert {
            html.raw(", ").text(format::count(alert.active.len() as u64)).raw(" active");
        }
        html.raw(". <a href=\"./\">All of the status page</a></p>");
    }
    html.raw("</section>");
}

/// All groups.
pub(super) fn section(html: &mut Html, view: &View) {
    let Ok(groups) = &view.groups else { return };
    let total: usize = groups.iter().map(|group| group.rules.len()).sum();
    html.raw("<section><h2>Rules <span class=\"quiet\">").text(format::count(total as u64)).raw("</span></h2>");
    if groups.is_empty() {
        html.raw("<p class=\"note warn\">No rules: nothing is watched. Name some under <code>rule_files</code>.</p>");
    }
    let mut room = SHOWN;
    for group in groups {
        if room == 0 {
            break;
        }
        let open = total <= OPEN || group.rules.iter().any(needs_a_look);
        group_table(html, group, open, room, view);
        room = room.saturating_sub(group.rules.len());
    }
    if total > SHOWN {
        html.raw("<p class=\"note\">Not all are shown: <a href=\"api/v1/rules\">all rules as JSON</a>.</p>");
    }
    html.raw("</section>");
}

fn needs_a_look(rule: &RuleView) -> bool {
    rule.last_error.is_some() || rule.alert.as_ref().is_some_and(|alert| !alert.active.is_empty())
}

fn group_table(html: &mut Html, group: &GroupView, open: bool, room: usize, view: &View) {
    html.raw(if open { "<details open><summary><b>" } else { "<details><summary><b>" });
    html.text(&group.name).raw("</b> <span class=\"quiet\"><code>").text(&group.file).raw("</code> every ");
    html.text(format_duration(group.interval)).raw(", ");
    match group.last_evaluation {
        Some(t) => {
            html.raw("evaluated ");
            format::instant(html, t, view.now);
        }
        None => _ = html.raw("not evaluated yet"),
    }
    html.raw("</span></summary><table><tbody>");
    for rule in group.rules.iter().take(room) {
        row(html, rule);
    }
    html.raw("</tbody></table></details>");
}

fn row(html: &mut Html, rule: &RuleView) {
    html.raw("<tr><td>");
    match (&rule.last_error, &rule.alert, rule.evaluated) {
        (Some(_), _, _) => html.raw("<span class=\"pill bad\">error</span>"),
        (None, _, false) => html.raw("<span class=\"pill\">not yet</span>"),
        (None, Some(alert), true) => html.raw(alerts::pill(alert.state)),
        (None, None, true) => html.raw("<span class=\"pill\">records</span>"),
    };
    html.raw("<td class=\"wide\"><b>").text(&rule.name).raw("</b>");
    if let Some(alert) = &rule.alert {
        times(html, alert);
    }
    html.raw("<pre>").text(rule.expr.trim()).raw("</pre>");
    if let Some(error) = &rule.last_error {
        html.raw("<div class=\"error\">").text(error).raw("</div>");
    }
    html.raw("</tr>");
}

fn times(html: &mut Html, alert: &AlertRuleView) {
    for (name, span) in
        [(" <span class=\"quiet\">for ", alert.hold), (" <span class=\"quiet\">keeps ", alert.keep_firing)]
    {
        if span > 0 {
            html.raw(name).text(format_duration(span)).raw("</span>");
        }
    }
}
