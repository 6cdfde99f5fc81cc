//! A window that has slid for hours says what a fresh one over the same samples says: nothing that has left it leaves a trace.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::BTreeMap;
use std::sync::Arc;

use forewarn::base::{BatchBuilder, Labels, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles, RuleValue};
use forewarn::rules::{RuleSet, load_file};

#[path = "support/series.rs"]
mod series;

use series::{World, world};

const START: Millis = 1_800_000_000_000;

/// Expressions without memory beyond 20 minutes.
const EXPRESSIONS: [&str; 24] = [
    "memory_bytes",
    "memory_bytes offset 7m",
    "timestamp(up)",
    "rate(requests_total[2m])",
    "increase(errors_total[10m] offset 3m)",
    "delta(memory_bytes[5m])",
    "irate(requests_total[1m])",
    "idelta(disk_free[1m] offset 1m)",
    "resets(requests_total[15m])",
    "changes(up[15m])",
    "count_over_time(disk_free[10m])",
    "last_over_time(disk_free[10m])",
    "sum_over_time(disk_free[10m])",
    "avg_over_time(memory_bytes[10m] offset 1m)",
    "stddev_over_time(memory_bytes[10m])",
    "min_over_time(memory_bytes[3m])",
    "max_over_time(disk_free[10m] offset 2m)",
    "quantile_over_time(0.7, disk_free[10m])",
    "deriv(disk_free[10m])",
    "predict_linear(memory_bytes[15m], 3600)",
    "max_over_time(sum by (job) (rate(requests_total[1m]))[10m:1m])",
    "avg_over_time(rate(requests_total[1m])[5m:30s] offset 2m)",
    "histogram_quantile(0.9, sum by (job, le) (increase(latency_bucket[4m])))",
    "absent_over_time(errors_total{job=\"cache\"}[2m])",
];

fn rules() -> RuleSet {
    let rules: Vec<String> = EXPRESSIONS
        .iter()
        .enumerate()
        .map(|(i, expr)| format!("    - {{ record: \"expr{i}\", expr: '{expr}' }}\n"))
        .collect();
    let yaml = format!("groups:\n- name: g\n  interval: 1m\n  rules:\n{}", rules.concat());
    let (groups, _) = load_file("test.yml", &yaml);
    RuleSet { groups: groups.into_iter().map(Arc::new).collect() }
}

/// Results by instant and rule, of the samples from `from` on, fed step by step up to `until`.
fn run(world: &World, from: Millis, until: Millis, step: Millis) -> BTreeMap<(Millis, usize), RuleValue> {
    let options = EngineOptions { shards: 2, collect_results: true, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    engine.load(&rules(), &Profiles::default(), &mut Output::default()).unwrap();
    let mut out = Output::default();
    engine.advance(from, &Inline, &mut out);
    let mut events = world.events.iter().skip_while(|e| e.sample.t <= from).peekable();
    for watermark in (from..=until).step_by(step as usize).skip(1) {
        let mut batch = BatchBuilder::new(&Limits::default());
        while let Some(event) = events.next_if(|e| e.sample.t <= watermark) {
            batch.series(world.series[event.series].as_ref());
            batch.sample(event.sample.t, event.sample.v);
        }
        engine.ingest(&batch.finish());
        engine.advance(watermark, &Inline, &mut out);
    }
    out.results.into_iter().map(|r| ((r.t, r.rule), r.value.unwrap())).collect()
}

fn elements(value: &RuleValue) -> &[(Labels, f64)] {
    match value {
        RuleValue::Vector(elements) => elements,
        RuleValue::Scalar(_) => panic!("all expressions give vectors"),
    }
}

#[test]
fn what_has_left_a_window_leaves_no_trace() {
    let world = world(7, START, 900);
    let until = START + 900 * 15_000;
    let long = run(&world, START - 1, until, 15_000);
    let mut compared = 0;
    for minute in (60..225).step_by(15) {
        let at = START + minute * 60_000;
        // The longest reach is 15 minutes and 5 of look-back.
        let fresh = run(&world, at - 1_200_000, at, 1_200_000);
        for (rule, expr) in EXPRESSIONS.iter().enumerate() {
            let (slid, new) = (elements(&long[&(at, rule)]), elements(&fresh[&(at, rule)]));
            let names = |elements: &[(Labels, f64)]| elements.iter().map(|e| e.0.clone()).collect::<Vec<_>>();
            assert_eq!(names(slid), names(new), "{expr} after {minute} minutes");
            for ((labels, a), (_, b)) in slid.iter().zip(new) {
                let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
                assert!(same, "{expr} after {minute} minutes, {labels}: {a} and {b}");
                compared += 1;
            }
        }
    }
    assert!(compared > 1_500, "{compared}");
}
