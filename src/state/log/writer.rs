//! The log's own thread: makes groups of what waits, gives them to the disk's thread, and tells everybody what came of it, in
//! the order of the log.
//!
//! While the disk is at its fsync the next group gathers. A disk that has not answered for [`PATIENCE`] hangs: the group,
//! what waits and what comes is refused until it answers. What was told to have been refused is then no part of the log,
//! though the disk may have taken it: its segment is cut and given up, as after a failure.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::disk::{Claim, Job, Report, Trouble};
use super::handle::{Append, Event, GROUP_BYTES, Inbox, Observer, Refused, Taken};

/// How long the disk may take for one group before it is taken to hang: longer than a busy one takes, shorter than senders
/// wait for an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether a disk that hangs answers, or the log is closed.
const LOOK: Duration = Duration::from_millis(100);

pub struct Writer {
    jobs: Sender<Job>,
    observer: Observer,
    next: u64,
    /// All below have been acknowledged, or refused.
    acknowledged: u64,
    buffer: Vec<u8>,
}

impl Writer {
    /// A writer whose first entry has the number `next`.
    pub fn new(jobs: Sender<Job>, observer: Observer, next: u64) -> Self {
        Self { jobs, observer, next, acknowledged: next, buffer: Vec::new() }
    }

    /// Works until the log is closed and all is written, or the disk hangs then.
    pub fn run(mut self, inbox: &Inbox) {
        loop {
            let Taken { group, trim, turned_away, closed } = inbox.next();
            self.tell_turned_away(turned_away);
            let last = closed && group.is_empty();
            if (!group.is_empty() || trim.is_some()) && !self.work(group, trim, inbox) {
                return;
            }
            if last {
                return;
            }
        }
    }

    /// One job; false if the log was closed while the disk hung.
    fn work(&mut self, mut group: Vec<Append>, trim: Option<u64>, inbox: &Inbox) -> bool {
        let (first, mut frames) = (self.next, std::mem::take(&mut self.buffer));
        frames.clear();
        for (append, sequence) in group.iter_mut().zip(first..) {
            append.entry.sequence = sequence;
            append.entry.encode(&mut frames);
        }
        let (claim, started) = (Claim::default(), Instant::now());
        let job = Job { trim, first, acknowledged: self.acknowledged, frames, claim: claim.clone() };
        if self.jobs.send(job).is_err() {
            // It has panicked, which has been printed.
            self.refuse(Refused::Failed, group);
            return true;
        }
        let report = match inbox.report_within(PATIENCE) {
            // It has become durable just now.
            None if !claim.decide() => loop {
                if let Some(report) = inbox.report_within(PATIENCE) {
                    break report;
                }
            },
            None => return self.hang(group, started, inbox),
            Some(report) => report,
        };
        self.settle(report, group, inbox);
        true
    }

    /// Acknowledges a group, or refuses it.
    fn settle(&mut self, report: Report, group: Vec<Append>, inbox: &Inbox) {
        let Report { outcome, frames, took, bytes, segments } = report;
        inbox.settle(bytes);
        let upto = self.next + group.len() as u64;
        let refused = match outcome {
            Ok(()) if group.is_empty() => None,
            Ok(()) => {
                (self.observer)(Event::Synced { entries: group.len(), bytes: frames.len(), took });
                (self.next, self.acknowledged) = (upto, upto);
                None
            }
            Err(Trouble::Full) => Some(Refused::Full),
            Err(Trouble::TooSoon) => Some(Refused::Failed),
            Err(Trouble::TooLate) => Some(Refused::Stalled),
            Err(Trouble::Failed { error, spent }) => {
                (self.observer)(Event::Failed(&error));
                if spent {
                    self.next = upto;
                }
                Some(Refused::Failed)
            }
        };
        match refused {
            None => group.into_iter().for_each(|append| (append.done)(Ok(append.entry.sequence))),
            Some(refused) => self.refuse(refused, group),
        }
        (self.observer)(Event::Held(bytes, segments));
        // One huge group must not be remembered for ever.
        self.buffer = frames;
        self.buffer.shrink_to(GROUP_BYTES);
    }

    /// Refuses everything until the disk answers; false if the log was closed before.
    fn hang(&mut self, group: Vec<Append>, started: Instant, inbox: &Inbox) -> bool {
        (self.observer)(Event::Stalled(started.elapsed()));
        let given = group.len() as u64;
        let waiting = inbox.stall();
        self.refuse(Refused::Stalled, group);
        self.refuse(Refused::Stalled, waiting);
        loop {
            let (report, Taken { turned_away, closed, .. }) = inbox.look(LOOK);
            self.tell_turned_away(turned_away);
            if let Some(report) = report {
                (self.observer)(Event::Answers(started.elapsed()));
                // They may be on the disk, and then their numbers are not given again. If nothing of them was tried, those of the
                // next follow the last: a gap within a segment would read as loss.
                if !matches!(report.outcome, Err(Trouble::Full | Trouble::TooSoon)) {
                    self.next += given;
                }
                self.settle(report, Vec::new(), inbox);
                return true;
            }
            if closed {
                return false;
            }
        }
    }

    fn refuse(&mut self, refused: Refused, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        (self.observer)(Event::Refused(refused, group.len()));
        group.into_iter().for_each(|append| (append.done)(Err(refused)));
    }

    fn tell_turned_away(&mut self, turned_away: Vec<(Refused, usize)>) {
        turned_away.into_iter().for_each(|(refused, entries)| (self.observer)(Event::Refused(refused, entries)));
    }
}
