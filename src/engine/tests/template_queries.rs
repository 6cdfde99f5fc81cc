//! Queries in templates: what they see, that the number of shards and the pace do not show, and that they stay in bounds.

use super::*;
use crate::alert::{Reason, Transition};

const LOAD: &str = r#"groups:
- name: g
  rules:
  - {record: before, expr: sum(load)}
  - alert: A
    expr: down == 1
    keep_firing_for: 30s
    annotations:
      load: '{{ with printf "load{instance=''%s''}" .Labels.instance | query }}{{ . | first | value | humanize }}{{ end }}'
      order: '{{ query "before" | first | value }} {{ range query "after" }}{{ .Value }}{{ else }}none{{ end }}'
  - {record: after, expr: count(load)}
"#;

fn annotation<'t>(transition: &'t Transition, name: &str) -> &'t str {
    &transition.annotations.iter().find(|(n, _)| n == name).unwrap().1
}

#[test]
fn a_query_sees_the_instant_and_what_rules_before_have_recorded() {
    for shards in [1, 2, 4] {
        let mut bench = Bench::new(shards, LOAD);
        bench.send(
            &[("__name__", "down"), ("instance", "b")],
            &[(15, 1.0), (30, 1.0), (45, 0.0), (60, 0.0), (120, 0.0)],
        );
        for (i, instance) in ["a", "b", "c"].into_iter().enumerate() {
            let samples: Vec<(i64, f64)> = (1..9).map(|k| (k * 15, (1000 * i as i64 + k) as f64)).collect();
            bench.send(&[("__name__", "load"), ("instance", instance)], &samples);
        }
        bench.advance(120);
        let told: Vec<(Reason, Millis, &str, &str)> = bench
            .out
            .transitions
            .iter()
            .map(|t| (t.reason, t.at / 1000, annotation(t, "load"), annotation(t, "order")))
            .collect();
        // What was recorded after the alert is seen one tick later. Since the expression last held at 30s, the text is that
        // of 30s; `after` is asked for as it is now known to have been then.
        assert_eq!(
            told,
            [
                (Reason::HeldLongEnough, 15, "1.001k", "3003 none"),
                (Reason::KeptFiring, 45, "1.002k", "3006 3"),
                (Reason::Cleared, 75, "1.002k", "3006 3"),
            ],
            "{shards}"
        );
    }
}

/// A template that writes a query's whole result, beside the expression itself.
fn twin(expr: &str) -> String {
    let quoted = serde_json::to_string(expr).unwrap().replace('\'', "''");
    format!(
        "groups: [{{name: g, rules: [{{alert: A, expr: vector(1), annotations: {{x: '{{{{ range query {quoted} }}}}{{{{ .Labels }}}}={{{{ .Value }}}};{{{{ end }}}}'}}}}]}}]"
    )
}

/// Series with gaps, resets, staleness and NaN.
fn noise(bench: &mut Bench, seed: u64) {
    let mut state = seed;
    let mut random = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for i in 0..9 {
        let (mut t, mut v) = (i, 0.0);
        let mut samples = Vec::new();
        while t < 1_500 {
            t += 1 + random(40) as i64 + if random(25) == 0 { 400 } else { 0 };
            v = if random(15) == 0 { 0.0 } else { v + random(9) as f64 };
            samples.push((
                t,
                match random(30) {
                    0 => crate::base::stale_nan(),
                    1 => f64::NAN,
                    _ => v,
                },
            ));
        }
        let (x, y) = ((i % 3).to_string(), (i % 4).to_string());
        let name = if i % 2 == 0 { "a" } else { "b" };
        bench.send(&[("__name__", name), ("x", &x), ("y", &y), ("i", &i.to_string())], &samples);
    }
}

