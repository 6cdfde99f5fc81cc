//! What the forecaster does with whole series: ramps, sawteeth, seasons, noise; its gate, its bounds, its cost in bytes.

use proptest::prelude::*;

use super::synthetic::Noise;
use super::{Detector, Forecaster, ForecasterParams, Profile};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn params(yaml: &str, interval: i64) -> ForecasterParams {
    ForecasterParams::new(&Profile::parse(&format!("name: test\n{yaml}")).unwrap(), interval)
}

/// A forecaster that has seen `ticks` values of a function of time.
fn fed(params: &ForecasterParams, interval: i64, ticks: i64, mut value: impl FnMut(i64) -> f64) -> Forecaster {
    let mut forecaster = Forecaster::new();
    for i in 0..ticks {
        forecaster.update(params, i * interval, value(i * interval));
    }
    forecaster
}

/// A day's wave between 20 and 80.
fn wave(t: i64) -> f64 {
    50.0 + 30.0 * (t as f64 / DAY as f64 * std::f64::consts::TAU).sin()
}

#[test]
fn state_stays_within_its_budget() {
    assert!(Forecaster::state_bytes() <= 1_592, "{}", Forecaster::state_bytes());
    assert!(Forecaster::state_bytes() + Detector::state_bytes() <= 2_688);
}

#[test]
fn a_disk_that_fills_within_minutes_is_forecast_after_two() {
    // 10 GB free, 20 MB/s written in bursts: full after 500 s; seen for 120 s.
    for interval in [5 * SECOND, 15 * SECOND / 3] {
        let p = params("", interval);
        let mut noise = Noise::new(1);
        let f = fed(&p, interval, 25, |t| 1e10 - 2e7 * (t / SECOND) as f64 + 4e6 * noise.normal());
        let left = 500.0 - 120.0;
        let median = f.time_until(&p, 0.0, 0.5).unwrap();
        assert!((median - left).abs() < 0.05 * left, "{median} of {left}");
        let certain = f.time_until(&p, 0.0, 0.95).unwrap();
        assert!(certain >= median && certain < 1.3 * left, "{certain}");
        assert!(f.quantile(&p, 0.95, 10 * MINUTE).unwrap() < 0.0);
        assert!(f.quantile(&p, 0.05, 5 * MINUTE).unwrap() > 0.0);
    }
}

#[test]
fn a_clean_ramp_is_forecast_at_every_interval_and_horizon() {
    for interval in [5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, HOUR] {
        let p = params("horizon: 1w\n", interval);
        for ticks in [24, 200, 3000] {
            let slope = 3.0 / interval as f64;
            let f = fed(&p, interval, ticks, |t| 1e6 + slope * t as f64);
            let now = 1e6 + slope * ((ticks - 1) * interval) as f64;
            for ahead in [interval, 4 * interval, 20 * interval, 100 * interval].into_iter().filter(|a| *a <= 7 * DAY) {
                let change = slope * ahead as f64;
                let median = f.quantile(&p, 0.5, ahead).unwrap() - now;
                assert!((median - change).abs() < 0.1 * change, "{interval} {ticks} {ahead}: {median} of {change}");
            }
        }
    }
}

#[test]
fn a_disk_that_begins_to_fill_after_quiet_weeks_is_forecast_within_the_hour() {
    let p = params("", MINUTE);
    let mut noise = Noise::new(2);
    let began = 14 * DAY;
    let value = |t: i64| 40.0 + if t > began { (t - began) as f64 / HOUR as f64 * 10.0 } else { 0.0 };
    let f = fed(&p, MINUTE, (began + HOUR) / MINUTE + 1, |t| value(t) + 0.1 * noise.normal());
    // 50 now, 10 an hour: 90 after four hours.
    let seconds = f.time_until(&p, 90.0, 0.5).unwrap();
    assert!((seconds / 3600.0 - 4.0).abs() < 1.0, "{} hours", seconds / 3600.0);
    let before = fed(&p, MINUTE, began / MINUTE, |t| value(t) + 0.1 * noise.normal());
    assert_eq!(before.time_until(&p, 90.0, 0.95), None);
}

