//! `@`, negative offsets, and parameters that depend on series: over shards, in any steps of the watermark, and for as long as
//! the rule stands.

use super::*;

/// Series of a metric: enough for each of a few shards.
const SERIES: i64 = 7;

fn rules() -> String {
    let exprs = [
        ("at", "m @ 95"),
        ("time", "timestamp(m @ 95)"),
        ("rate", "rate(m[1m] @ 120)"),
        ("sub", "sum(sum_over_time(m[1m:15s] @ 120))"),
        ("nested", "max_over_time(sum_over_time((m @ 60)[45s:15s] @ 90)[30s:15s] @ 150)"),
        ("ahead", "m offset -20s"),
        ("phi", "quantile_over_time(scalar(max(q)), m[1m])"),
        ("line", "predict_linear(m[1m] @ 120, scalar(sum(q)) * 60)"),
        ("inner", "max_over_time(quantile_over_time(scalar(max(q)), m[1m])[1m:15s])"),
    ];
    let rules: Vec<String> = exprs.iter().map(|(name, expr)| format!("{{record: {name}, expr: '{expr}'}}")).collect();
    format!("groups: [{{name: g, query_offset: 30s, rules: [{}]}}]", rules.join(", "))
}

/// What is recorded up to 300s if the watermark comes in steps of so many seconds, each with the samples up to it.
fn run(shards: usize, step: i64) -> Bench {
    let mut bench = Bench::new(shards, &rules());
    bench.advance(0);
    for until in (step..300 + step).step_by(step as usize) {
        for t in (1..=300).filter(|t| t % 10 == 0 && *t <= until && *t > until - step) {
            for x in 0..SERIES {
                let v = (t * (x + 1)) as f64;
                bench.send(&[("__name__", "m"), ("x", &x.to_string())], &[(t, v)]);
            }
            bench.send(&[("__name__", "q"), ("x", "0")], &[(t, (t % 100) as f64 / 100.0)]);
        }
        bench.advance(until);
    }
    bench.advance(330);
    bench
}

