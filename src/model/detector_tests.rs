//! What the detector does with whole series: silence, findings, settings, robustness, cost in bytes.

use proptest::prelude::*;

use super::synthetic::Noise;
use super::{Detector, DetectorParams, Profile, Score};

const MINUTE: i64 = 60_000;
const DAY_POINTS: i64 = 1440;

fn params(yaml: &str) -> DetectorParams {
    DetectorParams::new(&Profile::parse(&format!("name: test\n{yaml}")).unwrap(), MINUTE)
}

/// Scores of a series at one point a minute.
fn run(params: &DetectorParams, points: i64, value: impl FnMut(i64) -> f64) -> Vec<Score> {
    let mut value = value;
    let mut detector = Detector::new();
    (0..points).map(|i| detector.update(params, i * MINUTE, value(i)).unwrap()).collect()
}

/// A daily sine with noise, deviations of 1 around 100.
fn seasonal(noise: &mut Noise, i: i64) -> f64 {
    100.0 + 30.0 * (i as f64 * std::f64::consts::TAU / DAY_POINTS as f64).sin() + noise.normal()
}

fn findings(scores: &[Score]) -> Vec<usize> {
    (0..scores.len()).filter(|i| scores[*i].score > 1.0).collect()
}

#[test]
fn state_stays_within_its_budget() {
    assert!(Detector::state_bytes() <= 1126, "{}", Detector::state_bytes());
}

#[test]
fn a_constant_series_is_silent_and_one_finding_when_it_moves() {
    for (before, after) in [(42.0, 50.0), (0.0, 1.0), (1e11, 1.1e11), (-3.0, -4.0)] {
        let moved = 3 * DAY_POINTS;
        let scores = run(&params(""), 6 * DAY_POINTS, |i| if i < moved { before } else { after });
        let found = findings(&scores);
        assert_eq!(found[0] as i64, moved, "{before} to {after}");
        let last = found[found.len() - 1] as i64;
        assert!(last < moved + 120, "{before} to {after}: still unusual after {} minutes", last - moved);
    }
}

#[test]
fn a_spike_in_a_seasonal_series_is_found_at_any_hour_and_little_else() {
    let mut noise = Noise::new(7);
    let at = 10 * DAY_POINTS + 300;
    let scores = run(&params(""), 14 * DAY_POINTS, |i| seasonal(&mut noise, i) + if i == at { 25.0 } else { 0.0 });
    let found = findings(&scores);
    assert!(found.contains(&(at as usize)), "score {:?}", scores[at as usize]);
    assert!(found.iter().filter(|i| **i as i64 != at).count() <= 4, "{found:?}");
}

#[test]
fn the_band_holds_what_is_ordinary_and_surrounds_the_expectation() {
    let mut noise = Noise::new(8);
    let mut values = Vec::new();
    let scores = run(&params(""), 8 * DAY_POINTS, |i| {
        values.push(seasonal(&mut noise, i));
        values[i as usize]
    });
    let late = 6 * DAY_POINTS as usize..;
    let inside = scores[late.clone()].iter().zip(&values[late]).filter(|(s, v)| s.lower <= **v && **v <= s.upper);
    assert!(inside.count() as i64 > 2 * DAY_POINTS - 10);
    assert!(scores.iter().all(|s| s.lower <= s.expected && s.expected <= s.upper));
    let last = scores.last().unwrap();
    assert!(last.upper - last.lower < 60.0, "{last:?}");
}

#[test]
fn what_is_not_finite_or_not_new_leaves_no_trace() {
    let params = params("warm_up: 0\n");
    let (mut clean, mut dirty) = (Detector::new(), Detector::new());
    let mut noise = Noise::new(1);
    for i in 0..500 {
        let (t, v) = (i * MINUTE, noise.normal());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(dirty.update(&params, t, bad), None);
        }
        let score = clean.update(&params, t, v);
        assert!(score.is_some());
        assert_eq!(dirty.update(&params, t, v), score);
        assert_eq!(dirty.update(&params, t, 1e9), None, "the same instant again");
        assert_eq!(dirty.update(&params, t - 5, 1e9), None, "an older instant");
    }
}