#[test]
fn a_sawtooth_does_not_read_as_exhaustion_after_three_teeth() {
    // Log rotation: a tooth of 30 minutes between 40 and 80 of 100, either way up.
    for (tooth_ticks, interval) in [(120, 15 * SECOND), (30, MINUTE), (12, 5 * MINUTE), (360, 5 * SECOND)] {
        let p = params("", interval);
        let mut noise = Noise::new(3);
        let mut used = Forecaster::new();
        let mut free = Forecaster::new();
        let mut alarms = 0;
        for i in 0..tooth_ticks * 20 {
            let x = 40.0 + 40.0 * (i % tooth_ticks) as f64 / tooth_ticks as f64 + 0.2 * noise.normal();
            used.update(&p, i * interval, x);
            free.update(&p, i * interval, 100.0 - x);
            if i > tooth_ticks * 3 + 5 {
                alarms += i32::from(used.time_until(&p, 100.0, 0.5).is_some());
                alarms += i32::from(used.quantile(&p, 0.95, 4 * HOUR).is_none_or(|q| q > 95.0));
                alarms += i32::from(free.time_until(&p, 0.0, 0.5).is_some());
                alarms += i32::from(free.quantile(&p, 0.05, 4 * HOUR).is_none_or(|q| q < 5.0));
            }
        }
        assert_eq!(alarms, 0, "teeth of {tooth_ticks} ticks every {interval} ms");
    }
}

#[test]
fn a_flat_sawtooth_is_never_told_to_cross_not_even_in_its_first_teeth() {
    // Tips between 60 and 85 of 100 that scatter, teeth of three to twelve hours, from the first value on.
    let interval = 5 * MINUTE;
    let p = params("", interval);
    for (seed, tooth_ticks) in [(1, 36), (2, 60), (3, 90), (4, 144)] {
        let mut noise = Noise::new(seed);
        let (mut f, mut tip, mut told) = (Forecaster::new(), 80.0, 0);
        for i in 0..tooth_ticks * 40 {
            if i % tooth_ticks == 0 {
                tip = (80.0 + 2.0 * noise.normal()).clamp(70.0, 85.0);
            }
            let share = (i % tooth_ticks) as f64 / tooth_ticks as f64;
            f.update(&p, i * interval, 30.0 + (tip - 30.0) * share + noise.normal());
            told += i32::from(f.time_until(&p, 100.0, 0.5).is_some_and(|s| s < 4.0 * 3600.0));
        }
        assert_eq!(told, 0, "teeth of {tooth_ticks} ticks");
    }
}

#[test]
fn a_rising_sawtooth_is_told_to_cross_before_it_does() {
    let interval = 5 * MINUTE;
    let p = params("", interval);
    let mut noise = Noise::new(1);
    let mut f = Forecaster::new();
    let (mut tip, mut told, mut crossed) = (60.0, vec![], 0);
    for i in 0..48 * 100 {
        if i % 48 == 0 {
            tip = 60.0 + i as f64 / 60.0 + 0.5 * noise.normal();
        }
        let v = tip - 40.0 + 40.0 * (i % 48) as f64 / 48.0;
        if v >= 100.0 {
            crossed = i;
            break;
        }
        f.update(&p, i * interval, v);
        told.extend(f.time_until(&p, 100.0, 0.5).filter(|s| *s < 4.0 * 3600.0).map(|_| i));
    }
    let (first, before) = (told[0], crossed - told[0]);
    assert!((4..=240).contains(&before), "told first at {first}, crossed at {crossed}: {told:?}");
}

#[test]
fn the_crossing_has_an_interval() {
    let p = params("", MINUTE);
    let mut noise = Noise::new(2);
    let f = fed(&p, MINUTE, 3_000, |t| noise.normal() + (t / MINUTE - 2_900).max(0) as f64);
    let [early, middle, late] = [0.95, 0.5, 0.05].map(|phi| f.time_until(&p, 200.0, phi).unwrap());
    assert!(early < middle && middle < late, "{early} {middle} {late}");
    assert!((middle / 60.0 - 101.0).abs() < 15.0, "{middle}");
}

#[test]
fn a_season_takes_it_where_it_has_been() {
    let interval = 5 * MINUTE;
    let p = params("", interval);
    let mut noise = Noise::new(4);
    // Midnight of the fourteenth day: the wave passes 75 some four hours later.
    let f = fed(&p, interval, 14 * DAY / interval, |t| wave(t) + 0.5 * noise.normal());
    let hours = f.time_until(&p, 75.0, 0.5).unwrap() / 3600.0;
    assert!((2.5..=5.0).contains(&hours), "{hours}");
    assert_eq!(f.time_until(&p, 95.0, 0.5).filter(|s| *s < 24.0 * 3600.0), None);
}

