//! What change detectors find and what they do not, over series whose changes are known. The figures of models/default.md:
//! `cargo test --lib model::change_point -- --nocapture`.

use proptest::prelude::*;

use super::synthetic::Noise;
use super::{Change, ChangeDetector, ChangeParams, Profile};

const MINUTE: i64 = 60_000;
/// Ticks of a day at five minutes.
const DAY: i64 = 288;

/// The changes found in `ticks` values at five minutes, with the ticks at which they began and were found.
fn changes(ticks: i64, yaml: &str, value: impl FnMut(i64) -> f64) -> Vec<(i64, i64, Change)> {
    changes_at(5 * MINUTE, ticks, yaml, value)
}

fn changes_at(interval: i64, ticks: i64, yaml: &str, mut value: impl FnMut(i64) -> f64) -> Vec<(i64, i64, Change)> {
    let params = ChangeParams::new(&Profile::parse(&format!("name: test\n{yaml}")).unwrap(), interval);
    let mut detector = ChangeDetector::new();
    let mut found = Vec::new();
    for i in 0..ticks {
        detector.update(&params, i * interval, value(i));
        found.extend(detector.change(&params).filter(|c| c.found == i * interval));
    }
    found.into_iter().map(|c| (c.at / interval, c.found / interval, c)).collect()
}

fn wave(i: i64, per_day: i64, height: f64) -> f64 {
    height * (i as f64 / per_day as f64 * std::f64::consts::TAU).sin()
}

/// Student's t with three degrees of freedom, scaled to a standard deviation of one.
fn heavy(noise: &mut Noise) -> f64 {
    let z = noise.normal();
    let squares: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
    z / squares.sqrt()
}

type Series = dyn Fn(i64, &mut Noise) -> f64;

#[test]
fn what_a_series_does_anyway_is_no_change() {
    let office = |i: i64| if (96..216).contains(&(i % DAY)) { 60.0 } else { 20.0 };
    let quiet: [(&str, &Series); 12] = [
        ("noise", &|_, noise| 100.0 + noise.normal()),
        ("season and noise", &|i, noise| 100.0 + wave(i, DAY, 10.0) + noise.normal()),
        ("large season and noise", &|i, noise| 100.0 + wave(i, DAY, 50.0) + noise.normal()),
        ("season with edges", &move |i, noise| office(i) + noise.normal()),
        ("season and trend", &|i, noise| 100.0 + i as f64 / 14.0 + wave(i, DAY, 10.0) + noise.normal()),
        ("season and heavy tails", &|i, noise| 100.0 + wave(i, DAY, 10.0) + heavy(noise)),
        ("lognormal", &|i, noise| (0.8 * noise.normal() + wave(i, DAY, 0.5)).exp()),
        ("lone spikes", &|i, noise| 100.0 + noise.normal() + if i % 97 == 50 { 500.0 } else { 0.0 }),
        ("noisy half-days", &|i, noise| 100.0 + noise.normal() * if i / 144 % 2 == 0 { 3.0 } else { 1.0 }),
        ("sawtooth of 17", &|i, noise| (i % 17) as f64 + 0.5 * noise.normal()),
        ("sawtooth of 40", &|i, noise| (i % 40) as f64 + 0.5 * noise.normal()),
        ("rare short bursts", &|i, _| if i % 151 < 4 { 5.0 } else { 0.0 }),
    ];
    let ticks = 30 * DAY;
    for (name, series) in quiet {
        let found: usize = (0..4)
            .map(|seed| {
                let mut noise = Noise::new(seed);
                changes(ticks, "", |i| series(i, &mut noise)).len()
            })
            .sum();
        println!("{name}: {found} false changes in {} ticks", 4 * ticks);
        assert!(found <= usize::from(name == "season and heavy tails"), "{name}: {found}");
    }
}

#[test]
fn a_wandering_series_does_not_change_at_every_turn() {
    for kept in [0.7, 0.95, 1.0] {
        let found: usize = (0..4)
            .map(|seed| {
                let (mut noise, mut level) = (Noise::new(seed), 0.0);
                changes(30 * DAY, "", |_| {
                    level = kept * level + noise.normal();
                    level
                })
                .len()
            })
            .sum();
        println!("autoregression {kept}: {found} changes in {} ticks", 4 * 30 * DAY);
        assert!(found <= 1, "{kept}: {found}");
    }
}

