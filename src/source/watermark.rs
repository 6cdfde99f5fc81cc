//! How far event time has come, over all sources. Pure: the host's clock is an argument.
//!
//! A source's watermark is its newest event time less its lateness; that of the whole is the smallest of them and never
//! goes back. That of a scheduled source is what it has promised. Who holds the others back:
//!
//! - a **recorded** source (a file) from its registration until it has ended: it cannot be silent, only slow, and what
//!   it has not yet sent lies before what live sources send;
//! - a **live** source from its first sample until it has been silent for its idle timeout. One that never sent holds
//!   nobody back: most set-ups have a receiver that nobody uses.
//! - a **scheduled** source (a scraper) from its first promise, but as it promises every second that nothing comes before
//!   its next slot, it holds nobody back for longer than one reading takes, however rarely it reads.
//!
//! When every live source is silent, and at least one exists, time follows the clock at a distance of idle timeout plus
//! lateness (the largest of the live sources'), so that `absent()` and `up == 0` speak when the only sender has died.
//! When nobody holds back, time goes to the newest sample of the sources that have ended, less the live ones' lateness.

use super::SourceId;
use super::decode::Decoded;
use crate::base::{BatchBuilder, Limits, Millis, Sample};

/// What kind of source it is; all spans in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Sends what happens now.
    Live {
        /// How far out of order its samples may come.
        lateness: Millis,
        /// Silence after which it no longer holds the others back.
        idle_timeout: Millis,
    },
    /// Reads at instants it knows beforehand, and promises when nothing will come: see [`Watermarks::quiet`].
    Scheduled,
    /// Sends what was recorded, sorted by time, and ends.
    Recorded,
}

/// Silence, promises included, after which a scheduled source no longer holds the others back, in milliseconds: it does
/// not run any more. Longer than an engine under load takes to get to what is queued.
const SCHEDULED_SILENCE: Millis = 60_000;

/// The watermarks of all sources.
///
/// ```
/// use forewarn::source::{SourceId, watermark::{Pace, Watermarks}};
/// let mut marks = Watermarks::default();
/// marks.register(SourceId(0), Pace::Live { lateness: 10, idle_timeout: 1_000 }, 0);
/// marks.observe(SourceId(0), 500, 500);
/// assert_eq!(marks.current(500), Some(490));
/// assert_eq!(marks.current(2_000), Some(2_000 - 1_000 - 10));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Watermarks {
    sources: Vec<Tracked>,
    current: Option<Millis>,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    id: SourceId,
    pace: Pace,
    newest: Option<Millis>,
    /// What it has promised to be quiet up to.
    quiet: Option<Millis>,
    /// The clock when it was registered or last heard.
    heard: Millis,
    ended: bool,
}

impl Tracked {
    fn idle(&self, now: Millis) -> bool {
        match self.pace {
            Pace::Live { idle_timeout, .. } => now.saturating_sub(self.heard) >= idle_timeout,
            Pace::Scheduled => now.saturating_sub(self.heard) >= SCHEDULED_SILENCE,
            Pace::Recorded => false,
        }
    }

    fn watermark(&self) -> Option<Millis> {
        let sent = match self.pace {
            Pace::Live { lateness, .. } => self.newest.map(|t| t.saturating_sub(lateness)),
            Pace::Scheduled => None,
            Pace::Recorded => self.newest,
        };
        sent.max(self.quiet)
    }

    /// What it holds the others to.
    fn holds(&self, now: Millis) -> Option<Millis> {
        let mark = self.watermark()?;
        // One that is silent no longer holds time back, but what it may still send is not made late either.
        Some(match self.pace {
            Pace::Live { lateness, .. } if self.idle(now) => mark.max(now.saturating_sub(lateness)),
            Pace::Scheduled if self.idle(now) => mark.max(now.saturating_sub(SCHEDULED_SILENCE)),
            _ => mark,
        })
    }
}

impl Watermarks {
    /// Adds a source, or starts a known one anew.
    pub fn register(&mut self, id: SourceId, pace: Pace, now: Millis) {
        self.sources.retain(|s| s.id != id);
        self.sources.push(Tracked { id, pace, newest: None, quiet: None, heard: now, ended: false });
    }

