//! The log's thread that touches the disk: appends a group to the newest segment and fsyncs it, removes segments that nobody
//! needs. It may hang for as long as the disk does; nobody waits for it without a bound (`writer`).

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::frame::{HEAD, Head};
use super::handle::Options;
use super::reader::Survey;
use super::segment::{Active, path};
use crate::state::folder::sync_dir;
use crate::state::{Faults, Point, StateError};

/// How long all is refused after a failure before the disk is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// What is to be done, in this order: segments removed, a group appended.
#[derive(Debug)]
pub struct Job {
    /// Entries below this number are needed no longer.
    pub trim: Option<u64>,
    /// Number of the first entry of the group.
    pub first: u64,
    /// All below have been acknowledged, or refused.
    pub acknowledged: u64,
    /// The group; empty if there is none.
    pub frames: Vec<u8>,
    /// Whether somebody still waits for it.
    pub claim: Claim,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Whether the group is durable, and acknowledged by that.
    pub outcome: Result<(), Trouble>,
    /// The group's bytes, to be used again.
    pub frames: Vec<u8>,
    /// How long it took.
    pub took: Duration,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: usize,
}

/// Why a group is not in the log.
#[derive(Debug)]
pub enum Trouble {
    /// There would be more than the log may have.
    Full,
    /// The disk has failed a moment ago.
    TooSoon,
    /// It fails. `spent`: what was written may be on the disk all the same, so that its numbers must not be given again.
    Failed { error: StateError, spent: bool },
    /// Nobody waited any more when it was durable; it was taken back.
    TooLate,
}

/// A group is either durable or given up, whichever comes first: the disk's thread and who waits for it both ask.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether nobody has decided before.
    pub fn decide(&self) -> bool {
        !self.0.swap(true, AcqRel)
    }
}

/// The segments of a log.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    options: Options,
    faults: Faults,
    old: VecDeque<Old>,
    active: Option<Active>,
    /// First entry of the active segment.
    active_first: Option<u64>,
    next_number: u64,
    retry_at: Option<Instant>,
}

/// A segment that is not written to any more.
#[derive(Clone, Copy, Debug)]
struct Old {
    number: u64,
    bytes: u64,
    /// First entry, if there are any.
    first: Option<u64>,
}

impl Disk {
    /// Over what was found; nothing of it is written to any more.
    pub fn new(dir: PathBuf, options: Options, faults: Faults, found: &Survey) -> Self {
        let old = |(number, bytes, head): &(u64, u64, Option<Head>)| Old {
            number: *number,
            bytes: *bytes,
            first: head.filter(|_| *bytes > HEAD as u64).map(|head| head.first),
        };
        let old: VecDeque<Old> = found.segments.iter().map(old).collect();
        let next_number = old.back().map_or(1, |s| s.number + 1);
        Self { dir, options, faults, old, active: None, active_first: None, next_number, retry_at: None }
    }

    /// Works until nobody asks any more.
    pub fn run(mut self, jobs: &Receiver<Job>, tell: impl Fn(Report)) {
        while let Ok(job) = jobs.recv() {
            tell(self.work(job));
        }
    }

    /// Begins a segment whose first entry has the number `first`.
    pub fn begin(&mut self, first: u64, acknowledged: u64) -> Result<(), StateError> {
        let head = Head { created: self.options.created, first, acknowledged };
        self.active = Some(Active::begin(&self.dir, self.next_number, head)?);
        self.next_number += 1;
        Ok(())
    }

    /// Bytes of all segments, and how many these are.
    pub fn held(&self) -> (u64, usize) {
        let bytes = self.old.iter().map(|old| old.bytes).sum::<u64>() + self.active.as_ref().map_or(0, |a| a.bytes);
        (bytes, self.old.len() + usize::from(self.active.is_some()))
    }

    fn work(&mut self, job: Job) -> Report {
        let started = Instant::now();
        // First, since it makes room.
        if let Some(upto) = job.trim {
            self.trim(upto, job.acknowledged);
        }
        let outcome = if job.frames.is_empty() { Ok(()) } else { self.write(&job) };
        let (bytes, segments) = self.held();
        Report { outcome, frames: job.frames, took: started.elapsed(), bytes, segments }
    }

    fn write(&mut self, job: &Job) -> Result<(), Trouble> {
        if self.held().0 + job.frames.len() as u64 > self.options.max_bytes {
            return Err(Trouble::Full);
        }
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(Trouble::TooSoon);
        }
        let tried = self.append(job);
        if tried.is_ok() && job.claim.decide() {
            self.retry_at = None;
            if let Some(active) = &mut self.active {
                active.keep(job.frames.len());
                self.active_first.get_or_insert(job.first);
            }
            return Ok(());
        }
        let active = self.active.take();
        let spent = active.is_some();
        if let Some(active) = active {
            let (number, bytes) = active.give_up();
            self.old.push_back(Old { number, bytes, first: self.active_first.take() });
        }
        Err(match tried {
            Ok(()) => Trouble::TooLate,
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                Trouble::Failed { error, spent }
            }
        })
    }

    fn append(&mut self, job: &Job) -> Result<(), StateError> {
        if let Some(full) = self.active.take_if(|active| active.bytes >= self.options.segment_bytes) {
            self.old.push_back(Old { number: full.number, bytes: full.bytes, first: self.active_first.take() });
        }
        if self.active.is_none() {
            self.begin(job.first, job.acknowledged)?;
        }
        if let Some(active) = &mut self.active {
            active.append(&job.frames, &self.faults)?;
        }
        self.faults.at(Point::LogSynced).map_err(StateError::io(&self.dir, "go on"))
    }

    /// Removes segments all of whose entries are below `upto`. The active one stays.
    fn trim(&mut self, upto: u64, acknowledged: u64) {
        let mut removed = false;
        while let Some(oldest) = self.old.front() {
            // Its entries end where those of a later segment begin.
            let later = self.old.iter().skip(1).find_map(|old| old.first).or(self.active_first);
            if later.unwrap_or(acknowledged) > upto {
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
}
