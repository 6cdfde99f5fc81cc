//! A span of event time that samples are taken from. Reads no clock: the instant it lies around is handed in.

use super::{Limits, Millis};

/// The instants from `oldest` to `newest`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    /// The first.
    pub oldest: Millis,
    /// The last.
    pub newest: Millis,
}

impl TimeSpan {
    /// All instants: for recordings, whose times are what they are.
    pub const ALL: Self = Self { oldest: Millis::MIN, newest: Millis::MAX };

    /// What a live source takes when its host's clock says `now`: `limits.past_seconds` and `limits.future_seconds`.
    #[must_use]
    pub fn around(now: Millis, limits: &Limits) -> Self {
        let span = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        Self {
            oldest: now.saturating_sub(span(limits.past_seconds)),
            newest: now.saturating_add(span(limits.future_seconds)),
        }
    }

    /// Whether an instant lies in the span.
    #[must_use]
    pub fn contains(self, t: Millis) -> bool {
        (self.oldest..=self.newest).contains(&t)
    }
}
