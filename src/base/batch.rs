//! A batch: what a source hands to the engine. Columns, not objects: label bytes of all series in one buffer, samples
//! in another, so that a batch of any size costs a handful of allocations.

use xxhash_rust::xxh3::xxh3_128;

use super::labels::{push_pair, push_string};
use super::{LabelsRef, Limits, Millis, Sample};

/// Samples of some series, in the order in which they arrived.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    label_bytes: Vec<u8>,
    runs: Vec<SeriesRun>,
    samples: Vec<Sample>,
}

/// The samples of one series within a batch.
#[derive(Clone, Copy, Debug)]
pub struct SeriesRun {
    /// Identity of the series, see [`LabelsRef::key`].
    pub key: u128,
    labels: (u32, u32),
    samples: (u32, u32),
}

/// Why a series was refused while a batch was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// More labels than `limits.labels_per_series`.
    #[error("too many labels")]
    TooMany,
    /// A name longer than `limits.label_name_bytes`, or empty.
    #[error("label name too long or empty")]
    Name,
    /// A value longer than `limits.label_value_bytes`.
    #[error("label value too long")]
    Value,
    /// Names that repeat.
    #[error("a label name stands twice")]
    Duplicate,
    /// Bytes that are not UTF-8.
    #[error("label is not UTF-8")]
    Utf8,
    /// A series without any label.
    #[error("no labels")]
    Empty,
}

impl LabelError {
    /// The reason as a metric's label value.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooMany => "too_many_labels",
            Self::Name => "bad_label_name",
            Self::Value => "label_value_too_long",
            Self::Duplicate => "duplicate_label",
            Self::Utf8 => "label_not_utf8",
            Self::Empty => "no_labels",
        }
    }
}

impl Batch {
    /// The series of the batch, in order of arrival. One series may stand more than once.
    #[must_use]
    pub fn runs(&self) -> &[SeriesRun] {
        &self.runs
    }

    /// The labels of a run of this batch.
    #[must_use]
    pub fn labels(&self, run: &SeriesRun) -> LabelsRef<'_> {
        LabelsRef::from_canonical(&self.label_bytes[run.labels.0 as usize..run.labels.1 as usize])
    }

    /// The samples of a run of this batch.
    #[must_use]
    pub fn samples(&self, run: &SeriesRun) -> &[Sample] {
        &self.samples[run.samples.0 as usize..run.samples.1 as usize]
    }

    /// All samples of the batch.
    #[must_use]
    pub fn all_samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Newest event time in the batch.
    #[must_use]
    pub fn newest(&self) -> Option<Millis> {
        self.samples.iter().map(|s| s.t).max()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// Builds a [`Batch`] series by series: labels, then [`Self::end_labels`], then samples.
///
/// ```
/// use forewarn::base::{BatchBuilder, Limits};
/// let mut builder = BatchBuilder::new(&Limits::default());
/// builder.label("__name__", "up");
/// builder.label("job", "node");
/// builder.end_labels().unwrap();
/// builder.sample(1_000, 1.0);
/// let batch = builder.finish();
/// assert_eq!(batch.labels(&batch.runs()[0]).to_string(), r#"up{job="node"}"#);
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
    labels_per_series: usize,
    name_bytes: usize,
    value_bytes: usize,
    open: Open,
}

/// The series under construction.
#[derive(Debug, Default)]
struct Open {
    start: usize,
    count: usize,
    /// Byte range of the last name, to see whether the names come sorted.
    last_name: (usize, usize),
    sorted: bool,
    error: Option<LabelError>,
}