#[test]
fn a_gap_changes_nothing_but_the_time() {
    let params = params("");
    let mut noise = Noise::new(3);
    let mut detector = Detector::new();
    let mut high = 0;
    for i in (0..5 * DAY_POINTS).filter(|i| !(4000..5000).contains(i)) {
        let v = 100.0 + noise.normal();
        high += i64::from(detector.update(&params, i * MINUTE, v).unwrap().score > 1.0);
    }
    assert!(high <= 3, "{high}");
}

#[test]
fn scaling_by_a_power_of_two_scales_the_band_and_keeps_the_score() {
    let params = params("warm_up: 1h\n");
    for factor in [2f64.powi(-40), 0.25, 2f64.powi(40)] {
        let series = |scale: f64| {
            let mut noise = Noise::new(5);
            run(&params, 2000, |i| scale * (seasonal(&mut noise, i) + if i == 1500 { 40.0 } else { 0.0 }))
        };
        for (a, b) in series(1.0).iter().zip(series(factor)) {
            assert!((b.score - a.score).abs() <= 1e-2 * a.score.max(1e-3), "{factor}: {a:?} {b:?}");
            assert!((b.upper / factor - a.upper).abs() <= 1e-2 * a.upper.abs());
        }
    }
}

#[test]
fn where_a_series_lies_does_not_matter_as_long_as_it_is_large() {
    // What may move with the origin is the floor of the spread, a share of the magnitude.
    let params = params("warm_up: 1h\n");
    let high = |shift: f64| {
        let mut noise = Noise::new(5);
        findings(&run(&params, 4000, |i| shift + seasonal(&mut noise, i) + if i == 3500 { 40.0 } else { 0.0 }))
    };
    for shift in [-300.0, 100.0, 200.0] {
        assert!(high(shift).contains(&3500) && high(shift).len() < 4, "{shift}: {:?}", high(shift));
    }
}

#[test]
fn a_copy_goes_on_as_the_original_does() {
    let params = params("");
    let mut noise = Noise::new(17);
    let mut detector = Detector::new();
    let mut values = (0..6000).map(|i| seasonal(&mut noise, i) + if i % 700 == 0 { 30.0 } else { 0.0 }).enumerate();
    for (i, v) in values.by_ref().take(3000) {
        let _ = detector.update(&params, i as i64 * MINUTE, v);
    }
    let mut copy = detector.clone();
    for (i, v) in values {
        let t = i as i64 * MINUTE;
        assert_eq!(detector.update(&params, t, v), copy.update(&params, t, v));
    }
}

#[test]
fn spikes_that_keep_coming_do_not_page_for_ever() {
    let params = params("");
    let mut noise = Noise::new(23);
    let mut spike = Noise::new(24);
    let weeks = 8;
    let scores = run(&params, weeks * 7 * DAY_POINTS, |_| {
        100.0 + noise.normal() + if spike.uniform() < 3.0 / DAY_POINTS as f64 { 20.0 * spike.uniform() } else { 0.0 }
    });
    // Findings within half a day of a page are that page's. Five a week are allowed, and ten until all that can be added is.
    let mut pages = 0;
    let mut last = i64::MIN / 2;
    for i in findings(&scores).into_iter().map(|i| i as i64).filter(|i| *i >= DAY_POINTS) {
        if i - last > 720 {
            pages += 1;
            last = i;
        }
    }
    assert!(pages <= 5 * weeks + 10, "{pages} pages of {weeks} weeks with 21 spikes each");
}

#[test]
fn a_busy_hour_that_is_always_noisy_is_no_finding() {
    // Deviations of 1 at night and of 10 by day.
    let params = params("");
    let mut noise = Noise::new(29);
    let day = |i: i64| i % DAY_POINTS >= 720;
    let at = 13 * DAY_POINTS + 300;
    let scores = run(&params, 14 * DAY_POINTS, |i| {
        100.0 + noise.normal() * if day(i) { 10.0 } else { 1.0 } + if i == at { 25.0 } else { 0.0 }
    });
    let found = findings(&scores);
    assert!(found.contains(&(at as usize)), "two and a half deviations by day, 25 at night: {:?}", scores[at as usize]);
    // The first busy hour of all is news.
    let by_day = found.iter().filter(|i| **i as i64 >= DAY_POINTS && day(**i as i64)).count();
    assert!(by_day <= 2, "{found:?}");
}

