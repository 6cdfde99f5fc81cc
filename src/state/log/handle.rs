//! The log as others know it: entries are handed over, and whoever handed one over is told once, in the order of the log.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::{Disk, Report};
use super::frame::Entry;
use super::reader::{Survey, survey};
use super::writer::Writer;
use crate::base::Millis;
use crate::state::{Faults, StateDir, StateError};

/// Entries that may wait for the thread. Sources hold a place in the engine's queue for each, which is fewer.
const WAITING_MAX: usize = 4096;
/// A group is no larger than this, so that one huge group delays nobody for long.
pub(super) const GROUP_BYTES: usize = 8 << 20;

/// Settings of the log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes after which a segment is followed by a new one.
    pub segment_bytes: u64,
    /// Bytes that all segments may have; beyond them entries are refused.
    pub max_bytes: u64,
    /// When the log is opened, by the clock.
    pub created: Millis,
    /// The first entry that no checkpoint holds: numbers go on from there at least.
    pub next: u64,
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `state.log_max_bytes` is reached.
    #[error("the log is full: no checkpoint could be written for too long")]
    Full,
    /// Writing or fsync has failed.
    #[error("the log cannot be written")]
    Failed,
    /// Too many wait.
    #[error("too much waits for the log")]
    Busy,
    /// The disk does not answer: see [`super::PATIENCE`].
    #[error("the disk of the log hangs")]
    Stalled,
}

impl Refused {
    /// The reason as a metric's label value.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
            Self::Busy => "busy",
            Self::Stalled => "stalled",
        }
    }
}

/// What happened, for metrics and the process' log.
#[derive(Debug)]
pub enum Event<'a> {
    /// A group is durable.
    Synced {
        /// Entries.
        entries: usize,
        /// Bytes.
        bytes: usize,
        /// How long writing and fsync took.
        took: Duration,
    },
    /// Writing or fsync has failed.
    Failed(&'a StateError),
    /// The disk has not answered for so long; all is refused until it does.
    Stalled(Duration),
    /// It answers again, after so long.
    Answers(Duration),
    /// Entries were refused.
    Refused(Refused, usize),
    /// How much is held now: bytes, segments.
    Held(u64, usize),
}

/// Something to be appended.
pub struct Append {
    /// The entry; its number is given by the log.
    pub entry: Entry<Vec<u8>>,
    /// Called once, in the order of the log.
    pub done: Box<dyn FnOnce(Result<u64, Refused>) + Send>,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Called with what happens.
pub type Observer = Box<dyn FnMut(Event<'_>) + Send>;

/// The log. Dropping it writes what waits and ends its threads; one that hangs is left behind.
#[derive(Debug)]
pub struct Log {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// Where those who append, the writer and the disk's thread meet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Append>,
    trim: Option<u64>,
    report: Option<Report>,
    closed: bool,
    /// Whether the disk hangs, and nothing is taken.
    stalled: bool,
    /// Entries that were refused at the door since the observer was told: too many, and while the disk hung.
    turned_away: [usize; 2],
    bytes: u64,
}

/// The reasons of [`State::turned_away`].
const AT_THE_DOOR: [Refused; 2] = [Refused::Busy, Refused::Stalled];

/// What the writer takes out at once.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) group: Vec<Append>,
    pub(super) trim: Option<u64>,
    pub(super) turned_away: Vec<(Refused, usize)>,
    pub(super) closed: bool,
}

impl Log {
    /// Opens the log of a locked folder, whose contents stay as they are, and starts its threads.
    ///
    /// # Errors
    /// The operating system refuses, or the log is of a later release.
    pub fn open(
        dir: &StateDir,
        options: Options,
        faults: Faults,
        mut observer: Observer,
    ) -> Result<(Self, Survey), StateError> {
        let found = survey(&dir.log())?;
        let next = found.end.max(options.next);
        let mut disk = Disk::new(dir.log(), options, faults, &found);
        // Now, so that a folder that cannot be written is seen at the start. A full disk is no reason not to watch: senders are
        // told to come again until there is room.
        if let Err(error) = disk.begin(next, next) {
            if !error.is_full() {
                return Err(error);
            }
            observer(Event::Failed(&error));
        }
        let inbox = Arc::new(Inbox::default());
        let (bytes, segments) = disk.held();
        inbox.lock().bytes = bytes;
        observer(Event::Held(bytes, segments));
        let path = dir.log();
        let no_thread = || StateError::io(&path, "start the log's thread");
        let (jobs, asked) = std::sync::mpsc::channel();
        let told = Arc::clone(&inbox);
        let of_disk = std::thread::Builder::new().name("log-disk".to_owned());
        of_disk.spawn(move || disk.run(&asked, |report| told.report(report))).map_err(no_thread())?;
        let writer = Writer::new(jobs, observer, next);
        let of_writer = std::thread::Builder::new().name("log".to_owned());
        let thread = {
            let inbox = Arc::clone(&inbox);
            of_writer.spawn(move || writer.run(&inbox)).map_err(no_thread())?
        };
        Ok((Self { inbox, thread: Some(thread) }, found))
    }