    /// Takes note of a batch whose newest event time is `newest`. A live source's event time counts no further than the
    /// clock, so that a sender whose clock is ahead does not make the others late.
    pub fn observe(&mut self, id: SourceId, newest: Millis, now: Millis) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.id == id) {
            let newest = if source.pace == Pace::Recorded { newest } else { newest.min(now) };
            source.newest = source.newest.max(Some(newest));
            source.heard = now;
        }
    }

    /// Takes note that a source will send nothing at or before `upto` any more. It counts no further than the clock. Only of
    /// a scheduled source does it count as a sign of life: the silence of others is about samples.
    pub fn quiet(&mut self, id: SourceId, upto: Millis, now: Millis) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.id == id) {
            source.quiet = source.quiet.max(Some(upto.min(now)));
            if source.pace == Pace::Scheduled {
                source.heard = now;
            }
        }
    }

    /// What is kept of a source over a restart: its newest event time, and what it has promised to be quiet up to.
    #[must_use]
    pub fn kept(&self, id: SourceId) -> (Option<Millis>, Option<Millis>) {
        self.sources.iter().find(|s| s.id == id).map_or((None, None), |s| (s.newest, s.quiet))
    }

    /// Goes on with what was kept of a registered source. It holds the others back as if it had just been heard.
    pub fn resume(&mut self, id: SourceId, (newest, quiet): (Option<Millis>, Option<Millis>), now: Millis) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.id == id) {
            (source.newest, source.quiet) = (source.newest.max(newest), source.quiet.max(quiet));
            source.heard = now;
        }
    }

    /// The silence of all sources begins now: so far nobody has listened.
    pub fn listen(&mut self, now: Millis) {
        self.sources.iter_mut().for_each(|source| source.heard = now);
    }

    /// The source will never send again.
    pub fn end(&mut self, id: SourceId) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.id == id) {
            source.ended = true;
        }
    }

    /// One source's own watermark.
    #[must_use]
    pub fn of(&self, id: SourceId) -> Option<Millis> {
        self.sources.iter().find(|s| s.id == id).and_then(Tracked::watermark)
    }

    /// The source that holds time back the most, and how far out of order its samples may come.
    #[must_use]
    pub fn slowest(&self, now: Millis) -> Option<(SourceId, Millis)> {
        let holding = self.sources.iter().filter(|s| !s.ended && !s.idle(now));
        let (_, slowest) = holding.filter_map(|s| Some((s.watermark()?, s))).min_by_key(|(mark, _)| *mark)?;
        let lateness = if let Pace::Live { lateness, .. } = slowest.pace { lateness } else { 0 };
        Some((slowest.id, lateness))
    }

    /// The newest event time of one source.
    #[must_use]
    pub fn newest(&self, id: SourceId) -> Option<Millis> {
        self.sources.iter().find(|s| s.id == id).and_then(|s| s.newest)
    }

    /// The watermark of the whole: everything up to it is taken to be complete. `None` until there is one.
    pub fn current(&mut self, now: Millis) -> Option<Millis> {
        self.current = self.current.max(self.computed(now));
        self.current
    }

    fn computed(&self, now: Millis) -> Option<Millis> {
        let running = || self.sources.iter().filter(|s| !s.ended);
        if running().any(|s| s.pace == Pace::Recorded && s.newest.is_none()) {
            return None;
        }
        if running().any(|s| !s.idle(now)) {
            let holding = running().filter_map(|s| s.holds(now)).min();
            if holding.is_some() {
                return holding;
            }
        }
        let spans = || {
            running().filter_map(|s| match s.pace {
                Pace::Live { lateness, idle_timeout } => Some((lateness, idle_timeout)),
                Pace::Scheduled => Some((0, SCHEDULED_SILENCE)),
                Pace::Recorded => None,
            })
        };
        let lateness = spans().map(|(lateness, _)| lateness).max().unwrap_or(0);
        let recorded = self.sources.iter().filter(|s| s.ended).filter_map(|s| s.newest).max();
        let recorded = recorded.map(|t| t.saturating_sub(lateness));
        let all_silent = running().all(|s| s.idle(now));
        let behind = spans().map(|(lateness, idle)| lateness.saturating_add(idle)).max();
        let clock = behind.filter(|_| all_silent).map(|span| now.saturating_sub(span));
        recorded.max(clock)
    }
}