const EXPRS: [&str; 12] = [
    "a",
    "a offset 2m",
    "rate(a[3m])",
    "sum by (x) (increase(b[5m] offset 1m))",
    "max_over_time(a[4m:20s])",
    "avg_over_time(sum by (y) (rate(a[2m]))[5m:45s] offset 30s)",
    "count_over_time(vector(1)[5m:1m])",
    "quantile_over_time(0.7, b[6m]) > 3",
    "a unless on (x) b",
    "absent(a{x=\"9\"})",
    "predict_linear(a{x=~\"1|2\"}[6m], 60)",
    "scalar(count({__name__=~\"a|b\"})) * time()",
];

/// The evaluator is the same, but all that it sees has been kept in the rings and taken from there.
#[test]
fn answers_are_those_of_the_expression_itself() {
    for expr in EXPRS {
        let (groups, faults) = load_file("test.yml", &twin(expr));
        assert!(faults.is_empty(), "{faults:?}");
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        let mut bench = Bench::new(3, "groups: []");
        bench.engine.load_with_queries(&rules, &[expr.to_owned()], &Profiles::default(), &mut bench.out).unwrap();
        bench.advance(-2_000);
        noise(&mut bench, 7);
        let mut told = 0;
        for tick in (-1_995..1_500).step_by(15).chain([1_500]) {
            bench.advance(tick);
            if tick < 0 || tick % 15 != 0 {
                continue;
            }
            let result = bench.engine.query(0, &Inline).unwrap().unwrap().into_elements();
            let expected: Vec<(String, f64)> = result
                .iter()
                .map(|(labels, v)| {
                    let pairs: Vec<String> = labels.as_ref().iter().map(|(n, v)| format!("{n}:{v}")).collect();
                    (format!("map[{}]", pairs.join(" ")), *v)
                })
                .collect();
            let group = &bench.engine.groups()[0];
            let alert = &group.rules[0].alert.as_ref().unwrap().active[0];
            let got = &alert.annotations[0].1;
            let parsed: Vec<(String, f64)> = got
                .split_terminator(';')
                .map(|part| part.rsplit_once('=').unwrap())
                .map(|(labels, v)| (labels.to_owned(), v.parse().unwrap()))
                .collect();
            told += parsed.len();
            assert_eq!(parsed.len(), expected.len(), "{expr} at {tick}: {got} {expected:?}");
            for (p, e) in parsed.iter().zip(&expected) {
                let close = p.1 == e.1 || (p.1.is_nan() && e.1.is_nan()) || (p.1 - e.1).abs() <= 1e-9 * e.1.abs();
                assert!(p.0 == e.0 && close, "{expr} at {tick}: {p:?} {e:?}");
            }
        }
        assert!(told > 60, "{expr}: {told}");
    }
}

const MANY: &str = r#"groups:
- name: g
  rules:
  - {record: r, expr: sum by (x) (a)}
  - alert: A
    expr: a > 20
    for: 30s
    labels: {top: '{{ with query "topk(1, r)" }}{{ . | first | label "x" }}{{ end }}'}
    annotations:
      p: '{{ printf "avg_over_time(b{y=%q}[4m])" $labels.y | query | sortByLabel "i" }}'
      q: '{{ range query "sort_desc(r)" }}{{ .Labels.x }}={{ .Value }} {{ end }}{{ with printf "r{x=''%s''}" $labels.x | query }}{{ . | first | value }}{{ end }}'
      s: '{{ query (printf "max_over_time(sum(rate({__name__=~\"a|b\",x=\"%s\"}[1m]))[3m:20s])" $labels.x) | len }}'
      t: '{{ query (print "m" $labels.x) }}'
- name: late
  interval: 20s
  query_offset: 25s
  rules:
  - {alert: B, expr: 'b > 30', annotations: {l: '{{ query (printf "a{x=\"%s\"} or r{x=\"%s\"}" $labels.x $labels.x) | first }}'}}
"#;

