//! What the forecaster does with weeks of hours: how far it is off, whether its intervals hold, what a spike or a steep
//! season does to it, and that it moves with the unit of the series.

use proptest::prelude::*;

use super::synthetic::Noise;
use super::{Forecaster, ForecasterParams, Profile};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn params(yaml: &str, interval: i64) -> ForecasterParams {
    ForecasterParams::new(&Profile::parse(&format!("name: test\n{yaml}")).unwrap(), interval)
}

fn fed(params: &ForecasterParams, interval: i64, ticks: i64, mut value: impl FnMut(i64) -> f64) -> Forecaster {
    let mut forecaster = Forecaster::new();
    (0..ticks).for_each(|i| forecaster.update(params, i * interval, value(i * interval)));
    forecaster
}

fn wave(t: i64) -> f64 {
    50.0 + 30.0 * (t as f64 / DAY as f64 * std::f64::consts::TAU).sin()
}

/// Five weeks of hours: a day, weaker weekends, noise, and now and then a spike.
fn weeks(t: i64, noise: &mut Noise) -> f64 {
    let weekday = if t / DAY % 7 < 5 { 1.0 } else { 0.5 };
    let spike = if noise.uniform() < 0.01 { 200.0 } else { 0.0 };
    100.0 + weekday * wave(t) + 2.0 * noise.normal() + spike
}

#[test]
fn two_days_ahead_it_beats_yesterday_and_its_intervals_hold_in_each_third() {
    let p = params("", HOUR);
    let (mut ours, mut yesterdays, mut inside, mut asked) = (0.0, 0.0, [0.0; 3], [0.0; 3]);
    for seed in 0..8 {
        let mut noise = Noise::new(seed);
        let values: Vec<f64> = (0..900).map(|i| weeks(i * HOUR, &mut noise)).collect();
        let mut f = Forecaster::new();
        for (i, v) in values.iter().enumerate() {
            f.update(&p, i as i64 * HOUR, *v);
            if i < 400 || i % 11 != 0 || i + 48 >= values.len() {
                continue;
            }
            let outlook = f.outlook(&p).unwrap();
            for k in 1..=48 {
                let [low, middle, high] =
                    [0.025, 0.5, 0.975].map(|phi| outlook.quantile(phi, k as i64 * HOUR).unwrap());
                let truth = values[i + k];
                ours += (middle - truth).abs();
                yesterdays += (values[i + k - 24 * k.div_ceil(24)] - truth).abs();
                inside[(k - 1) / 16] += f64::from(u8::from(low <= truth && truth <= high));
                asked[(k - 1) / 16] += 1.0;
            }
        }
    }
    assert!(ours < 0.55 * yesterdays, "{}", ours / yesterdays);
    for (inside, asked) in inside.into_iter().zip(asked) {
        let share: f64 = inside / asked;
        assert!((0.92..=0.98).contains(&share), "{share}");
    }
}

#[test]
fn a_spike_an_hour_ago_says_little_of_tomorrow() {
    for interval in [5 * MINUTE, HOUR] {
        let p = params("", interval);
        let mut noise = Noise::new(3);
        let end = 21 * DAY;
        let f = fed(&p, interval, end / interval + 1, |t| {
            wave(t) + noise.normal() + if t > end - 2 * HOUR && t <= end - HOUR { 900.0 } else { 0.0 }
        });
        for ahead in [12, 24, 48] {
            let off = f.quantile(&p, 0.5, ahead * HOUR).unwrap() - wave(end + ahead * HOUR);
            assert!(off.abs() < 5.0, "{interval} {ahead}: {off}");
        }
    }
}

#[test]
fn a_season_is_no_sawtooth() {
    // A ramp all day and a fall at night, at any interval; the ensemble knows it after a fortnight.
    let tooth = |t: i64| 20.0 + 60.0 * (t % DAY) as f64 / DAY as f64;
    for interval in [15 * MINUTE, HOUR / 2, HOUR] {
        let p = params("", interval);
        let mut noise = Noise::new(4);
        let ticks = 17 * DAY / interval;
        let f = fed(&p, interval, ticks, |t| tooth(t) + noise.normal());
        for ahead in [4, 11, 20, 30, 47] {
            let then = (ticks - 1) * interval + ahead * HOUR;
            let off = f.quantile(&p, 0.5, ahead * HOUR).unwrap() - tooth(then);
            assert!(off.abs() < 6.0, "{interval} {ahead}: {off}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn forecasts_shift_and_scale_with_the_series(
        seed in 0u64..1000, shift in -1e5..1e5f64, scale in -12i32..12, ahead in 1i64..47, interval in prop_oneof![Just(HOUR), Just(30 * MINUTE)],
    ) {
        // Powers of two, so that what single precision and the cells round is the same.
        let p = params("", interval);
        let factor = f64::from(scale).exp2();
        let ticks = 15 * DAY / interval;
        let of = |change: &dyn Fn(f64) -> f64| {
            let mut noise = Noise::new(seed);
            fed(&p, interval, ticks, |t| change(weeks(t, &mut noise)))
        };
        let (plain, changed) = (of(&|v| v), of(&|v| shift + factor * v));
        let spread = plain.quantile(&p, 0.975, ahead * HOUR).unwrap() - plain.quantile(&p, 0.025, ahead * HOUR).unwrap();
        for phi in [0.025, 0.5, 0.975] {
            let (a, b) = (plain.quantile(&p, phi, ahead * HOUR), changed.quantile(&p, phi, ahead * HOUR));
            let (expected, is) = (shift + factor * a.unwrap(), b.unwrap());
            prop_assert!((expected - is).abs() <= 0.02 * factor * spread, "{phi}: {is} for {expected}");
        }
    }
}
