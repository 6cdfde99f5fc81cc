//! Reads the log again, from a position, in the order in which it was acknowledged; says what is torn and what is lost.

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::frame::{Entry, FIXED, HEAD, Head, VERSION, next_frame};
use super::segment::{numbers, path};
use crate::base::Millis;
use crate::state::StateError;

/// Entries that may have been acknowledged and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost(pub Range<u64>);

/// Entries, one segment in memory at a time.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    segments: VecDeque<u64>,
    entries: VecDeque<Entry>,
    /// The next entry asked for.
    next: u64,
    lost: Vec<Lost>,
    /// Whether the segment before could not be read: what is missing is then not known to be lost.
    unread: bool,
}

/// What one segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Number in its name.
    pub number: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// When its process opened the log; None where the head is torn.
    pub created: Option<Millis>,
    /// Numbers of the first and the last whole entry.
    pub entries: Option<(u64, u64)>,
    /// Whole entries.
    pub count: u64,
    /// Bytes at its end or within that are no whole entries: a torn tail, or damage.
    pub torn: u64,
    /// All below had been acknowledged, or refused, when it began.
    pub acknowledged: u64,
    /// Number that the first entry was to have.
    pub first: u64,
}

/// What is known of a log without reading all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Number, bytes and head of each segment, oldest first; of one whose head is torn or cannot be read nothing is read.
    pub segments: Vec<(u64, u64, Option<Head>)>,
    /// The number after the last entry.
    pub end: u64,
}

/// Reads the heads, and of the segments only the last. What cannot be read is passed by, and no number is given again that may
/// stand in it.
///
/// # Errors
/// The operating system does not list the folder, or a segment is of a later release.
pub fn survey(dir: &Path) -> Result<Survey, StateError> {
    let mut survey = Survey::default();
    for number in numbers(dir)? {
        let path = path(dir, number);
        let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let head = beginning(&path).map_or(Ok(None), |bytes| head(&path, &bytes))?;
        survey.segments.push((number, length, head));
    }
    // Entries that may stand in what cannot be read, where no later segment says with which number it began.
    let (mut unread, mut is_known) = (0, false);
    // Later segments have greater numbers, so the first one from the end that has any has the greatest.
    for (number, length, head) in survey.segments.iter().rev() {
        // Numbers of what was refused are not given again.
        survey.end = survey.end.max(head.map_or(0, |head| head.acknowledged.max(head.first)));
        match read(dir, *number) {
            Ok((report, _)) => {
                if let Some((_, last)) = report.entries {
                    survey.end = survey.end.max(last + 1);
                    break;
                }
            }
            Err(StateError::Io { path, error, .. }) => {
                tracing::error!(path = %path.display(), %error, "a segment of the log cannot be read");
                unread += if is_known { 0 } else { length / FIXED as u64 + 1 };
            }
            Err(error) => return Err(error),
        }
        is_known |= head.is_some();
    }
    survey.end += unread;
    Ok(survey)
}

/// The bytes of a segment's head; fewer where it is torn.
fn beginning(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD);
    fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads every segment and reports on it.
///
/// # Errors
/// The operating system refuses, or a segment is of a later release.
pub fn inspect(dir: &Path) -> Result<Vec<SegmentReport>, StateError> {
    let mut reports = Vec::new();
    for number in numbers(dir)? {
        match read(dir, number) {
            Ok((report, _)) => reports.push(report),
            // Trimmed in the meantime.
            Err(_) if !path(dir, number).exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reports)
}

impl Reader {
    /// Will read what is in the log now, from entry `from` on.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new(dir: &Path, from: u64) -> Result<Self, StateError> {
        let segments = numbers(dir)?.into();
        Ok(Self { dir: dir.to_owned(), segments, entries: VecDeque::new(), next: from, lost: vec![], unread: false })
    }

    /// The next entry; None at the end.
    ///
    /// # Errors
    /// The operating system refuses, or a segment is of a later release: that segment is left out, and the next call goes on
    /// behind it.
    pub fn read(&mut self) -> Result<Option<Entry>, StateError> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                // What comes again was refused when it came first: the end of a segment that was given up.
                if entry.sequence >= self.next {
                    self.next = entry.sequence + 1;
                    return Ok(Some(entry));
                }
            } else if let Some(number) = self.segments.pop_front() {
                self.open(number)?;
            } else {
                return Ok(None);
            }
        }
    }

    /// What had been acknowledged and could not be read, so far.
    #[must_use]
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }

    fn open(&mut self, number: u64) -> Result<(), StateError> {
        let read = read(&self.dir, number);
        let after_unread = std::mem::replace(&mut self.unread, read.is_err());
        let (report, mut entries) = read?;
        if after_unread {
            self.next = self.next.max(report.acknowledged);
        } else if report.acknowledged > self.next {
            self.lose(report.acknowledged);
        }
        let refused = self.refused();
        entries.retain(|entry| !refused.contains(&entry.sequence));
        // What is missing between was refused.
        self.next = self.next.max(report.first);
        let mut expected = self.next;
        for entry in &entries {
            // Within a segment every entry follows the one before.
            if entry.sequence > expected {
                self.lost.push(Lost(expected..entry.sequence));
            }
            expected = expected.max(entry.sequence + 1);
        }
        self.entries = entries.into();
        Ok(())
    }

    /// Entries at the end of the segment being opened that were refused: the one after it says so, having begun behind them.
    /// They are there if the disk did not let them be cut off.
    fn refused(&self) -> Range<u64> {
        let head = |number: &u64| Head::decode(&beginning(&path(&self.dir, *number)).ok()?).ok();
        self.segments.iter().find_map(head).map_or(0..0, |head| head.acknowledged..head.first)
    }

    fn lose(&mut self, upto: u64) {
        self.lost.push(Lost(self.next..upto));
        self.next = upto;
    }
}

/// One segment. A torn head makes it empty: a crash came before anything could be appended.
fn read(dir: &Path, number: u64) -> Result<(SegmentReport, Vec<Entry>), StateError> {
    let path = path(dir, number);
    let segment = fs::read(&path).map_err(StateError::io(&path, "read"))?;
    let bytes = segment.len() as u64;
    let head = head(&path, &segment)?;
    let (created, first) = (head.map(|h| h.created), head.map_or(0, |h| h.first));
    let acknowledged = head.map_or(0, |h| h.acknowledged);
    let mut report = SegmentReport { number, bytes, created, entries: None, count: 0, torn: 0, acknowledged, first };
    if head.is_none() {
        return Ok((SegmentReport { torn: bytes, ..report }, vec![]));
    }
    let (mut entries, mut read, mut next) = (Vec::new(), HEAD, first);
    while let Some(frame) = next_frame(&segment, read, next) {
        report.torn += (frame.place.start - read) as u64;
        read = frame.place.end;
        let Entry { sequence, at, watermark, form, source, payload } = frame.entry;
        next = sequence + 1;
        entries.push(Entry { sequence, at, watermark, form, source, payload: payload.to_vec() });
    }
    report.torn += (segment.len() - read) as u64;
    report.count = entries.len() as u64;
    report.entries = entries.first().zip(entries.last()).map(|(first, last)| (first.sequence, last.sequence));
    Ok((report, entries))
}

/// A segment's head; None where it is torn.
fn head(path: &Path, segment: &[u8]) -> Result<Option<Head>, StateError> {
    match Head::decode(segment) {
        Ok(head) => Ok(Some(head)),
        Err(None) => Ok(None),
        Err(Some(found)) => Err(StateError::Newer { path: path.to_owned(), found, known: VERSION }),
    }
}
