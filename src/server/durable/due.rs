//! When a checkpoint is due. Pure: the clock and the size of the log are arguments.

use std::time::{Duration, Instant};

/// Shortest wait after the first failure, unless checkpoints are taken more often than that; it doubles from failure to failure.
const RETRY: Duration = Duration::from_secs(5);
/// Longest wait after a failure, unless checkpoints are rarer than that.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long writing one takes where the disk does not hang.
const WRITING_MAX: Duration = Duration::from_secs(10);
/// Doublings that are counted.
const DOUBLINGS_MAX: u32 = 8;

/// What is known of the checkpoints so far.
#[derive(Debug)]
pub struct Due {
    interval: Duration,
    /// Bytes of the log from which on one is due at once.
    log_high: u64,
    begun: Option<Instant>,
    /// Whether one is being written.
    busy: bool,
    /// Failures since one was written.
    failures: u32,
    failed: Option<Instant>,
}

impl Due {
    /// None so far.
    #[must_use]
    pub fn new(interval: Duration, log_high: u64) -> Self {
        Self { interval, log_high, begun: None, busy: false, failures: 0, failed: None }
    }

    /// Whether one should be taken now: none is being written, and time has come, the log has grown, or (`unlogged`) the
    /// engine has what is not in the log. After a failure only time counts: each attempt stops the engine to be copied, and
    /// a full log is no reason to stop it for nothing.
    #[must_use]
    pub fn is_now(&self, now: Instant, log_bytes: u64, unlogged: bool) -> bool {
        if self.busy || !past(self.failed, self.retry(), now) {
            return false;
        }
        let interval = if unlogged { self.interval.min(RETRY) } else { self.interval };
        self.failed.is_some() || log_bytes >= self.log_high || past(self.begun, interval, now)
    }

    /// Whether one is being written for so long that the disk must be taken to hang.
    #[must_use]
    pub fn hangs(&self, now: Instant) -> bool {
        self.busy && past(self.begun, WRITING_MAX, now)
    }

    /// One is being written.
    pub fn begin(&mut self, now: Instant) {
        (self.begun, self.busy) = (Some(now), true);
    }

    /// It is written, or could not be. True if that is news: the first failure, or the end of failures.
    pub fn end(&mut self, now: Instant, written: bool) -> bool {
        self.busy = false;
        let failed_before = self.failed.is_some();
        if written {
            (self.failures, self.failed) = (0, None);
        } else {
            (self.failures, self.failed) = (self.failures.saturating_add(1), Some(now));
        }
        failed_before == written
    }

    /// The wait after the failures so far.
    fn retry(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(DOUBLINGS_MAX);
        (self.interval.min(RETRY) * (1 << doublings)).min(self.interval.max(RETRY_MAX))
    }
}

/// Whether so much time has passed; since never it has.
fn past(since: Option<Instant>, wait: Duration, now: Instant) -> bool {
    since.is_none_or(|since| now.saturating_duration_since(since) >= wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn time_or_a_log_that_grows_makes_one_due() {
        let (mut due, start) = (Due::new(INTERVAL, 100), Instant::now());
        assert!(due.is_now(start, 0, false));
        due.begin(start);
        assert!(!due.is_now(start + INTERVAL, 1000, false));
        assert!(!due.end(start, true));
        assert!(!due.is_now(start + INTERVAL / 2, 99, false));
        assert!(due.is_now(start + INTERVAL / 2, 100, false));
        assert!(due.is_now(start + INTERVAL, 0, false));
    }

    #[test]
    fn what_is_not_in_the_log_is_soon_in_a_checkpoint() {
        let (mut due, start) = (Due::new(INTERVAL, 100), Instant::now());
        due.begin(start);
        due.end(start, true);
        assert!(!due.is_now(start + RETRY, 0, false) && due.is_now(start + RETRY, 0, true));
        assert!(!due.is_now(start + RETRY / 2, 0, true), "not one after the other while the log hangs");
    }

    #[test]
    fn one_that_takes_too_long_hangs_until_it_ends() {
        let (mut due, start) = (Due::new(INTERVAL, 100), Instant::now());
        assert!(!due.hangs(start));
        due.begin(start);
        assert!(!due.hangs(start + WRITING_MAX / 2) && due.hangs(start + WRITING_MAX));
        due.end(start + WRITING_MAX, true);
        assert!(!due.hangs(start + WRITING_MAX));
    }

    #[test]
    fn failures_are_not_repeated_at_once_however_full_the_log_is() {
        let (mut due, mut now) = (Due::new(INTERVAL, 100), Instant::now());
        let mut waits = Vec::new();
        for n in 0..6 {
            due.begin(now);
            assert_eq!(due.end(now, false), n == 0, "told once");
            let from = now;
            while !due.is_now(now, 1000, false) {
                now += Duration::from_millis(500);
            }
            waits.push((now - from).as_secs());
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        due.begin(now);
        assert!(due.end(now, true));
        assert!(due.is_now(now, 100, false) && !due.is_now(now, 99, false));
    }

    #[test]
    fn frequent_checkpoints_are_tried_again_as_often_at_first() {
        let (mut due, now) = (Due::new(Duration::from_millis(400), 100), Instant::now());
        due.begin(now);
        due.end(now, false);
        assert!(!due.is_now(now + Duration::from_millis(399), 100, false));
        assert!(due.is_now(now + Duration::from_millis(400), 0, false));
    }
}
