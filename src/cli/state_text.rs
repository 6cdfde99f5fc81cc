//! What `forewarn state inspect` shows people. Pure but for the writing.

use std::io::{self, Write};

use super::state::{Contents, Found, Kind, Report, Segment, Waiting};

pub(super) fn write_text(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "checkpoints, newest first")?;
    for Found { number, fault, contents } in &report.checkpoints {
        match contents {
            Some(contents) => write_checkpoint(*number, contents, out)?,
            None => writeln!(out, "  {number}  NOT WHOLE  {}", fault.as_deref().unwrap_or_default())?,
        }
    }
    if report.checkpoints.is_empty() {
        writeln!(out, "  none")?;
    }
    writeln!(out, "log, oldest segment first")?;
    if let Some(fault) = &report.log_fault {
        writeln!(out, "  NOT READABLE  {fault}")?;
    }
    report.log.iter().try_for_each(|segment| write_segment(segment, out))?;
    for lost in &report.log_lost {
        writeln!(out, "  DAMAGED  entries {} to {} were acknowledged and cannot be read", lost.start, lost.end - 1)?;
    }
    writeln!(out, "outbox")?;
    match (&report.outbox, &report.outbox_fault) {
        (_, Some(fault)) => writeln!(out, "  NOT READABLE  {fault}"),
        (Some(outbox), None) => write_outbox(outbox, out),
        (None, None) => writeln!(out, "  none"),
    }
}

fn write_checkpoint(number: u64, contents: &Contents, out: &mut dyn Write) -> io::Result<()> {
    let watermark = contents.watermark.as_deref().unwrap_or("none");
    writeln!(
        out,
        "  {number}  whole  written {} by {}, watermark {watermark}, {} bytes",
        contents.created, contents.release, contents.bytes
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
        ),
        (None, fault) => {
            let fault = fault.as_deref().unwrap_or_default();
            writeln!(out, "      NOT RESTORABLE  this release cannot go on from it: {fault}")
        }
    }
}

fn write_segment(segment: &Segment, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "  {}  {} entries", segment.number, segment.entries)?;
    if let (Some(first), Some(last)) = (segment.first, segment.last) {
        write!(out, ", {first} to {last}")?;
    }
    let torn = match segment.torn_bytes {
        0 => String::new(),
        n => format!(", {n} bytes torn or damaged"),
    };
    let created = segment.created.as_deref().unwrap_or("unknown");
    writeln!(out, ", {} bytes, of the process started {created}{torn}", segment.bytes)
}

fn write_outbox(outbox: &Waiting, out: &mut dyn Write) -> io::Result<()> {
    for sink in &outbox.sinks {
        let oldest = sink.oldest.as_deref().map_or(String::new(), |oldest| format!(", the oldest since {oldest}"));
        writeln!(out, "  {}  {} alerts wait, {} bytes{oldest}", sink.sink, sink.entries, sink.bytes)?;
    }
    if outbox.sinks.is_empty() {
        writeln!(out, "  nothing waits")?;
    }
    if outbox.unreadable > 0 {
        writeln!(out, "  DAMAGED  {} alerts cannot be read", outbox.unreadable)?;
    }
    writeln!(out, "  {} identities remembered, a file of {} bytes", outbox.remembered, outbox.bytes)
}
