//! `forewarn state inspect`: what a state folder holds, and which of it is whole. Takes no lock and changes nothing, so a
//! folder in use can be looked at. `state_text.rs` writes it for people.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::alert::AlertState;
use crate::base::{Record, format_rfc3339};
use crate::engine::{Engine, EngineOptions};
use crate::sink::outbox::{self, OutboxReport};
use crate::state::checkpoint::{self, Checkpoint, Manifest};
use crate::state::log::{self, Reader, SegmentReport};
use crate::state::{StateDir, StateError};

use super::state_text::write_text;

/// A checkpoint as found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) number: u64,
    /// What is wrong with it; None if it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
    #[serde(flatten)]
    pub(super) contents: Option<Contents>,
}

/// What is in a whole checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct Contents {
    pub(super) release: String,
    pub(super) created: String,
    pub(super) watermark: Option<String>,
    pub(super) positions: BTreeMap<String, u64>,
    pub(super) rules_fingerprint: String,
    pub(super) bytes: u64,
    /// Number and bytes of the records, by their names without the number at the end.
    pub(super) records: BTreeMap<String, Kind>,
    /// What an engine restored from it holds; None if this release cannot go on from it.
    pub(super) engine: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) engine_fault: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Kind {
    pub(super) records: usize,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Held {
    pub(super) series: usize,
    pub(super) models: usize,
    pub(super) rules: usize,
    pub(super) pending: usize,
    pub(super) firing: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) created: Option<String>,
    pub(super) entries: u64,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    /// Bytes that are no whole entries.
    pub(super) torn_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) checkpoints: Vec<Found>,
    pub(super) log: Vec<Segment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log_fault: Option<String>,
    /// Numbers of entries that may have been acknowledged and cannot be read any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) log_lost: Vec<Range<u64>>,
    /// None where there is no outbox yet.
    pub(super) outbox: Option<Waiting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outbox_fault: Option<String>,
}

/// What waits in the outbox.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    pub(super) bytes: u64,
    pub(super) remembered: usize,
    pub(super) unreadable: usize,
    pub(super) sinks: Vec<WaitingFor>,
}

/// What waits for one sink.
#[derive(Debug, Serialize)]
pub(super) struct WaitingFor {
    pub(super) sink: String,
    pub(super) entries: usize,
    pub(super) bytes: usize,
    /// When the oldest came in.
    pub(super) oldest: Option<String>,
}

impl Report {
    /// Whether a start would find everything that was kept, but for the torn end that a crash leaves. A checkpoint of which
    /// another is newer may be another release's.
    fn is_whole(&self) -> bool {
        let can_go_on = self.checkpoints.first().is_none_or(|newest| newest.is_restorable());
        let log = self.log_fault.is_none() && self.log_lost.is_empty();
        let outbox = self.outbox_fault.is_none() && self.outbox.as_ref().is_none_or(|outbox| outbox.unreadable == 0);
        can_go_on && self.checkpoints.iter().all(|found| found.fault.is_none()) && log && outbox
    }
}

impl Found {
    fn is_restorable(&self) -> bool {
        self.contents.as_ref().is_some_and(|contents| contents.engine.is_some())
    }
}

/// Writes the report; the exit code is 1 unless [`Report::is_whole`].
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
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    // Before the segments are looked at: one that is trimmed meanwhile is then known, and is no loss.
    let reader = Reader::new(&dir.log(), 0)?;
    let (segments, log_fault) = match log::inspect(&dir.log()) {
        Ok(segments) => (segments, None),
        Err(fault) => (vec![], Some(fault.to_string())),
    };
    let log_lost = lost(reader, &segments);
    let (outbox, outbox_fault) = match outbox::look(&dir.outbox()) {
        Ok(report) => (report.map(waiting), None),
        Err(fault) => (None, Some(fault.to_string())),
    };
    let log = segments.into_iter().map(segment).collect();
    Ok(Report { checkpoints, log, log_fault, log_lost, outbox, outbox_fault })
}

/// What is missing within the log, as a start without a checkpoint would find it.
fn lost(mut reader: Reader, segments: &[SegmentReport]) -> Vec<Range<u64>> {
    // Where the log begins. A segment whose head is torn does not say.
    let Some(oldest) = segments.iter().find(|segment| segment.created.is_some()) else { return vec![] };
    // What cannot be read is no loss, and `inspect` has said why.
    while !matches!(reader.read(), Ok(None)) {}
    let within = reader.lost().iter().map(|lost| lost.0.clone());
    within.filter(|lost| lost.start >= oldest.acknowledged).collect()
}

fn waiting(report: OutboxReport) -> Waiting {
    let OutboxReport { sinks, file_bytes: bytes, remembered, unreadable } = report;
    let sinks = sinks.into_iter().map(|sink| WaitingFor {
        sink: sink.sink,
        entries: sink.entries,
        bytes: sink.bytes,
        oldest: sink.oldest.map(format_rfc3339),
    });
    Waiting { bytes, remembered, unreadable, sinks: sinks.collect() }
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
