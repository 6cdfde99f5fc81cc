//! What must not depend on the number of shards, on how the samples are spread over time, or on what was reloaded when.

use super::*;
use crate::base::FAR;
use crate::model::Profile;

/// So many label sets that each of a few shards holds some.
const ELEMENTS: usize = 12;

#[test]
fn an_ambiguous_right_side_fails_in_any_number_of_shards() {
    for shards in [1, 2, 4, 7] {
        for expr in [r#"a > {__name__=~"b|c"}"#, r#"sum(a + {__name__=~"b|c"})"#, r#"a > last_over_time({k="v"}[1m])"#]
        {
            let mut bench = Bench::new(shards, &one_rule(expr));
            bench.send(&[("__name__", "a"), ("x", "0")], &[(15, 1.0), (30, 1.0)]);
            for x in 0..ELEMENTS {
                let x = x.to_string();
                bench.send(&[("__name__", "b"), ("x", &x), ("k", "v")], &[(15, 0.0)]);
            }
            // From 16s on there are two for a match group that the left side has nothing for.
            bench.send(&[("__name__", "c"), ("x", "1"), ("k", "v")], &[(16, 0.0)]);
            bench.advance(30);
            let error = bench.engine.groups()[0].rules[0].last_error.clone();
            assert!(error.is_some_and(|e| e.contains("many-to-many")), "{shards} {expr}");
        }
    }
}

#[test]
fn no_model_learns_from_an_argument_that_fails_somewhere() {
    let profiles: Profiles = [("default".to_owned(), Arc::new(Profile::builtin("default").unwrap()))].into();
    for shards in [1, 2, 4, 7] {
        for arg in [
            r#"{__name__=~"a|b"}"#,
            r#"-{__name__=~"a|b"}"#,
            r#"rate({__name__=~"a|b"}[1m])"#,
            r#"max_over_time(abs({__name__=~"a|b"})[1m:15s])"#,
            r#"{__name__=~"a|b"} - a"#,
        ] {
            let mut bench = Bench::new(shards, "groups: []");
            let (groups, faults) = load_file("test.yml", &one_rule(&format!("predict_anomaly({arg})")));
            assert!(faults.is_empty(), "{faults:?}");
            let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
            bench.engine.load(&rules, &profiles, &mut bench.out).unwrap();
            for x in 0..ELEMENTS {
                let x = x.to_string();
                bench.send(&[("__name__", "a"), ("x", &x)], &[(14, 0.0), (15, 0.0)]);
            }
            bench.send(&[("__name__", "b"), ("x", "1")], &[(14, 0.0), (15, 0.0)]);
            bench.advance(15);
            assert!(bench.engine.groups()[0].rules[0].last_error.is_some(), "{shards} {arg}");
            assert_eq!(bench.engine.holdings().models, 0, "{shards} {arg}");
        }
    }
}

#[test]
fn a_gap_of_decades_is_passed_over() {
    let rules =
        "groups: [{name: g, rules: [{record: r, expr: 'max_over_time(rate(c[1m])[2m:30s])'}, {alert: A, expr: r > 1}]},
        {name: h, interval: 7s, query_offset: 20s, rules: [{record: s, expr: sum(c)}]}]";
    let years = 56 * 365 * 86_400;
    let mut walked = Bench::new(2, rules);
    let mut jumped = Bench::new(2, rules);
    let samples = |at: i64| (0..20).map(|i| (at + i * 11, (i * 100) as f64)).collect::<Vec<_>>();
    // A day apart, so that it can be walked: in small steps no tick is passed over.
    for (bench, step) in [(&mut walked, 5), (&mut jumped, 86_500)] {
        for at in [3, 86_401] {
            bench.send(&[("__name__", "c"), ("x", "1")], &samples(at));
        }
        (1..=86_500 / step).for_each(|i| bench.advance(i * step));
        assert!(bench.out.recorded.iter().any(|r| r.t > 86_400_000));
    }
    // As text, since markers are NaN.
    let text = |bench: &Bench| format!("{:?}", bench.out.recorded);
    assert!(text(&walked) == text(&jumped));
    assert_eq!(walked.out.transitions, jumped.out.transitions);
    assert_eq!(walked.out.evaluations, jumped.out.evaluations);
    assert!(jumped.out.ticks * 4 < walked.out.ticks, "{} {}", jumped.out.ticks, walked.out.ticks);
    assert_eq!(walked.engine.groups()[1].last_evaluation, jumped.engine.groups()[1].last_evaluation);

    let mut bench = Bench::new(2, rules);
    bench.send(&[("__name__", "c"), ("x", "1")], &[(0, 1.0)]);
    bench.send(&[("__name__", "c"), ("x", "1")], &samples(years));
    bench.advance(years + 300);
    assert!(bench.out.ticks < 1_000, "{}", bench.out.ticks);
    assert!(bench.out.recorded.iter().any(|r| r.t > years * 1000));
}

