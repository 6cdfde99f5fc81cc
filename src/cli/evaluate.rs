//! `forewarn evaluate`: models over a folder of recorded series, for model cards and for scorers of others.
//!
//! Knows files and the terminal; the figures are `backtest::evaluate`'s part.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::backtest::evaluate::{
    Detection, HourlyFigures, RecordedSeries, horizons, hourly, page_scores, quantile_of, ramps,
};
use crate::base::{format_duration, parse_instant, parse_value};
use crate::model::{Detector, Forecaster, ForecasterParams, Profile};

/// `forewarn evaluate`'s arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct EvaluateArgs {
    /// Folders of folders of CSV files: time, value, and perhaps a label (0 or 1)
    #[arg(long, value_name = "DIR", num_args = 1.., required_unless_present = "breaches")]
    data: Vec<PathBuf>,
    /// Name of a profile that the program carries, or a profile file
    #[arg(long, default_value = "default")]
    profile: String,
    /// Folder for the scores: the same files, with a column anomaly_score and a row for each point
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Forecasts as well: takes minutes
    #[arg(long)]
    forecasts: bool,
    /// Instead: what rules foretell of simulated series that reach a limit, their noise that of the data, if any is given, and
    /// made up
    #[arg(long)]
    breaches: bool,
    /// Seed of the simulation; odd and even ones take different halves of the data
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// Series of made-up noise of each of four kinds in the simulation
    #[arg(long, default_value_t = 6)]
    made_up: usize,
}

