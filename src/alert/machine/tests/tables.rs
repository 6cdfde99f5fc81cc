//! Ticks and vectors on the left, what comes out on the right.

use super::*;

/// A machine under test, which keeps what the steps gave.
struct Bench {
    machine: AlertMachine,
    out: AlertOutput,
    external: Labels,
}

impl Bench {
    fn new(rule: AlertingRule) -> Self {
        let external = Labels::from_pairs([("region", "eu")]);
        Self { machine: AlertMachine::new(rule), out: AlertOutput::default(), external }
    }

    /// Steps at `t` seconds; gives the transitions as `i0 I>P began`, with `until` where sinks are told.
    fn step(&mut self, t: i64, elements: &[(u32, f64)]) -> Vec<String> {
        self.try_step(t, elements).unwrap()
    }

    fn try_step(&mut self, t: i64, elements: &[(u32, f64)]) -> Result<Vec<String>, AlertError> {
        self.out = AlertOutput::default();
        self.machine.step(t * S, elements, &labels_of, &context(&self.external), &mut self.out)?;
        Ok(self.shown())
    }

    fn shown(&self) -> Vec<String> {
        let show = |t: &Transition| {
            let instance = t.labels.as_ref().get("instance").unwrap_or("-").to_owned();
            let reason = serde_json::to_value(t.reason).unwrap();
            let told = if t.is_notified() { format!(" until {}", t.ends_at / S) } else { String::new() };
            format!("{instance} {}>{} {}{told}", letter(t.from), letter(t.to), reason.as_str().unwrap())
        };
        self.out.transitions.iter().map(show).collect()
    }

    fn samples(&self) -> Vec<String> {
        self.machine.samples().map(|s| format!("{} {}", s.labels, s.value)).collect()
    }

    fn ended(&self) -> Vec<String> {
        self.out.ended.iter().map(|e| e.labels.to_string()).collect()
    }
}

fn settings(hold: i64, keep_firing: i64) -> AlertSettings {
    AlertSettings { hold: hold * S, keep_firing: keep_firing * S, interval: 15 * S, limit: 0 }
}

const A: [(u32, f64); 1] = [(0, 1.0)];
const NONE: [(u32, f64); 0] = [];

#[test]
fn pending_then_firing_then_resolved() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[]));
    assert_eq!(bench.step(0, &A), ["i0 I>P began"]);
    assert_eq!(bench.step(15, &A), [""; 0]);
    assert_eq!(bench.step(30, &A), ["i0 P>F held_long_enough until 270"]);
    // Sent again only when more than the resend delay (60 s) has passed.
    assert_eq!(bench.step(90, &A), [""; 0]);
    assert_eq!(bench.step(105, &A), ["i0 F>F resent until 345"]);
    assert_eq!(bench.step(120, &NONE), ["i0 F>I cleared until 120"]);
    let cleared = &bench.out.transitions[0];
    assert_eq!((cleared.active_at, cleared.fired_at, cleared.resolved_at), (0, Some(30 * S), Some(120 * S)));
    // The resolved alert is repeated for 15 minutes, then forgotten.
    assert_eq!(bench.step(180, &NONE), [""; 0]);
    assert_eq!(bench.step(181, &NONE), ["i0 I>I resent until 120"]);
    assert_eq!(bench.step(120 + 900, &NONE), ["i0 I>I resent until 120"]);
    assert_eq!(bench.step(120 + 990, &NONE), [""; 0]);
    assert_eq!(bench.step(120 + 1100, &NONE), [""; 0]);
}

#[test]
fn without_for_an_alert_fires_at_once() {
    let mut bench = Bench::new(rule(settings(0, 0), &[], &[]));
    assert_eq!(bench.step(0, &A), ["i0 I>F held_long_enough until 240"]);
    assert_eq!(bench.out.transitions[0].fired_at, Some(0));
}

#[test]
fn an_alert_that_clears_while_pending_is_told_to_nobody() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[]));
    bench.step(0, &A);
    assert_eq!(bench.step(15, &NONE), ["i0 P>I cleared_while_pending"]);
    assert!(!bench.out.transitions[0].is_notified());
    // It begins anew: 30 s from here.
    assert_eq!(bench.step(30, &A), ["i0 I>P began"]);
    assert_eq!(bench.step(45, &A), [""; 0]);
    assert_eq!(bench.step(60, &A), ["i0 P>F held_long_enough until 300"]);
}

