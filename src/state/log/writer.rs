//! The log's own thread: writes what waits as one group, fsyncs once, and only then tells everybody.
//!
//! Whoever appends hands over a function that is called in the order of the log: with the entry's number once it is
//! durable, or with the reason why it is not. While the thread is at its fsync the next group gathers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::{Entry, HEAD, Head};
use super::reader::{Survey, survey};
use super::segment::{Active, path};
use crate::base::Millis;
use crate::state::folder::sync_dir;
use crate::state::{Faults, Point, StateDir, StateError};

/// How long all is refused after a failure before the disk is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Entries that may wait for the thread. Sources hold a place in the engine's queue for each, which is fewer.
const WAITING_MAX: usize = 4096;
/// A group is no larger than this, so that one huge group delays nobody for long.
const GROUP_BYTES: usize = 8 << 20;

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
}

impl Refused {
    /// The reason as a metric's label value.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
            Self::Busy => "busy",
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

/// The log. Dropping it writes what waits and ends its thread.
#[derive(Debug)]
pub struct Log {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Append>,
    trim: Option<u64>,
    closed: bool,
    bytes: u64,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Opens the log of a locked folder, whose contents stay as they are, and starts its thread.
    ///
    /// # Errors
    /// The operating system refuses, or the log is of a later release.
    pub fn open(
        dir: &StateDir,
        options: Options,
        faults: Faults,
        observer: Observer,
    ) -> Result<(Self, Survey), StateError> {
        let found = survey(&dir.log())?;
        let next = found.end.max(options.next);
        let old = |(number, bytes, head): &(u64, u64, Option<Head>)| Old {
            number: *number,
            bytes: *bytes,
            first: head.filter(|_| *bytes > HEAD as u64).map(|head| head.first),
        };
        let segments: VecDeque<Old> = found.segments.iter().map(old).collect();
        let inbox = Arc::new(Inbox::default());
        let mut writer = Writer {
            dir: dir.log(),
            options,
            faults,
            observer,
            next_number: segments.back().map_or(1, |s| s.number + 1),
            old: segments,
            active: None,
            active_first: None,
            next,
            acknowledged: next,
            retry_at: None,
            buffer: Vec::new(),
        };
        // Now, so that a folder that cannot be written is seen at the start. A full disk is no reason not to watch: senders are
        // told to come again until there is room.
        if let Err(error) = writer.begin() {
            if !error.is_full() {
                return Err(error);
            }
            (writer.observer)(Event::Failed(&error));
        }
        writer.tell_held(&inbox);
        let thread = std::thread::Builder::new().name("log".to_owned());
        let thread = {
            let (inbox, path) = (Arc::clone(&inbox), dir.log());
            thread.spawn(move || writer.run(&inbox)).map_err(StateError::io(&path, "start the log's thread"))?
        };
        Ok((Self { inbox, thread: Some(thread) }, found))
    }

    /// Hands an entry over; returns at once.
    pub fn append(&self, append: Append) {
        let mut state = self.inbox.lock();
        if state.waiting.len() >= WAITING_MAX {
            drop(state);
            return (append.done)(Err(Refused::Busy));
        }
        state.waiting.push_back(append);
        drop(state);
        self.inbox.bell.notify_one();
    }