#[test]
fn lasting_shifts_are_found_with_their_beginning_and_told_once() {
    let series: [(&str, &Series); 4] = [
        ("noise", &|_, noise| 100.0 + noise.normal()),
        ("season and noise", &|i, noise| 100.0 + wave(i, DAY, 10.0) + noise.normal()),
        ("season and heavy tails", &|i, noise| 100.0 + wave(i, DAY, 10.0) + heavy(noise)),
        ("trend and noise", &|i, noise| 100.0 + i as f64 / 28.8 + noise.normal()),
    ];
    let at = 6 * DAY + 100;
    for (name, series) in series {
        for size in [4.0, 8.0, -8.0, 40.0] {
            let seeds = if size == 4.0 { 40 } else { 8 };
            let (mut missed, mut extra, mut delays, mut off) = (0, 0, vec![], vec![]);
            for seed in 0..seeds {
                let mut noise = Noise::new(100 + seed);
                let found = changes(at + DAY, "", |i| series(i, &mut noise) + if i >= at { size } else { 0.0 });
                match found.iter().find(|(_, found, _)| (at..at + 50).contains(found)) {
                    Some((began, found, change)) => {
                        delays.push(found - at);
                        off.push((began - at).abs());
                        let moved = change.to - change.from;
                        assert!((moved - size).abs() < 2.5, "{name} {size}: {change:?}");
                    }
                    None => missed += 1,
                }
                extra += found.len().saturating_sub(1);
            }
            delays.sort_unstable();
            off.sort_unstable();
            let at_95 = |sorted: &[i64]| sorted[sorted.len() * 95 / 100];
            println!(
                "{name}, shift of {size} sd: {missed} of {seeds} missed, {extra} told besides; found after {} ticks (95%: {}), \
                 beginning off by {} (95%: {})",
                delays[delays.len() / 2],
                at_95(&delays),
                off[off.len() / 2],
                at_95(&off)
            );
            assert!(
                missed <= usize::from(size == 4.0) * 4 && extra <= 1,
                "{name} {size}: {missed} missed, {extra} extra"
            );
            assert!(delays[delays.len() / 2] <= 18 && at_95(&off) <= 4, "{name} {size}: {delays:?} {off:?}");
        }
    }
}

#[test]
fn teeth_and_nights_are_habit_after_a_few() {
    let mut noise = Noise::new(1);
    // A tooth of a day and a third.
    let teeth = changes(30 * DAY, "", |i| (i % 374) as f64 + noise.normal());
    assert!(teeth.len() <= 3 && teeth.iter().all(|(began, ..)| *began < 5 * DAY), "{teeth:?}");
    let nights = changes(30 * DAY, "", |i| if (i + 100) % DAY < 24 { 50.0 } else { 10.0 } + noise.normal());
    assert_eq!(nights.len(), 0, "{nights:?}");
    let weekend = |i: i64| i / DAY % 7 >= 5;
    let weeks = changes(42 * DAY, "", |i| if weekend(i) { 40.0 } else { 100.0 } + wave(i, DAY, 5.0) + noise.normal());
    assert!(weeks.iter().all(|(began, ..)| *began < 8 * DAY), "news in the first week, none in the second: {weeks:?}");
}

#[test]
fn a_change_of_slope_is_found() {
    let mut noise = Noise::new(2);
    let bend = 6 * DAY;
    let found = changes(bend + DAY, "", |i| 1000.0 + noise.normal() - 0.5 * (i - bend).max(0) as f64);
    assert!((bend - 2..bend + 8).contains(&found[0].0) && found[0].1 < bend + 40, "{found:?}");
    assert!(found[0].2.to < found[0].2.from);
    assert_eq!(found.len(), 1, "the new slope goes on");
}

#[test]
fn there_and_back_are_two_changes_and_a_short_excursion_is_none() {
    let mut noise = Noise::new(3);
    let shift = |i: i64, from: i64, ticks: i64| if (from..from + ticks).contains(&i) { 10.0 } else { 0.0 };
    let found = changes(10 * DAY, "", |i| 50.0 + noise.normal() + shift(i, 6 * DAY + 50, 100));
    let moved: Vec<f64> = found.iter().map(|(.., change)| (change.to - change.from).signum()).collect();
    assert_eq!(moved, [1.0, -1.0], "{found:?}");
    let found = changes(10 * DAY, "", |i| 50.0 + noise.normal() + shift(i, 6 * DAY + 50, 7));
    assert_eq!(found.len(), 0, "{found:?}");
}