#[test]
fn what_is_pinned_is_the_same_in_any_shards_and_steps() {
    let first = run(1, 5);
    // The groups wait for 30s.
    let at = |name: &str, t: i64| {
        let mut found = first.recorded(name).into_iter().filter(|r| r.1 == t);
        found.find(|r| r.0.contains(r#"x="1""#) || r.0 == "{}").and_then(|r| r.2)
    };
    assert_eq!((at("at", 45), at("at", 60), at("at", 75)), (Some(140.0), Some(180.0), Some(180.0)));
    assert_eq!(at("at", 300), Some(180.0));
    assert_eq!(at("time", 300), Some(90.0));
    assert!([90, 270].iter().all(|t| (at("rate", *t).unwrap() - 2.0).abs() < 1e-12));
    // Steps at 75, 90, 105 and 120, of 28 times the time of the last sample.
    assert_eq!(at("sub", 270), Some(28.0 * f64::from(70 + 90 + 100 + 120)));
    // Of the inner steps at 60, 75 and 90 each sees the sample at 60; the outer ones see their sum.
    assert_eq!(at("nested", 270), Some(3.0 * 120.0));
    assert_eq!((at("ahead", 90), at("ahead", 120)), (Some(220.0), Some(280.0)));
    // 0.9 of the way from 80 to 180.
    assert_eq!(at("phi", 90), Some(170.0));
    let q = 0.7;
    assert!((at("line", 270).unwrap() - 2.0 * (270.0 + q * 60.0)).abs() < 1e-9, "{:?}", at("line", 270));
    for (shards, step) in [(1, 330), (2, 5), (2, 45), (4, 5), (4, 330)] {
        let other = run(shards, step);
        assert_eq!(format!("{:?}", other.out.recorded), format!("{:?}", first.out.recorded), "{shards} {step}");
    }
}

#[test]
fn what_is_pinned_stays_for_as_long_as_the_rule_and_takes_no_more() {
    let pinned = "{record: s, expr: 'sum(sum_over_time(m[1m] @ 60))'}, {record: f, expr: 'sum(last_over_time((-m)[1m:15s] @ 60))'}";
    let rules = |more: &str| format!("groups: [{{name: g, interval: 60s, rules: [{pinned}{more}]}}]");
    for shards in [1, 2, 4] {
        let mut bench = Bench::new(shards, &rules(""));
        for x in 0..SERIES {
            let samples: Vec<_> = (1..=6).map(|i| (i * 10, 1.0)).collect();
            bench.send(&[("__name__", "m"), ("x", &x.to_string())], &samples);
        }
        bench.advance(60);
        let held = bench.engine.holdings();
        // One goes on for a day, others come and go.
        for t in (600..86_400).step_by(60) {
            bench.send(&[("__name__", "m"), ("x", "0")], &[(t, (t * 7919 % 1_000_003) as f64)]);
            bench.send(&[("__name__", "m"), ("x", &format!("new-{}", t / 600))], &[(t, 1.0)]);
            bench.advance(t);
            if t == 43_200 {
                bench.load(&rules(", {record: other, expr: 'count(m)'}"));
            }
        }
        let values = |name: &str| bench.recorded(name).into_iter().map(|r| r.2).skip(1).collect::<Vec<_>>();
        assert!(values("s").iter().all(|v| *v == Some(42.0)) && values("s").len() > 1_400);
        assert!(values("f").iter().all(|v| *v == Some(-7.0)), "{:?}", values("f"));
        let later = bench.engine.holdings();
        assert!(later.series < held.series + 10, "{} {}", later.series, held.series);
        assert!(later.series_bytes < held.series_bytes + 10_000, "{} {}", later.series_bytes, held.series_bytes);
        bench.load("groups: [{name: g, rules: [{record: other, expr: 'count(m offset 1m)'}]}]");
        bench.advance(90_000);
        assert_eq!(bench.engine.holdings().series, 0);
    }
}

#[test]
fn a_group_has_to_wait_for_what_its_rules_ask_of_the_future() {
    let fault = |group: &str, expr: &str| {
        let (groups, faults) =
            load_file("test.yml", &format!("groups: [{{name: g{group}, rules: [{{record: r, expr: '{expr}'}}]}}]"));
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        let loaded = Engine::new(EngineOptions::default()).load(&rules, &Profiles::default(), &mut Output::default());
        let refused =
            faults.first().map(|fault| format!("{}: {}", fault.message, fault.help.clone().unwrap_or_default()));
        loaded.err().map(|faults| faults[0].message.clone()).or(refused)
    };
    let wait = "a negative offset asks for samples of the future: give the group query_offset: 5m or more";
    for expr in ["m offset -5m", "rate(m[1m] offset -5m)", "sum_over_time((m offset -6m)[1m:15s] offset 1m)"] {
        assert_eq!(fault("", expr).as_deref(), Some(wait), "{expr}");
        assert_eq!(fault(", query_offset: 4m", expr).as_deref(), Some(wait), "{expr}");
        assert_eq!(fault(", query_offset: 5m", expr), None, "{expr}");
    }
    assert_eq!(fault("", "m @ end() offset 1m"), None);
    let inside = fault("", "sum_over_time((m @ start())[1m:15s])").unwrap();
    assert!(inside.contains("start() and end() inside a subquery"), "{inside}");
}

/// Every minute, of the minute itself, from the first on.
fn minutes(bench: &mut Bench, count: i64) {
    for (x, factor) in [("0", 1.0), ("1", 1000.0)] {
        let samples: Vec<_> = (1..=count).map(|i| (i * 60, i as f64 * factor)).collect();
        bench.send(&[("__name__", "x"), ("x", x)], &samples);
    }
}

#[test]
fn a_group_that_waits_sees_what_has_come_by_its_turn_and_records_for_the_instant_before() {
    let rules = r#"groups: [{name: g, interval: 60s, query_offset: 5m, rules: [
        {record: now, expr: 'x{x="0"}'},
        {record: ahead, expr: 'x{x="0"} offset -5m'},
        {record: increase, expr: 'increase(x{x="1"}[2m] offset -5m)'},
        {record: steps, expr: 'sum(sum_over_time((x offset -2m)[3m:1m] offset -3m))'},
        {record: outer, expr: 'max_over_time(sum(x offset -5m)[2m:1m])'},
        {record: at, expr: 'x{x="0"} @ 120 + x{x="0"} @ end() offset -5m'},
        {record: read, expr: 'ahead - on (x) x offset -5m'},
        {alert: A, expr: 'x{x="0"} offset -5m == 7', annotations: {told: '{{ query "sum(x)" | first | value }} {{ query "last_over_time(ahead[6m])" | first | value }} {{ query "sum(increase(x[2m]))" | first | value }}'}}]}]"#;
    let mut seen = Vec::new();
    for (shards, step) in [(1, 720), (3, 720), (3, 35)] {
        let mut bench = Bench::new(shards, rules);
        bench.advance(0);
        minutes(&mut bench, 12);
        (step..720).step_by(step as usize).chain([720]).for_each(|t| bench.advance(t));
        let at = |name: &str, minute: i64| {
            let mut found = bench.recorded(name).into_iter().filter(|r| r.1 == minute * 60);
            found.next().and_then(|r| r.2)
        };
        // The turn at the minute 12 is for the minute 7, the first one at 6 for 1.
        assert_eq!([at("now", 7), at("now", 1), at("now", 0)], [Some(7.0), Some(1.0), None]);
        assert_eq!([at("ahead", 7), at("ahead", 1), at("ahead", 8)], [Some(12.0), Some(6.0), None]);
        // Of the samples of the minutes 11 and 12, extrapolated to two minutes.
        assert_eq!(at("increase", 7), Some(2000.0));
        // Steps at 8, 9 and 10, each of which looks two minutes ahead.
        assert_eq!(at("steps", 7), Some(1001.0 * f64::from(10 + 11 + 12)));
        // Steps at 6 and 7, each of which looks five minutes ahead.
        assert_eq!(at("outer", 7), Some(1001.0 * 12.0));
        assert_eq!(at("at", 7), Some(2.0 + 12.0));
        assert_eq!(at("read", 7), Some(0.0));
        // The alert, and what its text asks for, are of the turn itself: `ahead` is known up to five minutes before.
        let begins = &bench.out.transitions[0];
        assert_eq!((begins.at / 60_000, begins.annotations[0].1.as_str()), (7, "7007 7 2002"));
        seen.push(format!("{:?}", (&bench.out.recorded, &bench.out.transitions)));
    }
    assert!(seen.iter().all(|other| *other == seen[0]));
}