#[test]
fn a_series_that_no_rule_wants_any_more_goes_while_it_still_sends() {
    let mut bench = Bench::new(2, &one_rule("sum(a)"));
    let send = |bench: &mut Bench, t| {
        for x in 0..ELEMENTS {
            bench.send(&[("__name__", "a"), ("x", &x.to_string())], &[(t, 1.0)]);
        }
        bench.send(&[("__name__", "b"), ("x", "1")], &[(t, 5.0)]);
    };
    send(&mut bench, 10);
    bench.advance(15);
    bench.load(&one_rule("sum(b)"));
    for t in (30..=1_500).step_by(15) {
        // One step ahead, so that something waits whenever garbage is collected.
        send(&mut bench, t + 15);
        bench.advance(t);
    }
    assert_eq!(bench.engine.holdings().series, 1);
    assert_eq!(bench.recorded("r").last().unwrap().2, Some(5.0));
}

#[test]
fn models_are_bounded_and_forgotten_alike_in_any_number_of_shards() {
    let profiles: Profiles = [("default".to_owned(), Arc::new(Profile::builtin("default").unwrap()))].into();
    let (groups, _) = load_file("test.yml", &one_rule("predict_anomaly(a)"));
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let mut histories = Vec::new();
    for shards in [1, 2, 4, 7] {
        let limits = Limits { models: 10, ..Limits::default() };
        let options = EngineOptions { shards, evaluation_interval: 60_000, limits, ..EngineOptions::default() };
        let mut bench = Bench { engine: Engine::new(options), out: Output::default() };
        bench.engine.load(&rules, &profiles, &mut bench.out).unwrap();
        let mut held = Vec::new();
        // Four come every minute and stay for two, but for one that is always there.
        for minute in 0..300 {
            for x in [minute, minute + 1].into_iter().flat_map(|m| (m * 4)..(m * 4 + 4)).chain([0]) {
                bench.send(&[("__name__", "a"), ("x", &x.to_string())], &[(minute * 60, 1.0)]);
            }
            bench.advance(minute * 60);
            let now = bench.engine.holdings();
            held.push((now.models, now.unmodelled));
        }
        // The tick that reaches the limit is not cut short; one shows 25 elements at most, since series stay for 5 minutes.
        assert_eq!(&held[..4], [(8, 0), (12, 0), (12, 4), (12, 12)].as_slice(), "{shards}: {held:?}");
        assert!(held.iter().all(|h| h.0 < 10 + 25));
        // After an hour what came and went has gone, and others have their turn.
        let turn = held.iter().position(|h| h.0 != 12 && h.1 > 0).unwrap();
        assert!((60..=75).contains(&turn), "{shards}: {turn}");
        histories.push(held);
    }
    assert!(histories.iter().all(|h| *h == histories[0]));
}

