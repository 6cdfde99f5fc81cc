//! When to speak of event time that stays behind the clock, and of the source it waits for. Pure: instants are arguments.

use std::time::{Duration, Instant};

use crate::base::Millis;

/// How often the lag is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How often it is complained of.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Lag beyond a source's own lateness that is complained of, in milliseconds.
const LAG_MAX: Millis = 60_000;
/// Lag beyond a source's own lateness from which on time is said to wait for it, in milliseconds. One of which nothing is
/// known yet is waited for from the start.
const WAIT_MIN: Millis = 10_000;
/// How long time may stand still, because nothing is known of a source, before that is complained of.
const STILL_MAX: Duration = Duration::from_secs(15);

/// The source that time waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// Its name.
    pub(super) source: String,
    /// For how long.
    pub(super) taken: Duration,
}

/// What is to be said now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// For whom time waits.
    pub(super) waits: Option<Wait>,
    /// For whom it waits no longer.
    pub(super) over: Option<Wait>,
    /// Whether to complain.
    pub(super) warn: bool,
}

/// The source that holds time back the most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slowest<'a> {
    pub(super) source: &'a str,
    /// For how long it was configured to be waited for, in milliseconds.
    pub(super) lateness: Millis,
    /// Whether nothing is known of it, so that time stands still.
    pub(super) blocks: bool,
}

/// Remembers when the lag was measured and complained of, and for whom time waits.
#[derive(Debug, Default)]
pub(super) struct LagWatch {
    measured: Option<Instant>,
    warned: Option<Instant>,
    waits: Option<(String, Instant)>,
}

impl LagWatch {
    /// Whether it is time to measure; if so it counts as done.
    pub(super) fn is_due(&mut self, at: Instant) -> bool {
        due(&mut self.measured, at, MEASURE_EVERY)
    }

    /// What to say of this lag, in milliseconds.
    pub(super) fn look(&mut self, lag: Millis, slowest: Option<Slowest<'_>>, at: Instant) -> Said {
        let waits = slowest.filter(|s| s.blocks || lag.saturating_sub(s.lateness) > WAIT_MIN);
        let taken = |since: Instant| at.saturating_duration_since(since);
        let same = self.waits.as_ref().map(|(source, _)| source.as_str()) == waits.map(|s| s.source);
        let over = if same { None } else { self.waits.take() };
        let over = over.map(|(source, since)| Wait { source, taken: taken(since) });
        if let Some(slowest) = waits.filter(|_| !same) {
            self.waits = Some((slowest.source.to_owned(), at));
        }
        let waiting = self.waits.as_ref().map(|(source, since)| Wait { source: source.clone(), taken: taken(*since) });
        let still = waits.is_some_and(|s| s.blocks) && waiting.as_ref().is_some_and(|wait| wait.taken >= STILL_MAX);
        let late = waits.is_some_and(|s| lag.saturating_sub(s.lateness) > LAG_MAX);
        let warn = (still || late) && due(&mut self.warned, at, WARN_EVERY);
        Said { waits: waiting, over, warn }
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

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_complains_once_a_minute_of_what_nobody_configured() {
        let (mut watch, start) = (LagWatch::default(), Instant::now());
        let slow = |lateness| Some(Slowest { source: "a", lateness, blocks: false });
        let mut warns = |lag, lateness, at| watch.look(lag, slow(lateness), start + seconds(at)).warn;
        assert!(!warns(60_000, 0, 0));
        assert!(warns(60_001, 0, 0));
        assert!(!warns(90_000, 0, 59));
        assert!(warns(120_000, 0, 60));
        assert!(!warns(150_000, 90_000, 200), "as configured");
        assert!(watch.is_due(start) && !watch.is_due(start + Duration::from_millis(999)));
        assert!(watch.is_due(start + seconds(1)));
    }

    #[test]
    fn it_knows_for_whom_time_waits_and_for_how_long() {
        let (mut watch, start) = (LagWatch::default(), Instant::now());
        let wait = |source: &str, n| Some(Wait { source: source.to_owned(), taken: seconds(n) });
        let kafka = Some(Slowest { source: "kafka", lateness: 5_000, blocks: true });
        let host = |lag| (lag, Some(Slowest { source: "host", lateness: 0, blocks: false }));
        assert_eq!(watch.look(1_000, kafka, start), Said { waits: wait("kafka", 0), ..Said::default() });
        assert!(!watch.look(15_000, kafka, start + seconds(14)).warn);
        let said = watch.look(16_000, kafka, start + seconds(15));
        assert_eq!(said, Said { waits: wait("kafka", 15), over: None, warn: true }, "long before a minute of lag");
        let (lag, slowest) = host(10_000);
        let said = watch.look(lag, slowest, start + seconds(16));
        assert_eq!(said, Said { waits: None, over: wait("kafka", 16), warn: false });
        let (lag, slowest) = host(10_001);
        assert_eq!(watch.look(lag, slowest, start + seconds(30)).waits, wait("host", 0));
        let said = watch.look(12_000, kafka, start + seconds(32));
        assert_eq!((said.waits, said.over), (wait("kafka", 0), wait("host", 2)));
        assert_eq!(watch.look(0, None, start + seconds(33)).over, wait("kafka", 1));
    }
}