#[test]
fn queries_may_be_strings_ranges_and_ordered() {
    let queries = ["\"a\"", "m[1m]", "(-m)[1m:30s] offset -30s", "sort_desc(m)", "m @ end()", "time()"];
    let query = |expr: &&str| QuerySpec {
        expr: (*expr).to_owned(),
        query_offset: 30_000,
        span: Some(crate::promql::Span { first: 60_000, last: 75_000 }),
    };
    let queries: Vec<QuerySpec> = queries.iter().map(query).collect();
    for shards in [1, 2, 4] {
        let mut bench = Bench::new(shards, "groups: []");
        bench.engine.load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut bench.out).unwrap();
        bench.advance(0);
        for (x, v) in [("a", 1.0), ("b", 3.0), ("c", f64::NAN), ("d", 2.0)] {
            bench.send(&[("__name__", "m"), ("x", x)], &[(30, v), (60, v), (75, 10.0 * v), (90, 100.0 * v)]);
        }
        bench.advance(90);
        let mut ask = |i| bench.engine.query(i, &Inline).unwrap().unwrap();
        assert_eq!(ask(0), QueryValue::Text("a".into()));
        let QueryValue::Matrix(rows) = ask(1) else { panic!("a range") };
        assert_eq!(rows.len(), 4);
        assert_eq!(
            format!("{:?}", rows[1]),
            r#"(m{x="b"}, [Sample { t: 30000, v: 3.0 }, Sample { t: 60000, v: 3.0 }])"#
        );
        let QueryValue::Matrix(rows) = ask(2) else { panic!("a range") };
        assert_eq!(
            format!("{:?}", rows[0]),
            r#"({x="a"}, [Sample { t: 60000, v: -1.0 }, Sample { t: 90000, v: -100.0 }])"#
        );
        let order: Vec<String> = ask(3).into_elements().iter().map(|e| e.0.as_ref().get("x").unwrap().into()).collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
        assert_eq!(ask(4).into_elements()[0].1, 10.0);
        assert_eq!(ask(5), QueryValue::Scalar(60.0));
    }
}

#[test]
fn groups_that_wait_differently_both_see_what_a_pinned_window_holds_at_their_turn() {
    // The second group is at the first one's instants, but a minute earlier.
    let rules = "groups: [{name: b, interval: 60s, query_offset: 1m, rules: [{record: b, expr: 'x @ 300'}]},
        {name: a, interval: 60s, rules: [{record: a, expr: 'x @ 300'}]}]";
    let mut bench = Bench::new(2, rules);
    bench.advance(0);
    for minute in 1..=5 {
        bench.send(&[("__name__", "x")], &[(minute * 60, minute as f64)]);
        bench.advance(minute * 60);
    }
    let of = |name: &str| bench.recorded(name).into_iter().map(|r| (r.1 / 60, r.2.unwrap())).collect::<Vec<_>>();
    assert_eq!(of("a"), (1..=5).map(|m| (m, m as f64)).collect::<Vec<_>>());
    assert_eq!(of("b"), (0..=4).map(|m| (m, (m + 1) as f64)).collect::<Vec<_>>());
}