#[test]
fn a_rotation_that_fails_is_a_trend_again() {
    let p = params("", MINUTE);
    let tooth = |t: i64| 40.0 + (t / MINUTE % 30) as f64;
    let failed = 20 * 30 * MINUTE;
    let f =
        fed(&p, MINUTE, 20 * 30 + 50, |t| if t < failed { tooth(t) } else { 40.0 + ((t - failed) / MINUTE) as f64 });
    let seconds = f.time_until(&p, 100.0, 0.5).unwrap();
    assert!((seconds - 11.0 * 60.0).abs() < 240.0, "{seconds}");
}

#[test]
fn a_season_does_not_cry_wolf() {
    // The wave rises from 20 to 80 each morning; 95 is never reached.
    let interval = 5 * MINUTE;
    let p = params("", interval);
    let mut noise = Noise::new(4);
    let mut f = Forecaster::new();
    let (mut alarms, mut looked, mut error) = (0, 0, 0.0);
    for i in 0..21 * DAY / interval {
        let t = i * interval;
        f.update(&p, t, wave(t) + noise.normal());
        if t > 4 * DAY && i % 6 == 0 {
            looked += 1;
            alarms += i32::from(f.time_until(&p, 95.0, 0.5).is_some_and(|s| s < 4.0 * 3600.0));
            error += (f.quantile(&p, 0.5, 6 * HOUR).unwrap() - wave(t + 6 * HOUR)).abs();
        }
    }
    assert!(alarms <= looked / 200, "{alarms} of {looked}");
    assert!(error / f64::from(looked) < 2.5, "mean error 6 h ahead {}", error / f64::from(looked));
}

#[test]
fn intervals_hold_what_they_say() {
    // Season, noise and a slow wander; 15 minutes, 6 hours and a day ahead.
    let interval = 5 * MINUTE;
    let p = params("", interval);
    let mut noise = Noise::new(5);
    let mut wander = 0.0;
    let points = 40 * DAY / interval;
    let values: Vec<f64> = (0..points)
        .map(|i| {
            wander = 0.995 * wander + 0.2 * noise.normal();
            wave(i * interval) + wander + noise.normal()
        })
        .collect();
    for ahead in [0, 15 * MINUTE, 6 * HOUR, DAY] {
        let mut f = Forecaster::new();
        let (mut inside, mut all) = (0, 0);
        for i in 0..points {
            f.update(&p, i * interval, values[i as usize]);
            let then = i + ahead / interval;
            if i * interval > 12 * DAY && then < points && i % 7 == 0 {
                let low = f.quantile(&p, 0.05, ahead).unwrap();
                let high = f.quantile(&p, 0.95, ahead).unwrap();
                all += 1;
                inside += i32::from(low <= values[then as usize] && values[then as usize] <= high);
            }
        }
        let share = f64::from(inside) / f64::from(all);
        assert!((0.84..=0.985).contains(&share), "{ahead} ms ahead: {share}");
    }
}

#[test]
fn a_random_walk_is_forecast_by_its_last_value_with_a_widening_interval() {
    let p = params("", MINUTE);
    let (mut crossed, mut all) = (0, 0);
    for seed in 0..20 {
        let mut noise = Noise::new(seed);
        let mut walk = 0.0;
        let mut f = Forecaster::new();
        for i in 0..3000 {
            walk += noise.normal();
            f.update(&p, i * MINUTE, walk);
            if i > 500 && i % 50 == 0 {
                all += 1;
                // Four hours are 240 steps: a standard deviation of 15.5.
                crossed += i32::from(f.time_until(&p, walk + 60.0, 0.5).is_some_and(|s| s < 4.0 * 3600.0));
            }
        }
    }
    assert!(crossed * 10 < all, "{crossed} of {all}");
}

