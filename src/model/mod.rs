//! Online models: an anomaly score and a forecast distribution for one series, updated point by point.
//!
//! Pure: no clock, no I/O, no randomness, no allocation in an update. State is plain data without pointers, so that the
//! states of many series can lie side by side. Knows nothing of rules, labels or alerts; constants of one (profile, interval) are computed once and shared.

mod baseline;
mod budget;
mod calendar;
mod compact;
mod detector;
#[cfg(test)]
mod detector_tests;
mod exclusion;
mod explanation;
mod explanation_text;
mod forecaster;
#[cfg(test)]
mod forecaster_tests;
mod horizon;
mod hourly;
mod members;
mod outlook;
mod profile;
#[cfg(test)]
mod profile_tests;
mod range;
mod ratchet;
mod recurrence;
mod sawtooth;
mod segment;
#[cfg(test)]
mod synthetic;
mod tail;
mod trend;
mod week;

pub use calendar::Calendar;
pub use detector::{Detector, DetectorParams, Score};
pub use exclusion::Exclusion;
pub use explanation::{
    Ahead, AnomalyExplanation, Crossing, ForecastExplanation, Interval, ModelExplanation, NotScored, Parts, Reading,
};
pub use forecaster::{Forecaster, ForecasterParams};
pub use outlook::Outlook;
pub use profile::{Direction, Profile, ProfileError, Seasonality};
pub use range::Feature;
