//! The `replay` source's settings, and which files they mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ReplayError;
use crate::source::config::Span;

/// A set of recorded files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// Files, a glob pattern, or a folder, which stands for all files below it whose ending tells a format; relative to the
    /// folder of the configuration file.
    pub files: String,
    /// Their format; by the name's ending where nothing is said.
    #[serde(default)]
    pub format: Option<FileFormat>,
    /// Name of the metric: for CSV, and for JSON lines that name none. `{stem}` stands for the file's name without ending.
    #[serde(default)]
    pub metric: Option<String>,
    /// Labels to add to every series; `{stem}` as above.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How to read CSV.
    #[serde(default)]
    pub csv: CsvColumns,
    /// Whether to move the recording in time.
    #[serde(default)]
    pub redate: Redate,
    /// Step of the recording: with `redate: end_now` the newest sample comes to lie on a whole multiple of it.
    #[serde(default = "minute")]
    pub interval: Span,
    /// Malformed lines that are skipped and counted before the replay gives up.
    #[serde(default = "hundred")]
    pub bad_lines_max: u64,
}

/// Where CSV keeps what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CsvColumns {
    /// Whether the first line names the columns. Without it columns are given by number, from 1.
    pub header: bool,
    /// Column of the time: RFC 3339, `YYYY-MM-DD HH:MM:SS` (UTC) or Unix time in seconds or milliseconds.
    pub timestamp: String,
    /// Column of the value.
    pub value: String,
}

impl Default for CsvColumns {
    fn default() -> Self {
        Self { header: true, timestamp: "timestamp".to_owned(), value: "value".to_owned() }
    }
}

/// Format of a recorded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Time and value, one series a file.
    Csv,
    /// OpenMetrics text with a timestamp on every sample.
    OpenMetrics,
    /// JSON lines: one sample each, or VictoriaMetrics' export.
    Json,
}

/// Whether a recording is moved in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Redate {
    /// As recorded.
    #[default]
    None,
    /// So that its newest sample is now.
    EndNow,
}

/// One file of a set, with `{stem}` filled in.
#[derive(Clone, Debug)]
pub(super) struct RecordedFile {
    pub path: PathBuf,
    pub format: FileFormat,
    pub metric: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub bytes: u64,
}

impl ReplayConfig {
    /// The files, sorted by path.
    pub(super) fn find(&self, base: &Path) -> Result<Vec<RecordedFile>, ReplayError> {
        let mut pattern = base.join(&self.files).to_string_lossy().into_owned();
        let is_folder = is_folder(&pattern);
        if is_folder {
            pattern.push_str("/**/*");
        }
        let none = || ReplayError::NoFiles(pattern.clone());
        let paths = glob::glob(&pattern).map_err(|e| ReplayError::Pattern(pattern.clone(), e.msg))?;
        let mut files = Vec::new();
        for path in paths {
            let path = path.map_err(|e| ReplayError::Io(e.path().to_owned(), e.into()))?;
            let meta = std::fs::metadata(&path).map_err(|e| ReplayError::Io(path.clone(), e))?;
            if meta.is_file() && (!is_folder || by_ending(&path).is_some()) {
                files.push(self.file(path, meta.len())?);
            }
        }
        let series = |f: &RecordedFile| (f.metric.clone(), f.labels.clone());
        let csv = || files.iter().filter(|f| f.format == FileFormat::Csv);
        if let Some((i, b)) = csv().enumerate().find(|(i, b)| csv().take(*i).any(|a| series(a) == series(b))) {
            let a = csv().take(i).find(|a| series(a) == series(b)).unwrap_or(b);
            return Err(ReplayError::SameSeries(a.path.clone(), b.path.clone()));
        }
        if files.is_empty() { Err(none()) } else { Ok(files) }
    }

    fn file(&self, path: PathBuf, bytes: u64) -> Result<RecordedFile, ReplayError> {
        let format = match self.format.or_else(|| by_ending(&path)) {
            Some(format) => format,
            None => return Err(ReplayError::Format(path)),
        };
        if format == FileFormat::Csv && self.metric.is_none() {
            return Err(ReplayError::Metric(path));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let fill = |text: &String| text.replace("{stem}", &stem);
        let labels = self.labels.iter().map(|(n, v)| (n.clone(), fill(v))).collect();
        Ok(RecordedFile { format, metric: self.metric.as_ref().map(fill), labels, bytes, path })
    }
}

/// Whether a pattern names one folder.
fn is_folder(pattern: &str) -> bool {
    glob::glob(pattern).is_ok_and(|mut found| found.next().is_some_and(|path| path.is_ok_and(|path| path.is_dir())))
        && glob::glob(pattern).is_ok_and(|found| found.count() == 1)
}

fn by_ending(path: &Path) -> Option<FileFormat> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(FileFormat::Csv),
        "om" | "openmetrics" | "prom" => Some(FileFormat::OpenMetrics),
        "json" | "jsonl" | "ndjson" => Some(FileFormat::Json),
        _ => None,
    }
}

fn minute() -> Span {
    Span(Duration::from_secs(60))
}

fn hundred() -> u64 {
    100
}
