//! Generated series have the shape, the statistics and to the last bit the values that their description says.

use super::*;
use crate::base::Labels;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

fn generator(yaml: &str) -> Generator {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The samples up to `until` of the series `x`.
fn samples(yaml: &str, interval: Millis, until: Millis) -> Vec<(Millis, f64)> {
    let labels = Labels::from_pairs([("__name__", "x")]);
    generator(yaml).samples(labels.as_ref(), interval, until).collect()
}

fn values(yaml: &str, interval: Millis, until: Millis) -> Vec<f64> {
    samples(yaml, interval, until).into_iter().map(|(_, v)| v).collect()
}

#[test]
fn each_part_has_its_shape() {
    for (sum, expected) in [
        ("constant: -2.5e1", [-25.0; 5]),
        ("ramp: {add: 6, per: 1h}", [0.0, 3.0, 6.0, 9.0, 12.0]),
        ("ramp: {add: -2, per: 30m, from: 1h, until: 90m}", [0.0, 0.0, 0.0, -2.0, -2.0]),
        ("sawtooth: {amplitude: 10, period: 1h}", [0.0, 5.0, 0.0, 5.0, 0.0]),
        ("steps: {values: [1, 2, 3], every: 30m}", [1.0, 2.0, 3.0, 1.0, 2.0]),
        ("seasonal: {amplitude: 3, period: 2h}", [3.0, 0.0, -3.0, 0.0, 3.0]),
        ("seasonal: {amplitude: 3, period: 2h, peak: 30m}", [0.0, 3.0, 0.0, -3.0, 0.0]),
    ] {
        let got = values(&format!("sum: [{sum}]"), HOUR / 2, 2 * HOUR);
        assert_eq!(got.len(), 5, "{sum}");
        assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-12), "{sum}: {got:?}");
    }
}

#[test]
fn anomalies_change_the_sum_when_they_say() {
    let of = |anomalies: &str| samples(&format!("sum: [constant: 10]\nanomalies: [{anomalies}]"), MINUTE, 4 * MINUTE);
    let plain = |values: [f64; 5]| (0..).zip(values).map(|(i, v)| (i * MINUTE, v)).collect::<Vec<_>>();
    assert_eq!(of("spike: {at: 1m, add: 5}"), plain([10.0, 15.0, 10.0, 10.0, 10.0]));
    assert_eq!(of("spike: {at: 1m, for: 2m, times: 3}"), plain([10.0, 30.0, 30.0, 10.0, 10.0]));
    assert_eq!(of("shift: {at: 150s, add: -4}"), plain([10.0, 10.0, 10.0, 6.0, 6.0]));
    assert_eq!(of("shift: {at: 1m, add: 2}, spike: {at: 2m, times: 2}"), plain([10.0, 12.0, 24.0, 12.0, 12.0]));
    assert_eq!(of("dropout: {at: 1m, for: 3m}"), [(0, 10.0), (4 * MINUTE, 10.0)]);
}

#[test]
fn values_are_bounded_and_samples_are_where_they_should_be() {
    assert_eq!(
        values("{sum: [ramp: {add: 1, per: 1m}], min: 1, max: 3}", MINUTE, 4 * MINUTE),
        [1.0, 1.0, 2.0, 3.0, 3.0]
    );
    let times = |rest: &str| -> Vec<Millis> {
        samples(&format!("{{sum: [constant: 1], {rest}}}"), MINUTE, HOUR).iter().map(|(t, _)| t / 1000).collect()
    };
    assert_eq!(times("from: 61s, until: 5m"), [120, 180, 240, 300]);
    assert_eq!(times("until: 0s"), [0]);
    assert_eq!(times("missing: 0").len(), 61);
    assert_eq!(times("missing: 100%").len(), 0);
    let kept = samples("{sum: [constant: 1], missing: 10%}", 15_000, 30 * DAY).len() as f64 / (30.0 * 5760.0);
    assert!((kept - 0.9).abs() < 0.003, "{kept}");
}

