//! A sample that rules have made.

use super::{Labels, Millis};

/// A recorded sample, of `ALERTS` and `ALERTS_FOR_STATE` as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Series.
    pub labels: Labels,
    /// Instant.
    pub t: Millis,
    /// Value, or the staleness marker.
    pub v: f64,
}
