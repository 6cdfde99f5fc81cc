//! What a snapshot costs: milliseconds of the engine's thread for 10,000 series, bytes a series, and how long it takes to go on
//! from one. A series has a window of an hour for predict_linear, one of five minutes for rate, a detector and an alert.
//!
//! `cargo bench --bench snapshot`. FOREWARN_BENCH_SERIES (20000) sets the number of series.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use forewarn::base::{BatchBuilder, Labels, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, builtin_profiles};
use forewarn::rules::{RuleSet, load_file};

const STEP: Millis = 15_000;
const STEPS: i64 = 240;
const WINDOWS: &str = r#"
      - { alert: Full, expr: "predict_linear(disk_free[1h], 14400) < 0", for: 5m }
      - { record: r, expr: "rate(disk_free[5m])" }"#;
const MODELS: &str = r#"
      - { alert: Odd, expr: "predict_anomaly(disk_free) > 1" }"#;

/// Some 200 bytes, as a node's metric has.
fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "disk_free".to_owned()),
        ("cluster", "prod-eu-west-1".to_owned()),
        ("device", "/dev/nvme0n1p1".to_owned()),
        ("fstype", "ext4".to_owned()),
        ("instance", format!("10.{}.{}.{}:9100", i / 65_536, i / 256 % 256, i % 256)),
        ("job", "node-exporter".to_owned()),
        ("mountpoint", "/var/lib/data".to_owned()),
        ("node", format!("ip-10-{i:05}.eu-west-1.compute.internal")),
    ])
}

/// An engine that has had an hour of samples of so many series.
fn engine(rules: &str, series: usize) -> Engine {
    let (groups, faults) =
        load_file("bench.yml", &format!("groups:\n  - name: g\n    interval: 1m\n    rules:{rules}\n"));
    assert!(faults.is_empty(), "{faults:?}");
    let mut engine = Engine::new(EngineOptions::default());
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    engine.load(&rules, &builtin_profiles(), &mut Output::default()).unwrap();
    let all: Vec<Labels> = (0..series).map(labels).collect();
    for step in 0..STEPS {
        let mut batch = BatchBuilder::new(&Limits::default());
        for (i, labels) in all.iter().enumerate() {
            let noise = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step as u64 * 0xbf58_476d) >> 52;
            batch.series(labels.as_ref());
            batch.sample(step * STEP, (5e6 - step as f64 * 30.0 + noise as f64) * 4096.0);
        }
        engine.ingest(&batch.finish());
        engine.advance((step - 1) * STEP, &Inline, &mut Output::default());
    }
    engine
}

fn main() {
    let series = std::env::var("FOREWARN_BENCH_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    println!("{series} series; median of 9, for 10,000 of them");
    println!("{:24} {:>12} {:>14} {:>14}", "rules", "snapshot ms", "bytes a series", "restore ms");
    for (name, rules) in [("windows", WINDOWS.to_owned()), ("windows, detector", format!("{WINDOWS}{MODELS}"))] {
        let engine = engine(&rules, series);
        let per = |ms: f64| ms * 10_000.0 / series as f64;
        let mut took: Vec<f64> = (0..9)
            .map(|_| {
                let began = Instant::now();
                black_box(engine.snapshot());
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let records = engine.snapshot();
        let bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
        let began = Instant::now();
        black_box(Engine::restore(EngineOptions::default(), &records).unwrap());
        let restore = began.elapsed().as_secs_f64() * 1e3;
        println!("{name:24} {:>12.2} {:>14} {:>14.1}", per(took[4]), bytes / series, per(restore));
    }
}