#[test]
fn the_direction_decides_which_spike_counts() {
    let high = |yaml: &str, spike: f64| {
        let mut noise = Noise::new(11);
        let params = params(yaml);
        let scores = run(&params, 5001, |i| 100.0 + noise.normal() + if i == 5000 { spike } else { 0.0 });
        scores[5000].score
    };
    assert!(high("direction: both\n", 40.0) > 1.0 && high("direction: both\n", -40.0) > 1.0);
    assert!(high("direction: above_expected\n", 40.0) > 1.0);
    assert_eq!(high("direction: above_expected\n", -40.0), 0.0);
    assert_eq!(high("direction: below_expected\n", 40.0), 0.0);
    assert!(high("direction: below_expected\n", -40.0) > 1.0);
    assert_eq!(high("min_dev_from_expected: 60\n", 40.0), 0.0);
    assert!(high("min_dev_from_expected: 30\n", 40.0) > 1.0);
    assert_eq!(high("min_rel_dev_from_expected: 0.6\n", 40.0), 0.0);
    assert!(high("min_rel_dev_from_expected: 0.3\n", 40.0) > 1.0);
    // Of a first finding: what was found before makes the next one harder, and a larger budget finds more.
    let (strict, lax) = (high("false_alarms: 0.5/month\n", 40.0), high("false_alarms: 1/month\n", 40.0));
    assert!((lax / strict - 2.0).abs() < 1e-6, "the score is the budget over the rate: {lax} {strict}");
}

#[test]
fn the_data_range_bounds_the_band_and_pages_what_cannot_be() {
    let params = params("data_range: [0, 10]\n");
    let mut noise = Noise::new(2);
    let mut detector = Detector::new();
    for i in 0..300 {
        let score = detector.update(&params, i * MINUTE, 5.0 + noise.normal()).unwrap();
        assert!(score.lower >= 0.0 && score.upper <= 10.0);
        assert!(score.score <= 1.0, "{score:?}");
    }
    assert!(detector.update(&params, 300 * MINUTE, 11.0).unwrap().score > 1.0);
    assert!(detector.update(&params, 301 * MINUTE, -1.0).unwrap().score > 1.0);
}

#[test]
fn warm_up_silences_a_new_series() {
    let first = |yaml: &str| {
        let params = params(yaml);
        let mut noise = Noise::new(4);
        findings(&run(&params, 4000, |i| {
            noise.normal() + [(199, 500.0), (3599, 1e6)].iter().filter(|(at, _)| *at == i).map(|(_, v)| v).sum::<f64>()
        }))[0]
    };
    assert!(first("warm_up: 2h\n") < 400);
    assert!(first("warm_up: 2d\n") >= 2880);
}

/// What a page at the end of a first day is: noise of 1 around 100, an outage to 0 from the `at`-th minute on.
fn first_day(at: i64) -> Vec<Score> {
    let params = params("");
    let mut noise = Noise::new(41);
    run(&params, DAY_POINTS, |i| if i >= at { 0.0 } else { 100.0 + noise.normal() })
}

#[test]
fn on_the_first_day_an_outage_is_a_finding_and_noise_is_not() {
    assert_eq!(findings(&first_day(DAY_POINTS)), Vec::<usize>::new());
    for at in [200, 600, 1_300] {
        let found = findings(&first_day(at));
        assert!(found.first().is_some_and(|i| (at..at + 3).contains(&(*i as i64))), "{at}: {found:?}");
    }
    assert_eq!(findings(&first_day(100)), Vec::<usize>::new(), "the first eighth is silent");
}