    /// Hands an entry over; returns at once.
    pub fn append(&self, append: Append) {
        let mut state = self.inbox.lock();
        let refused = match (state.stalled, state.waiting.len() >= WAITING_MAX) {
            (true, _) => Refused::Stalled,
            (false, true) => Refused::Busy,
            (false, false) => {
                state.waiting.push_back(append);
                drop(state);
                return self.inbox.bell.notify_one();
            }
        };
        state.turned_away[usize::from(refused == Refused::Stalled)] += 1;
        drop(state);
        (append.done)(Err(refused));
    }

    /// Lets go of entries below this number.
    pub fn trim(&self, upto: u64) {
        let mut state = self.inbox.lock();
        state.trim = state.trim.max(Some(upto));
        drop(state);
        self.inbox.bell.notify_one();
    }

    /// Entries that wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inbox.lock().waiting.len()
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inbox.lock().bytes
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.inbox.lock().closed = true;
        self.inbox.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

impl Inbox {
    /// The next group, when there is one or anything else to do; a group that is empty and `closed`: the end.
    pub(super) fn next(&self) -> Taken {
        let idle = |s: &mut State| s.waiting.is_empty() && s.trim.is_none() && !s.closed;
        let mut state = self.bell.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, mut entries) = (0, 0);
        let fits = |append: &&Append| {
            bytes += append.entry.payload.len();
            entries += 1;
            entries == 1 || bytes <= GROUP_BYTES
        };
        let n = state.waiting.iter().take_while(fits).count();
        let group = state.waiting.drain(..n).collect();
        state.taken(group)
    }

    /// What the disk's thread says within this time.
    pub(super) fn report_within(&self, limit: Duration) -> Option<Report> {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if state.report.is_some() || left.is_zero() {
                return state.report.take();
            }
            state = self.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// From now on all is refused; what waits is given back, to be refused as well.
    pub(super) fn stall(&self) -> Vec<Append> {
        let mut state = self.lock();
        state.stalled = true;
        state.waiting.drain(..).collect()
    }

    /// What happens while the disk hangs: its report if it has come, whatever was turned away meanwhile.
    pub(super) fn look(&self, limit: Duration) -> (Option<Report>, Taken) {
        let report = self.report_within(limit);
        let mut state = self.lock();
        // What is to be trimmed waits.
        let trim = state.trim;
        let taken = state.taken(Vec::new());
        state.trim = trim;
        (report, taken)
    }

    /// How much is held; what comes is taken again.
    pub(super) fn settle(&self, bytes: u64) {
        let mut state = self.lock();
        (state.bytes, state.stalled) = (bytes, false);
    }

    fn report(&self, report: Report) {
        self.lock().report = Some(report);
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn taken(&mut self, group: Vec<Append>) -> Taken {
        let turned_away = AT_THE_DOOR.into_iter().zip(std::mem::take(&mut self.turned_away));
        let turned_away = turned_away.filter(|(_, entries)| *entries > 0).collect();
        Taken { group, trim: self.trim.take(), turned_away, closed: self.closed }
    }
}
