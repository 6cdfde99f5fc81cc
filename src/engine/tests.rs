//! The engine as a whole, on small inputs.

use std::sync::Arc;

use super::*;
use crate::base::{BatchBuilder, Labels, Limits, Millis, is_stale};
use crate::rules::{RuleSet, load_file};

mod invariance;
mod pinned;
mod template_queries;

/// Rules, and samples as `series t v` lines with t in seconds.
struct Bench {
    engine: Engine,
    out: Output,
}

impl Bench {
    fn new(shards: usize, rules: &str) -> Self {
        let options =
            EngineOptions { shards, evaluation_interval: 15_000, collect_recorded: true, ..Default::default() };
        let mut bench = Self { engine: Engine::new(options), out: Output::default() };
        bench.load(rules);
        bench
    }

    fn load(&mut self, rules: &str) {
        let (groups, faults) = load_file("test.yml", rules);
        assert!(faults.is_empty(), "{faults:?}");
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        self.engine.load(&rules, &Profiles::default(), &mut self.out).unwrap();
    }

    fn send(&mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Ingested {
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs(labels.iter().copied()).as_ref());
        for &(t, v) in samples {
            batch.sample(t * 1000, v);
        }
        self.engine.ingest(&batch.finish())
    }

    fn advance(&mut self, seconds: i64) {
        self.engine.advance(seconds * 1000, &Inline, &mut self.out);
    }

    /// Recorded samples of a metric, as (labels, seconds, value); markers as None.
    fn recorded(&self, name: &str) -> Vec<(String, Millis, Option<f64>)> {
        let named = self.out.recorded.iter().filter(|r| r.labels.as_ref().metric_name() == name);
        named
            .map(|r| {
                let labels = r.labels.as_ref().filter(|n| n != "__name__").to_string();
                (labels, r.t / 1000, (!is_stale(r.v)).then_some(r.v))
            })
            .collect()
    }
}

fn one_rule(expr: &str) -> String {
    format!("groups: [{{name: g, rules: [{{record: r, expr: '{expr}'}}]}}]")
}