#[test]
fn the_season_setting_decides_whether_the_hour_matters() {
    // A square wave of a day: at the wrong hour the high value is unusual only to who knows the hour.
    let score = |yaml: &str| {
        let params = params(yaml);
        let mut noise = Noise::new(6);
        let high = |i: i64| i % DAY_POINTS >= 720;
        let at = 12 * DAY_POINTS + 300;
        let scores = run(&params, at + 1, |i| noise.normal() + if high(i) || i == at { 50.0 } else { 0.0 });
        scores[at as usize].score
    };
    assert!(score("seasonality: [daily]\n") > 1.0);
    assert!(score("seasonality: none\n") < score("seasonality: [daily]\n"));
}

#[test]
fn forgetting_decides_how_soon_a_new_season_is_usual() {
    let error_after = |yaml: &str| {
        let params = params(yaml);
        let mut noise = Noise::new(9);
        let shifted = 14 * DAY_POINTS;
        let value = |i: i64| if (i + if i < shifted { 0 } else { 480 }) % DAY_POINTS < 720 { 10.0 } else { -10.0 };
        let scores = run(&params, shifted + 4 * DAY_POINTS, |i| value(i) + noise.normal());
        let last = (scores.len() as i64 - DAY_POINTS)..scores.len() as i64;
        last.map(|i| (scores[i as usize].expected - value(i)).abs()).sum::<f64>() / DAY_POINTS as f64
    };
    let (soon, late) = (error_after("forgetting: 2d\n"), error_after("forgetting: 8w\n"));
    assert!(soon < 0.8 * late, "{soon} {late}");
}

proptest! {
    #[test]
    fn finite_in_never_nan_out(
        values in prop::collection::vec(prop_oneof![
            any::<f64>().prop_filter("finite", |v| v.is_finite()), -10.0..10.0f64, Just(0.0), Just(f64::MAX), Just(f64::MIN),
        ], 1..400),
        step in 1i64..100_000_000,
    ) {
        let params = params("warm_up: 0\n");
        let mut detector = Detector::new();
        for (i, v) in values.iter().enumerate() {
            let s = detector.update(&params, i as i64 * step, *v).unwrap();
            prop_assert!(s.score >= 0.0 && s.score <= 1e7, "{:?}", s);
            prop_assert!(!s.expected.is_nan() && !s.lower.is_nan() && !s.upper.is_nan(), "{:?}", s);
        }
    }
}

#[test]
fn any_instant_is_survived() {
    let params = params("");
    let mut detector = Detector::new();
    for t in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert!(detector.update(&params, t, 1.0).is_some());
    }
}

/// Requests at one point in five minutes: offices open on weekdays from 8 to 18 by New York's clock, in summer time from 8 March.
fn offices(noise: &mut Noise, t: i64) -> f64 {
    let summer = t >= 1_772_953_200_000;
    let local = t - if summer { 4 } else { 5 } * 3_600_000;
    let (weekday, hour) = ((local.div_euclid(86_400_000) + 3).rem_euclid(7), local.rem_euclid(86_400_000) / 3_600_000);
    let open = weekday < 5 && (8..18).contains(&hour);
    let requests = if open { 100.0 } else { 20.0 + 2.0 * (hour as f64 / 4.0).sin() };
    requests + 2.0 * noise.normal()
}

/// Monday, 2026-01-05T05:00:00Z: midnight in New York.
const MONDAY: i64 = 1_767_589_200_000;

/// Mean distance from what was expected over Saturday, Sunday and Monday of the weeks from `from` on, after so many weeks.
fn office_error(yaml: &str, weeks: i64, from: i64) -> f64 {
    let params = DetectorParams::new(&Profile::parse(&format!("name: test\n{yaml}")).unwrap(), 300_000);
    let mut noise = Noise::new(51);
    let mut detector = Detector::new();
    let (mut sum, mut points) = (0.0, 0.0);
    for i in 0..weeks * 2016 {
        let t = MONDAY + i * 300_000;
        let v = offices(&mut noise, t);
        let expected = detector.update(&params, t, v).unwrap().expected;
        if i >= from * 2016 && !(1..5).contains(&(i % 2016 / 288)) {
            sum += (v - expected).abs();
            points += 1.0;
        }
    }
    sum / points
}

