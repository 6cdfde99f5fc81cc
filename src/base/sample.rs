//! A sample, and the marker with which Prometheus says that a series has ended.

use serde::{Deserialize, Serialize};

use super::Millis;

/// One observation of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Event time, milliseconds since the Unix epoch.
    pub t: Millis,
    /// The value; may be NaN, infinite or the staleness marker.
    pub v: f64,
}

/// Bit pattern of Prometheus' staleness marker (`value.StaleNaN` in prometheus/prometheus `model/value`).
/// It is a signalling NaN and must never be used in arithmetic.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a value.
#[must_use]
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `v` is the staleness marker (an ordinary NaN is not).
#[inline]
#[must_use]
pub fn is_stale(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_nan_is_not_stale() {
        assert!(is_stale(stale_nan()));
        assert!(!is_stale(f64::NAN));
        assert!(!is_stale(0.0));
    }
}