#[test]
fn a_counter_is_what_its_rate_comes_to() {
    let counter = "sum: [constant: 2]\ncounter: true\n";
    assert_eq!(values(counter, 15_000, 60_000), [0.0, 30.0, 60.0, 90.0, 120.0]);
    // What is not sampled is counted all the same; a rate is never below zero.
    let dropped = format!("{counter}anomalies: [dropout: {{at: 15s, for: 30s}}]");
    assert_eq!(samples(&dropped, 15_000, 60_000), [(0, 0.0), (45_000, 90.0), (60_000, 120.0)]);
    let spiked = format!("{counter}anomalies: [spike: {{at: 30s, add: -9}}]");
    assert_eq!(values(&spiked, 15_000, 60_000), [0.0, 30.0, 30.0, 60.0, 90.0]);
    let reset = format!("{counter}anomalies: [reset: {{at: 31s}}]");
    assert_eq!(values(&reset, 15_000, 60_000), [0.0, 30.0, 60.0, 0.0, 30.0]);
}

/// Mean, deviation and the season's amplitude (by its Fourier coefficient) of a month, each within four standard errors.
#[test]
fn a_months_statistics_are_those_described() {
    let yaml = "sum: [constant: 100, seasonal: {amplitude: 40, period: 1d, peak: 14h}, noise: {sd: 5}]";
    let samples = samples(yaml, 15_000, 30 * DAY - 1);
    let n = samples.len() as f64;
    assert_eq!(samples.len(), 30 * 5760);
    let mean = samples.iter().map(|(_, v)| v).sum::<f64>() / n;
    let angle = |t: Millis| std::f64::consts::TAU * (t - 14 * HOUR) as f64 / DAY as f64;
    let amplitude = 2.0 / n * samples.iter().map(|(t, v)| v * angle(*t).cos()).sum::<f64>();
    let across = 2.0 / n * samples.iter().map(|(t, v)| v * angle(*t).sin()).sum::<f64>();
    let rest = samples.iter().map(|(t, v)| (v - 100.0 - 40.0 * angle(*t).cos()).powi(2)).sum::<f64>() / n;
    assert!((mean - 100.0).abs() < 0.05 && (amplitude - 40.0).abs() < 0.07 && across.abs() < 0.07);
    assert!((rest.sqrt() - 5.0).abs() < 0.035, "{}", rest.sqrt());
}

/// Not one bit may change: tests that pass today pass on every machine, and tomorrow.
#[test]
fn the_values_are_pinned() {
    let digest = |yaml: &str| {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (t, v) in samples(yaml, 15_000, 7 * DAY) {
            hash.update(&t.to_le_bytes());
            hash.update(&v.to_bits().to_le_bytes());
        }
        format!("{:016x}", hash.digest())
    };
    let gauge = "
sum: [constant: 100, ramp: {add: 1, per: 1h}, seasonal: {amplitude: 40, period: 1d, peak: 14h},
      sawtooth: {amplitude: 7, period: 6h}, steps: {values: [1, 5], every: 8h}, noise: {sd: 5}, noise: {sd: 1, tail: 3}]
anomalies: [spike: {at: 3d, add: 100, for: 10m}, shift: {at: 4d, times: 1.5}, dropout: {at: 5d, for: 1h}]
missing: 1%
seed: 7
";
    let counter = "sum: [constant: 10, noise: {sd: 5, tail: 4}]\ncounter: true\nanomalies: [reset: {at: 2d}]";
    assert_eq!([digest(gauge), digest(counter)], ["025d5f8e5c0a6f67", "45a1fbdbeab4ed41"]);
}

#[test]
fn series_differ_by_labels_and_seed_only() {
    let noise = |x: &str, seed: u64| -> Vec<f64> {
        let labels = Labels::from_pairs([("__name__", "m"), ("x", x)]);
        let generator = generator(&format!("{{sum: [noise: {{sd: 1}}, noise: {{sd: 1}}], seed: {seed}}}"));
        generator.samples(labels.as_ref(), MINUTE, 4_999 * MINUTE).map(|(_, v)| v).collect()
    };
    assert_eq!(noise("a", 1), noise("a", 1));
    let correlation = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (2.0 * a.len() as f64);
    // The two parts are independent, or the variance would be 4.
    assert!((correlation(&noise("a", 1), &noise("a", 1)) - 1.0).abs() < 0.09);
    assert!(correlation(&noise("a", 1), &noise("b", 1)).abs() < 0.06);
    assert!(correlation(&noise("a", 1), &noise("a", 2)).abs() < 0.06);
}
