//! CSV with a time and a value column: one series a file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::config::CsvColumns;
use super::error::{BadLines, ReplayError};
use crate::base::{Millis, Sample, parse_instant, parse_value};

/// Reads a file row by row.
#[derive(Debug)]
pub(super) struct CsvReader {
    path: PathBuf,
    reader: ::csv::Reader<File>,
    record: ::csv::ByteRecord,
    timestamp: usize,
    value: usize,
}

impl CsvReader {
    pub(super) fn open(path: &Path, columns: &CsvColumns) -> Result<Self, ReplayError> {
        let file = File::open(path).map_err(|e| ReplayError::Io(path.to_owned(), e))?;
        let mut reader = builder().has_headers(columns.header).from_reader(file);
        let header = if columns.header {
            reader.byte_headers().map_err(|e| ReplayError::Io(path.to_owned(), e.into()))?.clone()
        } else {
            ::csv::ByteRecord::new()
        };
        let find = |wanted: &str| {
            let numbered = || wanted.parse::<usize>().ok()?.checked_sub(1);
            let named = || header.iter().position(|c| c.trim_ascii() == wanted.as_bytes());
            (if columns.header { named() } else { numbered() }).ok_or_else(|| ReplayError::Column {
                path: path.to_owned(),
                wanted: wanted.to_owned(),
                found: if columns.header { names(&header) } else { "numbers from 1, header is false".to_owned() },
            })
        };
        let (timestamp, value) = (find(&columns.timestamp)?, find(&columns.value)?);
        Ok(Self { path: path.to_owned(), reader, record: ::csv::ByteRecord::new(), timestamp, value })
    }

    /// The next sample; rows with an empty value are no observation and skipped.
    pub(super) fn next(&mut self, bad: &mut BadLines) -> Result<Option<Sample>, ReplayError> {
        loop {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(false) => return Ok(None),
                Ok(true) => {}
                Err(e) => return Err(ReplayError::Io(self.path.clone(), e.into())),
            }
            match row(&self.record, self.timestamp, self.value) {
                Ok(Some(sample)) => return Ok(Some(sample)),
                Ok(None) => {}
                Err(reason) => bad.add(&self.path, self.line(), &reason)?,
            }
        }
    }

    /// Line of the last row read.
    pub(super) fn line(&self) -> u64 {
        self.record.position().map_or(0, ::csv::Position::line)
    }

    /// Time of the file's last row and an estimate of its rows, from its ends alone: for files too large to be read twice.
    pub(super) fn survey(&self) -> Result<(Option<Millis>, u64), ReplayError> {
        let fault = |e| ReplayError::Io(self.path.clone(), e);
        let mut file = File::open(&self.path).map_err(fault)?;
        let bytes = file.metadata().map_err(fault)?.len();
        let mut head = Vec::new();
        file.by_ref().take(END_BYTES).read_to_end(&mut head).map_err(fault)?;
        let lines = head.iter().filter(|b| **b == b'\n').count().max(1) as u64;
        let rows = bytes.saturating_mul(lines) / (head.len() as u64).max(1);
        file.seek(SeekFrom::Start(bytes.saturating_sub(END_BYTES))).map_err(fault)?;
        let mut tail = Vec::new();
        file.take(END_BYTES).read_to_end(&mut tail).map_err(fault)?;
        let last = tail.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap_or(&[]);
        let mut reader = builder().has_headers(false).from_reader(last);
        let record = reader.byte_records().next().and_then(Result::ok).unwrap_or_default();
        let newest = record.get(self.timestamp).and_then(|t| std::str::from_utf8(t).ok()).and_then(parse_instant);
        Ok((newest, rows))
    }
}

/// Bytes looked at on either end of a large file.
const END_BYTES: u64 = 64 << 10;

fn builder() -> ::csv::ReaderBuilder {
    let mut builder = ::csv::ReaderBuilder::new();
    builder.flexible(true).comment(Some(b'#'));
    builder
}

fn row(record: &::csv::ByteRecord, timestamp: usize, value: usize) -> Result<Option<Sample>, String> {
    let cell = |at: usize| {
        let bytes = record.get(at).ok_or_else(|| format!("no column {}", at + 1))?;
        std::str::from_utf8(bytes).map(str::trim).map_err(|_| format!("column {} is not UTF-8", at + 1))
    };
    let (t, v) = (cell(timestamp)?, cell(value)?);
    if v.is_empty() {
        return Ok(None);
    }
    let t = parse_instant(t).ok_or_else(|| format!("not a time: {t:?}"))?;
    let v = parse_value(v).ok_or_else(|| format!("not a number: {v:?}"))?;
    Ok(Some(Sample { t, v }))
}

fn names(header: &::csv::ByteRecord) -> String {
    header.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join(", ")
}