#[test]
fn a_resolved_alert_that_comes_back_is_a_new_one() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[]));
    bench.step(0, &A);
    bench.step(30, &A);
    bench.step(45, &NONE);
    assert_eq!(bench.step(60, &A), ["i0 I>P began"]);
    // As in Prometheus, the old one is then no longer repeated as resolved.
    assert_eq!(bench.step(75, &NONE), ["i0 P>I cleared_while_pending"]);
    assert_eq!(bench.step(200, &NONE), [""; 0]);
    bench.step(300, &A);
    assert_eq!(bench.step(330, &A), ["i0 P>F held_long_enough until 570"]);
    assert_eq!(bench.out.transitions[0].active_at, 300 * S);
}

#[test]
fn keep_firing_for_bridges_a_gap() {
    let mut bench = Bench::new(rule(settings(0, 60), &[], &[]));
    bench.step(0, &A);
    assert_eq!(bench.step(15, &NONE), ["i0 F>F kept_firing"]);
    assert_eq!(bench.machine.active(&context(&bench.external))[0].keep_firing_since, Some(15 * S));
    assert_eq!(bench.step(30, &A), [""; 0]);
    assert_eq!(bench.machine.active(&context(&bench.external))[0].keep_firing_since, None);
    assert_eq!(bench.step(45, &NONE), ["i0 F>F kept_firing"]);
    assert_eq!(bench.step(61, &NONE), ["i0 F>F resent until 301"]);
    assert_eq!(bench.step(104, &NONE), [""; 0]);
    assert_eq!(bench.step(105, &NONE), ["i0 F>I cleared until 105"]);
    // The first missing tick may also be the one at which the alert is due to be sent.
    let mut bench = Bench::new(rule(settings(0, 600), &[], &[]));
    bench.step(0, &A);
    assert_eq!(bench.step(100, &NONE), ["i0 F>F kept_firing", "i0 F>F resent until 340"]);
}

#[test]
fn ends_at_allows_for_the_longer_of_interval_and_resend_delay() {
    let slow = AlertSettings { interval: 300 * S, ..settings(0, 0) };
    assert_eq!(Bench::new(rule(slow, &[], &[])).step(0, &A), ["i0 I>F held_long_enough until 1200"]);
}

#[test]
fn transitions_are_sorted_by_labels_whatever_the_order_of_elements() {
    let mut bench = Bench::new(rule(settings(0, 0), &[], &[]));
    let began = bench.step(0, &[(3, 1.0), (1, 1.0), (2, 1.0)]);
    assert_eq!(began.iter().map(|t| &t[..2]).collect::<Vec<_>>(), ["i1", "i2", "i3"]);
    let changed = bench.step(15, &[(9, 1.0), (0, 1.0), (2, 1.0)]);
    assert_eq!(changed.iter().map(|t| &t[..6]).collect::<Vec<_>>(), ["i0 I>F", "i1 F>I", "i3 F>I", "i9 I>F"]);
}

#[test]
fn labels_are_the_elements_then_the_rules_then_alertname() {
    let labels =
        [("severity", "page"), ("where", "{{ $labels.instance }}/{{ $labels.__name__ }}"), ("instance", "{{ \"\" }}")];
    let mut bench = Bench::new(rule(settings(0, 0), &labels, &[]));
    bench.step(0, &A);
    assert_eq!(bench.out.transitions[0].labels.to_string(), r#"{alertname="Full", severity="page", where="i0/m0"}"#);
}

#[test]
fn two_elements_with_one_labelset_change_nothing() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[]));
    bench.step(0, &A);
    // Elements 0 and 100 differ by their metric name only.
    for vector in [[(0, 1.0), (100, 1.0)], [(100, 1.0), (0, 1.0)]] {
        assert_eq!(bench.try_step(15, &vector), Err(AlertError::DuplicateLabels));
        assert_eq!(bench.out, AlertOutput::default());
    }
    assert_eq!(bench.try_step(20, &[(1, 1.0), (101, 1.0)]), Err(AlertError::DuplicateLabels));
    // Neither new alerts nor new timers: it fires 30 s after it began.
    assert_eq!(bench.step(30, &A), ["i0 P>F held_long_enough until 270"]);
    assert_eq!(bench.step(31, &[(0, 1.0), (1, 1.0)]), ["i1 I>P began"]);
}

