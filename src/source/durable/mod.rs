//! Sources that cannot be asked again: what they send is in the segment log before the engine has it, and before a sender
//! is told that it has arrived.
//!
//! A receiver that acknowledges uses [`Intake`]. Sources that ask (scrapes, the host) go through a [`gate`]; if the log cannot
//! be written, or its disk hangs, the engine gets their samples all the same, since nobody would send them again and alerts
//! matter more. These are counted, and a checkpoint is asked for as soon as the log works again: until then a crash would
//! lose them.

mod batch_bytes;
mod gate;
mod intake;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use prometheus::IntCounterVec;

use crate::base::{Batch, Limits, Millis};
use crate::source::decode::remote_write;
use crate::source::watermark::drop_out_of_time;
use crate::state::log::{Append, Entry, Log, Refused};

pub use gate::gate;
pub use intake::{ComeAgain, Intake, Room};

use super::clock;

/// What no restart will ask for again, though it should find the newest checkpoints damaged: the oldest one that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurablePoint {
    /// Ticks up to here will not be evaluated again.
    pub watermark: Option<Millis>,
    /// Items of streams before these will not be read again.
    pub positions: BTreeMap<String, u64>,
}

/// Stream of the log's positions.
pub const LOG: &str = "log";

/// What a payload of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A batch, see `batch_bytes`.
    Batch = 1,
    /// The body of a remote write 1.0 request, as it came: nothing has to be encoded again.
    RemoteWrite = 2,
}

/// Why an entry of the log cannot be read: it was written by a later release, or by a fault in this one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} of the log, from {source_name}: {what}")]
pub struct EntryError {
    /// Its number.
    pub sequence: u64,
    /// The source.
    pub source_name: String,
    /// What is wrong.
    pub what: String,
}

/// The log as sources know it. Clones share it.
#[derive(Clone, Debug)]
pub struct SourceLog {
    log: Arc<Log>,
    event_time: Arc<AtomicI64>,
    unlogged: Option<IntCounterVec>,
}

impl SourceLog {
    /// Over this log.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self { log: Arc::new(log), event_time: Arc::new(AtomicI64::new(Millis::MIN)), unlogged: None }
    }

    /// Counts by source what goes to the engine without being in the log.
    #[must_use]
    pub fn counting(self, batches: IntCounterVec) -> Self {
        Self { unlogged: Some(batches), ..self }
    }

    /// Says how far event time has come. Entries carry it, so that after a restart time does not run ahead of them.
    pub fn set_event_time(&self, watermark: Millis) {
        self.event_time.store(watermark, Relaxed);
    }

    /// Whether event time has come further than the clock: then the clock was set back, and cannot say what is the future.
    #[must_use]
    pub fn is_ahead_of(&self, now: Millis) -> bool {
        self.event_time.load(Relaxed) > now
    }

    /// Lets go of what lies before this position.
    pub fn trim(&self, position: u64) {
        self.log.trim(position);
    }

    /// Entries that wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.log.waiting()
    }

    /// Bytes of the log.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    fn append(
        &self,
        source: &str,
        form: Form,
        payload: Vec<u8>,
        done: impl FnOnce(Result<u64, Refused>) + Send + 'static,
    ) {
        let watermark = Some(self.event_time.load(Relaxed)).filter(|w| *w != Millis::MIN);
        let (source, form) = (source.to_owned(), form as u8);
        let entry = Entry { sequence: 0, at: clock::now(), watermark, form, source, payload };
        self.log.append(Append { entry, done: Box::new(done) });
    }
}

/// The batch of an entry, as the engine got it when it arrived. Its sender has been told that it is safe, so bounds on the
/// size of a request, which may have been lowered since, are not asked again.
///
/// # Errors
/// The payload is not what its form says.
pub fn decode(entry: &Entry, limits: &Limits, scratch: &mut Vec<u8>) -> Result<Batch, EntryError> {
    let fault = |what: String| EntryError { sequence: entry.sequence, source_name: entry.source.clone(), what };
    let generous = Limits { decompressed_bytes: usize::MAX, pending_samples: usize::MAX, ..limits.clone() };
    match entry.form {
        form if form == Form::Batch as u8 => {
            // The labels have passed their bounds already.
            let (labels_per_series, label_name_bytes, label_value_bytes) = (usize::MAX, usize::MAX, usize::MAX);
            let as_taken = Limits { labels_per_series, label_name_bytes, label_value_bytes, ..generous };
            batch_bytes::decode(&entry.payload, &as_taken).ok_or_else(|| fault("no batch".to_owned()))
        }
        form if form == Form::RemoteWrite as u8 => {
            let decoded = remote_write::decode(&entry.payload, &generous, scratch).map_err(|e| fault(e.to_string()))?;
            Ok(drop_out_of_time(decoded, entry.at, limits).batch)
        }
        form => Err(fault(format!("form {form} is not known to this release"))),
    }
}
