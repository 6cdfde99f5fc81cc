//! Whole files into memory, sorted by time. For everything but CSV too large for that.

use std::borrow::Cow;
use std::fs;

use super::config::{CsvColumns, FileFormat, RecordedFile};
use super::csv::CsvReader;
use super::error::{BadLines, ReplayError};
use super::json;
use crate::base::{Batch, BatchBuilder, LabelError, Limits, METRIC_NAME, Millis, Sample};
use crate::source::decode::text::{Format, LineParser, TextError};
use crate::source::decode::{Pair, TargetLabels};

/// A file's samples in order of time.
#[derive(Debug)]
pub(super) struct Loaded {
    pub batch: Batch,
    /// Time, series (index of a run), place of the sample within the batch.
    pub order: Vec<(Millis, u32, u32)>,
}

pub(super) fn load(
    file: &RecordedFile,
    columns: &CsvColumns,
    limits: &Limits,
    bad: &mut BadLines,
) -> Result<Loaded, ReplayError> {
    let mut loader =
        Loader { file, target: TargetLabels::new(&file.labels, false), builder: BatchBuilder::new(limits) };
    match file.format {
        FileFormat::Csv => loader.csv(columns, bad)?,
        FileFormat::OpenMetrics => loader.open_metrics(bad)?,
        FileFormat::Json => loader.json_lines(bad)?,
    }
    Ok(Loaded::new(loader.builder.finish()))
}

impl Loaded {
    fn new(batch: Batch) -> Self {
        let mut order = Vec::with_capacity(batch.all_samples().len());
        for (series, run) in batch.runs().iter().enumerate() {
            for sample in batch.samples(run) {
                order.push((sample.t, series as u32, order.len() as u32));
            }
        }
        // Samples of one series and one time keep their order.
        order.sort_by_key(|(t, series, place)| (*t, *series, *place));
        Self { batch, order }
    }
}

struct Loader<'a> {
    file: &'a RecordedFile,
    target: TargetLabels,
    builder: BatchBuilder,
}

impl Loader<'_> {
    fn csv(&mut self, columns: &CsvColumns, bad: &mut BadLines) -> Result<(), ReplayError> {
        let mut reader = CsvReader::open(&self.file.path, columns)?;
        let metric = self.file.metric.as_deref().unwrap_or_default();
        self.series(&mut vec![(Cow::Borrowed(METRIC_NAME), Cow::Borrowed(metric))])
            .map_err(|e| ReplayError::Labels(self.file.path.clone(), e))?;
        while let Some(Sample { t, v }) = reader.next(bad)? {
            self.builder.sample(t, v);
        }
        Ok(())
    }

    fn open_metrics(&mut self, bad: &mut BadLines) -> Result<(), ReplayError> {
        let text = self.text()?;
        let (mut parser, mut pairs) = (LineParser::new(Format::OpenMetrics), Vec::new());
        for line in text.lines() {
            match parser.line(line, &mut pairs) {
                Ok(None) => {}
                Ok(Some((Some(t), v))) => match self.series(&mut pairs) {
                    Ok(()) => self.builder.sample(t, v),
                    Err(fault) => bad.add(&self.file.path, parser.line_number() as u64, &fault)?,
                },
                Ok(Some((None, _))) => bad.add(&self.file.path, parser.line_number() as u64, &"no timestamp")?,
                Err(TextError { line, problem }) => bad.add(&self.file.path, line as u64, &problem)?,
            }
        }
        match parser.end() {
            Ok(()) => Ok(()),
            Err(e) => bad.add(&self.file.path, e.line as u64, &e.problem),
        }
    }

    fn json_lines(&mut self, bad: &mut BadLines) -> Result<(), ReplayError> {
        let text = self.text()?;
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let read = json::parse(line, self.file.metric.as_deref());
            let taken = read.and_then(|(labels, samples)| {
                let mut pairs = labels.iter().map(|(n, v)| (Cow::Borrowed(n.as_str()), Cow::Borrowed(v.as_str())));
                self.series(&mut pairs.by_ref().collect()).map_err(|e| e.to_string())?;
                samples.iter().for_each(|s| self.builder.sample(s.t, s.v));
                Ok(())
            });
            if let Err(reason) = taken {
                bad.add(&self.file.path, at as u64 + 1, &reason)?;
            }
        }
        Ok(())
    }

    fn series(&mut self, pairs: &mut Vec<Pair<'_>>) -> Result<(), LabelError> {
        let mut own = std::mem::take(pairs);
        self.target.apply(&mut own);
        own.iter().for_each(|(name, value)| self.builder.label(name, value));
        self.builder.end_labels()
    }

    fn text(&self) -> Result<String, ReplayError> {
        fs::read_to_string(&self.file.path).map_err(|e| ReplayError::Io(self.file.path.clone(), e))
    }
}