#[test]
fn shards_and_pace_do_not_show() {
    let told = |shards: usize, step: usize| {
        let mut bench = Bench::new(shards, "groups: []");
        let (groups, _) = load_file("test.yml", MANY);
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        bench.engine.load(&rules, &Profiles::default(), &mut bench.out).unwrap();
        bench.advance(-10);
        noise(&mut bench, 11);
        // A tick is due at the end.
        (0..1_600).step_by(step).chain([1_600]).for_each(|t| bench.advance(t));
        serde_json::to_string(&bench.out.transitions).unwrap()
    };
    let reference = told(1, 1_600);
    assert!(reference.matches("\"reason\"").count() > 100, "{reference}");
    assert!(reference.contains("avg_over_time") || reference.contains("map["), "{reference}");
    assert!(reference.contains("error calling query"), "t's text is not known");
    for (shards, step) in [(2, 1_600), (4, 1_600), (1, 1), (4, 7), (2, 100)] {
        assert!(told(shards, step) == reference, "{shards} {step}");
    }
}

#[test]
fn a_changing_answer_sends_nothing_again() {
    let reasons = |annotation: &str| {
        let rule =
            format!("groups: [{{name: g, rules: [{{alert: A, expr: down, annotations: {{x: '{annotation}'}}}}]}}]");
        let mut bench = Bench::new(2, &rule);
        bench.send(&[("__name__", "down")], &(0..40).map(|k| (k * 15, 1.0)).collect::<Vec<_>>());
        bench.send(&[("__name__", "m")], &(0..40).map(|k| (k * 15, k as f64)).collect::<Vec<_>>());
        bench.advance(600);
        let texts: std::collections::BTreeSet<String> =
            bench.out.transitions.iter().map(|t| t.annotations[0].1.clone()).collect();
        (bench.out.transitions.iter().map(|t| (t.at, t.reason)).collect::<Vec<_>>(), texts.len())
    };
    let (plain, one) = reasons("text");
    let (asking, many) = reasons(r#"{{ query "m" | first | value }}"#);
    assert_eq!(plain, asking);
    assert_eq!(one, 1);
    assert!(many > 5, "{many}");
}

#[test]
fn queries_stay_in_bounds() {
    let text = |limits: Limits, annotation: &str| {
        let options = EngineOptions { evaluation_interval: 15_000, limits, ..Default::default() };
        let mut bench = Bench { engine: Engine::new(options), out: Output::default() };
        let rule = format!("groups: [{{name: g, rules: [{{alert: A, expr: m, annotations: {{x: '{annotation}'}}}}]}}]");
        bench.load(&rule);
        bench.send(&[("__name__", "m")], &(0..20).map(|k| (k * 15, k as f64)).collect::<Vec<_>>());
        bench.advance(300);
        bench.out.transitions.last().unwrap().annotations[0].1.clone()
    };
    let few = |template_query_samples| Limits { template_query_samples, ..Limits::default() };
    let sum = r#"{{ query "sum_over_time(m[5m])" | first | value }}"#;
    assert_eq!(text(few(20), sum), "190");
    assert!(text(few(18), sum).contains("would load more than 18 samples"), "{}", text(few(18), sum));
    let steps = r#"{{ query "sum_over_time(m[5m:1s])" | first | value }}"#;
    assert!(text(few(100), steps).contains("more than 100 evaluations"), "{}", text(few(100), steps));
    let none = text(Limits { template_queries: 0, ..Limits::default() }, sum);
    assert!(none.contains("error calling query: the template makes more than 0 queries"), "{none}");
}

#[test]
fn no_more_is_kept_than_the_query_reaches_back() {
    let bytes = |hours: i64| {
        let mut bench = Bench::new(
            1,
            r#"groups: [{name: g, rules: [{alert: A, expr: 'm < 0', annotations: {x: '{{ query "rate(m[10m])" | len }}'}}]}]"#,
        );
        for k in 0..hours * 240 {
            bench.send(&[("__name__", "m")], &[(k * 15, (k * k % 977) as f64)]);
            bench.advance(k * 15);
        }
        bench.engine.holdings().series_bytes
    };
    let (short, long) = (bytes(1), bytes(6));
    assert!(long < short + 200 && long < 2_000, "{short} {long}");
}

#[test]
fn a_reload_keeps_what_queries_read() {
    let mut bench = Bench::new(2, LOAD);
    bench.send(&[("__name__", "load"), ("instance", "b")], &[(15, 7.0), (30, 8.0), (45, 9.0)]);
    bench.advance(40);
    bench.load(&LOAD.replace("humanize", "printf \"%.1f\""));
    bench.send(&[("__name__", "down"), ("instance", "b")], &[(45, 1.0)]);
    bench.advance(45);
    assert_eq!(annotation(&bench.out.transitions[0], "load"), "9.0");
    bench.load("groups: []");
    let removed = bench.out.transitions.last().unwrap();
    assert_eq!((removed.reason, annotation(removed, "load")), (Reason::RuleRemoved, "9.0"));
}

/// One alert's text each tick, `m` counting ticks of 15s up to `until`; `down` holds at the ticks in `holds`, and the rule
/// fails while `twice` is there.
fn failing(holds: std::ops::RangeInclusive<i64>, twice: std::ops::RangeInclusive<i64>) -> Bench {
    let mut bench = Bench::new(2, FAILING);
    for k in 1..=12 {
        bench.send(&[("__name__", "m")], &[(k * 15, k as f64)]);
        let down = if holds.contains(&k) { 1.0 } else { 0.0 };
        bench.send(&[("__name__", "down"), ("x", "a")], &[(k * 15, down)]);
        let v = if twice.contains(&k) { 1.0 } else { crate::base::stale_nan() };
        bench.send(&[("__name__", "twice"), ("x", "a"), ("y", "1")], &[(k * 15, v)]);
        bench.send(&[("__name__", "twice"), ("x", "a"), ("y", "2")], &[(k * 15, v)]);
    }
    bench
}

const FAILING: &str = r#"groups:
- name: g
  interval: 15s
  rules:
  - alert: A
    expr: (down == 1) unless (down * on (x) twice)
    keep_firing_for: 1h
    annotations: {sum: '{{ query "sum_over_time(m[45s])" | first | value }}'}
"#;

/// What the API shows of the one alert.
fn shown(bench: &Bench) -> String {
    let groups = bench.engine.groups();
    let active = &groups[0].rules.last().unwrap().alert.as_ref().unwrap().active;
    assert_eq!(active.len(), 1);
    active[0].annotations[0].1.clone()
}

#[test]
fn a_failing_rule_keeps_its_texts() {
    let mut bench = failing(1..=4, 5..=9);
    bench.advance(60);
    assert_eq!(shown(&bench), "9");
    for t in [75, 90, 135] {
        bench.advance(t);
        let error = bench.engine.groups()[0].rules[0].last_error.clone();
        assert!(error.is_some_and(|e| e.contains("many-to-many") || e.contains("duplicate")), "at {t}");
        assert_eq!(shown(&bench), "9", "{t}");
    }
    // It evaluates again, and no longer holds.
    bench.advance(150);
    assert_eq!(shown(&bench), "9");
    let kept = bench.out.transitions.iter().find(|t| t.reason == Reason::KeptFiring).unwrap();
    assert_eq!((kept.at, annotation(kept, "sum")), (150_000, "9"));
}

#[test]
fn a_reload_keeps_the_texts_of_alerts_that_do_not_hold() {
    for (change, held, after, sent) in [
        ("for: 0s", "9", "9", "9"),
        // Another text: the old one stays, since what the new one asks for was not kept.
        ("SUM", "9", "9", "9"),
        // Nothing to ask for.
        ("plain", "of a", "of a", "of a"),
    ] {
        let mut bench = failing(1..=4, 0..=0);
        bench.advance(105);
        assert_eq!(shown(&bench), "9");
        let query = r#"{{ query "sum_over_time(m[45s])" | first | value }}"#;
        bench.load(&match change {
            "SUM" => FAILING.replace(query, r#"{{ query "max_over_time(other[10m])" | first | value }}"#),
            "plain" => FAILING.replace(query, "of {{ $labels.x }}"),
            other => FAILING.replace("    annotations", &format!("    {other}\n    annotations")),
        });
        assert_eq!(shown(&bench), held, "{change}");
        bench.out = Output::default();
        bench.advance(180);
        assert_eq!(shown(&bench), after, "{change}");
        let resent = bench.out.transitions.iter().find(|t| t.reason == Reason::Resent).unwrap();
        assert_eq!(annotation(resent, "sum"), sent, "{change}");
    }
}

#[test]
fn a_reload_shows_the_new_text_when_the_expression_holds_again() {
    let mut bench = failing(1..=12, 0..=0);
    bench.advance(60);
    bench.load(&FAILING.replace("sum_over_time(m[45s])", "m * 2"));
    // As Prometheus: the alert was made with the old text.
    assert_eq!(shown(&bench), "9");
    bench.advance(75);
    assert_eq!(shown(&bench), "10");
}

#[test]
fn a_shorter_interval_keeps_texts() {
    let mut bench = failing(1..=4, 0..=0);
    bench.send(&[("__name__", "down"), ("x", "a")], &[(64, 0.0)]);
    bench.advance(64);
    bench.load(&FAILING.replace("interval: 15s", "interval: 1s"));
    assert_eq!(shown(&bench), "9");
    // The instant that it last held at is more than one of the new intervals ago.
    bench.advance(65);
    let kept = bench.out.transitions.last().unwrap();
    assert_eq!((kept.reason, kept.at, annotation(kept, "sum")), (Reason::KeptFiring, 65_000, "9"));
    assert_eq!(shown(&bench), "9");
}

#[test]
fn looking_does_not_show_in_what_is_sent() {
    let told = |looks: bool| {
        let mut bench = Bench::new(2, LOAD);
        bench.send(&[("__name__", "down"), ("instance", "b")], &[(15, 1.0), (30, 1.0), (45, 0.0), (120, 0.0)]);
        bench.send(&[("__name__", "load"), ("instance", "b")], &(1..9).map(|k| (k * 15, k as f64)).collect::<Vec<_>>());
        for t in (15..=120).step_by(5) {
            bench.advance(t);
            if looks {
                let _ = bench.engine.groups();
            }
        }
        bench.out.transitions
    };
    assert_eq!(told(true), told(false));
    assert!(!told(true).is_empty());
}

/// The bounds are for input from outside; they must not make the answer another one.
#[test]
fn bounds_on_input_do_not_cut_what_queries_read() {
    let limits = Limits { pending_samples: 3, labels_per_series: 200, ..Limits::default() };
    let options = EngineOptions { evaluation_interval: 15_000, limits: limits.clone(), ..Default::default() };
    let mut bench = Bench { engine: Engine::new(options), out: Output::default() };
    bench.load(
        r#"groups: [{name: g, rules: [{alert: A, expr: m, annotations: {x: '{{ query "sum_over_time(m[5m])" | first | value }}'}}]}]"#,
    );
    let labels: Vec<(String, String)> = (0..150).map(|i| (format!("l{i}"), "v".to_owned())).collect();
    let named = [("__name__", "m")].into_iter().chain(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let labels = Labels::from_pairs(named);
    for k in 0..20 {
        let mut batch = BatchBuilder::new(&limits);
        batch.series(labels.as_ref());
        batch.sample(k * 15_000, k as f64);
        bench.engine.ingest(&batch.finish());
        bench.advance(k * 15);
    }
    assert_eq!(shown(&bench), "190");
}
