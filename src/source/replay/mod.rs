//! Plays recorded files as a stream: CSV, OpenMetrics with timestamps, JSON lines.
//!
//! [`Replay`] is an iterator over batches that needs no runtime, for tests and backtests; [`run`] feeds a host with it.
//! All files of a set are merged into one stream sorted by time, so the source's watermark is exactly its newest sample.
//! Files are held in memory and sorted there up to a bound on their size; CSV beyond it is read as it goes and must be
//! sorted already.

mod config;
mod csv;
mod error;
mod json;
mod load;
mod merge;

pub use config::{CsvColumns, FileFormat, Redate, ReplayConfig};
pub use error::ReplayError;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use self::config::RecordedFile;
use self::csv::CsvReader;
use self::error::BadLines;
use self::merge::{Cut, Merge, Recording};
use super::decode::{Decoded, Pair, TargetLabels};
use super::watermark::drop_out_of_time;
use super::{Inlet, Position, Progress, SourceEvent, clock};
use crate::base::{Batch, Labels, Limits, METRIC_NAME, Millis};
use crate::telemetry::OneSource;

/// Bytes of files held in memory at once; a sample takes about as much there as its line does in the file.
const LOADED_BYTES: u64 = 256 << 20;

/// A batch's size: small enough that the engine's ticks follow the stream, large enough that hand-over costs nothing.
const CUT: Cut = Cut { samples_max: 4096, span_max: 3_600_000 };

/// The batches of a set of recordings, in order of time.
#[derive(Debug)]
pub struct Replay {
    merge: Merge,
    bad: BadLines,
    limits: Limits,
    progress: Arc<Progress>,
    failed: bool,
}

impl Replay {
    /// Opens the files; `base` is the folder relative patterns start from, `now` the host's clock for `redate`.
    ///
    /// # Errors
    /// A file that is missing, unreadable, malformed beyond `bad_lines_max`, or too large to sort.
    pub fn open(
        config: &ReplayConfig,
        base: &Path,
        now: Millis,
        limits: &Limits,
        progress: Arc<Progress>,
    ) -> Result<Self, ReplayError> {
        Self::with_room(config, base, now, limits, progress, LOADED_BYTES)
    }

    fn with_room(
        config: &ReplayConfig,
        base: &Path,
        now: Millis,
        limits: &Limits,
        progress: Arc<Progress>,
        mut room: u64,
    ) -> Result<Self, ReplayError> {
        let mut bad = BadLines::new(config.bad_lines_max);
        let (mut recordings, mut newest) = (Vec::new(), None);
        for file in config.find(base)? {
            let (recording, last, samples) = if file.bytes <= room {
                room -= file.bytes;
                let loaded = load::load(&file, &config.csv, limits, &mut bad)?;
                let (last, samples) = (loaded.order.last().map(|o| o.0), loaded.order.len() as u64);
                (Recording::Loaded { loaded, at: 0 }, last, samples)
            } else if file.format == FileFormat::Csv {
                let reader = CsvReader::open(&file.path, &config.csv)?;
                let (last, samples) = reader.survey()?;
                let labels = labels(&file);
                (Recording::Streamed { reader, labels, path: file.path, last: None }, last, samples)
            } else {
                return Err(ReplayError::TooLarge { path: file.path, bytes: file.bytes, room });
            };
            progress.expect(samples);
            newest = newest.max(last);
            recordings.push(recording);
        }
        let shift = match (config.redate, newest) {
            (Redate::EndNow, Some(newest)) => shift(newest, now, config.interval.millis()),
            _ => 0,
        };
        let merge = Merge::new(recordings, shift, CUT, &mut bad)?;
        Ok(Self { merge, bad, limits: limits.clone(), progress, failed: false })
    }

    /// Malformed lines skipped so far.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad.count
    }
}

impl Iterator for Replay {
    type Item = Result<Batch, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.merge.batch(&self.limits, &mut self.bad).transpose()?;
        match &batch {
            Ok(batch) => {
                let samples = batch.all_samples().len() as u64;
                self.progress.step(samples, samples);
                self.progress.skipped(self.bad.count);
            }
            Err(_) => self.failed = true,
        }
        Some(batch)
    }
}

/// Plays a set of recordings into the engine's queue as fast as it takes them, then says that the source has ended, even
/// when it ended by an error: the watermark would wait for it for ever. Dropping the future ends it after the batch at hand.
///
/// # Errors
/// As [`Replay::open`], or a file fails on the way.
pub async fn run(
    inlet: Inlet,
    config: ReplayConfig,
    base: Arc<Path>,
    now: Millis,
    limits: Arc<Limits>,
    progress: Arc<Progress>,
    metrics: OneSource,
) -> Result<(), ReplayError> {
    let (id, queue, stream) = (inlet.id, inlet.queue.clone(), stream(&config));
    // A blocking task outlives whoever awaits it; this one looks whether anybody still does.
    let (awaited, _awaiting) = oneshot::channel::<()>();
    let play = move || {
        let mut replay = Replay::open(&config, &base, now, &limits, progress)?;
        let result = feed(&mut replay, &inlet, &metrics, &awaited);
        metrics.dropped("malformed_line", replay.bad_lines());
        result
    };
    let result = tokio::task::spawn_blocking(play).await;
    if let Ok(Ok(())) = result {
        let _ = queue.send(SourceEvent::Reached(Position { stream, next: 1 })).await;
    }
    // A closed queue means that nobody waits for the end either.
    let _ = queue.send(SourceEvent::End(id)).await;
    result.unwrap_or_else(|e| Err(ReplayError::Io("replay".into(), std::io::Error::other(e))))
}

/// The stream of a set of recordings, which is read once: its position is 0 before and 1 after.
#[must_use]
pub fn stream(config: &ReplayConfig) -> Arc<str> {
    format!("replay/{}", config.files).into()
}

fn feed(
    replay: &mut Replay,
    inlet: &Inlet,
    metrics: &OneSource,
    awaited: &oneshot::Sender<()>,
) -> Result<(), ReplayError> {
    let replay_limits = replay.limits.clone();
    for batch in replay.take_while(|_| !awaited.is_closed()) {
        // A recording may be as old as it likes, but must not run ahead of the clock: live samples would then be late.
        let limits = Limits { past_seconds: u64::MAX, ..replay_limits.clone() };
        let Decoded { batch, dropped, .. } =
            drop_out_of_time(Decoded { batch: batch?, ..Decoded::default() }, clock::now(), &limits);
        if dropped.future > 0 {
            metrics.dropped("future", dropped.future);
            tracing::warn!(
                source = metrics.name(),
                samples = dropped.future,
                "a recording lies in the future: dropped"
            );
        }
        metrics.samples.inc_by(batch.all_samples().len() as u64);
        if batch.is_empty() {
            continue;
        }
        if inlet.queue.blocking_send(SourceEvent::Batch(inlet.id, batch)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Moves the newest sample to the last whole multiple of `interval` up to `now`.
fn shift(newest: Millis, now: Millis, interval: Millis) -> Millis {
    now - now.rem_euclid(interval.max(1)) - newest
}

fn labels(file: &RecordedFile) -> Labels {
    let target = TargetLabels::new(&file.labels, false);
    let name = file.metric.as_deref().unwrap_or_default();
    let mut pairs: Vec<Pair<'_>> = vec![(Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name))];
    target.apply(&mut pairs);
    Labels::from_pairs(pairs)
}

#[cfg(test)]
mod tests;