#[test]
fn the_steps_of_a_pinned_subquery_look_no_further_ahead_than_the_group_waits() {
    let faults = |group: &str, expr: &str| {
        let text = format!("groups: [{{name: g{group}, interval: 1m, rules: [{{record: r, expr: '{expr}'}}]}}]");
        let (groups, found) = load_file("test.yml", &text);
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        let loaded = Engine::new(EngineOptions::default()).load(&rules, &Profiles::default(), &mut Output::default());
        let refused = loaded.err().map(|faults| faults[0].message.clone());
        (refused, found.first().map(|f| f.message.clone()))
    };
    let later = "sum_over_time((y + x @ 4000)[5m:1m] @ 1000)";
    let what = "a negative offset, or an @ within a subquery with @, asks for samples of the future";
    // The window's first instant is 700.001 s.
    let (refused, found) = faults("", later);
    assert_eq!(refused.unwrap(), format!("{what}: give the group query_offset: 54m59s999ms or more"));
    assert_eq!(found.as_deref(), Some(what));
    assert_eq!(faults(", query_offset: 55m", later), (None, None));
    assert_eq!(faults("", "sum_over_time((y + x @ 700)[5m:1m] @ 1000)"), (None, None));
    assert_eq!(faults("", "max_over_time(sum_over_time((y + x @ 1000)[5m:1m] @ 1000)[1h:5m] @ 10000)"), (None, None));

    // A group that waits has the whole as soon as the last instant has passed.
    let rules =
        format!("groups: [{{name: g, interval: 60s, query_offset: 1h, rules: [{{record: r, expr: '{later}'}}]}}]");
    let mut bench = Bench::new(2, &rules);
    bench.advance(0);
    for t in (60..9_000).step_by(60) {
        bench.send(&[("__name__", "x")], &[(t, t as f64)]);
        bench.send(&[("__name__", "y")], &[(t, 1.0)]);
    }
    bench.advance(9_000);
    let recorded = bench.recorded("r");
    // Steps at 720, 780, … 960, each with the sample at 3960.
    let whole: Vec<_> = recorded.iter().filter(|r| r.1 >= 1_000).map(|r| r.2).collect();
    assert!(whole.len() > 70 && whole.iter().all(|v| *v == Some(5.0 * 3_961.0)), "{whole:?}");
}

#[test]
fn steps_that_nobody_looks_at_are_not_evaluated() {
    // Its one sample is held for ever, so that neither side of it is idle.
    let far = 1_700_000_000;
    let specs = [("sum_over_time((x @ 60)[5m:1m])", far), ("sum_over_time((x @ 60)[5m:1m] @ 120)", far)];
    let queries: Vec<QuerySpec> = specs
        .iter()
        .map(|&(expr, t)| QuerySpec {
            expr: expr.to_owned(),
            query_offset: 0,
            span: Some(crate::promql::Span { first: t * 1000, last: t * 1000 }),
        })
        .collect();
    let mut bench = Bench::new(1, "groups: []");
    bench.engine.load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut bench.out).unwrap();
    bench.advance(0);
    bench.send(&[("__name__", "x")], &[(60, 2.0)]);
    bench.advance(far);
    let mut ask = |i| bench.engine.query(i, &Inline).unwrap().unwrap().into_elements()[0].1;
    assert_eq!(ask(0), 10.0);
    // Of its five steps those that have come: at 0, 60 and 120.
    assert_eq!(ask(1), 6.0);
    assert!(bench.out.ticks < 20, "{}", bench.out.ticks);

    let mut bench =
        Bench::new(1, "groups: [{name: g, interval: 1h, rules: [{record: r, expr: 'sum_over_time(x[5m:1m] @ 600)'}]}]");
    bench.advance(0);
    bench.send(&[("__name__", "x")], &[(60, 2.0), (590, 3.0)]);
    (1..=24).for_each(|hour| {
        bench.send(&[("__name__", "x")], &[(hour * 3600, 1.0)]);
        bench.advance(hour * 3600);
    });
    assert_eq!(bench.recorded("r").last().unwrap().2, Some(3.0));
    // Five steps, and the group's from 0 on.
    assert_eq!(bench.out.ticks, 5 + 25);
}
