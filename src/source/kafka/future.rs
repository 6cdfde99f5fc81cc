//! Whose clock is wrong where samples lie in the future: a sender's, whose samples are dropped, or this host's, which has to be
//! waited for, since what it drops would be gone. Pure; offsets, clocks and records' timestamps are arguments.
//!
//! Two witnesses speak against this host's clock: event time that has come further (it was set back since), and the timestamp of the
//! record itself, given by its producer or the broker, if that lies in the future as well. The second speaks at a first start,
//! too. A producer's clock may be the wrong one; but then what others have appended behind the record is not in the future:
//! so while a record is held up its partition is read on, and nothing of it taken, to see what comes behind it.

use crate::base::Millis;

/// What is known of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutureWatch {
    held: Option<Held>,
    /// The last record whose timestamp is not in the future.
    present: Option<i64>,
}

/// A record that waits, and all behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it is.
    pub offset: i64,
    /// Why.
    pub cause: Cause,
}

/// Why a record waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Event time has come further than the clock.
    EventTime,
    /// Its own timestamp lies in the future as well.
    Timestamp(Millis),
}

/// A record, as far as this matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Where it is.
    pub offset: i64,
    /// When its producer made it or the broker took it.
    pub at: Option<Millis>,
}

/// What is known of this host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostClock {
    /// What lies behind this is the future.
    pub latest: Millis,
    /// Whether event time has come further than the clock.
    pub is_behind: bool,
}

impl FutureWatch {
    /// Takes note of a record that is read, for the first time or again; says whether it is behind one that waits.
    pub fn saw(&mut self, record: Stamped, clock: HostClock) -> bool {
        if record.at.is_some_and(|at| at <= clock.latest) {
            self.present = self.present.max(Some(record.offset));
        }
        self.held.is_some()
    }

    /// Whether a record with so many samples of the future has to wait.
    pub fn must_wait(&mut self, record: Stamped, future: u64, clock: HostClock) -> bool {
        if future > 0 && self.held.is_none() {
            let cause = match record.at {
                _ if clock.is_behind => Some(Cause::EventTime),
                Some(at) if at > clock.latest && self.present < Some(record.offset) => Some(Cause::Timestamp(at)),
                _ => None,
            };
            self.held = cause.map(|cause| Held { offset: record.offset, cause });
        }
        self.held.is_some()
    }

    /// What waits.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// Whether nothing is to be read: what comes would tell nothing.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.held.is_some_and(|held| held.cause == Cause::EventTime)
    }

    /// Lets go of what waits if the clock is right now, or it was not the clock; gives the offset to go on from.
    pub fn release(&mut self, clock: HostClock) -> Option<i64> {
        let goes = |held: &Held| match held.cause {
            Cause::EventTime => !clock.is_behind,
            Cause::Timestamp(at) => at <= clock.latest || self.present > Some(held.offset),
        };
        let released = self.held.filter(goes)?;
        self.held = None;
        Some(released.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: HostClock = HostClock { latest: 100, is_behind: false };
    const BEHIND: HostClock = HostClock { latest: 100, is_behind: true };

    fn record(offset: i64, at: Millis) -> Stamped {
        Stamped { offset, at: Some(at) }
    }

    #[test]
    fn a_clock_that_was_set_back_is_waited_for() {
        let mut watch = FutureWatch::default();
        assert!(!watch.must_wait(record(4, 900), 0, BEHIND), "not in the future");
        assert!(watch.must_wait(record(6, 50), 1, BEHIND) && watch.is_stopped());
        assert!(watch.saw(record(7, 50), BEHIND), "the one before is not read yet");
        assert_eq!(watch.release(BEHIND), None);
        assert_eq!((watch.release(RIGHT), watch.held(), watch.is_stopped()), (Some(6), None, false));
    }

    #[test]
    fn at_a_first_start_the_records_own_time_is_the_witness() {
        let mut watch = FutureWatch::default();
        assert!(
            !watch.saw(record(1, 50), RIGHT) && !watch.must_wait(record(1, 50), 1, RIGHT),
            "the sender's clock is wrong"
        );
        assert!(!watch.must_wait(Stamped { offset: 1, at: None }, 1, RIGHT), "nothing speaks for it");
        assert!(!watch.saw(record(2, 500), RIGHT) && watch.must_wait(record(2, 500), 1, RIGHT));
        assert!(!watch.is_stopped(), "what comes behind it is looked at");
        for offset in 3..9 {
            assert!(watch.saw(record(offset, 500 + offset), RIGHT));
            assert_eq!(watch.release(RIGHT), None);
        }
        let set = HostClock { latest: 500, ..RIGHT };
        assert_eq!(watch.release(set), Some(2), "the clock has been set");
        assert!(!watch.saw(record(2, 500), set) && !watch.must_wait(record(2, 500), 0, set));
    }

    #[test]
    fn a_producer_whose_clock_is_ahead_stops_nobody_for_long() {
        let mut watch = FutureWatch::default();
        assert!(watch.must_wait(record(2, 500), 1, RIGHT));
        assert!(watch.saw(record(3, 500), RIGHT) && watch.saw(record(4, 99), RIGHT));
        assert_eq!(watch.release(RIGHT), Some(2));
        for offset in [2, 3] {
            assert!(!watch.saw(record(offset, 500), RIGHT));
            assert!(!watch.must_wait(record(offset, 500), 1, RIGHT), "it is known, and not asked for again");
        }
        assert!(watch.must_wait(record(5, 500), 1, RIGHT), "of the next nothing is known yet");
    }
}
