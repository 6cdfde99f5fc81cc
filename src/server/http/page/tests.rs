//! The page as a whole, on made-up state.

use std::sync::Arc;

use super::layout::render;
use super::*;
use crate::alert::{AlertState, Reason, RuleRef, Transition};
use crate::base::Labels;
use crate::engine::{AlertRuleView, AlertView, RuleView};
use crate::server::http::{Health, RecentFindings, ReloadReport, SinkStatus, SourceStatus};

const HOSTILE: &str = "<script>alert('x')</script>\"><img src=x onerror=\"y\">&amp;\u{202e}\0";

fn view() -> View {
    View {
        now: 1_000_000,
        started: 0,
        readiness: Readiness::Ready,
        groups: Ok(vec![]),
        holdings: Ok(Holdings::default()),
        summary: Summary::default(),
        findings: vec![],
        asked: None,
    }
}

fn alerting(name: &str, expr: &str, alerts: Vec<AlertView>) -> RuleView {
    let state = alerts.iter().map(|a| a.state).max_by_key(|s| *s == AlertState::Firing).unwrap_or(AlertState::Inactive);
    RuleView {
        name: name.into(),
        expr: expr.into(),
        labels: vec![],
        last_error: None,
        remarks: Default::default(),
        evaluated: true,
        evaluation_time: Default::default(),
        alert: Some(AlertRuleView { hold: 60_000, keep_firing: 0, annotations: vec![], state, active: alerts }),
    }
}

fn alert(state: AlertState, active_at: Millis, instance: &str) -> AlertView {
    AlertView {
        labels: Labels::from_pairs([("alertname", "Down"), ("instance", instance)]),
        annotations: vec![("summary".into(), format!("{instance} is down"))],
        state,
        active_at,
        keep_firing_since: None,
        value: 0.5,
    }
}

fn group(rules: Vec<RuleView>) -> GroupView {
    let (file, name) = ("rules/host.yml".into(), "host".into());
    GroupView {
        file,
        name,
        interval: 15_000,
        limit: 0,
        last_evaluation: Some(990_000),
        evaluation_time: Default::default(),
        rules,
    }
}

fn place(page: &str, text: &str) -> usize {
    page.find(text).unwrap_or_else(|| panic!("no {text:?} in {page}"))
}

#[test]
fn firing_alerts_come_before_pending_ones_and_the_newest_first() {
    let alerts = vec![
        alert(AlertState::Pending, 900_000, "pending"),
        alert(AlertState::Firing, 100_000, "old"),
        alert(AlertState::Firing, 500_000, "new"),
    ];
    let page = render(&View { groups: Ok(vec![group(vec![alerting("Down", "up == 0", alerts)])]), ..view() });
    assert!(place(&page, "new is down") < place(&page, "old is down"));
    assert!(place(&page, "old is down") < place(&page, "pending is down"));
    assert!(page.contains("<title>(2) forewarn</title>") && page.contains("2 firing"));
    assert!(page.contains("8m 20s ago"), "since the new one");
    assert!(place(&page, "<h2>Alerts") < place(&page, "<h2>Sources"));
}

#[test]
fn nothing_from_outside_is_markup() {
    let mut rule = alerting(HOSTILE, HOSTILE, vec![]);
    rule.last_error = Some(HOSTILE.into());
    let state = AlertState::Firing;
    rule.alert.as_mut().unwrap().active.push(AlertView {
        labels: Labels::from_pairs([(HOSTILE, HOSTILE)]),
        annotations: vec![("summary".into(), HOSTILE.into())],
        ..alert(state, 0, "")
    });
    let findings = RecentFindings::default();
    let reference =
        RuleRef { file: HOSTILE.into(), group: HOSTILE.into(), alert: HOSTILE.into(), expr: HOSTILE.into() };
    findings.push(&Transition {
        at: 0,
        rule: Arc::new(reference),
        labels: Labels::from_pairs([("x", HOSTILE)]),
        annotations: vec![("description".into(), HOSTILE.into())],
        from: AlertState::Inactive,
        to: AlertState::Firing,
        reason: Reason::HeldLongEnough,
        value: 1.0,
        active_at: 0,
        fired_at: Some(0),
        resolved_at: None,
        ends_at: 0,
    });
    let text = || HOSTILE.to_owned();
    let summary = Summary {
        sources: vec![SourceStatus { name: text(), kind: text(), detail: text(), ..Default::default() }],
        sinks: vec![SinkStatus { name: text(), kind: text(), detail: text(), ..Default::default() }],
        reload: Some(ReloadReport { at: 0, outcome: Err(vec![text()]) }),
    };
    let mut hostile_group = group(vec![rule]);
    (hostile_group.name, hostile_group.file) = (text(), text());
    let page = render(&View {
        groups: Ok(vec![hostile_group]),
        findings: findings.list(),
        asked: Some("no such <script>".into()),
        summary,
        ..view()
    });
    for bad in ["<script", "<img", "onerror=\"", "\u{202e}", "\0", "alert('x')"] {
        assert!(!page.contains(bad), "{bad:?} in {page}");
    }
    assert!(page.matches("&lt;script&gt;").count() >= 15, "all of them are shown");
}