#[test]
fn what_was_expected_for_now_does_not_know_now() {
    for days in [1, 6] {
        let p = params("", 5 * MINUTE);
        let mut noise = Noise::new(6);
        let ticks = days * DAY / (5 * MINUTE);
        let mut f = fed(&p, 5 * MINUTE, ticks, |t| wave(t) + noise.normal());
        let expected = wave(ticks * 5 * MINUTE);
        f.update(&p, ticks * 5 * MINUTE, expected + 500.0);
        let (low, middle, high) =
            (f.quantile(&p, 0.05, 0).unwrap(), f.quantile(&p, 0.5, 0).unwrap(), f.quantile(&p, 0.95, 0).unwrap());
        assert!((middle - expected).abs() < 8.0, "day {days}: {middle} for {expected}");
        assert!(low < middle && middle < high && high - low < 30.0, "day {days}: {low} {high}");
    }
}

#[test]
fn an_unreliable_forecast_is_not_told() {
    let p = params("horizon: 1w\n", 5 * SECOND);
    let ramp = |t: i64| t as f64;
    assert_eq!(fed(&p, 5 * SECOND, 19, ramp).quantile(&p, 0.5, MINUTE), None, "too few values");
    let young = fed(&p, 5 * SECOND, 24, ramp);
    assert!(young.quantile(&p, 0.5, 10 * MINUTE).is_some());
    assert_eq!(young.quantile(&p, 0.5, 4 * HOUR), None, "hours from two minutes");
    let mut noise = Noise::new(7);
    let mut walk = 0.0;
    let wild = fed(&p, 5 * SECOND, 60, |_| {
        walk += noise.normal();
        walk
    });
    assert_eq!(wild.quantile(&p, 0.95, 2 * HOUR), None, "two hours of a random walk from five minutes");
    assert_eq!(Forecaster::new().quantile(&p, 0.5, MINUTE), None);
    assert_eq!(Forecaster::new().time_until(&p, 1.0, 0.5), None);
}

#[test]
fn the_horizon_and_the_data_range_bound_the_forecast() {
    let short = params("horizon: 1h\n", MINUTE);
    let f = fed(&short, MINUTE, 100, |t| 1000.0 - (t / MINUTE) as f64);
    assert!(f.quantile(&short, 0.5, HOUR).is_some());
    assert_eq!(f.quantile(&short, 0.5, HOUR + 1), None);
    assert_eq!(f.quantile(&short, 0.5, -1), None);
    assert_eq!(f.time_until(&short, 800.0, 0.5), None, "100 minutes away");
    assert!(f.time_until(&short, 880.0, 0.5).is_some());
    let ranged = params("data_range: [0, .inf]\n", MINUTE);
    let f = fed(&ranged, MINUTE, 100, |t| 1000.0 - 9.0 * (t / MINUTE) as f64);
    assert_eq!(f.quantile(&ranged, 0.5, 3 * HOUR), Some(0.0));
    assert!(f.time_until(&ranged, 0.0, 0.5).is_some());
}

#[test]
fn the_season_setting_decides_whether_the_hour_matters() {
    let error = |yaml: &str| {
        let p = params(yaml, 5 * MINUTE);
        let ticks = 10 * DAY / (5 * MINUTE) + 72; // 6 in the morning: highest
        let f = fed(&p, 5 * MINUTE, ticks, wave);
        let then = (ticks - 1) * 5 * MINUTE + 12 * HOUR;
        f.quantile(&p, 0.5, 12 * HOUR).map_or(100.0, |q| (q - wave(then)).abs())
    };
    assert!(error("seasonality: [daily]\n") < 3.0);
    assert!(error("seasonality: none\n") > 15.0);
}

#[test]
fn forgetting_decides_how_long_an_old_error_widens_the_interval() {
    let width = |yaml: &str| {
        let p = params(yaml, HOUR);
        let mut noise = Noise::new(8);
        let f = fed(&p, HOUR, 40 * 24, |t| wave(t) + noise.normal() * if t < 30 * DAY { 10.0 } else { 1.0 });
        f.quantile(&p, 0.95, 12 * HOUR).unwrap() - f.quantile(&p, 0.05, 12 * HOUR).unwrap()
    };
    assert!(width("forgetting: 2d\n") < 0.8 * width("forgetting: 8w\n"));
}