#[test]
fn the_weekend_is_known_after_some_weeks() {
    let daily = office_error("seasonality: [daily]\ntz: America/New_York\n", 6, 3);
    let weekly = office_error("seasonality: [daily, weekly]\ntz: America/New_York\n", 6, 3);
    // Noise alone is 1.6.
    assert!(weekly - 1.6 < 0.6 * (daily - 1.6), "{weekly} {daily}");
}

#[test]
fn the_season_moves_with_the_clocks_of_its_zone() {
    // The ninth week ends with the change to summer time on Sunday, 8 March; the tenth is the first by the new clock.
    let local = office_error("tz: America/New_York\n", 11, 9);
    let utc = office_error("tz: UTC\n", 11, 9);
    assert!(local < 0.85 * utc, "{local} {utc}");
}

#[test]
fn an_excluded_time_is_not_scored_and_not_learnt_and_then_life_goes_on() {
    // 1970-01-01 was a Thursday. Every night at two a backup moves the level by 50.
    let with = params("exclude: ['daily 02:00-03:00']\n");
    let mut noise = Noise::new(61);
    let backup = |i: i64| (120..180).contains(&(i % DAY_POINTS));
    let scores = run(&with, 6 * DAY_POINTS, |i| 100.0 + noise.normal() + if backup(i) { 50.0 } else { 0.0 });
    for (i, score) in scores.iter().enumerate() {
        assert_eq!(score.excluded, backup(i as i64), "{i}");
        assert!(!score.excluded || score.score == 0.0 && (score.expected - 100.0).abs() < 5.0, "{i}: {score:?}");
    }
    // What changes for good within such a time is learnt after it: the model is not locked.
    let moved = 3 * DAY_POINTS + 150;
    let mut noise = Noise::new(62);
    let scores = run(&with, 5 * DAY_POINTS, |i| if i < moved { 100.0 } else { 160.0 } + noise.normal());
    let found = findings(&scores);
    assert!(found.iter().any(|i| (moved..moved + 60).contains(&(*i as i64))), "said once: {found:?}");
    assert!(found.iter().all(|i| (*i as i64) < moved + 200), "and then usual: {found:?}");
    assert!((scores.last().unwrap().expected - 160.0).abs() < 3.0);
}

#[test]
fn a_job_that_comes_every_day_is_no_news() {
    // Five minutes a day at nine: too short for the season's half hour.
    let params = params("");
    let mut noise = Noise::new(71);
    let job = |i: i64| (540..545).contains(&(i % DAY_POINTS));
    let scores = run(&params, 21 * DAY_POINTS, |i| 100.0 + noise.normal() + if job(i) { 60.0 } else { 0.0 });
    let late = findings(&scores).into_iter().filter(|i| *i as i64 >= 7 * DAY_POINTS && job(*i as i64)).count();
    assert!(late <= 5, "{late} findings of 14 jobs that were to be expected");
    let other =
        run(&params, 15 * DAY_POINTS, |i| 100.0 + noise.normal() + if job(i) || i == 20_400 { 60.0 } else { 0.0 });
    assert!(other[20_400].score > 1.0, "the same at another time is one");
}

#[test]
fn few_and_whole_numbers_are_not_blown_up() {
    let pages = |scores: &[Score]| {
        let mut last = -1_000;
        let found = findings(scores).into_iter().map(|i| i as i64);
        found.filter(|i| i - std::mem::replace(&mut last, *i) > 60).count()
    };
    let mut noise = Noise::new(81);
    let mut sparse = |per_day: f64| f64::from(u8::from(noise.uniform() < per_day / DAY_POINTS as f64));
    let counts = run(&params(""), 14 * DAY_POINTS, |_| sparse(8.0));
    assert!(pages(&counts) <= 8, "{} pages of eight single events a day", pages(&counts));
    let mut noise = Noise::new(82);
    let whole = run(&params(""), 14 * DAY_POINTS, |_| (5.0 + noise.normal()).round());
    assert!(pages(&whole) <= 4, "{} pages of small whole numbers", pages(&whole));
    let flat = run(&params(""), 14 * DAY_POINTS, |i| if i < 10 * DAY_POINTS { 3.0 } else { 4.0 });
    assert_eq!(pages(&flat), 1, "a flat line that moves once");
}
