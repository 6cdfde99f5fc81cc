//! Several recordings as one stream, sorted by time, cut into batches. Pure but for reading the files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use super::csv::CsvReader;
use super::error::{BadLines, ReplayError};
use super::load::Loaded;
use crate::base::{Batch, BatchBuilder, Labels, LabelsRef, Limits, Millis, Sample};

/// One recording, read from its oldest sample to its newest.
#[derive(Debug)]
pub(super) enum Recording {
    /// Held in memory, sorted.
    Loaded { loaded: Loaded, at: usize },
    /// Read as it goes; must be sorted.
    Streamed { reader: CsvReader, labels: Labels, path: PathBuf, last: Option<Millis> },
}

/// A sample and where its labels are: the index of a run, or 0 for a streamed file.
#[derive(Clone, Copy, Debug)]
struct Record {
    series: u32,
    sample: Sample,
}

impl Recording {
    fn next(&mut self, bad: &mut BadLines) -> Result<Option<Record>, ReplayError> {
        match self {
            Self::Loaded { loaded, at } => {
                let Some(&(_, series, place)) = loaded.order.get(*at) else { return Ok(None) };
                *at += 1;
                Ok(Some(Record { series, sample: loaded.batch.all_samples()[place as usize] }))
            }
            Self::Streamed { reader, path, last, .. } => {
                let Some(sample) = reader.next(bad)? else { return Ok(None) };
                if last.is_some_and(|t| sample.t < t) {
                    return Err(ReplayError::Unsorted { path: path.clone(), line: reader.line() });
                }
                *last = Some(sample.t);
                Ok(Some(Record { series: 0, sample }))
            }
        }
    }

    fn labels(&self, series: u32) -> LabelsRef<'_> {
        match self {
            Self::Loaded { loaded, .. } => loaded.batch.labels(&loaded.batch.runs()[series as usize]),
            Self::Streamed { labels, .. } => labels.as_ref(),
        }
    }

    fn key(&self, series: u32) -> u128 {
        match self {
            Self::Loaded { loaded, .. } => loaded.batch.runs()[series as usize].key,
            Self::Streamed { .. } => 0,
        }
    }
}

/// How batches are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub samples_max: usize,
    pub span_max: Millis,
}

/// The merged stream.
#[derive(Debug)]
pub(super) struct Merge {
    recordings: Vec<Recording>,
    /// The next sample of each recording, oldest first; equal times in the order of the files.
    heads: BinaryHeap<Reverse<(Millis, usize)>>,
    next: Vec<Option<Record>>,
    /// Added to every time, milliseconds.
    shift: Millis,
    cut: Cut,
    /// A fault met while a batch was gathered; told after that batch.
    fault: Option<ReplayError>,
}

impl Merge {
    pub(super) fn new(
        mut recordings: Vec<Recording>,
        shift: Millis,
        cut: Cut,
        bad: &mut BadLines,
    ) -> Result<Self, ReplayError> {
        let (mut heads, mut next) = (BinaryHeap::new(), Vec::new());
        for (file, recording) in recordings.iter_mut().enumerate() {
            let head = recording.next(bad)?;
            heads.extend(head.map(|r| Reverse((r.sample.t, file))));
            next.push(head);
        }
        Ok(Self { recordings, heads, next, shift, cut, fault: None })
    }

    /// The next batch: no sample in it is older than any before it. `None` at the end. What was read before a fault comes
    /// before it.
    pub(super) fn batch(&mut self, limits: &Limits, bad: &mut BadLines) -> Result<Option<Batch>, ReplayError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let Some(&Reverse((start, _))) = self.heads.peek() else { return Ok(None) };
        let (mut taken, mut newest) = (Vec::new(), start);
        while let Some(&Reverse((t, file))) = self.heads.peek() {
            // Never between samples of one instant: whoever takes the newest for the watermark would find the others late.
            if t > newest && (taken.len() >= self.cut.samples_max || t.saturating_sub(start) > self.cut.span_max) {
                break;
            }
            newest = t;
            self.heads.pop();
            let recording = &mut self.recordings[file];
            if let Some(record) = self.next[file].take() {
                taken.push((file, recording.key(record.series), record));
            }
            match recording.next(bad) {
                Ok(next) => {
                    self.next[file] = next;
                    self.heads.extend(next.map(|r| Reverse((r.sample.t, file))));
                }
                Err(fault) => {
                    self.fault = Some(fault);
                    break;
                }
            }
        }
        // Samples of a series side by side cost its labels once; the order of time within a series stays.
        taken.sort_by_key(|(file, key, _)| (*file, *key));
        let mut builder = BatchBuilder::new(limits);
        let mut open = None;
        for (file, key, record) in taken {
            if open != Some((file, key)) {
                builder.series(self.recordings[file].labels(record.series));
                open = Some((file, key));
            }
            builder.sample(record.sample.t.saturating_add(self.shift), record.sample.v);
        }
        Ok(Some(builder.finish()))
    }
}
