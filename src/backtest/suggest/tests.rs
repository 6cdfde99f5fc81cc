//! Series of each kind are put where they belong; nothing hangs on order, unit or size; nothing panics.

use std::f64::consts::TAU;

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::model::Profile;

const MINUTE: Millis = 60_000;
const START: Millis = 1_700_006_400_000;

fn made(n: usize, step: Millis, mut value: impl FnMut(f64) -> f64) -> Vec<(Millis, f64)> {
    (0..n as Millis).map(|i| (START + i * step, value((i * step) as f64 / 86_400_000.0))).collect()
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

/// Two weeks at five minutes of a kind.
fn example(kind: Kind, seed: u64) -> Vec<(Millis, f64)> {
    let mut rng = Rng::with_seed(seed);
    let size = 1.0 + 50.0 * rng.f64();
    let phase = rng.f64();
    let mut left = 0;
    let mut level = 0.0;
    let mut of = |day: f64| -> f64 {
        let wave = (TAU * (day + phase)).sin();
        match kind {
            Kind::Filling => size * (100.0 + 5.0 * day + 0.3 * wave + 0.2 * normal(&mut rng)),
            Kind::Draining => size * (100.0 - 5.0 * day + 0.3 * wave + 0.2 * normal(&mut rng)),
            Kind::Sawtooth => {
                level += 0.8 + 0.4 * rng.f64();
                if level > 80.0 + 20.0 * rng.f64() {
                    level = 0.0;
                }
                size * (50.0 + level)
            }
            Kind::Utilisation => (0.55 + 0.1 * wave + 0.05 * normal(&mut rng)).clamp(0.0, 1.0),
            Kind::Traffic => {
                let weekend = if (day as i64 % 7) >= 5 { 0.6 } else { 1.0 };
                size * weekend * (100.0 + 40.0 * wave + 5.0 * normal(&mut rng))
            }
            Kind::Latency => size * (0.6 * normal(&mut rng)).exp() * (1.0 + 0.1 * wave),
            Kind::Failures => (0.004 * (1.0 + 0.3 * normal(&mut rng))).clamp(0.0, 1.0),
            Kind::Successes => (1.0 - 0.004 * (1.0 + 0.3 * normal(&mut rng))).clamp(0.0, 1.0),
            Kind::Events => f64::from(u8::from(rng.f64() < 0.02)) * rng.u32(1..4) as f64,
            Kind::Job => {
                // Two hours a night.
                if (day + phase).fract() < 1.0 / 12.0 { size * (100.0 + 10.0 * normal(&mut rng)) } else { 0.0 }
            }
            Kind::Plain => 20.0 + size * normal(&mut rng),
            Kind::Constant => size,
            Kind::Unknown => normal(&mut rng),
        }
    };
    left += if kind == Kind::Unknown { 19 } else { 14 * 288 };
    made(left, 5 * MINUTE, &mut of)
}

const KINDS: [Kind; 13] = [
    Kind::Filling,
    Kind::Draining,
    Kind::Sawtooth,
    Kind::Utilisation,
    Kind::Traffic,
    Kind::Latency,
    Kind::Failures,
    Kind::Successes,
    Kind::Events,
    Kind::Job,
    Kind::Plain,
    Kind::Constant,
    Kind::Unknown,
];

fn named(name: &str, instance: &str, points: Vec<(Millis, f64)>) -> NamedSeries {
    NamedSeries { labels: Labels::from_pairs([(METRIC_NAME, name), ("instance", instance)]), points }
}

/// Five of each kind.
fn fleet() -> Vec<NamedSeries> {
    let one =
        |kind: Kind, seed: u64| named(&format!("{kind:?}").to_lowercase(), &seed.to_string(), example(kind, seed));
    KINDS.iter().flat_map(|kind| (0..5).map(move |seed| one(*kind, seed))).collect()
}

#[test]
fn a_series_of_each_kind_is_known() {
    for kind in KINDS {
        for seed in 0..10 {
            let found = features(&example(kind, seed));
            assert_eq!(Kind::of(&found), kind, "seed {seed}: {found:?}");
        }
    }
}

#[test]
fn a_move_to_another_level_is_no_growth() {
    let mut rng = Rng::with_seed(2);
    let mut moved =
        |to: f64| features(&made(2_000, 5 * MINUTE, |day| if day > 3.0 { to } else { 10.0 } + normal(&mut rng)));
    for to in [50.0, -50.0] {
        assert!(moved(to).growth.abs() < 0.1, "{:?}", moved(to));
    }
}

#[test]
fn series_of_one_kind_are_one_group() {
    let groups = suggest(&fleet());
    for group in &groups {
        let wanted = format!("{:?}", group.kind).to_lowercase();
        for member in &group.members {
            assert!(member.series.starts_with(&wanted), "{} among {wanted}: {:?}", member.series, member.features);
            assert_eq!(member.kind, group.kind, "{}", member.series);
        }
    }
    let of = |kind: Kind| groups.iter().filter(|group| group.kind == kind).count();
    let counts: Vec<(Kind, usize)> = KINDS.into_iter().map(|kind| (kind, of(kind))).collect();
    assert!(counts.iter().all(|(_, n)| *n == 1), "{counts:?}");
}

#[test]
fn the_order_of_the_series_makes_no_difference() {
    let mut series = fleet();
    let first = serde_json::to_string(&suggest(&series)).unwrap();
    assert_eq!(serde_json::to_string(&suggest(&series)).unwrap(), first);
    Rng::with_seed(3).shuffle(&mut series);
    assert_eq!(serde_json::to_string(&suggest(&series)).unwrap(), first);
}

#[test]
fn the_unit_makes_no_difference() {
    // Not to shares and counts, whose unit is what they are known by.
    for kind in [Kind::Filling, Kind::Draining, Kind::Sawtooth, Kind::Traffic, Kind::Latency, Kind::Job, Kind::Plain] {
        let points = example(kind, 4);
        let plain = features(&points);
        for unit in [1e-9, 1024.0, 3.7e12] {
            let scaled: Vec<(Millis, f64)> = points.iter().map(|(t, v)| (*t, v * unit)).collect();
            let found = Features { integers: plain.integers, within_one: plain.within_one, ..features(&scaled) };
            assert!((found.median / unit - plain.median).abs() <= 1e-9 * plain.median.abs());
            assert_eq!(found.row(), plain.row(), "{kind:?} in {unit}");
            if unit > 1.0 {
                assert_eq!(Kind::of(&features(&scaled)), kind);
            }
        }
    }
}

#[test]
fn counters_are_judged_by_their_rates() {
    let mut total = 0.0;
    let traffic = example(Kind::Traffic, 1);
    let counter: Vec<(Millis, f64)> = traffic
        .iter()
        .enumerate()
        .map(|(i, (t, v))| {
            total = if i == 2_000 { 0.0 } else { total + v };
            (*t, total)
        })
        .collect();
    let as_counter = suggest(&[named("requests_total", "a", counter.clone())]).remove(0);
    assert_eq!((as_counter.kind, as_counter.members[0].counter), (Kind::Traffic, true));
    assert!(as_counter.rules.contains(r#"predict_anomaly(rate(requests_total[5m]), "traffic") > 1"#));
    let as_gauge = suggest(&[named("requests", "a", counter)]).remove(0);
    assert!(!as_gauge.members[0].counter);
}

#[test]
fn rules_load_and_name_profiles_that_are_carried() {
    let mut series = fleet();
    // A name that is none in the language, and one that YAML takes apart.
    series.push(named("a-\"b\\'c: #", "x", example(Kind::Traffic, 9)));
    series.push(named("6005", "x", example(Kind::Filling, 9)));
    for group in suggest(&series) {
        assert!(Profile::builtin(group.profile).is_some(), "{}", group.profile);
        let indented: String = group.rules.lines().map(|line| format!("      {line}\n")).collect();
        let file = format!("groups:\n  - name: a\n    rules:\n{indented}");
        let (groups, diagnostics) = crate::rules::load_file("rules.yml", &file);
        let faults: Vec<String> = diagnostics.iter().map(|d| d.render(false)).collect();
        assert_eq!(faults, Vec::<String>::new(), "{}", group.rules);
        assert_eq!(groups[0].rules.len(), group.rules.matches("- alert: ").count(), "{}", group.rules);
    }
}

#[test]
fn peers_are_compared_by_the_label_that_they_differ_in() {
    let fleet = fleet();
    let with = |n: usize| suggest(&fleet[..n]).remove(0).rules;
    assert!(with(5).contains("expr: 'outlier_score(filling, \"instance\") > 1'"), "{}", with(5));
    assert!(!with(2).contains("outlier_score"), "{}", with(2));
}

#[test]
fn peers_differ_in_one_label() {
    let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let three = |name: &str| ["a", "b", "c"].map(|v| of(&[(METRIC_NAME, "m"), ("job", "j"), (name, v)]));
    let found = |all: &[Labels]| peers(&all.iter().collect::<Vec<_>>());
    assert_eq!(found(&three("pod")).as_deref(), Some("pod"));
    assert_eq!(found(&three("pod")[..2]), None, "too few");
    assert_eq!(found(&three(METRIC_NAME)), None, "other metrics");
    let mut two = three("pod").to_vec();
    two[2] = of(&[(METRIC_NAME, "m"), ("job", "k"), ("pod", "a")]);
    assert_eq!(found(&two), None, "two labels");
    two[2] = of(&[(METRIC_NAME, "m"), ("job", "j"), ("pod", "a"), ("zone", "z")]);
    assert_eq!(found(&two), None, "another label");
}

#[test]
fn nothing_is_said_of_nothing() {
    assert!(suggest(&[]).is_empty());
    let nan = made(100, MINUTE, |_| f64::NAN);
    for points in [vec![], nan, made(1, MINUTE, |_| 1.0), made(3, MINUTE, |day| day)] {
        let groups = suggest(&[named("x", "a", points)]);
        assert_eq!((groups.len(), groups[0].kind, groups[0].profile), (1, Kind::Unknown, "default"));
    }
    assert_eq!(Kind::of(&features(&made(100, MINUTE, |_| 0.0))), Kind::Constant);
    // More of them than a leaf of the search tree holds.
    let many: Vec<NamedSeries> = (0..200).map(|i| named("x", &i.to_string(), made(30, MINUTE, |_| 7.0))).collect();
    assert_eq!(suggest(&many).len(), 1);
}

#[test]
fn a_season_is_not_found_in_noise_and_wandering() {
    for seed in 0..10 {
        let mut rng = Rng::with_seed(seed);
        let noise = features(&made(28 * 24, 60 * MINUTE, |_| normal(&mut rng)));
        assert!(noise.daily < 0.1 && noise.weekly < 0.15, "{noise:?}");
        let mut level = 0.0;
        let wandering = features(&made(28 * 24, 60 * MINUTE, |_| {
            level += normal(&mut rng);
            level
        }));
        assert!(wandering.daily < 0.3, "{wandering:?}");
        let clean = features(&made(28 * 24, 60 * MINUTE, |day| (TAU * day).sin() + 0.5 * (TAU * day / 7.0).sin()));
        assert!(clean.daily > 0.95 && clean.weekly > 0.9, "{clean:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_series_panics_and_features_stay_in_range(
        values in prop::collection::vec(prop_oneof![
            any::<f64>(), Just(0.0), Just(1.0), -1e3..1e3, Just(f64::MAX), Just(f64::MIN_POSITIVE / 8.0)
        ], 0..300),
        step in prop_oneof![1..1_000i64, 1_000..100_000_000i64],
        origin in prop_oneof![Just(0i64), Just(i64::MIN), Just(-1i64), 0..2_000_000_000_000i64],
    ) {
        let points: Vec<(Millis, f64)> =
            values.iter().enumerate().map(|(i, v)| (origin + i as i64 * step, *v)).collect();
        let f = features(&points);
        for share in [f.zeros, f.still, f.integers, f.negative, f.within_one, f.tails, f.daily, f.weekly, f.rises] {
            prop_assert!((0.0..=1.0).contains(&share), "{f:?}");
        }
        prop_assert!(f.growth.abs() <= 1.0 + 1e-9 && f.skew.abs() <= 1.0 + 1e-9 && f.median.is_finite(), "{f:?}");
        let groups = suggest(&[named("x_total", "a", points.clone()), named("y", "a", points)]);
        prop_assert_eq!(groups.iter().map(|group| group.members.len()).sum::<usize>(), 2);
    }
}