#[test]
fn a_link_from_an_alert_leads_to_its_rule() {
    let groups = vec![group(vec![alerting("Other", "a", vec![]), alerting("Down", "up == 0", vec![])])];
    let page = render(&View { groups: Ok(groups.clone()), asked: Some(" up == 0 ".into()), ..view() });
    let asked = &page[place(&page, "The rule you came for")..place(&page, "<h2>Alerts")];
    assert!(asked.contains("<b>Down</b>") && asked.contains("rules/host.yml") && !asked.contains("Other"), "{asked}");
    let page = render(&View { groups: Ok(groups), asked: Some("gone > 1".into()), ..view() });
    assert!(page.contains("No rule in force has this expression") && page.contains("gone &gt; 1"));
}

#[test]
fn warming_up_shows_how_far_and_asks_again_soon() {
    let page = render(&View { readiness: Readiness::WarmingUp { done: 30, total: 120 }, ..view() });
    assert!(page.contains("Warming up: 30 of 120 (25%)") && page.contains(r#"<progress max="1" value="0.250">"#));
    assert!(page.contains(r#"http-equiv="refresh" content="3""#));
    assert!(!render(&view()).contains("<progress"));
}

#[test]
fn the_last_reload_is_told_once_with_all_that_is_wrong() {
    let shown = |outcome| {
        let reload = Some(ReloadReport { at: 940_000, outcome });
        render(&View { summary: Summary { reload, ..Summary::default() }, ..view() })
    };
    let faults = ["rules/a.yml:5:22: no", "rules/b.yml: gone"].map(str::to_owned);
    let page = shown(Err(faults.to_vec()));
    assert!(page.contains("the old rules stay in force"));
    assert!(faults.iter().all(|fault| page.matches(fault.as_str()).count() == 1), "{page}");
    assert!(shown(Ok("2 rules are in force".into())).contains("2 rules are in force"));
    assert!(!render(&view()).contains("<h2>Configuration"), "nothing is told of a reload that was not");
}

#[test]
fn a_busy_engine_leaves_the_rest_of_the_page() {
    let sources = vec![SourceStatus {
        name: "node".into(),
        kind: "scrape".into(),
        health: Health::Good,
        watermark: Some(940_000),
        ..Default::default()
    }];
    let page = render(&View {
        groups: Err(ask::Unanswered::Busy),
        holdings: Err(ask::Unanswered::Busy),
        summary: Summary { sources, ..Default::default() },
        ..view()
    });
    assert_eq!(page.matches("busy catching up").count(), 2);
    assert!(page.contains("<b>node</b>") && page.contains(r#"data-name="Lag">1m</tr>"#));
}

#[test]
fn the_page_is_bounded() {
    let alerts = (0..5_000).map(|i| alert(AlertState::Firing, i, "i")).collect();
    let rules = (0..5_000).map(|_| alerting("Quiet", "up == 0", vec![]));
    let rules = std::iter::once(alerting("Down", "up == 0", alerts)).chain(rules).collect();
    let page = render(&View { groups: Ok(vec![group(rules)]), ..view() });
    assert_eq!(page.matches("i is down").count(), 200);
    assert!(page.contains("And 4,800 more") && page.contains("Not all are shown"));
    assert_eq!(page.matches("<b>Quiet</b>").count(), 999);
}

#[test]
fn expressions_survive_the_redirect() {
    assert_eq!(parameter(Some("g0.tab=1&g0.expr=up+%3D%3D+0"), "g0.expr").as_deref(), Some("up == 0"));
    assert_eq!(parameter(None, "expr"), None);
}
