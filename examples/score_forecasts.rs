//! Scores the forecaster on a folder of CSV files (`timestamp,value`), one pass, every forecast made before its truth.
//!
//! `score_forecasts DATA [PROFILE]` prints, by horizon, the mean absolute error of the median against that of the last
//! value and of the same instant a day or two before, and how often the truth lay between the 5% and the 95% quantile;
//! then what `time_until(...) < 4h`, held for three points, finds of ramps laid over the same series, and how often it
//! fires before them.

use std::error::Error;
use std::path::{Path, PathBuf};

use forewarn::model::{Forecaster, ForecasterParams, Profile};
use jiff::{civil::DateTime, tz::TimeZone};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const WEEK_MS: f64 = 7.0 * DAY as f64;
const HORIZONS: [i64; 5] = [HOUR / 4, HOUR, 4 * HOUR, DAY, 2 * DAY];
const RAMP_HOURS: [f64; 5] = [1.0, 3.0, 6.0, 12.0, 24.0];

struct Series {
    points: Vec<(i64, f64)>,
    interval: i64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let data = args.first().ok_or("usage: score_forecasts DATA [PROFILE]")?;
    let name = args.get(1).map_or("default", String::as_str);
    let profile = match Profile::builtin(name) {
        Some(profile) => profile,
        None => Profile::parse(&std::fs::read_to_string(name)?)?,
    };
    let mut series = Vec::new();
    for folder in sorted(Path::new(data))?.into_iter().filter(|p| p.is_dir()) {
        for file in sorted(&folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "csv")) {
            series.extend(read(&file)?);
        }
    }
    for horizon in HORIZONS {
        score_horizon(&profile, &series, horizon);
    }
    for phi in [0.5, 0.9] {
        for hours in RAMP_HOURS {
            score_ramps(&profile, &series, phi, hours);
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// A file's points, missing values left out; None for fewer than two.
fn read(path: &Path) -> Result<Option<Series>, Box<dyn Error>> {
    let mut points = Vec::new();
    for record in csv::Reader::from_path(path)?.records() {
        let record = record?;
        let (time, value) = (record.get(0).ok_or("no timestamp")?, record.get(1).ok_or("no value")?);
        if !value.is_empty() {
            let time: DateTime = time.trim_end_matches('Z').parse()?;
            points.push((time.to_zoned(TimeZone::UTC)?.timestamp().as_millisecond(), value.parse()?));
        }
    }
    let mut steps: Vec<i64> = points.windows(2).map(|p| p[1].0 - p[0].0).collect();
    steps.sort_unstable();
    let interval = steps.get(steps.len() / 2).copied();
    Ok(interval.map(|i| Series { points, interval: i.max(1) }))
}

fn quantile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len().max(1) - 1) as f64 * p) as usize).copied().unwrap_or(f64::NAN)
}

fn score_horizon(profile: &Profile, all: &[Series], horizon: i64) {
    let (mut to_last, mut to_season, mut coverage) = (Vec::new(), Vec::new(), Vec::new());
    for Series { points, interval } in all.iter().filter(|s| s.interval <= horizon) {
        let params = ForecasterParams::new(profile, *interval);
        let mut forecaster = Forecaster::new();
        let (ahead, day) = ((horizon / interval) as usize, (DAY / interval) as usize);
        let back = day * (horizon - 1).div_euclid(DAY) as usize + day;
        let (mut error, mut last, mut season, mut inside, mut told) = (0.0, 0.0, 0.0, 0, 0);
        for (i, (t, v)) in points.iter().enumerate() {
            forecaster.update(&params, *t, *v);
            let then = i + ahead;
            // The first quarter is history; every fifth point is asked.
            if i < points.len() / 4 || i % 5 != 0 || then >= points.len() || then < back {
                continue;
            }
            let (t_then, truth) = points[then];
            let asked = [0.05, 0.5, 0.95].map(|phi| forecaster.quantile(&params, phi, horizon));
            let [Some(low), Some(median), Some(high)] = asked else { continue };
            if (t_then - t - horizon).abs() <= *interval {
                told += 1;
                error += (truth - median).abs();
                last += (truth - v).abs();
                season += (truth - points[then - back].1).abs();
                inside += i32::from(low <= truth && truth <= high);
            }
        }
        if told > 20 && last > 0.0 {
            to_last.push(error / last);
            to_season.push(error / f64::max(season, f64::MIN_POSITIVE));
            coverage.push(f64::from(inside) / f64::from(told));
        }
    }
    let mean = coverage.iter().sum::<f64>() / coverage.len() as f64;
    println!(
        "{:>5} min ahead, {} series: error/last value {:.2}, /same time a day before {:.2} (medians); within 90%: mean {mean:.3}, worst tenth {:.2}",
        horizon / 60_000,
        coverage.len(),
        quantile(&mut to_last, 0.5),
        quantile(&mut to_season, 0.5),
        quantile(&mut coverage, 0.1),
    );
}

/// Lays over each series of 2,000 points or more a ramp that rises by twice the series' range within `hours`. The limit
/// lies one and a half ranges above the range.
fn score_ramps(profile: &Profile, all: &[Series], phi: f64, hours: f64) {
    let (mut breaches, mut leads, mut false_alerts, mut weeks) = (0, Vec::new(), 0, 0.0);
    for (k, Series { points, interval }) in all.iter().filter(|s| s.points.len() >= 2000).enumerate() {
        let params = ForecasterParams::new(profile, *interval);
        let mut values: Vec<f64> = points.iter().map(|p| p.1).collect();
        let (low, high) = (quantile(&mut values, 0.01), quantile(&mut values, 0.99));
        let range = (high - low).max(1e-9);
        let limit = high + 1.5 * range;
        // Begins somewhere between half and four fifths of the series.
        let begins = points[(points.len() as f64 * (0.5 + 0.3 * (k as f64 * 0.618).fract())) as usize].0;
        let mut forecaster = Forecaster::new();
        let (mut held, mut firing, mut fired) = (0, 0, None);
        for (t, v) in points {
            let ramp = 2.0 * range * (t - begins).max(0) as f64 / (hours * HOUR as f64);
            let y = v.min(high) + ramp;
            if y >= limit {
                breaches += 1;
                leads.extend(fired.map(|since: i64| (t - since) as f64 / HOUR as f64));
                break;
            }
            forecaster.update(&params, *t, y);
            let soon = forecaster.time_until(&params, limit, phi).is_some_and(|s| s < 4.0 * 3600.0);
            held = if soon { held + 1 } else { 0 };
            if held >= 3 {
                false_alerts += i32::from(*t <= begins && firing == 0);
                firing = 24;
                fired = fired.or((*t > begins).then_some(*t));
            } else if firing > 0 {
                firing -= 1;
                fired = fired.filter(|_| firing > 0);
            }
            weeks += if *t <= begins { *interval as f64 / WEEK_MS } else { 0.0 };
        }
    }
    println!(
        "ramps of {hours} h, φ {phi}: {} of {breaches} breaches foretold, {:.1} h before (median); {:.3} false alerts a series-week",
        leads.len(),
        quantile(&mut leads, 0.5),
        f64::from(false_alerts) / weeks,
    );
}