/// Evaluates. The exit code is 1 where the data cannot be read.
pub(super) fn run(args: &EvaluateArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
    match evaluate(args) {
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

fn evaluate(args: &EvaluateArgs) -> Result<String, String> {
    let profile = profile(&args.profile)?;
    let mut named = Vec::new();
    for data in &args.data {
        let files = files(data)?;
        if files.is_empty() {
            return Err(format!("{}: no CSV file in any folder below it", data.display()));
        }
        for file in files {
            let name = file.strip_prefix(data).unwrap_or(&file).to_path_buf();
            named.push((name, read(&file)?));
        }
    }
    if args.breaches {
        let named: Vec<_> = named.into_iter().map(|(name, series)| (name.display().to_string(), series)).collect();
        return super::evaluate_breaches::figures(&profile, &named, args.seed, args.made_up);
    }
    let (mut all, mut detections, mut seconds) = (Vec::new(), Vec::new(), 0.0);
    // Each with how many series there are up to its end.
    let mut folders: Vec<(String, usize)> = Vec::new();
    for (name, series) in named {
        let folder = name.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let started = Instant::now();
        let (scores, detection) = page_scores(&profile, &series);
        seconds += started.elapsed().as_secs_f64();
        if let Some(out) = &args.out {
            let to = out.join(name);
            write(&to, &scores).map_err(|e| format!("{}: {e}", to.display()))?;
        }
        detections.push(detection);
        all.push(series);
        match folders.last_mut() {
            Some((last, end)) if *last == folder => *end = all.len(),
            _ => folders.push((folder, all.len())),
        }
    }
    let mut text = detection_figures(&detections, seconds);
    if args.forecasts {
        text.push_str(&forecast_figures(&profile, &all));
        text.push_str(&hourly_figures(&profile, &all, &folders));
    }
    Ok(text)
}

fn detection_figures(all: &[Detection], seconds: f64) -> String {
    let points: usize = all.iter().map(|d| d.points).sum();
    let weeks: f64 = all.iter().map(|d| d.weeks).sum();
    let unlabelled: usize = all.iter().map(|d| d.unlabelled).sum();
    let first_day: usize = all.iter().map(|d| d.first_day).sum();
    // A series of a day or two says nothing of a rate a week.
    let long = all.iter().filter(|d| d.weeks >= 1.0);
    let mut rates: Vec<f64> = long.map(|d| d.unlabelled as f64 / d.weeks).collect();
    let n = all.len() as f64;
    format!(
        "detector: {} series, {points} points, {weeks:.1} series-weeks\n\
         pages at unlabelled points a series-week: {:.2}; by series median {:.2}, .90 quantile {:.2}, at most {:.2}\n\
         pages on a series' first day: {:.2}\n\
         {:.0} ns a point (with the suppression of repeats); state {} bytes, of the forecaster {} bytes\n",
        all.len(),
        unlabelled as f64 / weeks,
        quantile_of(&mut rates, 0.5),
        quantile_of(&mut rates, 0.9),
        quantile_of(&mut rates, 1.0),
        first_day as f64 / n,
        1e9 * seconds / points.max(1) as f64,
        Detector::state_bytes(),
        Forecaster::state_bytes(),
    )
}

fn forecast_figures(profile: &Profile, all: &[RecordedSeries]) -> String {
    let mut lines = vec![format!("forecaster: {:.0} ns an update", forecast_cost(profile, all))];
    lines.extend(horizons(profile, all).iter().map(|f| {
        format!(
            "{:>5} ahead, {} series: error / last value {:.2}, / same time a day before {:.2} (medians); within 90%: mean {:.3}, worst tenth {:.2}",
            format_duration(f.ahead), f.series, f.to_last, f.to_season, f.coverage, f.coverage_low
        )
    }));
    lines.extend(ramps(profile, all).iter().map(|f| {
        format!(
            "ramps of {} h, φ {}: {} of {} breaches foretold, {:.1} h before (median); {:.3} false alerts a series-week",
            f.hours, f.phi, f.foretold, f.breaches, f.lead_hours, f.false_a_week
        )
    }));
    lines.join("\n") + "\n"
}

/// A line for each folder, given with where its series end, and one for all.
fn hourly_figures(profile: &Profile, all: &[RecordedSeries], folders: &[(String, usize)]) -> String {
    let mut begin = 0;
    let mut lines = vec![String::from(
        "hours, two days ahead: scaled error (seasonal naive, predict_linear 24h); within 95%: all, thirds of the horizon",
    )];
    for (name, end) in folders {
        lines.extend(hourly_line(name, &hourly(profile, &all[begin..*end])));
        begin = *end;
    }
    lines.extend(hourly_line("all", &hourly(profile, all)));
    lines.join("\n") + "\n"
}

fn hourly_line(name: &str, f: &HourlyFigures) -> Option<String> {
    let [first, second, last] = f.coverage;
    (f.series > 0).then(|| {
        format!(
            "{name:>32}, {:>2} series: {:.3} ({:.2}, {:.1}); {:.3}, {first:.3} {second:.3} {last:.3}",
            f.series,
            f.mase,
            f.seasonal_naive,
            f.linear,
            f.covered(),
        )
    })
}

/// Nanoseconds of an update.
fn forecast_cost(profile: &Profile, all: &[RecordedSeries]) -> f64 {
    let started = Instant::now();
    for series in all {
        let params = ForecasterParams::new(profile, series.interval());
        let mut forecaster = Forecaster::new();
        series.points.iter().for_each(|(t, v)| forecaster.update(&params, *t, *v));
        std::hint::black_box(&forecaster);
    }
    let points: usize = all.iter().map(|series| series.points.len()).sum();
    1e9 * started.elapsed().as_secs_f64() / points.max(1) as f64
}

fn profile(name: &str) -> Result<Profile, String> {
    if let Some(profile) = Profile::builtin(name) {
        return Ok(profile);
    }
    let known: Vec<&str> = Profile::builtin_names().collect();
    let text = std::fs::read_to_string(name)
        .map_err(|e| format!("--profile {name}: {e}; the program carries {}", known.join(", ")))?;
    Profile::parse(&text).map_err(|e| format!("{name}: {e}"))
}

/// The CSV files in the folders of a folder.
fn files(data: &Path) -> Result<Vec<PathBuf>, String> {
    let folders = sorted(data)?.into_iter().filter(|path| path.is_dir());
    let all: Vec<Vec<PathBuf>> = folders.map(|folder| sorted(&folder)).collect::<Result<_, _>>()?;
    Ok(all.into_iter().flatten().filter(|path| path.extension().is_some_and(|end| end == "csv")).collect())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let fault = |e: io::Error| format!("{}: {e}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(fault)?;
    let mut paths = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    paths.sort();
    Ok(paths)
}

/// A missing value is a point without a score.
fn read(path: &Path) -> Result<RecordedSeries, String> {
    let fault = |line: u64, what: &str| format!("{}:{line}: {what}", path.display());
    let mut reader = csv::Reader::from_path(path).map_err(|e| fault(1, &e.to_string()))?;
    let mut series = RecordedSeries::default();
    for record in reader.records() {
        let record = record.map_err(|e| fault(0, &e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let t = record.get(0).and_then(parse_instant).ok_or_else(|| fault(line, "the first column is no time"))?;
        let value = record.get(1).unwrap_or_default().trim();
        let v = if value.is_empty() { Some(f64::NAN) } else { parse_value(value) };
        series.points.push((t, v.ok_or_else(|| fault(line, "the second column is no number"))?));
        series.labels.extend(record.get(2).map(|label| parse_value(label.trim()).is_some_and(|label| label > 0.0)));
    }
    Ok(series)
}

fn write(path: &Path, scores: &[f64]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let rows: String = scores.iter().map(|score| format!("{score}\n")).collect();
    std::fs::write(path, format!("anomaly_score\n{rows}"))
}
