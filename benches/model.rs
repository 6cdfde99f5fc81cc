//! Cost of the models a point: `cargo bench --bench model`.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use forewarn::model::{Detector, DetectorParams, Forecaster, ForecasterParams, Profile};

const INTERVAL_MS: i64 = 15_000;
/// Ten days, so that every member of the ensemble takes part.
const HISTORY: i64 = 57_600;
const POINTS: i64 = 10_000;

fn main() {
    divan::main();
}

fn profile() -> Profile {
    Profile::builtin("default").unwrap_or_else(|| unreachable!("tests hold that it parses"))
}

/// A day's wave with something like noise.
fn value(i: i64) -> f64 {
    let noise = (i.wrapping_mul(0x9E37_79B9) >> 7 & 1023) as f64 / 512.0 - 1.0;
    50.0 + 20.0 * (i as f64 / 5760.0 * std::f64::consts::TAU).sin() + noise
}

#[divan::bench]
fn detector_update(bencher: Bencher<'_, '_>) {
    let params = DetectorParams::new(&profile(), INTERVAL_MS);
    let mut detector = Detector::new();
    for i in 0..HISTORY {
        let _ = detector.update(&params, i * INTERVAL_MS, value(i));
    }
    bencher.counter(ItemsCount::new(POINTS as u64)).with_inputs(|| detector.clone()).bench_refs(|detector| {
        for i in HISTORY..HISTORY + POINTS {
            black_box(detector.update(&params, i * INTERVAL_MS, value(i)));
        }
    });
}

#[divan::bench]
fn forecaster_update(bencher: Bencher<'_, '_>) {
    let (params, forecaster) = warm_forecaster();
    bencher.counter(ItemsCount::new(POINTS as u64)).with_inputs(|| forecaster.clone()).bench_refs(|forecaster| {
        for i in HISTORY..HISTORY + POINTS {
            forecaster.update(&params, i * INTERVAL_MS, value(i));
        }
    });
}

#[divan::bench]
fn forecaster_quantile(bencher: Bencher<'_, '_>) {
    let (params, forecaster) = warm_forecaster();
    bencher.bench(|| forecaster.quantile(&params, black_box(0.95), black_box(4 * 3_600_000)));
}

#[divan::bench]
fn forecaster_time_until_never(bencher: Bencher<'_, '_>) {
    let (params, forecaster) = warm_forecaster();
    bencher.bench(|| forecaster.time_until(&params, black_box(500.0), black_box(0.95)));
}

fn warm_forecaster() -> (ForecasterParams, Forecaster) {
    let params = ForecasterParams::new(&profile(), INTERVAL_MS);
    let mut forecaster = Forecaster::new();
    (0..HISTORY).for_each(|i| forecaster.update(&params, i * INTERVAL_MS, value(i)));
    (params, forecaster)
}