#[test]
fn other_intervals_serve_as_well() {
    for (interval, per_day) in [(15_000, 5_760), (MINUTE, 1_440), (30 * MINUTE, 48)] {
        let (mut noise, at) = (Noise::new(4), 6 * per_day + per_day / 3);
        let found = changes_at(interval, at + 100, "", |i| {
            100.0 + wave(i, per_day, 10.0) + noise.normal() + if i >= at { 8.0 } else { 0.0 }
        });
        assert_eq!(found.len(), 1, "{interval}: {found:?}");
        assert!((at - 3..at + 2).contains(&found[0].0) && found[0].1 <= at + 20, "{interval}: {found:?}");
    }
}

#[test]
fn a_constant_that_becomes_another_has_changed() {
    let found = changes(5 * DAY, "", |i| if i < 4 * DAY { 3.0 } else { 4.0 });
    assert_eq!(found.len(), 1);
    let (began, _, change) = found[0];
    assert_eq!((began, change.from, change.to), (4 * DAY, 3.0, 4.0));
}

#[test]
fn the_profile_says_which_changes_count_and_for_how_long() {
    let step = |size: f64| {
        let mut noise = Noise::new(5);
        move |i: i64| 100.0 + noise.normal() + if i >= 5 * DAY { size } else { 0.0 }
    };
    let count = |yaml: &str, size: f64| changes(6 * DAY, yaml, step(size)).len();
    assert_eq!((count("direction: above_expected", 10.0), count("direction: above_expected", -10.0)), (1, 0));
    assert_eq!((count("direction: below_expected", 10.0), count("direction: below_expected", -10.0)), (0, 1));
    assert_eq!((count("min_dev_from_expected: 20", 10.0), count("min_dev_from_expected: 5", 10.0)), (0, 1));
    assert_eq!((count("min_rel_dev_from_expected: 0.2", 10.0), count("min_rel_dev_from_expected: 0.05", 10.0)), (0, 1));
    assert_eq!(count("warm_up: 6d", 10.0), 0, "too young");
    let params = ChangeParams::new(&Profile::parse("name: test\nforgetting: 2d").unwrap(), 5 * MINUTE);
    let (mut detector, mut value) = (ChangeDetector::new(), step(10.0));
    for i in 0..8 * DAY {
        detector.update(&params, i * 5 * MINUTE, value(i));
        let told = detector.change(&params).is_some();
        assert!(
            told == (5 * DAY + 20..=7 * DAY).contains(&i)
                || (5 * DAY..5 * DAY + 20).contains(&i)
                || (i - 7 * DAY).abs() < 3
        );
    }
}

#[test]
fn a_gap_is_no_change_and_neither_is_what_cannot_be_learnt() {
    let params = ChangeParams::new(&Profile::parse("name: test\n").unwrap(), 5 * MINUTE);
    let (mut detector, mut noise) = (ChangeDetector::new(), Noise::new(6));
    assert!(detector.newest().is_none() && detector.change(&params).is_none());
    for i in (0..4 * DAY).chain(5 * DAY..6 * DAY) {
        let t = i * 5 * MINUTE;
        detector.update(&params, t, 10.0 + noise.normal());
        let before = format!("{detector:?}");
        detector.update(&params, t + 1, f64::NAN);
        detector.update(&params, t - 1, 1e9);
        assert_eq!(format!("{detector:?}"), before);
        assert!(detector.change(&params).is_none());
    }
    assert_eq!(detector.learnt().1, (5 * DAY) as u32);
}

#[test]
fn its_state_is_small() {
    assert!(ChangeDetector::state_bytes() <= 1_500, "{}", ChangeDetector::state_bytes());
}

proptest! {
    #[test]
    fn any_values_give_finite_levels(
        values in prop::collection::vec(prop_oneof![
            3 => -1e3..1e3f64,
            1 => prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
            1 => Just(0.0),
        ], 2..600),
        minutes in 1i64..120,
    ) {
        let params = ChangeParams::new(&Profile::parse("name: test\nwarm_up: 1m\n").unwrap(), minutes * MINUTE);
        let mut detector = ChangeDetector::new();
        for (i, v) in values.iter().enumerate() {
            detector.update(&params, i as i64 * minutes * MINUTE, *v);
            if let Some(change) = detector.change(&params) {
                prop_assert!(change.from.is_finite() && change.to.is_finite(), "{:?}", change);
                prop_assert!(change.at <= change.found);
            }
        }
    }
}
