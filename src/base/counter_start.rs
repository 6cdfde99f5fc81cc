//! Where a counter begins. It goes the way of samples (batches, the log, snapshots) as one whose value is a NaN of a pattern
//! of its own, and becomes a zero where it reaches its series, or nothing: only there it is known what came before.

/// How a counter begins, or that only its series knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterStart {
    /// It was created at this instant: zero, unless its series has a sample as new.
    Created,
    /// It is counted anew behind this instant: zero, where its series has older samples and did not stand at zero.
    Anew,
    /// The sample behind it, of the same instant, is what the counter has grown by since its series' newest sample. A series that
    /// has a sample of that instant has it counted.
    Increment,
}

// Negative signalling NaNs: no arithmetic makes them, and in a total order they come before all values, so that of two
// samples of one instant the measured one stands.
const CREATED_BITS: u64 = 0xfff0_0000_0000_0003;
const ANEW_BITS: u64 = 0xfff0_0000_0000_0004;
const INCREMENT_BITS: u64 = 0xfff0_0000_0000_0005;

impl CounterStart {
    /// What stands for it in place of a value. Must never be used in arithmetic.
    #[must_use]
    pub fn as_value(self) -> f64 {
        f64::from_bits(match self {
            Self::Created => CREATED_BITS,
            Self::Anew => ANEW_BITS,
            Self::Increment => INCREMENT_BITS,
        })
    }

    /// What a value stands for; None for every value that was measured.
    #[inline]
    #[must_use]
    pub fn of(v: f64) -> Option<Self> {
        match v.to_bits() {
            CREATED_BITS => Some(Self::Created),
            ANEW_BITS => Some(Self::Anew),
            INCREMENT_BITS => Some(Self::Increment),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stale_nan;

    #[test]
    fn no_value_is_taken_for_a_start_and_all_come_after_one() {
        for start in [CounterStart::Created, CounterStart::Anew, CounterStart::Increment] {
            assert_eq!(CounterStart::of(start.as_value()), Some(start));
            for v in [0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, stale_nan()] {
                assert_eq!(CounterStart::of(v), None);
                assert!(start.as_value().total_cmp(&v).is_lt(), "{v}");
            }
        }
    }
}
