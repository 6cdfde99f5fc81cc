//! Models that are saved in the middle and read back go on to the last bit, and what is saved is no larger than what is held.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::synthetic::Noise;
use super::{ChangeDetector, ChangeParams, Detector, DetectorParams, Forecaster, ForecasterParams, Profile, Reading};

const MINUTE: i64 = 60_000;

fn profile() -> Profile {
    Profile::parse("name: test\nwarm_up: 1h\n").unwrap()
}

/// Through bytes and back, and how many there were.
fn saved<T: Serialize + DeserializeOwned>(model: &T) -> (T, usize) {
    let bytes = postcard::to_stdvec(model).unwrap();
    (postcard::from_bytes(&bytes).unwrap(), bytes.len())
}

/// Feeds all kinds of model; at `cut` others begin as what was saved of the first, and must stay the same.
fn assert_same_from(cut: usize, interval: i64, values: &[f64]) {
    let (of_detector, of_forecaster) =
        (DetectorParams::new(&profile(), interval), ForecasterParams::new(&profile(), interval));
    let of_changes = ChangeParams::new(&profile(), interval);
    let (mut detector, mut forecaster, mut changes) = (Detector::new(), Forecaster::new(), ChangeDetector::new());
    let mut twins = None;
    for (i, &v) in values.iter().enumerate() {
        if i == cut {
            let (detector, detector_bytes) = saved(&detector);
            let (forecaster, forecaster_bytes) = saved(&forecaster);
            // Numbers of varying length may take a byte or two more than in memory.
            assert!(detector_bytes <= Detector::state_bytes() + 8, "{detector_bytes}");
            assert!(forecaster_bytes <= Forecaster::state_bytes() + 8, "{forecaster_bytes}");
            let (changes, changes_bytes) = saved(&changes);
            assert!(changes_bytes <= ChangeDetector::state_bytes() + 8, "{changes_bytes}");
            twins = Some((detector, forecaster, changes));
        }
        let t = i as i64 * interval;
        let score = detector.update(&of_detector, t, v);
        forecaster.update(&of_forecaster, t, v);
        changes.update(&of_changes, t, v);
        if let Some((detector, forecaster, changes)) = &mut twins {
            changes.update(&of_changes, t, v);
            let twin = detector.update(&of_detector, t, v);
            assert_eq!(format!("{score:?}"), format!("{twin:?}"), "at {i}");
            forecaster.update(&of_forecaster, t, v);
            if let Some(score) = &score {
                let reading = Reading::new(v, score);
                assert_eq!(format!("{reading:?}"), format!("{:?}", saved(&reading).0));
            }
        }
    }
    let (twin_detector, twin_forecaster, twin_changes) = twins.unwrap();
    assert_eq!(format!("{changes:?}"), format!("{twin_changes:?}"));
    assert_eq!(format!("{detector:?}"), format!("{twin_detector:?}"));
    assert_eq!(format!("{forecaster:?}"), format!("{twin_forecaster:?}"));
}

#[test]
fn a_model_of_weeks_goes_on_as_it_was() {
    let mut noise = Noise::new(11);
    let values: Vec<f64> = (0..30 * 288)
        .map(|i| 50.0 + 20.0 * (f64::from(i) / 288.0 * std::f64::consts::TAU).sin() + noise.normal())
        .map(|v| if v > 72.5 { v * 3.0 } else { v })
        .collect();
    for cut in [0, 1, 40, 288, 2_000, 8_600] {
        assert_same_from(cut, 5 * MINUTE, &values);
    }
}

proptest! {
    #[test]
    fn saving_changes_nothing_whatever_the_values(
        values in prop::collection::vec(prop_oneof![
            3 => -1e3..1e3f64,
            1 => prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
            1 => Just(0.0),
        ], 2..400),
        cut: prop::sample::Index,
        minutes in 1i64..120,
    ) {
        assert_same_from(cut.index(values.len()), minutes * MINUTE, &values);
    }
}
