//! When to speak of event time that stays behind the clock. Pure: instants are arguments.

use std::time::{Duration, Instant};

use crate::base::Millis;

/// How often the lag is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How often it is complained of.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Lag beyond a source's own lateness that is complained of, in milliseconds.
const LAG_MAX: Millis = 60_000;

/// Remembers when the lag was measured and complained of.
#[derive(Debug, Default)]
pub(super) struct LagWatch {
    measured: Option<Instant>,
    warned: Option<Instant>,
}

impl LagWatch {
    /// Whether it is time to measure; if so it counts as done.
    pub(super) fn is_due(&mut self, at: Instant) -> bool {
        due(&mut self.measured, at, MEASURE_EVERY)
    }

    /// Whether to complain of this lag where `lateness` is what the slowest source was configured to be waited for; both in
    /// milliseconds.
    pub(super) fn warns(&mut self, lag: Millis, lateness: Millis, at: Instant) -> bool {
        lag.saturating_sub(lateness) > LAG_MAX && due(&mut self.warned, at, WARN_EVERY)
    }
}

fn due(last: &mut Option<Instant>, at: Instant, every: Duration) -> bool {
    let due = last.is_none_or(|last| at.saturating_duration_since(last) >= every);
    if due {
        *last = Some(at);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_complains_once_a_minute_of_what_nobody_configured() {
        let (mut watch, start) = (LagWatch::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!watch.warns(60_000, 0, at(0)));
        assert!(watch.warns(60_001, 0, at(0)));
        assert!(!watch.warns(90_000, 0, at(59)));
        assert!(watch.warns(120_000, 0, at(60)));
        assert!(!watch.warns(150_000, 90_000, at(200)), "as configured");
        assert!(watch.is_due(at(0)) && !watch.is_due(start + Duration::from_millis(999)) && watch.is_due(at(1)));
    }
}
