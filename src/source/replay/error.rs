//! What can be wrong with a recording.

use std::path::{Path, PathBuf};

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No file.
    #[error("no file matches {0:?}")]
    NoFiles(String),
    /// A pattern that is none.
    #[error("{0:?} is not a file pattern: {1}")]
    Pattern(String, &'static str),
    /// A file that cannot be read.
    #[error("cannot read {0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// A file of unknown format.
    #[error("{0}: the name does not tell the format; set format to csv, openmetrics or json")]
    Format(PathBuf),
    /// CSV without a metric name.
    #[error("{0}: a CSV file needs metric, the name of its series")]
    Metric(PathBuf),
    /// Two CSV files that would be one series.
    #[error("{0} and {1} would become the same series: tell them apart with a label such as file: \"{{stem}}\"")]
    SameSeries(PathBuf, PathBuf),
    /// A metric name or label over a limit.
    #[error("{0}: {1}")]
    Labels(PathBuf, crate::base::LabelError),
    /// A column that is not there.
    #[error("{path}: no column {wanted:?} (there are: {found})")]
    Column {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        wanted: String,
        /// The columns there are.
        found: String,
    },
    /// A streamed CSV file out of order.
    #[error("{path}:{line}: older than the line before; a file of this size must be sorted by time")]
    Unsorted {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// A file that would have to be held in memory and is too large for it.
    #[error("{path}: {bytes} bytes are too many to sort in memory ({room} left): split the file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What is left of the bound.
        room: u64,
    },
    /// More malformed lines than allowed.
    #[error("{path}:{line}: {reason} (and {max} malformed lines before it, bad_lines_max)")]
    BadLines {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// How many were let pass.
        max: u64,
    },
}

/// Counts malformed lines, tells of the first of them, and gives up after too many.
#[derive(Clone, Debug)]
pub(super) struct BadLines {
    pub count: u64,
    max: u64,
}

/// Malformed lines that are logged; the rest are only counted.
const LOGGED: u64 = 10;

impl BadLines {
    pub(super) fn new(max: u64) -> Self {
        Self { count: 0, max }
    }

    pub(super) fn add(&mut self, path: &Path, line: u64, reason: &dyn std::fmt::Display) -> Result<(), ReplayError> {
        if self.count >= self.max {
            let (path, reason) = (path.to_owned(), reason.to_string());
            return Err(ReplayError::BadLines { path, line, reason, max: self.max });
        }
        self.count += 1;
        if self.count <= LOGGED {
            tracing::warn!("{}:{line}: {reason}: skipped", path.display());
        }
        Ok(())
    }
}