#[test]
fn time_until_knows_its_side() {
    let p = params("", MINUTE);
    let rising = fed(&p, MINUTE, 100, |t| (t / MINUTE) as f64);
    assert_eq!(rising.time_until(&p, 99.0, 0.5), Some(0.0), "at the threshold");
    let minutes = rising.time_until(&p, 129.0, 0.5).unwrap() / 60.0;
    assert!((minutes - 30.0).abs() < 0.5, "{minutes}");
    assert_eq!(rising.time_until(&p, 50.0, 0.5), None, "it moves away");
    assert_eq!(rising.time_until(&p, f64::NAN, 0.5), None);
    assert_eq!(rising.time_until(&p, 129.0, 1.5), None);
}

#[test]
fn constant_and_stepping_series_are_calm() {
    let p = params("", MINUTE);
    let f = fed(&p, MINUTE, 5000, |_| 7.0);
    assert_eq!(f.quantile(&p, 0.95, HOUR), Some(7.0));
    assert_eq!(f.time_until(&p, 8.0, 0.95), None);
    let mut noise = Noise::new(9);
    let f = fed(&p, MINUTE, 5200, |t| noise.normal() + if t < 5000 * MINUTE { 10.0 } else { 50.0 });
    let after = f.quantile(&p, 0.5, HOUR).unwrap();
    assert!((after - 50.0).abs() < 5.0, "{after}");
    assert_eq!(f.time_until(&p, 120.0, 0.5), None);
}

#[test]
fn what_is_not_finite_or_not_new_leaves_no_trace() {
    let p = params("", MINUTE);
    let (mut clean, mut dirty) = (Forecaster::new(), Forecaster::new());
    let mut noise = Noise::new(1);
    for i in 0..300 {
        let v = noise.normal();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            dirty.update(&p, i * MINUTE, bad);
        }
        clean.update(&p, i * MINUTE, v);
        dirty.update(&p, i * MINUTE, v);
        dirty.update(&p, i * MINUTE, 1e9);
        dirty.update(&p, i * MINUTE - 5, 1e9);
    }
    assert_eq!(format!("{clean:?}"), format!("{dirty:?}"));
}

proptest! {
    #[test]
    fn quantiles_are_finite_and_monotone(
        values in prop::collection::vec(prop_oneof![
            any::<f64>().prop_filter("finite", |v| v.is_finite()), -10.0..10.0f64, Just(0.0), Just(f64::MAX), Just(f64::MIN),
        ], 1..300),
        step in 1i64..100_000_000,
        ahead in 0i64..200_000_000,
    ) {
        let p = params("", MINUTE);
        let f = fed(&p, step, values.len() as i64, |t| values[(t / step) as usize]);
        let mut before = f64::NEG_INFINITY;
        for phi in [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99] {
            if let Some(q) = f.quantile(&p, phi, ahead) {
                prop_assert!(q.is_finite() && q >= before, "{phi}: {q} after {before}");
                before = q;
            }
            if let Some(seconds) = f.time_until(&p, 3.0, phi) {
                prop_assert!(seconds.is_finite() && seconds >= 0.0);
            }
        }
    }
}

proptest! {
    #[test]
    fn neither_scale_nor_shift_decides_what_is_told(
        seed in any::<u64>(), scale in prop::sample::select(vec![0.5, 8.0, 1024.0]), shift in -1e3..1e3f64, slope in 0.0..0.5f64,
    ) {
        let p = params("", 5 * MINUTE);
        let value = |t: i64, noise: &mut Noise| noise.normal() + slope * (t / (5 * MINUTE) - 700).max(0) as f64;
        let (mut one, mut two) = (Noise::new(seed), Noise::new(seed));
        let plain = fed(&p, 5 * MINUTE, 760, |t| value(t, &mut one));
        let moved = fed(&p, 5 * MINUTE, 760, |t| shift + scale * value(t, &mut two));
        let (a, b) = (plain.time_until(&p, 60.0, 0.5), moved.time_until(&p, shift + scale * 60.0, 0.5));
        match (a, b) {
            (Some(a), Some(b)) => prop_assert!((a - b).abs() <= 0.02 * a + 60.0, "{a} {b}"),
            (a, b) => prop_assert_eq!(a.is_some(), b.is_some()),
        }
    }
}

#[test]
fn any_instant_is_survived() {
    let p = params("", MINUTE);
    let mut f = Forecaster::new();
    for t in [i64::MIN, -1, 0, 1, i64::MAX] {
        f.update(&p, t, 1.0);
        assert_eq!(f.quantile(&p, 0.5, MINUTE), None);
    }
}