impl BatchBuilder {
    /// An empty batch that holds its series to `limits`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            batch: Batch::default(),
            labels_per_series: limits.labels_per_series,
            name_bytes: limits.label_name_bytes,
            value_bytes: limits.label_value_bytes,
            open: Open { sorted: true, ..Open::default() },
        }
    }

    /// Goes on with a finished batch.
    #[must_use]
    pub fn extending(batch: Batch, limits: &Limits) -> Self {
        let mut builder = Self::new(limits);
        builder.open.start = batch.label_bytes.len();
        builder.batch = batch;
        builder
    }

    /// Adds a label to the series under construction. A fault is kept for [`Self::end_labels`].
    #[inline]
    pub fn label(&mut self, name: &str, value: &str) {
        if name.is_empty() || name.len() > self.name_bytes {
            self.fail(LabelError::Name);
        } else if value.len() > self.value_bytes {
            self.fail(LabelError::Value);
        } else if !value.is_empty() {
            let bytes = &mut self.batch.label_bytes;
            if self.open.count > 0 {
                let last = &bytes[self.open.last_name.0..self.open.last_name.1];
                self.open.sorted &= last < name.as_bytes();
            }
            push_string(bytes, name);
            self.open.last_name = (bytes.len() - name.len(), bytes.len());
            push_string(bytes, value);
            self.open.count += 1;
            if self.open.count > self.labels_per_series {
                self.fail(LabelError::TooMany);
            }
        }
    }

    /// Adds a label given as bytes, as they stand in a wire format.
    #[inline]
    pub fn label_bytes(&mut self, name: &[u8], value: &[u8]) {
        match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            (Ok(name), Ok(value)) => self.label(name, value),
            _ => self.fail(LabelError::Utf8),
        }
    }

    /// Marks the series under construction as unusable; [`Self::end_labels`] will say so.
    pub fn fail(&mut self, error: LabelError) {
        self.open.error.get_or_insert(error);
    }

    /// Ends the labels of the series under construction; samples that follow are its own.
    ///
    /// # Errors
    /// The first fault among the labels; the series is then forgotten and its samples must not be added.
    pub fn end_labels(&mut self) -> Result<(), LabelError> {
        let open = std::mem::replace(&mut self.open, Open { sorted: true, ..Open::default() });
        let checked = match open.error {
            Some(error) => Err(error),
            None if open.count == 0 => Err(LabelError::Empty),
            None if !open.sorted => self.sort_labels(open.start),
            None => Ok(()),
        };
        if checked.is_err() {
            self.batch.label_bytes.truncate(open.start);
        } else {
            let (start, end) = (open.start, self.batch.label_bytes.len());
            self.batch.runs.push(SeriesRun {
                key: xxh3_128(&self.batch.label_bytes[start..end]),
                labels: (start as u32, end as u32),
                samples: (self.batch.samples.len() as u32, self.batch.samples.len() as u32),
            });
        }
        self.open.start = self.batch.label_bytes.len();
        checked
    }

    /// Adds a whole series' labels that are already canonical.
    pub fn series(&mut self, labels: LabelsRef<'_>) {
        let start = self.batch.label_bytes.len();
        self.batch.label_bytes.extend_from_slice(labels.as_bytes());
        let end = self.batch.label_bytes.len();
        let at = self.batch.samples.len() as u32;
        self.batch.runs.push(SeriesRun { key: labels.key(), labels: (start as u32, end as u32), samples: (at, at) });
        self.open.start = end;
    }

    /// Adds a sample to the series whose labels ended last. Without one it is ignored.
    #[inline]
    pub fn sample(&mut self, t: Millis, v: f64) {
        if let Some(run) = self.batch.runs.last_mut() {
            self.batch.samples.push(Sample { t, v });
            run.samples.1 += 1;
        }
    }

    /// Samples added so far.
    #[must_use]
    pub fn sample_count(&self) -> usize {
        self.batch.samples.len()
    }

    /// The finished batch.
    #[must_use]
    pub fn finish(self) -> Batch {
        self.batch
    }

    fn sort_labels(&mut self, start: usize) -> Result<(), LabelError> {
        let open = self.batch.label_bytes[start..].to_vec();
        let mut pairs: Vec<_> = LabelsRef::from_canonical(&open).iter().collect();
        pairs.sort_unstable();
        if pairs.windows(2).any(|p| p[0].0 == p[1].0) {
            return Err(LabelError::Duplicate);
        }
        self.batch.label_bytes.truncate(start);
        for (name, value) in pairs {
            push_pair(&mut self.batch.label_bytes, name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Labels;
    use super::*;

    fn build(pairs: &[(&str, &str)]) -> Result<Batch, LabelError> {
        let mut builder =
            BatchBuilder::new(&Limits { labels_per_series: 4, label_value_bytes: 8, ..Limits::default() });
        for (n, v) in pairs {
            builder.label(n, v);
        }
        builder.end_labels()?;
        builder.sample(1, 2.0);
        Ok(builder.finish())
    }

    #[test]
    fn unsorted_labels_get_the_key_of_sorted_ones() {
        let a = build(&[("b", "1"), ("a", "2")]).unwrap();
        assert_eq!(a.runs()[0].key, Labels::from_pairs([("a", "2"), ("b", "1")]).as_ref().key());
        assert_eq!(a.samples(&a.runs()[0]), [Sample { t: 1, v: 2.0 }]);
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(build(&[]).unwrap_err(), LabelError::Empty);
        assert_eq!(build(&[("a", "1"), ("a", "2")]).unwrap_err(), LabelError::Duplicate);
        assert_eq!(build(&[("a", "123456789")]).unwrap_err(), LabelError::Value);
        assert_eq!(
            build(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")]).unwrap_err(),
            LabelError::TooMany
        );
        assert_eq!(build(&[("", "1")]).unwrap_err(), LabelError::Name);
    }

    #[test]
    fn a_refused_series_leaves_no_trace() {
        let mut builder = BatchBuilder::new(&Limits::default());
        builder.label("a", "1");
        builder.label("a", "2");
        assert!(builder.end_labels().is_err());
        builder.label("b", "1");
        builder.end_labels().unwrap();
        builder.sample(5, 1.0);
        let batch = builder.finish();
        assert_eq!(batch.runs().len(), 1);
        assert_eq!(batch.labels(&batch.runs()[0]).to_string(), r#"{b="1"}"#);
    }
}
