//! Online models: an anomaly score and a forecast distribution for one series, updated point by point.
//!
//! Pure: no clock, no I/O, no randomness, no allocation in an update. State is plain data without pointers, so that the
//! states of many series can lie side by side. Knows nothing of rules, labels or alerts; constants of one (profile, interval) are computed once and shared.

mod approach;
mod baseline;
mod budget;
mod calendar;
mod cells;
mod change_point;
#[cfg(test)]
mod change_point_tests;
mod compact;
mod crossing;
mod detector;
#[cfg(test)]
mod detector_tests;
#[cfg(test)]
mod ensemble_tests;
mod exclusion;
mod explanation;
mod explanation_text;
mod fading_line;
mod forecaster;
#[cfg(test)]
mod forecaster_tests;
mod growing_line;
mod habit;
mod horizon;
mod hourly;
mod members;
mod outlook;
mod peers;
mod probe;
mod profile;
#[cfg(test)]
mod profile_tests;
mod quantiles;
mod range;
mod ratchet;
mod recurrence;
mod saved;
#[cfg(test)]
mod saved_tests;
mod sawtooth;
mod segment;
mod smoothing;
#[cfg(test)]
mod synthetic;
mod tail;
mod trend;
mod week;
mod weekday;

pub use calendar::Calendar;
pub use change_point::{Change, ChangeDetector, ChangeParams};
pub use detector::{Detector, DetectorParams, Score};
pub use exclusion::Exclusion;
pub use explanation::{
    Ahead, AnomalyExplanation, ChangeExplanation, Crossing, ForecastExplanation, Interval, ModelExplanation, NotScored,
    Parts, Reading,
};
pub use forecaster::{Forecaster, ForecasterParams};
pub use outlook::Outlook;
pub use peers::peer_scores;
pub use profile::{Direction, Profile, ProfileError, Seasonality};
pub use range::Feature;