#[test]
fn the_series_of_rules_that_are_gone_end_at_once() {
    for (collects, gap) in [(true, 0), (false, 0), (false, 7)] {
        let options = EngineOptions { evaluation_interval: 15_000, collect_recorded: collects, ..Default::default() };
        let mut bench = Bench { engine: Engine::new(options), out: Output::default() };
        let reader = "{record: n, expr: 'count(r) or vector(0)'}, {alert: A, expr: 'n == 0'}";
        let moved = "{name: q, query_offset: 30s, rules: [{record: m, expr: sum(a)}]}";
        bench.load(&format!(
            "groups: [{{name: g, rules: [{{record: r, expr: a}}, {{record: m, expr: sum(a)}}, {reader}]}}]"
        ));
        bench.send(&[("__name__", "a"), ("x", "1")], &[(14, 1.0), (60, 1.0), (120, 1.0)]);
        bench.advance(60 + gap);
        assert!(bench.out.transitions.is_empty());
        bench.load(&format!("groups: [{{name: g, rules: [{reader}, {{alert: M, expr: 'm == 1'}}]}}, {moved}]"));
        bench.advance(120);
        let of = |name: &str| bench.out.transitions.iter().find(|t| t.rule.alert == name).map(|t| t.at);
        assert_eq!(of("A"), Some(75_000), "{collects} {gap}");
        // Its tick at 75s comes at 105s, after this group's.
        assert_eq!(of("M"), Some(120_000), "{collects} {gap}");
    }
}

#[test]
fn the_order_of_a_rules_labels_means_nothing() {
    let rules = |labels: &str| {
        format!(
            "groups: [{{name: g, rules: [{{alert: A, expr: a, labels: {{{labels}}}}}, {{record: r, expr: a, labels: {{{labels}}}}}]}}]"
        )
    };
    let mut bench = Bench::new(2, &rules("x: '1', b: '2'"));
    bench.send(&[("__name__", "a")], &[(15, 1.0)]);
    bench.advance(15);
    bench.load(&rules("b: '2', x: '1'"));
    bench.advance(30);
    assert_eq!(
        bench.out.transitions.iter().map(|t| t.reason).filter(|r| *r == crate::alert::Reason::RuleRemoved).count(),
        0
    );
    assert!(bench.recorded("r").iter().all(|r| r.2.is_some()));
}

#[test]
fn no_instant_and_no_span_overflows() {
    let rules = "groups: [{name: g, query_offset: 290y, interval: 290y, rules: [{record: r, expr: 'sum(rate(c[290y] offset 290y))'}]},
        {name: h, rules: [{record: s, expr: 'deriv(c[290y])'}, {alert: A, expr: 'max_over_time(c[290y:290y])', for: 290y}]}]";
    let mut bench = Bench::new(2, rules);
    let mut send = |instants: &[Millis]| {
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs([("__name__", "c")]).as_ref());
        instants.iter().for_each(|&t| batch.sample(t, 1.0));
        let taken = bench.engine.ingest(&batch.finish());
        (taken.accepted, taken.late, taken.out_of_time)
    };
    assert_eq!(send(&[Millis::MIN, -FAR - 1, FAR + 1, Millis::MAX]), (0, 0, 4));
    assert_eq!(send(&[-FAR, -FAR + 1, 0, 1, FAR]), (5, 0, 0));
    bench.engine.advance(-FAR + 1, &Inline, &mut bench.out);
    // No further: what is in between would be walked for as long as the windows are.
    for watermark in [Millis::MIN, -FAR + 20_000, -FAR + 30_000] {
        bench.engine.advance(watermark, &Inline, &mut bench.out);
    }
    let mut empty = Bench::new(2, "groups: [{name: g, rules: [{record: r, expr: sum(m)}]}]");
    for (m, watermark) in [(Millis::MIN, Millis::MIN), (0, 0), (FAR, Millis::MAX)] {
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs([("__name__", "m")]).as_ref());
        batch.sample(m, 1.0);
        empty.engine.ingest(&batch.finish());
        empty.engine.advance(watermark, &Inline, &mut empty.out);
    }
    assert_eq!(empty.engine.watermark(), Some(FAR));
    for rule in ["x[292471208y] offset 292471208y", "x offset 293y", "x[1e300]"] {
        let (_, faults) = load_file("test.yml", &one_rule(rule));
        assert!(!faults.is_empty(), "{rule}");
    }
}