#[test]
fn an_alert_is_known_by_its_labels_and_not_by_its_element() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[("name", "{{ $labels.__name__ }}")]));
    bench.step(0, &A);
    assert_eq!(bench.step(30, &[(100, 1.0)]), ["i0 P>F held_long_enough until 270"]);
    assert_eq!(bench.out.transitions[0].annotations[0].1, "other");
    assert_eq!(bench.step(45, &NONE), ["i0 F>I cleared until 45"]);
}

#[test]
fn renumbered_elements_keep_their_alerts() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[]));
    bench.step(0, &[(0, 1.0), (1, 1.0)]);
    bench.machine.remap(&|id| if id == 0 { Some(7) } else { None });
    let renumbered = |id: u32| labels_of(if id == 7 { 0 } else { id });
    let mut out = AlertOutput::default();
    // Id 0 now names what 1 named before; the alert is found by its labels.
    let relabelled = |id: u32| if id == 0 { labels_of(1) } else { renumbered(id) };
    bench.machine.step(30 * S, &[(0, 1.0), (7, 1.0)], &relabelled, &context(&bench.external), &mut out).unwrap();
    bench.out = out;
    assert_eq!(bench.shown(), ["i0 P>F held_long_enough until 270", "i1 P>F held_long_enough until 270"]);
}

#[test]
fn beyond_the_limit_all_alerts_are_given_up_and_resolved() {
    let limited = AlertSettings { limit: 2, ..settings(30, 0) };
    let mut bench = Bench::new(rule(limited, &[], &[]));
    bench.step(0, &A);
    bench.step(30, &[(0, 1.0), (1, 1.0)]);
    let over = bench.try_step(45, &[(0, 1.0), (1, 1.0), (2, 1.0)]);
    assert_eq!(over, Err(AlertError::OverLimit { limit: 2, count: 3 }));
    assert_eq!(over.unwrap_err().to_string(), "exceeded limit of 2 with 3 alerts");
    assert_eq!(bench.shown(), ["i0 F>I over_limit until 45", "i1 P>I over_limit"]);
    assert_eq!((bench.machine.samples().count(), bench.out.ended.len()), (0, 4));
    assert_eq!(bench.machine.state(), AlertState::Inactive);
    // Everything begins anew.
    assert_eq!(bench.step(60, &A), ["i0 I>P began"]);
}

#[test]
fn a_removed_rule_resolves_what_had_fired() {
    let mut bench = Bench::new(rule(settings(30, 0), &[], &[]));
    bench.step(0, &[(0, 1.0), (2, 1.0)]);
    bench.step(30, &[(0, 1.0), (1, 1.0)]);
    bench.out = AlertOutput::default();
    bench.machine.clone().remove(40 * S, &context(&bench.external), &mut bench.out);
    assert_eq!(bench.shown(), ["i0 F>I rule_removed until 40", "i1 P>I rule_removed"]);
    assert_eq!(bench.out.ended.len(), 4);
}

#[test]
fn a_changed_rule_keeps_its_timers() {
    let mut bench = Bench::new(rule(settings(60, 0), &[("severity", "page")], &[]));
    bench.step(0, &A);
    let longer = rule(settings(30, 0), &[("severity", "page")], &[("summary", "new")]);
    let other = rule(settings(30, 0), &[("severity", "ticket")], &[]);
    assert!(longer.same_identity(bench.machine.rule()) && !other.same_identity(bench.machine.rule()));
    bench.machine.change_rule(longer);
    assert_eq!(bench.step(30, &[(0, 1.0)]), ["i0 P>F held_long_enough until 270"]);
    assert_eq!(bench.out.transitions[0].annotations, [("summary".to_owned(), "new".to_owned())]);
}

