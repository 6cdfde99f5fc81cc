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
//! - a **log** that is read (a Kafka partition), from its opening: what it has in store lies before what others send. Once
//!   it is read to its end, it is as a live source; unless it is known to be at its end its silence means that it cannot be
//!   read, and then time stands still for as long as patience lasts.
//!
//! When every live source is silent, and at least one exists, time follows the clock at a distance of idle timeout plus
//! lateness (the largest of the live sources'), so that `absent()` and `up == 0` speak when the only sender has died.
//! When nobody holds back, time goes to the newest sample of the sources that have ended, less the live ones' lateness.

use super::SourceId;
use super::decode::Decoded;
use crate::base::{BatchBuilder, CounterStart, Limits, Millis, Sample, TimeSpan};

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
    /// Reads a log that others write to, and says when it is at its end: see [`Watermarks::at_end`].
    Log {
        /// How far out of order its samples may come.
        lateness: Millis,
        /// Silence at its end after which it no longer holds the others back.
        idle_timeout: Millis,
        /// The same silence where it is not known to be at its end: it cannot be read.
        patience: Millis,
    },
}

impl Pace {
    /// How far out of order samples may come.
    fn lateness(self) -> Millis {
        match self {
            Self::Live { lateness, .. } | Self::Log { lateness, .. } => lateness,
            Self::Scheduled | Self::Recorded => 0,
        }
    }
}

/// A source that time waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub id: SourceId,
    /// How far out of order its samples may come, in milliseconds.
    pub lateness: Millis,
    /// Whether nothing is known of it, so that time stands still rather than being slow.
    pub blocks: bool,
}

/// Silence, promises included, after which a scheduled source no longer holds the others back, in milliseconds: it does
/// not run any more. Longer than an engine under load takes to get to what is queued.
const SCHEDULED_SILENCE: Millis = 60_000;

/// The host looks several times a second: nobody has looked where more than that has passed, in milliseconds.
const LOOKS: Millis = 5_000;

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
    /// The clock when somebody looked last.
    looked: Option<Millis>,
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
    /// Whether a log is read to its end.
    at_end: bool,
    ended: bool,
}

impl Tracked {
    fn idle(&self, now: Millis) -> bool {
        match self.pace {
            Pace::Live { idle_timeout, .. } => now.saturating_sub(self.heard) >= idle_timeout,
            Pace::Scheduled => now.saturating_sub(self.heard) >= SCHEDULED_SILENCE,
            Pace::Recorded => false,
            Pace::Log { idle_timeout, patience, .. } => {
                now.saturating_sub(self.heard) >= if self.at_end { idle_timeout } else { patience }
            }
        }
    }

    /// Whether nothing is known of it yet that time could be told from, though what it has in store may be old.
    fn blocks(&self, now: Millis) -> bool {
        match self.pace {
            Pace::Recorded => self.newest.is_none(),
            Pace::Log { .. } => self.newest.is_none() && !self.at_end && !self.idle(now),
            Pace::Live { .. } | Pace::Scheduled => false,
        }
    }

    fn watermark(&self) -> Option<Millis> {
        let sent = match self.pace {
            Pace::Live { lateness, .. } | Pace::Log { lateness, .. } => self.newest.map(|t| t.saturating_sub(lateness)),
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
            Pace::Live { lateness, .. } | Pace::Log { lateness, .. } if self.idle(now) => {
                mark.max(now.saturating_sub(lateness))
            }
            Pace::Scheduled if self.idle(now) => mark.max(now.saturating_sub(SCHEDULED_SILENCE)),
            _ => mark,
        })
    }
}

impl Watermarks {
    /// Adds a source, or starts a known one anew.
    pub fn register(&mut self, id: SourceId, pace: Pace, now: Millis) {
        self.sources.retain(|s| s.id != id);
        self.sources.push(Tracked { id, pace, newest: None, quiet: None, heard: now, at_end: false, ended: false });
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

    /// Takes note of whether a log is read to its end. One that is silent for so long that nobody waits for it stays so: what
    /// comes when it can be read again has to hurry up with the others.
    pub fn at_end(&mut self, id: SourceId, at_end: bool, now: Millis) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.id == id)
            && (at_end || !source.idle(now))
        {
            source.at_end = at_end;
        }
    }

    /// The source is no longer ours: it is forgotten.
    pub fn close(&mut self, id: SourceId) {
        self.sources.retain(|s| s.id != id);
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

    /// Takes note that a source has more to send, and waits. It goes on holding the others to what it has sent: if they came
    /// further meanwhile, what it still has would be late.
    pub fn waits(&mut self, id: SourceId, now: Millis) {
        if let Some(source) = self.sources.iter_mut().find(|s| s.id == id && !s.idle(now)) {
            source.heard = now;
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

    /// Somebody looks at what sources have sent. A time in which nobody did, because the process or its machine stood still or
    /// was busy, is no silence of theirs; nor is a step of the clock.
    pub fn look(&mut self, now: Millis) {
        let since = self.looked.replace(now).map_or(0, |looked| now.saturating_sub(looked));
        if since > LOOKS {
            self.sources.iter_mut().for_each(|source| source.heard = source.heard.saturating_add(since));
        }
        self.sources.iter_mut().for_each(|source| source.heard = source.heard.min(now));
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

    /// Who holds time back the most: one of which nothing is known before all others.
    #[must_use]
    pub fn slowest(&self, now: Millis) -> Option<Holder> {
        let running = || self.sources.iter().filter(|s| !s.ended);
        let blocking = running().filter(|s| s.blocks(now)).min_by_key(|s| s.heard);
        let holding = || running().filter(|s| !s.idle(now)).filter_map(|s| Some((s.watermark()?, s)));
        let slowest = blocking.or_else(|| Some(holding().min_by_key(|(mark, _)| *mark)?.1))?;
        Some(Holder { id: slowest.id, lateness: slowest.pace.lateness(), blocks: blocking.is_some() })
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
        if running().any(|s| s.blocks(now)) {
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
                Pace::Live { lateness, idle_timeout } | Pace::Log { lateness, idle_timeout, .. } => {
                    Some((lateness, idle_timeout))
                }
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
    let accepted = TimeSpan::around(now, limits);
    // One from the future would stay the newest for good.
    decoded.traces.retain(|trace| accepted.contains(trace.at));
    if decoded.batch.all_samples().iter().all(|s| accepted.contains(s.t)) {
        return decoded;
    }
    let is_measured = |s: &&Sample| CounterStart::of(s.v).is_none();
    let mut builder = BatchBuilder::new(limits);
    for run in decoded.batch.runs() {
        let samples = decoded.batch.samples(run);
        let measured = || samples.iter().filter(is_measured);
        decoded.dropped.future += measured().filter(|s| s.t > accepted.newest).count() as u64;
        decoded.dropped.too_old += measured().filter(|s| s.t < accepted.oldest).count() as u64;
        let in_time = samples.iter().filter(|s| accepted.contains(s.t));
        if let Some((last, _)) = in_time.clone().enumerate().filter(|(_, s)| is_measured(s)).last() {
            builder.series(decoded.batch.labels(run));
            // Where a counter begins says nothing without a sample behind it.
            in_time.take(last + 1).for_each(|s| builder.sample(s.t, s.v));
        }
    }
    Decoded { batch: builder.finish(), ..decoded }
}

#[cfg(test)]
mod tests;
