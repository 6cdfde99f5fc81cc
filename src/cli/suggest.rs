//! `forewarn suggest`: which profiles and functions suit recorded series.
//!
//! Knows files and the terminal; what is suggested is `backtest::suggest`'s part.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::backtest::suggest::{Group, Member, NamedSeries, suggest};
use crate::base::{Labels, Limits, Millis, format_duration};
use crate::source::Progress;
use crate::source::config::Span;
use crate::source::replay::{CsvColumns, Redate, Replay, ReplayConfig};

/// Series that are looked at.
const SERIES_MAX: usize = 500;
/// Points of a series that are looked at: four weeks of minutes.
const POINTS_MAX: usize = 40_320;
/// Members of a group that the text lists.
const LISTED: usize = 12;

/// `forewarn suggest`'s arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct SuggestArgs {
    /// Recorded series: files (CSV, OpenMetrics, JSON lines), folders or patterns
    #[arg(long, num_args = 1.., required = true, value_name = "FILE|DIR")]
    data: Vec<PathBuf>,
    /// As JSON, with the features of each series
    #[arg(long)]
    json: bool,
    /// Name of the metric in CSV files; {stem} is the file's name without ending
    #[arg(long, default_value = "{stem}")]
    metric: String,
    /// Column of the time in CSV files
    #[arg(long, default_value = "timestamp")]
    timestamp_column: String,
    /// Column of the value in CSV files
    #[arg(long, default_value = "value")]
    value_column: String,
}

/// Suggests. The exit code is 1 where the data cannot be read.
pub(super) fn run(args: &SuggestArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
    match report(args) {
        Ok(text) => {
            out.write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            eprintln!("forewarn: {fault}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What was found, and what was left out of it.
#[derive(Debug, Serialize)]
struct Suggestions {
    series: usize,
    series_left_out: usize,
    points_left_out: u64,
    lines_skipped: u64,
    groups: Vec<Group>,
}

fn report(args: &SuggestArgs) -> Result<String, String> {
    let mut read = Read::default();
    for path in &args.data {
        read.take(args, path)?;
    }
    if read.series.is_empty() {
        let data: Vec<String> = args.data.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("{}: no sample in there", data.join(", ")));
    }
    let series: Vec<NamedSeries> =
        read.series.into_iter().map(|(labels, points)| NamedSeries { labels, points: points.into() }).collect();
    let found = Suggestions {
        series: series.len(),
        series_left_out: read.left_out.len(),
        points_left_out: read.points_left_out,
        lines_skipped: read.lines_skipped,
        groups: suggest(&series),
    };
    if args.json {
        return serde_json::to_string_pretty(&found).map(|text| text + "\n").map_err(|e| e.to_string());
    }
    Ok(text(&found))
}

/// Series read so far, bounded.
#[derive(Debug, Default)]
struct Read {
    series: Vec<(Labels, VecDeque<(Millis, f64)>)>,
    known: HashMap<u128, usize>,
    left_out: std::collections::HashSet<u128>,
    points_left_out: u64,
    lines_skipped: u64,
}

impl Read {
    fn take(&mut self, args: &SuggestArgs, path: &Path) -> Result<(), String> {
        let config = replay(args, path);
        let progress = Arc::new(Progress::default());
        let mut replay = Replay::open(&config, Path::new(""), 0, &Limits::default(), progress)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        for batch in &mut replay {
            let batch = batch.map_err(|e| e.to_string())?;
            for run in batch.runs() {
                let Some(at) = self.index(run.key, || batch.labels(run).to_labels()) else { continue };
                let points = &mut self.series[at].1;
                points.extend(batch.samples(run).iter().map(|sample| (sample.t, sample.v)));
                let over = points.len().saturating_sub(POINTS_MAX);
                points.drain(..over);
                self.points_left_out += over as u64;
            }
        }
        self.lines_skipped += replay.bad_lines();
        Ok(())
    }

    fn index(&mut self, key: u128, labels: impl FnOnce() -> Labels) -> Option<usize> {
        if let Some(at) = self.known.get(&key) {
            return Some(*at);
        }
        if self.series.len() >= SERIES_MAX {
            // Bounded as well: past that it only says "many".
            if self.left_out.len() < 100 * SERIES_MAX {
                self.left_out.insert(key);
            }
            return None;
        }
        self.series.push((labels(), VecDeque::new()));
        self.known.insert(key, self.series.len() - 1);
        Some(self.series.len() - 1)
    }
}

fn replay(args: &SuggestArgs, path: &Path) -> ReplayConfig {
    let pattern = path.to_string_lossy();
    ReplayConfig {
        files: if path.exists() { glob::Pattern::escape(pattern.trim_end_matches('/')) } else { pattern.into_owned() },
        format: None,
        metric: Some(args.metric.clone()),
        labels: Default::default(),
        csv: CsvColumns { header: true, timestamp: args.timestamp_column.clone(), value: args.value_column.clone() },
        redate: Redate::None,
        interval: Span(Duration::from_secs(60)),
        bad_lines_max: 100,
    }
}

fn text(found: &Suggestions) -> String {
    let groups = found.groups.len();
    let mut out = format!("{} series in {groups} group{}\n", found.series, if groups == 1 { "" } else { "s" });
    for (n, what) in [
        (found.series_left_out as u64, format!("series left out: {SERIES_MAX} are the most")),
        (found.points_left_out, format!("points left out: the newest {POINTS_MAX} of each series are looked at")),
        (found.lines_skipped, "lines skipped that could not be read".to_owned()),
    ] {
        if n > 0 {
            let _ = writeln!(out, "warning: {n} {what}");
        }
    }
    for group in &found.groups {
        let kind = name(group.kind);
        let _ = writeln!(out, "\n{kind}: profile {}, {}", group.profile, group.functions.join(", "));
        let _ = writeln!(out, "  {}", group.reason);
        let width = group.members.iter().take(LISTED).map(|member| member.series.chars().count()).max().unwrap_or(0);
        let heads = ["every", "zero", "still", "day", "week", "growth", "rises", "tails", "skew"];
        let _ = write!(out, "  {:width$}", "");
        let _ = writeln!(out, "{}", heads.map(|head| format!("{head:>8}")).concat());
        for member in group.members.iter().take(LISTED) {
            out.push_str(&row(member, group, width));
        }
        if group.members.len() > LISTED {
            let _ = writeln!(out, "  and {} more", group.members.len() - LISTED);
        }
        if group.members.len() > 1 {
            let _ = writeln!(out, "  typical: {}", group.typical);
        }
        for line in group.rules.lines() {
            let _ = writeln!(out, "      {line}");
        }
    }
    out
}

fn row(member: &Member, group: &Group, width: usize) -> String {
    let f = &member.features;
    let shares = [f.zeros, f.still, f.daily, f.weekly, f.growth, f.rises, f.tails, f.skew];
    let every = format_duration((f.interval_seconds * 1_000.0) as Millis);
    let mut line = format!("  {:width$}{every:>8}", member.series);
    line.extend(shares.map(|share| format!("{share:>8.2}")));
    if member.counter {
        line.push_str("  counter, by its rate");
    }
    if member.kind != group.kind {
        let _ = write!(line, "  alone: {}", name(member.kind));
    }
    line + "\n"
}

/// As in JSON.
fn name(kind: impl Serialize) -> String {
    serde_json::to_value(kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}