#[test]
fn labels_that_use_the_value_make_new_alerts() {
    let labels = [("level", "{{ if ge $value 10.0 }}high{{ else }}low{{ end }}")];
    let mut bench = Bench::new(rule(settings(0, 0), &labels, &[]));
    bench.step(0, &[(0, 1.0)]);
    bench.step(15, &[(0, 11.0)]);
    let shown: Vec<_> = bench.out.transitions.iter().map(|t| (t.labels.to_string(), t.to)).collect();
    assert_eq!(
        shown,
        [
            (r#"{alertname="Full", instance="i0", level="high"}"#.to_owned(), AlertState::Firing),
            (r#"{alertname="Full", instance="i0", level="low"}"#.to_owned(), AlertState::Inactive),
        ]
    );
}

#[test]
fn annotations_have_the_value_of_the_last_tick_at_which_the_expression_held() {
    let annotations = [
        ("summary", "{{ $labels.instance }} is at {{ $value | humanize }}, {{ $externalLabels.region }}"),
        ("at", "{{ now }}"),
    ];
    let mut bench = Bench::new(rule(settings(15, 60), &[], &annotations));
    let text = |bench: &Bench| bench.out.transitions[0].annotations[0].1.clone();
    bench.step(0, &[(0, 1000.0)]);
    assert_eq!(text(&bench), "i0 is at 1k, eu");
    bench.step(15, &[(0, 2000.0)]);
    assert_eq!(text(&bench), "i0 is at 2k, eu");
    bench.step(30, &[(0, 3000.0)]);
    assert_eq!(bench.machine.active(&context(&bench.external))[0].annotations[0].1, "i0 is at 3k, eu");
    bench.step(45, &NONE);
    bench.step(105, &NONE);
    assert_eq!((bench.out.transitions[0].reason, text(&bench)), (Reason::Cleared, "i0 is at 3k, eu".to_owned()));
    assert_eq!((bench.out.transitions[0].value, bench.out.transitions[0].annotations[1].1.as_str()), (3000.0, "30"));
}

#[test]
fn an_annotation_that_cannot_be_expanded_says_so() {
    let mut bench = Bench::new(rule(settings(0, 0), &[], &[("summary", "{{ $value.foo }}")]));
    bench.step(0, &A);
    assert!(bench.out.transitions[0].annotations[0].1.starts_with("<error expanding template: "));
    let broken = AlertingRule::new(
        bench.machine.rule().reference().clone(),
        settings(0, 0),
        &[],
        &[("summary".to_owned(), "{{ $nope }}".to_owned())],
    );
    assert_eq!(broken.unwrap_err().to_string(), r#"annotation "summary": template, byte 3: undefined variable $nope"#);
}

#[test]
fn alerts_series_follow_the_state() {
    let mut bench = Bench::new(rule(settings(15, 15), &[], &[]));
    bench.step(1_000, &A);
    assert_eq!(
        bench.samples(),
        [
            r#"ALERTS{alertname="Full", alertstate="pending", instance="i0"} 1"#,
            r#"ALERTS_FOR_STATE{alertname="Full", instance="i0"} 1000"#
        ]
    );
    assert_eq!(bench.ended(), [""; 0]);
    let before: Vec<_> = bench.machine.samples().map(|s| s.series).collect();
    bench.step(1_015, &A);
    assert_eq!(
        bench.samples(),
        [
            r#"ALERTS{alertname="Full", alertstate="firing", instance="i0"} 1"#,
            r#"ALERTS_FOR_STATE{alertname="Full", instance="i0"} 1000"#
        ]
    );
    assert_eq!(bench.ended(), [r#"ALERTS{alertname="Full", alertstate="pending", instance="i0"}"#]);
    let after: Vec<_> = bench.machine.samples().map(|s| s.series).collect();
    assert!(before[0] != after[0] && before[1] == after[1]);
    // Kept firing is firing.
    bench.step(1_030, &NONE);
    assert_eq!((bench.samples().len(), bench.ended().len()), (2, 0));
    bench.step(1_045, &NONE);
    assert_eq!((bench.samples().len(), bench.ended().len()), (0, 2));
}
