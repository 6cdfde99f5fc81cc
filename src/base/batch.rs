//! A batch: what a source hands to the engine. Columns, not objects: label bytes of all series in one buffer, samples
//! in another, so that a batch of any size costs a handful of allocations.

use xxhash_rust::xxh3::xxh3_128;

use super::labels::{is_utf8, push_bytes, push_pair};
use super::{CounterStart, LabelsRef, Limits, Millis, Sample};

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

    /// How many samples were measured: all but those that say where a counter begins.
    #[must_use]
    pub fn measured(&self) -> u64 {
        self.samples.iter().filter(|s| CounterStart::of(s.v).is_none()).count() as u64
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
    /// First byte of that name.
    last_first: u8,
    sorted: bool,
    /// Whether some label came as bytes whose encoding is not checked yet.
    unchecked: bool,
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

    /// Makes room, for whoever knows how much is coming.
    pub fn reserve(&mut self, label_bytes: usize, series: usize, samples: usize) {
        self.batch.label_bytes.reserve(label_bytes);
        self.batch.runs.reserve(series);
        self.batch.samples.reserve(samples);
    }

    /// Adds a label to the series under construction. A fault is kept for [`Self::end_labels`].
    #[inline]
    pub fn label(&mut self, name: &str, value: &str) {
        self.push(name.as_bytes(), value.as_bytes());
    }

    /// Adds a label given as bytes, as they stand in a wire format.
    #[inline]
    pub fn label_bytes(&mut self, name: &[u8], value: &[u8]) {
        // Checked by `end_labels` for the whole series at once: one pass over a hundred bytes costs a tenth of twenty short ones.
        self.open.unchecked = true;
        self.push(name, value);
    }

    /// Adds a label whose name and value both stand encoded as in a label set: a byte of length below 128, then so many
    /// bytes. That is also protobuf's encoding, so a wire format can hand both over as they are.
    #[inline]
    pub fn label_encoded(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!([name, value].iter().all(|s| s.is_empty() || usize::from(s[0]) == s.len() - 1 && s[0] < 0x80));
        match (name, value) {
            ([_, first, ..], [_, _, ..])
                if name.len() - 1 <= self.name_bytes && value.len() - 1 <= self.value_bytes =>
            {
                self.open.unchecked = true;
                self.order(*first, &name[1..]);
                let bytes = &mut self.batch.label_bytes;
                bytes.extend_from_slice(name);
                self.open.last_name = (bytes.len() - name.len() + 1, bytes.len());
                bytes.extend_from_slice(value);
                self.count();
            }
            ([_, name @ ..], [_, value @ ..]) => self.label_bytes(name, value),
            _ => self.fail(LabelError::Name),
        }
    }

    #[inline]
    fn push(&mut self, name: &[u8], value: &[u8]) {
        // What follows a fault would be forgotten; a wire format may name the same long strings without end.
        if self.open.error.is_some() {
            return;
        }
        let Some(first) = name.first().filter(|_| name.len() <= self.name_bytes) else {
            return self.fail(LabelError::Name);
        };
        if value.len() > self.value_bytes {
            self.fail(LabelError::Value);
        } else if !value.is_empty() {
            self.order(*first, name);
            let bytes = &mut self.batch.label_bytes;
            push_bytes(bytes, name);
            self.open.last_name = (bytes.len() - name.len(), bytes.len());
            push_bytes(bytes, value);
            self.count();
        }
    }

    /// Sees whether a name comes after the one before it.
    #[inline]
    fn order(&mut self, first: u8, name: &[u8]) {
        // Most neighbours differ in their first byte; a call to compare the rest would cost more than the copy.
        let last = self.open.last_first;
        if self.open.count > 0 && last >= first {
            let last = &self.batch.label_bytes[self.open.last_name.0..self.open.last_name.1];
            self.open.sorted &= last < name;
        }
        self.open.last_first = first;
    }

    #[inline]
    fn count(&mut self) {
        self.open.count += 1;
        if self.open.count > self.labels_per_series {
            self.fail(LabelError::TooMany);
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
            None if open.unchecked && !is_utf8(&self.batch.label_bytes[open.start..]) => Err(LabelError::Utf8),
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

    /// Identity of the series whose labels ended last.
    #[must_use]
    pub fn last_key(&self) -> Option<u128> {
        self.batch.runs.last().map(|run| run.key)
    }

    /// Labels of the series whose labels ended last.
    #[must_use]
    pub fn last_labels(&self) -> Option<LabelsRef<'_>> {
        self.batch.runs.last().map(|run| self.batch.labels(run))
    }

    /// Bytes of all labels so far.
    #[must_use]
    pub fn label_bytes_len(&self) -> usize {
        self.batch.label_bytes.len()
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

    /// Says that the counter whose labels ended last begins at `t`, before its samples.
    pub fn counter_start(&mut self, t: Millis, start: CounterStart) {
        self.sample(t, start.as_value());
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
    fn encoded_labels_are_the_same_as_plain_ones() {
        let limits = Limits { label_name_bytes: 3, label_value_bytes: 3, ..Limits::default() };
        let mut builder = BatchBuilder::new(&limits);
        let mut build = |pairs: &[(&[u8], &[u8])]| {
            pairs.iter().for_each(|(n, v)| builder.label_encoded(n, v));
            builder.end_labels()
        };
        assert_eq!(build(&[(b"\x01b", b"\x021\x32"), (b"\x01c", b"\x00"), (b"\x01a", b"\x013")]), Ok(()));
        assert_eq!(build(&[(b"\x00", b"\x011")]), Err(LabelError::Name));
        assert_eq!(build(&[(b"\x04abcd", b"\x011")]), Err(LabelError::Name));
        assert_eq!(build(&[(b"\x01a", b"\x041234")]), Err(LabelError::Value));
        assert_eq!(build(&[(b"\x01a", b"\x01\xff")]), Err(LabelError::Utf8));
        assert_eq!(build(&[(b"\x01a", b"\x011"), (b"\x01a", b"\x012")]), Err(LabelError::Duplicate));
        let batch = builder.finish();
        let plain = Labels::from_pairs([("a", "3"), ("b", "12")]);
        assert_eq!((batch.runs().len(), batch.labels(&batch.runs()[0])), (1, plain.as_ref()));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_found_among_long_strings() {
        let mut builder = BatchBuilder::new(&Limits::default());
        builder.label_bytes(b"a", "é".repeat(100).as_bytes());
        assert_eq!(builder.end_labels(), Ok(()));
        builder.label_bytes(b"a", &[b'x'; 200]);
        builder.label_bytes(b"b", b"\xc3");
        builder.label_bytes(b"c", b"\xa9");
        assert_eq!(builder.end_labels(), Err(LabelError::Utf8));
    }

    #[test]
    fn nothing_is_kept_behind_a_fault() {
        let mut builder = BatchBuilder::new(&Limits { labels_per_series: 4, ..Limits::default() });
        for _ in 0..1_000 {
            builder.label_bytes(b"a", &[b'x'; 100]);
            builder.label("a", "x");
        }
        assert!(builder.label_bytes_len() < 600, "{}", builder.label_bytes_len());
        assert_eq!(builder.end_labels(), Err(LabelError::TooMany));
        assert_eq!(builder.label_bytes_len(), 0);
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