    /// Lets go of entries below this number.
    pub fn trim(&self, upto: u64) {
        let mut state = self.inbox.lock();
        state.trim = state.trim.max(Some(upto));
        drop(state);
        self.inbox.bell.notify_one();
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

/// A segment that is not written to any more.
#[derive(Clone, Copy, Debug)]
struct Old {
    number: u64,
    bytes: u64,
    /// First entry, if there are any.
    first: Option<u64>,
}

struct Writer {
    dir: PathBuf,
    options: Options,
    faults: Faults,
    observer: Observer,
    old: VecDeque<Old>,
    active: Option<Active>,
    /// First entry of the active segment.
    active_first: Option<u64>,
    next_number: u64,
    next: u64,
    /// All below have been acknowledged, or refused.
    acknowledged: u64,
    retry_at: Option<Instant>,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(mut self, inbox: &Inbox) {
        loop {
            let (group, trim, closed) = {
                let idle = |s: &mut State| s.waiting.is_empty() && s.trim.is_none() && !s.closed;
                let mut state = inbox.bell.wait_while(inbox.lock(), idle).unwrap_or_else(PoisonError::into_inner);
                let (mut bytes, mut entries) = (0, 0);
                let fits = |append: &&Append| {
                    bytes += append.entry.payload.len();
                    entries += 1;
                    entries == 1 || bytes <= GROUP_BYTES
                };
                let n = state.waiting.iter().take_while(fits).count();
                (state.waiting.drain(..n).collect::<Vec<_>>(), state.trim.take(), state.closed)
            };
            let last = closed && group.is_empty();
            // First, since it makes room.
            if let Some(upto) = trim {
                self.trim(upto);
            }
            if !group.is_empty() {
                self.take(group);
            }
            self.tell_held(inbox);
            if last {
                return;
            }
        }
    }

    fn take(&mut self, mut group: Vec<Append>) {
        self.buffer.clear();
        let first = self.next;
        for (append, sequence) in group.iter_mut().zip(first..) {
            append.entry.sequence = sequence;
            append.entry.encode(&mut self.buffer);
        }
        let upto = first + group.len() as u64;
        let started = Instant::now();
        match self.write(upto) {
            Ok(()) => {
                let (entries, bytes) = (group.len(), self.buffer.len());
                (self.observer)(Event::Synced { entries, bytes, took: started.elapsed() });
                (self.next, self.acknowledged) = (upto, upto);
                group.into_iter().for_each(|append| (append.done)(Ok(append.entry.sequence)));
            }
            Err(refused) => {
                (self.observer)(Event::Refused(refused, group.len()));
                group.into_iter().for_each(|append| (append.done)(Err(refused)));
            }
        }
        // One huge group must not be remembered for ever.
        self.buffer.shrink_to(GROUP_BYTES);
    }

    fn write(&mut self, upto: u64) -> Result<(), Refused> {
        if self.held() + self.buffer.len() as u64 > self.options.max_bytes {
            return Err(Refused::Full);
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(Refused::Failed);
        }
        let Err(error) = self.try_write() else {
            self.retry_at = None;
            return Ok(());
        };
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
        (self.observer)(Event::Failed(&error));
        if let Some(active) = self.active.take() {
            let (number, bytes) = active.give_up();
            self.old.push_back(Old { number, bytes, first: self.active_first.take() });
            // Refused, but they may be on the disk all the same: their numbers are not given again.
            self.next = upto;
        }
        Err(Refused::Failed)
    }

    fn try_write(&mut self) -> Result<(), StateError> {
        if let Some(full) = self.active.take_if(|active| active.bytes >= self.options.segment_bytes) {
            self.old.push_back(Old { number: full.number, bytes: full.bytes, first: self.active_first.take() });
        }
        if self.active.is_none() {
            self.begin()?;
        }
        if let Some(active) = &mut self.active {
            active.append(&self.buffer, &self.faults)?;
            self.active_first.get_or_insert(self.next);
        }
        self.faults.at(Point::LogSynced).map_err(StateError::io(&self.dir, "go on"))
    }

    fn begin(&mut self) -> Result<(), StateError> {
        let head = Head { created: self.options.created, first: self.next, acknowledged: self.acknowledged };
        self.active = Some(Active::begin(&self.dir, self.next_number, head)?);
        self.next_number += 1;
        Ok(())
    }

    /// Removes segments all of whose entries are below `upto`. The active one stays.
    fn trim(&mut self, upto: u64) {
        let mut removed = false;
        while let Some(oldest) = self.old.front() {
            // Its entries end where those of a later segment begin.
            let later = self.old.iter().skip(1).find_map(|old| old.first).or(self.active_first);
            if later.unwrap_or(self.acknowledged) > upto {
                break;
            }
            let path = path(&self.dir, oldest.number);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "a segment that is no longer needed cannot be removed");
                break;
            }
            self.old.pop_front();
            removed = true;
        }
        if removed && let Err(error) = sync_dir(&self.dir) {
            // They would come back after a crash, and be removed again.
            tracing::debug!(%error, "removed segments are not durably gone");
        }
    }

    fn held(&self) -> u64 {
        self.old.iter().map(|old| old.bytes).sum::<u64>() + self.active.as_ref().map_or(0, |active| active.bytes)
    }

    fn tell_held(&mut self, inbox: &Inbox) {
        let bytes = self.held();
        inbox.lock().bytes = bytes;
        (self.observer)(Event::Held(bytes, self.old.len() + usize::from(self.active.is_some())));
    }
}
