//! For sources that follow a timetable: where their slots lie, and what they may promise between them.
//!
//! Knows nothing of what is read in a slot.

use std::convert::Infallible;
use std::time::Duration;

use super::{Closed, Inlet, clock};
use crate::base::Millis;

/// How often a source says that it is quiet.
const PROMISE_EVERY: Duration = Duration::from_secs(1);

/// The first instant after `now` that lies `offset` into an interval.
pub(super) fn next_slot(now: Millis, interval: Millis, offset: Millis) -> Millis {
    now + interval - (now - offset).rem_euclid(interval)
}

/// The slot that follows `done`, and whether the clock has been set back to before it.
///
/// Slots missed while the queue was full are left out, and a clock set back a little does not repeat one. One set back by
/// more than two intervals must not stop the source until it has caught up.
pub(super) fn following_slot(done: Millis, now: Millis, interval: Millis, offset: Millis) -> (Millis, bool) {
    let set_back = done > now.saturating_add(interval.saturating_mul(2));
    let from = if set_back { now } else { now.max(done) };
    (next_slot(from, interval, offset), set_back)
}

/// Says again and again that nothing older than now will come, until the slot `t` that comes next; what then comes may be
/// `behind` older. The queue keeps the order, so that dropping this and then sending what was read breaks no promise.
///
/// # Errors
/// The engine has shut down; until then it does not return.
pub(super) async fn promise_quiet(inlet: &Inlet, t: Millis, behind: Millis) -> Result<Infallible, Closed> {
    loop {
        inlet.quiet(clock::now().min(t - 1).saturating_sub(behind)).await?;
        tokio::time::sleep(PROMISE_EVERY).await;
    }
}

/// Says in the log that the clock was set back.
pub(super) fn tell_set_back(source: &str, done: Millis, now: Millis) {
    let by_seconds = (done - now) / 1000;
    tracing::warn!(source, by_seconds, "the clock was set back: until it has caught up samples are late");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_at_the_offset_and_after_now() {
        assert_eq!(next_slot(100, 15, 3), 108);
        assert_eq!(next_slot(108, 15, 3), 123);
        assert_eq!(next_slot(107, 15, 3), 108);
    }

    #[test]
    fn a_clock_set_back_repeats_no_slot_and_stops_no_source() {
        assert_eq!(following_slot(108, 110, 15, 3), (123, false), "in time");
        assert_eq!(following_slot(108, 200, 15, 3), (213, false), "the missed ones are left out");
        assert_eq!(following_slot(108, 100, 15, 3), (123, false), "no slot twice");
        assert_eq!(following_slot(108, 78, 15, 3), (123, false));
        assert_eq!(following_slot(108, 77, 15, 3), (78, true));
        assert_eq!(following_slot(3_600_003, 0, 15, 3), (3, true));
    }
}
