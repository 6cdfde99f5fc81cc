//! How long to wait before the next attempt: exponential, capped, with full jitter, so that many workers whose receiver
//! comes back do not all call at once (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use std::time::Duration;

/// Waiting times between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait after the first failure; doubles with each further one.
    pub base: Duration,
    /// Longest wait of all: with the 10 s of an attempt that hangs, half of the 30 s within which a receiver that is back has
    /// all is left for the deliveries.
    pub cap: Duration,
    /// Longest wait that a receiver may ask for by `Retry-After`.
    pub retry_after_cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(250),
            cap: Duration::from_secs(5),
            retry_after_cap: Duration::from_secs(300),
        }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row (from 1), `random` uniform in 0..1. A receiver that wishes for a longer one
    /// gets it, up to its cap; "at once", or a date that is over, must not have it called without a pause.
    #[must_use]
    pub fn wait(&self, failures: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        let own = ceiling.mul_f64(random.clamp(0.0, 1.0));
        own.max(retry_after.unwrap_or_default().min(self.retry_after_cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread_over_the_whole_range() {
        let backoff = Backoff::default();
        let longest: Vec<_> = [1, 2, 3, 8, 99, u32::MAX].map(|n| backoff.wait(n, 1.0, None).as_millis()).to_vec();
        assert_eq!(longest, [250, 500, 1_000, 5_000, 5_000, 5_000]);
        assert_eq!(backoff.wait(3, 0.0, None), Duration::ZERO);
        assert_eq!(backoff.wait(3, 0.5, None), Duration::from_millis(500));
    }

    #[test]
    fn a_receivers_wish_is_honoured_within_reason() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(1, 0.0, Some(Duration::from_secs(60))), Duration::from_secs(60));
        assert_eq!(backoff.wait(1, 0.0, Some(Duration::from_secs(86_400))), Duration::from_secs(300));
    }

    #[test]
    fn nobody_can_ask_for_less_than_the_usual_wait() {
        let backoff = Backoff::default();
        for wish in [Duration::ZERO, Duration::from_millis(1)] {
            assert_eq!(backoff.wait(8, 0.5, Some(wish)), backoff.wait(8, 0.5, None));
        }
    }
}