#[test]
fn a_rate_is_recorded_at_each_tick_and_ends_with_a_marker() {
    for shards in [1, 2, 4] {
        let mut bench = Bench::new(shards, &one_rule("rate(c_total[1m])"));
        let samples: Vec<(i64, f64)> = (0..9).map(|i| (i * 15, (i * 30) as f64)).collect();
        bench.send(&[("__name__", "c_total"), ("a", "1")], &samples);
        bench.send(&[("__name__", "unrelated"), ("a", "1")], &samples);
        bench.advance(300);
        let got = bench.recorded("r");
        assert_eq!(got[0], (r#"{a="1"}"#.into(), 15, Some(2.0 * 15.0 / 60.0)), "{got:?}");
        assert!(got[3].1 == 60 && (got[3].2.unwrap() - 2.0).abs() < 1e-12, "{got:?}");
        // The last two samples are at 105 and 120; at 165 only one is left in the window.
        assert_eq!(got.last(), Some(&(r#"{a="1"}"#.into(), 165, None)));
    }
}

#[test]
fn later_rules_see_earlier_results_of_the_same_tick() {
    let rules =
        "groups: [{name: g, rules: [{record: b, expr: a * 2}, {record: c, expr: b + 1}, {alert: A, expr: c > 4}]}]";
    let mut bench = Bench::new(2, rules);
    bench.send(&[("__name__", "a"), ("x", "y")], &[(15, 1.0), (30, 2.0)]);
    bench.advance(30);
    assert_eq!(bench.recorded("c"), [(r#"{x="y"}"#.into(), 15, Some(3.0)), (r#"{x="y"}"#.into(), 30, Some(5.0))]);
    assert_eq!(bench.out.transitions.len(), 1);
    assert_eq!(bench.out.transitions[0].at, 30_000);
}

#[test]
fn sums_over_shards_are_whole() {
    for shards in [1, 3] {
        let mut bench = Bench::new(shards, &one_rule("sum by (k) (m) / count(m) + avg(m)"));
        bench.load(&one_rule("sum(m) + stddev(m) + max(m) - min(m) + absent(nothing)"));
        for i in 0..10 {
            let i_text = i.to_string();
            bench.send(&[("__name__", "m"), ("i", &i_text)], &[(15, f64::from(i))]);
        }
        bench.advance(15);
        let expected = 45.0 + 8.25f64.sqrt() + 9.0 - 0.0 + 1.0;
        assert_eq!(bench.recorded("r"), [("{}".into(), 15, Some(expected))]);
    }
}

#[test]
fn a_variance_that_overflows_is_infinite() {
    let mut bench = Bench::new(2, &one_rule("stddev by (k) (m)"));
    for (k, x, v) in [("one", "1", 1e200), ("two", "1", 1e200), ("two", "2", -1e200), ("two", "3", 1.0)] {
        bench.send(&[("__name__", "m"), ("k", k), ("x", x)], &[(15, v)]);
    }
    bench.advance(15);
    let got: Vec<_> = bench.recorded("r").into_iter().map(|r| r.2).collect();
    assert_eq!(got, [Some(0.0), Some(f64::INFINITY)]);
}

#[test]
fn subqueries_follow_their_steps() {
    let mut bench = Bench::new(2, &one_rule("max_over_time(sum(m)[1m:15s])"));
    for (i, v) in [1.0, 7.0, 2.0, 3.0, 1.0, 0.0, 0.0].into_iter().enumerate() {
        bench.send(&[("__name__", "m"), ("x", "1")], &[(15 * (i as i64 + 1), v)]);
    }
    bench.advance(105);
    let got: Vec<Option<f64>> = bench.recorded("r").into_iter().map(|r| r.2).collect();
    assert_eq!(got, [1.0, 7.0, 7.0, 7.0, 7.0, 3.0, 3.0].map(Some));
}

#[test]
fn matching_joins_labels_across_shards() {
    let mut bench = Bench::new(4, &one_rule("m * on (node) group_left (zone) info"));
    for node in ["a", "b", "c"] {
        bench.send(&[("__name__", "m"), ("node", node), ("disk", "1")], &[(15, 2.0)]);
        bench.send(&[("__name__", "info"), ("node", node), ("zone", "z")], &[(15, 3.0)]);
    }
    bench.advance(15);
    let mut got: Vec<String> = bench.recorded("r").into_iter().map(|r| format!("{} {:?}", r.0, r.2)).collect();
    got.sort();
    assert_eq!(got[0], r#"{disk="1", node="a", zone="z"} Some(6.0)"#);
    assert_eq!(got.len(), 3);
}

#[test]
fn an_ambiguous_match_fails_whatever_the_values() {
    let rules = "groups: [{name: g, rules: [{record: r, expr: 'a > on (job) b'}, {record: s, expr: 'topk(0/0, a)'}]}]";
    let mut bench = Bench::new(2, rules);
    for (i, v) in [("1", 0.0), ("2", 5.0)] {
        bench.send(&[("__name__", "a"), ("job", "j"), ("i", i)], &[(15, v)]);
    }
    bench.send(&[("__name__", "b"), ("job", "j")], &[(15, 1.0)]);
    bench.advance(15);
    assert_eq!(bench.recorded("r"), []);
    let errors: Vec<String> = bench.engine.groups()[0].rules.iter().filter_map(|r| r.last_error.clone()).collect();
    assert!(errors[0].contains("many-to-one matching must be explicit"), "{errors:?}");
    assert!(errors[1].contains("not NaN"), "{errors:?}");
}

#[test]
fn a_subquery_fails_while_its_window_holds_a_failed_step() {
    for inner in ["a + on (job) b", "sum by (job) (a + on (job) b)"] {
        let mut bench = Bench::new(2, &one_rule(&format!("count_over_time(({inner})[1m:15s])")));
        let send =
            |bench: &mut Bench, name, i, t| bench.send(&[("__name__", name), ("job", "j"), ("i", i)], &[(t, 1.0)]);
        for t in (15..=300).step_by(15) {
            send(&mut bench, "a", "1", t);
            send(&mut bench, "b", "1", t);
        }
        // A second match at one instant only.
        send(&mut bench, "b", "2", 120);
        bench.send(&[("__name__", "b"), ("job", "j"), ("i", "2")], &[(121, crate::base::stale_nan())]);
        bench.advance(300);
        let recorded: Vec<_> = bench.recorded("r").iter().map(|r| (r.1, r.2.unwrap())).collect();
        let expected = (1..=20).map(|i| i * 15).filter(|t| !(120..180).contains(t));
        let expected: Vec<_> = expected.map(|t| (t, (t / 15).min(4) as f64)).collect();
        assert_eq!(recorded, expected, "{inner}");
    }
}

#[test]
fn buckets_of_two_metrics_are_two_histograms() {
    let mut bench = Bench::new(2, &one_rule(r#"histogram_quantile(0.5, {__name__=~"[ab]_bucket"})"#));
    for (le, count) in [("1", 1.0), ("+Inf", 2.0)] {
        bench.send(&[("__name__", "a_bucket"), ("le", le)], &[(15, count)]);
        bench.send(&[("__name__", "b_bucket"), ("le", le)], &[(30, count)]);
    }
    bench.advance(30);
    assert_eq!(bench.recorded("r"), [("{}".into(), 15, Some(1.0))]);
    let error = bench.engine.groups()[0].rules[0].last_error.clone().unwrap();
    assert!(error.contains("same labelset"), "{error}");
}

#[test]
fn what_is_late_is_counted_and_what_is_out_of_order_within_the_lateness_is_not() {
    let mut bench = Bench::new(1, &one_rule("changes(m[5m])"));
    let m = [("__name__", "m")];
    bench.send(&m, &[(30, 2.0)]);
    assert_eq!(bench.send(&m, &[(15, 1.0), (30, 2.0)]).accepted, 2);
    bench.advance(60);
    assert_eq!(bench.recorded("r").last().unwrap().2, Some(1.0));
    assert_eq!(bench.send(&m, &[(60, 2.0)]).late, 1);
    assert_eq!(bench.engine.holdings().duplicate, 1);
}

#[test]
fn a_reload_keeps_timers_and_windows() {
    let rules =
        |more: &str| format!("groups: [{{name: g, rules: [{more}{{alert: A, expr: 'rate(c[1m]) > 0', for: 1m}}]}}]");
    let mut bench = Bench::new(2, &rules(""));
    let c = [("__name__", "c"), ("x", "1")];
    for i in 1..=4 {
        bench.send(&c, &[(i * 15, i as f64)]);
    }
    bench.advance(60);
    bench.load(&rules("{record: n, expr: 'increase(c[1m])'}, "));
    for i in 5..=8 {
        bench.send(&c, &[(i * 15, i as f64)]);
    }
    bench.advance(120);
    let fired: Vec<Millis> = bench.out.transitions.iter().filter_map(|t| t.fired_at).collect();
    assert_eq!(fired.first(), Some(&90_000));
    assert_eq!(bench.recorded("n")[0].2, Some(4.0));
    bench.load("groups: []");
    assert_eq!(bench.out.transitions.last().unwrap().reason, crate::alert::Reason::RuleRemoved);
}

#[test]
fn series_out_of_reach_are_forgotten() {
    let mut bench = Bench::new(2, &one_rule("sum(rate(c[1m]))"));
    for i in 0..100 {
        let pod = format!("pod-{i}");
        bench.send(&[("__name__", "c"), ("pod", &pod)], &[(15, 1.0), (30, 2.0)]);
    }
    bench.advance(60);
    assert_eq!(bench.engine.holdings().series, 100);
    bench.send(&[("__name__", "c"), ("pod", "other")], &[(1500, 1.0), (1515, 2.0)]);
    bench.advance(1600);
    assert_eq!(bench.engine.holdings().series, 1);
    bench.advance(2000);
    assert_eq!(bench.engine.holdings().series, 0);
    bench.load("groups: [{name: g, rules: [{record: r, expr: 'sum(rate(c[1m]))'}, {record: s, expr: 'rate(c[2m])'}]}]");
    // One that comes back starts anew.
    bench.send(&[("__name__", "c"), ("pod", "pod-7")], &[(2010, 1.0), (2025, 31.0)]);
    bench.advance(2040);
    // 30 in 15s, reaching half a second back to zero and 15s on to the window's end.
    let rate = bench.recorded("r").last().unwrap().2.unwrap();
    assert!((rate - 30.0 * (0.5 + 15.0 + 15.0) / 15.0 / 60.0).abs() < 1e-12, "{rate}");
}

#[test]
fn queries_are_answered_between_ticks_and_see_what_rules_record() {
    let (groups, _) = load_file("test.yml", "groups: [{name: g, rules: [{record: r, expr: 'sum(m)'}]}]");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    for shards in [1, 2] {
        let options = EngineOptions { shards, epoch: 7_000, ..EngineOptions::default() };
        let mut bench = Bench { engine: Engine::new(options), out: Output::default() };
        let queries = ["r", "timestamp(r)", "m", "sum_over_time(m[30s])", "time()", "m + on () group_left () m"];
        let queries = queries.map(str::to_owned);
        bench.engine.load_with_queries(&rules, &queries, &Profiles::default(), &mut bench.out).unwrap();
        bench.advance(6);
        for i in 0..10 {
            bench.send(&[("__name__", "m"), ("x", "1")], &[(7 + i * 15, i as f64)]);
            bench.send(&[("__name__", "m"), ("x", "2")], &[(7 + i * 15, 10.0)]);
        }
        bench.advance(80);
        let mut ask = |i| {
            bench
                .engine
                .query(i, &Inline)
                .map(|v| v.unwrap().into_elements().iter().map(|e| format!("{} {}", e.0, e.1)).collect())
        };
        let answers: Vec<Vec<String>> = (0..5).map(|i| ask(i).unwrap()).collect();
        assert_eq!(answers[0], ["r 14"]);
        assert_eq!(answers[1], ["{} 67"]);
        assert_eq!(answers[2], [r#"m{x="1"} 4"#, r#"m{x="2"} 10"#]);
        assert_eq!(answers[3], [r#"{x="1"} 7"#, r#"{x="2"} 20"#]);
        assert_eq!(answers[4], ["{} 80"]);
        assert!(ask(5).unwrap_err().to_string().contains("many-to-many"));
    }
    let mut engine = Engine::new(EngineOptions::default());
    let faults = engine.load_with_queries(&rules, &["m +".to_owned()], &Profiles::default(), &mut Output::default());
    assert_eq!(faults.unwrap_err()[0].rule, "m +");
}

#[test]
fn a_reload_that_changes_a_groups_schedule_pauses_for_no_longer_than_it_has_to() {
    let rules = |schedule: &str| {
        format!("groups: [{{name: g, {schedule}, rules: [{{alert: A, expr: 'max_over_time(x[2m:1m]) > 0'}}]}}]")
    };
    let due = |bench: &Bench| bench.engine.groups()[0].last_evaluation.map(|t| t / 60_000);
    let firing = |bench: &Bench| bench.out.transitions.iter().all(|t| t.to == crate::alert::AlertState::Firing);
    for (before, after) in [
        ("interval: 1m", "interval: 1m, query_offset: 20m"),
        ("interval: 1m, query_offset: 20m", "interval: 2m, query_offset: 20m"),
        ("interval: 1m, query_offset: 20m", "interval: 1m"),
    ] {
        let mut bench = Bench::new(2, &rules(before));
        bench.advance(0);
        for minute in 1..=60 {
            bench.send(&[("__name__", "x")], &[(minute * 60, 1.0)]);
            bench.advance(minute * 60);
            if minute > 25 {
                assert_eq!(due(&bench), Some(minute), "{before}");
            }
        }
        bench.load(&rules(after));
        assert_eq!(due(&bench), Some(60), "{before} {after}: what was evaluated before");
        for minute in 61..=90 {
            bench.send(&[("__name__", "x")], &[(minute * 60, 1.0)]);
            bench.advance(minute * 60);
            let step = if after.contains("2m") { 2 } else { 1 };
            // One that has come to wait for longer has been at the instants before.
            let waits = !before.contains("20m") && minute <= 80;
            let expected = if waits { 60 } else { minute / step * step };
            assert_eq!(due(&bench), Some(expected), "{before} {after}");
        }
        assert!(firing(&bench), "{before} {after}");
    }
}
