//! Scores a folder of CSV files (`timestamp,value[,label]`) with the detector and writes the scorers' files.
//!
//! `score_series DATA RESULTS [PROFILE]`: for each DATA/<folder>/<file>.csv a RESULTS/<folder>/<file>.csv with a column
//! `anomaly_score`. A point repeats no page: its score stands only above the highest of the 120 points before it, at most
//! ten hours, else it is written as 0. The interval is the median distance of the file's points.

use std::collections::VecDeque;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use forewarn::model::{Detector, DetectorParams, Profile};
use jiff::{civil::DateTime, tz::TimeZone};

/// How long a page is not repeated, points and at most milliseconds.
const QUIET_POINTS: i64 = 120;
const QUIET_MS: i64 = 10 * 3_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [data, results, rest @ ..] = args.as_slice() else {
        return Err("usage: score_series DATA RESULTS [PROFILE]".into());
    };
    let profile = match rest.first() {
        None => Profile::builtin("default").ok_or("no default profile")?,
        Some(name) => match Profile::builtin(name) {
            Some(profile) => profile,
            None => Profile::parse(&std::fs::read_to_string(name)?)?,
        },
    };
    let mut points = 0;
    let mut seconds = 0.0;
    for folder in sorted(Path::new(data))?.into_iter().filter(|p| p.is_dir()) {
        for file in sorted(&folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "csv")) {
            let series = read(&file)?;
            let started = Instant::now();
            let scores = score(&profile, &series);
            seconds += started.elapsed().as_secs_f64();
            points += series.len();
            let out = Path::new(results).join(file.strip_prefix(data)?);
            std::fs::create_dir_all(out.parent().ok_or("no folder")?)?;
            let mut writer = csv::Writer::from_path(out)?;
            writer.write_record(["anomaly_score"])?;
            for score in scores {
                writer.write_record([score.to_string()])?;
            }
            writer.flush()?;
        }
    }
    println!("{points} points, {:.0} ns each", 1e9 * seconds / points.max(1) as f64);
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Points of a file as (milliseconds, value).
fn read(path: &Path) -> Result<Vec<(i64, f64)>, Box<dyn Error>> {
    let mut series = Vec::new();
    for record in csv::Reader::from_path(path)?.records() {
        let record = record?;
        let (time, value) = (record.get(0).ok_or("no timestamp")?, record.get(1).ok_or("no value")?);
        let time: DateTime = time.trim_end_matches('Z').parse()?;
        // A missing value is a point without a score.
        let value = if value.is_empty() { f64::NAN } else { value.parse()? };
        series.push((time.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond(), value));
    }
    Ok(series)
}

/// Scores of the points that would page.
fn score(profile: &Profile, series: &[(i64, f64)]) -> Vec<f64> {
    let mut steps: Vec<i64> = series.windows(2).map(|p| p[1].0 - p[0].0).collect();
    steps.sort_unstable();
    let interval = steps.get(steps.len() / 2).copied().unwrap_or(60_000).max(1);
    let quiet = (QUIET_POINTS * interval).min(QUIET_MS);
    let params = DetectorParams::new(profile, interval);
    let mut detector = Detector::new();
    let mut recent: VecDeque<(i64, f64)> = VecDeque::new();
    let mut scores = Vec::with_capacity(series.len());
    for (t, v) in series {
        let score = detector.update(&params, *t, *v).map_or(0.0, |s| s.score);
        while recent.front().is_some_and(|(then, _)| *then < t - quiet) {
            recent.pop_front();
        }
        let highest = recent.iter().map(|(_, s)| *s).fold(0.0, f64::max);
        scores.push(if score > highest { score } else { 0.0 });
        recent.push_back((*t, score));
    }
    scores
}
