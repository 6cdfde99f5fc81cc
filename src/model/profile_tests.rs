//! What each shipped profile is for, on deterministic series of its kind, against the default profile.

use super::synthetic::Noise;
use super::{Detector, DetectorParams, Profile};

const MINUTE: i64 = 60_000;
const DAY: i64 = 1440;

/// Minutes at which a series at one point a minute pages, two hours being one page.
fn pages(profile: &str, days: i64, value: impl FnMut(i64) -> f64) -> Vec<i64> {
    let mut value = value;
    let params = DetectorParams::new(&Profile::builtin(profile).unwrap(), MINUTE);
    let mut detector = Detector::new();
    let mut found: Vec<i64> = Vec::new();
    let mut last = i64::MIN / 2;
    for i in 0..days * DAY {
        if detector.update(&params, i * MINUTE, value(i)).unwrap().score > 1.0 {
            if i - last > 120 {
                found.push(i);
            }
            last = i;
        }
    }
    found
}

#[test]
fn an_error_ratio_pages_where_somebody_would_notice() {
    // A share of .1% that rises to .4%, and later to 6%.
    let (small, large) = (10 * DAY, 12 * DAY);
    let ratio = |profile: &str| {
        let mut noise = Noise::new(91);
        pages(profile, 14, |i| {
            let share = if (small..small + 60).contains(&i) { 0.004 } else { 0.001 };
            let share = if (large..large + 60).contains(&i) { 0.06 } else { share };
            (share + 0.0002 * noise.normal()).clamp(0.0, 1.0)
        })
    };
    let near = |found: &[i64], at: i64| found.iter().any(|i| (at..at + 60).contains(i));
    let (default, error_ratio) = (ratio("default"), ratio("error-ratio"));
    assert!(near(&default, small) && near(&default, large), "{default:?}");
    assert_eq!(error_ratio.len(), 1, "{error_ratio:?}");
    assert!(near(&error_ratio, large), "{error_ratio:?}");
}

#[test]
fn a_sparse_series_pages_at_a_burst_and_not_at_single_events() {
    let burst = 12 * DAY + 300;
    let sparse = |profile: &str| {
        let mut noise = Noise::new(92);
        pages(profile, 14, |i| {
            let one = f64::from(u8::from(noise.uniform() < 8.0 / DAY as f64));
            if (burst..burst + 10).contains(&i) { 6.0 } else { one }
        })
    };
    let (default, own) = (sparse("default"), sparse("sparse"));
    assert_eq!(own, [burst]);
    assert!(default.len() > own.len(), "{default:?}");
}

#[test]
fn a_batch_job_of_ordinary_length_is_no_finding_and_one_of_twice_the_height_is() {
    let high = 24 * DAY + 400;
    let jobs = |profile: &str| {
        let (mut noise, mut chance) = (Noise::new(93), Noise::new(94));
        let mut left = 0;
        pages(profile, 28, |i| {
            if left > 0 {
                left -= 1;
            } else if chance.uniform() < 3.0 / DAY as f64 {
                left = 10 + (50.0 * chance.uniform()) as i64;
            }
            let busy = if left > 0 { 80.0 + 5.0 * noise.normal() } else { 2.0 + 0.3 * noise.normal() };
            if (high..high + 30).contains(&i) { 200.0 } else { busy }
        })
    };
    let (default, own) = (jobs("default"), jobs("batch-job"));
    assert!(own.iter().any(|i| (high..high + 30).contains(i)), "{own:?}");
    assert!(own.len() <= default.len() && own.len() <= 4, "{own:?} {default:?}");
}
