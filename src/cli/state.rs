//! `forewarn state inspect`: what a state folder holds, and which of it is whole. Takes no lock and changes nothing, so a
//! folder in use can be looked at.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::alert::AlertState;
use crate::base::{Record, format_rfc3339};
use crate::engine::{Engine, EngineOptions};
use crate::state::checkpoint::{self, Checkpoint, Manifest};
use crate::state::log::{self, SegmentReport};
use crate::state::{StateDir, StateError};

/// A checkpoint as found.
#[derive(Debug, Serialize)]
struct Found {
    number: u64,
    /// What is wrong with it; None if it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(flatten)]
    contents: Option<Contents>,
}

/// What is in a whole checkpoint.
#[derive(Debug, Serialize)]
struct Contents {
    release: String,
    created: String,
    watermark: Option<String>,
    positions: BTreeMap<String, u64>,
    rules_fingerprint: String,
    bytes: u64,
    /// Number and bytes of the records, by their names without the number at the end.
    records: BTreeMap<String, Kind>,
    /// What an engine restored from it holds; None if this release cannot go on from it.
    engine: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_fault: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Kind {
    records: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Held {
    series: usize,
    models: usize,
    rules: usize,
    pending: usize,
    firing: usize,
}

#[derive(Debug, Serialize)]
struct Segment {
    number: u64,
    bytes: u64,
    created: Option<String>,
    entries: u64,
    first: Option<u64>,
    last: Option<u64>,
    /// Bytes that are no whole entries.
    torn_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    checkpoints: Vec<Found>,
    log: Vec<Segment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_fault: Option<String>,
}

/// Writes the report; the exit code is 1 if anything is not whole, but for the torn end that a crash leaves.
pub(super) fn inspect(dir: &Path, json: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    let dir = StateDir::new(dir);
    if !dir.checkpoints().is_dir() && !dir.log().is_dir() {
        return Err(io::Error::other(format!(
            "{}: no state is kept here; name the folder of state.dir",
            dir.path().display()
        )));
    }
    let report = read(&dir).map_err(io::Error::other)?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        write_text(&report, out)?;
    }
    let whole = report.log_fault.is_none() && report.checkpoints.iter().all(|found| found.fault.is_none());
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(dir: &StateDir) -> Result<Report, StateError> {
    let mut checkpoints = Vec::new();
    for number in checkpoint::numbers(&dir.checkpoints())?.into_iter().rev() {
        checkpoints.push(match checkpoint::read(&dir.checkpoints(), number) {
            Ok(whole) => Found { number, fault: None, contents: Some(contents(whole)) },
            // Removed in the meantime, because a newer one was written.
            Err(_) if !checkpoint::numbers(&dir.checkpoints())?.contains(&number) => continue,
            Err(fault) => Found { number, fault: Some(fault.to_string()), contents: None },
        });
    }
    let (segments, log_fault) = match log::inspect(&dir.log()) {
        Ok(segments) => (segments, None),
        Err(fault) => (vec![], Some(fault.to_string())),
    };
    Ok(Report { checkpoints, log: segments.into_iter().map(segment).collect(), log_fault })
}

fn contents(checkpoint: Checkpoint) -> Contents {
    let Checkpoint { manifest: Manifest { header, bytes, .. }, records } = checkpoint;
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    for record in &records {
        let numbers = |c: char| c.is_ascii_digit() || c == '/';
        let kind = kinds.entry(record.name.trim_end_matches(numbers).to_owned()).or_default();
        kind.records += 1;
        kind.bytes += record.bytes.len() as u64;
    }
    let (engine, engine_fault) = match held(&records) {
        Ok(held) => (Some(held), None),
        Err(fault) => (None, Some(fault)),
    };
    Contents {
        release: header.release,
        created: format_rfc3339(header.created),
        watermark: header.watermark.map(format_rfc3339),
        positions: header.positions,
        rules_fingerprint: header.rules,
        bytes,
        records: kinds,
        engine,
        engine_fault,
    }
}

/// Restores an engine, and counts.
fn held(records: &[Record]) -> Result<Held, String> {
    let engine = Engine::restore(EngineOptions::default(), records).map_err(|e| e.to_string())?.engine;
    let (holdings, groups) = (engine.holdings(), engine.groups());
    let rules = || groups.iter().flat_map(|group| &group.rules);
    let alerts = |state: AlertState| {
        rules().filter_map(|r| r.alert.as_ref()).flat_map(|a| &a.active).filter(|a| a.state == state).count()
    };
    Ok(Held {
        series: holdings.series,
        models: holdings.models,
        rules: rules().count(),
        pending: alerts(AlertState::Pending),
        firing: alerts(AlertState::Firing),
    })
}

fn segment(report: SegmentReport) -> Segment {
    Segment {
        number: report.number,
        bytes: report.bytes,
        created: report.created.map(format_rfc3339),
        entries: report.count,
        first: report.entries.map(|(first, _)| first),
        last: report.entries.map(|(_, last)| last),
        torn_bytes: report.torn,
    }
}

fn write_text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "checkpoints, newest first")?;
    for found in &report.checkpoints {
        let Some(contents) = &found.contents else {
            writeln!(out, "  {}  NOT WHOLE  {}", found.number, found.fault.as_deref().unwrap_or_default())?;
            continue;
        };
        let watermark = contents.watermark.as_deref().unwrap_or("none");
        writeln!(
            out,
            "  {}  whole  written {} by {}, watermark {watermark}, {} bytes",
            found.number, contents.created, contents.release, contents.bytes
        )?;
        for (stream, next) in &contents.positions {
            writeln!(out, "      position  {stream}: {next}")?;
        }
        for (kind, Kind { records, bytes }) in &contents.records {
            writeln!(out, "      records   {kind}: {records}, {bytes} bytes")?;
        }
        match (&contents.engine, &contents.engine_fault) {
            (Some(held), _) => writeln!(
                out,
                "      holds     {} series, {} models, {} rules, {} pending and {} firing alerts",
                held.series, held.models, held.rules, held.pending, held.firing
            )?,
            (None, fault) => {
                let fault = fault.as_deref().unwrap_or_default();
                writeln!(out, "      holds     nothing that this release can go on from: {fault}")?;
            }
        }
    }
    if report.checkpoints.is_empty() {
        writeln!(out, "  none")?;
    }
    writeln!(out, "log, oldest segment first")?;
    if let Some(fault) = &report.log_fault {
        writeln!(out, "  {fault}")?;
    }
    for segment in &report.log {
        write!(out, "  {}  {} entries", segment.number, segment.entries)?;
        if let (Some(first), Some(last)) = (segment.first, segment.last) {
            write!(out, ", {first} to {last}")?;
        }
        let torn = match segment.torn_bytes {
            0 => String::new(),
            n => format!(", {n} bytes torn or damaged"),
        };
        let created = segment.created.as_deref().unwrap_or("unknown");
        writeln!(out, ", {} bytes, of the process started {created}{torn}", segment.bytes)?;
    }
    Ok(())
}