/// Drops samples further than `limits.future_seconds` ahead of the clock, before they can move a watermark, and those
/// older than `limits.past_seconds`: event time would have to be walked through from there.
#[must_use]
pub fn drop_out_of_time(mut decoded: Decoded, now: Millis, limits: &Limits) -> Decoded {
    let span = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let latest = now.saturating_add(span(limits.future_seconds));
    let earliest = now.saturating_sub(span(limits.past_seconds));
    let in_time = |s: &&Sample| (earliest..=latest).contains(&s.t);
    if decoded.batch.all_samples().iter().all(|s| in_time(&s)) {
        return decoded;
    }
    let mut builder = BatchBuilder::new(limits);
    for run in decoded.batch.runs() {
        let samples = decoded.batch.samples(run);
        decoded.dropped.future += samples.iter().filter(|s| s.t > latest).count() as u64;
        decoded.dropped.too_old += samples.iter().filter(|s| s.t < earliest).count() as u64;
        if samples.iter().any(|s| in_time(&s)) {
            builder.series(decoded.batch.labels(run));
            samples.iter().filter(in_time).for_each(|s| builder.sample(s.t, s.v));
        }
    }
    Decoded { batch: builder.finish(), dropped: decoded.dropped }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: SourceId = SourceId(0);
    const B: SourceId = SourceId(1);
    const FILE: SourceId = SourceId(2);
    const LIVE: Pace = Pace::Live { lateness: 10, idle_timeout: 100 };

    fn two_live() -> Watermarks {
        let mut marks = Watermarks::default();
        marks.register(A, LIVE, 0);
        marks.register(B, LIVE, 0);
        marks
    }

    #[test]
    fn the_slowest_source_holds_back_until_it_is_silent() {
        let mut marks = two_live();
        assert_eq!(marks.current(50), None, "nobody has sent, nobody is silent for long");
        marks.observe(A, 1_000, 1_000);
        assert_eq!(marks.current(1_000), Some(990), "a source that never sent holds nobody back");
        marks.observe(B, 995, 1_001);
        marks.observe(A, 1_090, 1_090);
        assert_eq!(marks.current(1_090), Some(990), "never back");
        marks.observe(B, 1_005, 1_095);
        assert_eq!(marks.current(1_100), Some(995));
        assert_eq!(marks.slowest(1_100), Some((B, 10)));
        marks.observe(A, 1_190, 1_190);
        assert_eq!(marks.current(1_195), Some(1_180), "B is silent");
        assert_eq!((marks.slowest(1_195), marks.slowest(9_000)), (Some((A, 10)), None));
    }

    #[test]
    fn with_all_silent_time_follows_the_clock() {
        let mut marks = two_live();
        marks.observe(A, 1_000, 1_000);
        assert_eq!(marks.current(1_099), Some(990));
        assert_eq!(marks.current(1_150), Some(1_040));
        assert_eq!(marks.current(1_100), Some(1_040));
        marks.end(A);
        marks.end(B);
        assert_eq!(marks.current(9_000), Some(1_040), "nobody is left to be waited for");
    }

    #[test]
    fn a_recording_holds_live_sources_back_until_its_end() {
        let mut marks = two_live();
        marks.register(FILE, Pace::Recorded, 0);
        marks.observe(A, 1_000, 1_000);
        assert_eq!(marks.current(1_000), None);
        marks.observe(FILE, 300, 1_001);
        assert_eq!(marks.current(5_000), Some(300));
        marks.end(FILE);
        marks.observe(A, 5_000, 5_000);
        assert_eq!(marks.current(5_000), Some(4_990));
    }

    #[test]
    fn a_replay_alone_ends_at_its_newest_sample() {
        let mut marks = Watermarks::default();
        marks.register(FILE, Pace::Recorded, 0);
        marks.observe(FILE, 300, 1);
        assert_eq!(marks.current(1_000_000), Some(300));
        marks.end(FILE);
        assert_eq!(marks.current(1_000_000), Some(300));
        marks.register(A, LIVE, 1_000_000);
        assert_eq!(marks.current(1_000_001), Some(300));
        assert_eq!(marks.current(1_000_100), Some(1_000_100 - 110));
    }

    #[test]
    fn a_clock_ahead_does_not_make_others_late() {
        let mut marks = two_live();
        marks.observe(A, 50_000, 1_000);
        assert_eq!(marks.current(1_000), Some(990));
        marks.observe(A, i64::MIN, 1_000);
        assert_eq!(marks.of(A), Some(990));
    }

    proptest! {
        #[test]
        fn never_back_and_never_ahead_of_what_is_known(
            steps in proptest::collection::vec((0usize..3, -500i64..500, 0i64..200, any::<bool>()), 1..60)
        ) {
            let mut marks = two_live();
            marks.register(FILE, Pace::Recorded, 0);
            let (mut now, mut before, mut recorded) = (0, None, i64::MIN);
            for (source, ahead, wait, ends) in steps {
                now += wait;
                marks.observe(SourceId(source), now + ahead, now);
                if source == FILE.0 {
                    recorded = recorded.max(now + ahead);
                    if ends {
                        marks.end(FILE);
                    }
                }
                let current = marks.current(now);
                prop_assert!(current >= before);
                prop_assert!(current.is_none_or(|t| t <= now.max(recorded)));
                before = current;
            }
        }
    }

    #[test]
    fn a_sender_that_pauses_is_not_late_when_it_speaks_again() {
        let mut marks = Watermarks::default();
        marks.register(A, Pace::Live { lateness: 0, idle_timeout: 100 }, 0);
        marks.register(B, Pace::Live { lateness: 50, idle_timeout: 100 }, 0);
        for pause in 0..20 {
            let now = 1_000 + pause * 300;
            // Its samples are 30 old when they come.
            assert!(marks.current(now).is_none_or(|mark| mark < now - 30), "{now}");
            marks.observe(B, now - 30, now);
            for t in (now..now + 300).step_by(10) {
                marks.observe(A, t, t);
                marks.current(t);
            }
        }
        // Nor does its silence stop time.
        assert_eq!(marks.current(6_990), Some(6_940));
    }

    #[test]
    fn a_scheduled_source_holds_time_back_only_as_far_as_it_has_not_promised() {
        let mut marks = Watermarks::default();
        marks.register(A, Pace::Scheduled, 0);
        marks.register(B, Pace::Scheduled, 0);
        let hour = 3_600_000;
        // A reads every second, B every hour; both promise every second.
        for t in (hour..hour + 600_000).step_by(1_000) {
            marks.observe(A, t, t + 20);
            if t == hour {
                marks.observe(B, t, t + 20);
            }
            assert!(marks.current(t + 20) < Some(t), "its own sample does not come too late, and nobody else's");
            marks.quiet(A, t + 20, t + 20);
            marks.quiet(B, t + 30, t + 30);
            assert_eq!(marks.current(t + 30), Some(t + 20));
        }
        let last = hour + 599_000;
        // B's next scrape takes its time: nothing moves, whatever A says.
        marks.quiet(A, last + 9_000, last + 9_000);
        assert_eq!(marks.current(last + 9_000), Some(last + 30));
        // B has died.
        marks.quiet(A, last + 70_000, last + 70_000);
        assert_eq!(marks.current(last + 70_000), Some(last + 10_000));
        // No promise about the future counts.
        marks.quiet(B, i64::MAX, last + 71_000);
        assert_eq!(marks.of(B), Some(last + 71_000));
    }

    #[test]
    fn a_promise_does_not_wake_a_receiver_that_is_silent() {
        let mut marks = two_live();
        marks.observe(A, 1_000, 1_000);
        marks.observe(B, 1_000, 1_000);
        marks.quiet(B, 1_050, 1_050);
        marks.observe(A, 1_060, 1_060);
        assert_eq!(marks.current(1_060), Some(1_050));
        marks.observe(A, 1_140, 1_140);
        assert_eq!(marks.current(1_140), Some(1_130), "silent since 1000");
    }

    #[test]
    fn a_restart_holds_time_where_the_sources_were_until_they_had_time_to_speak() {
        let mut before = two_live();
        before.observe(A, 1_000, 1_000);
        before.observe(B, 950, 1_000);
        let mut marks = two_live();
        marks.resume(A, before.kept(A), 9_000);
        marks.resume(B, before.kept(B), 9_000);
        assert_eq!(marks.current(9_000), Some(940));
        marks.listen(9_050);
        marks.observe(A, 9_100, 9_100);
        assert_eq!(marks.current(9_149), Some(940));
        assert_eq!(marks.current(9_150), Some(9_090), "B is silent");
    }

    #[test]
    fn samples_out_of_time_are_dropped_and_counted() {
        let limits = Limits { future_seconds: 1, past_seconds: 10, ..Limits::default() };
        let mut builder = BatchBuilder::new(&limits);
        for (name, times) in [("a", [500, 2_001]), ("b", [9_999, i64::MAX]), ("c", [-9_001, i64::MIN])] {
            builder.label("x", name);
            builder.end_labels().unwrap();
            times.iter().for_each(|t| builder.sample(*t, 1.0));
        }
        let got = drop_out_of_time(Decoded { batch: builder.finish(), ..Decoded::default() }, 1_000, &limits);
        assert_eq!(got.batch.newest(), Some(500));
        assert_eq!(got.batch.runs().len(), 1);
        assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("future", 3), ("too_old", 2)]);
    }
}
