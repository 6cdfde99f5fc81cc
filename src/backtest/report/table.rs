//! The table by rule, for a terminal or a log.

use std::fmt::Write as _;

use crate::base::{Millis, format_duration, format_rfc3339};

use super::{Report, name_of};
use crate::backtest::compare::Change;
use crate::backtest::pages::Page;
use crate::backtest::score::Score;

/// Pages listed of each side of a comparison.
const LISTED: usize = 20;

/// The report as text.
#[must_use]
pub fn text(report: &Report<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_head(&mut out, report);
    let (scores, total) = report.scores();
    let has_truth = report.judgement.incidents.is_some();
    let mut rows = vec![heading(has_truth)];
    for (findings, score) in &scores {
        rows.push(row(name_of(findings, &report.history.rules), score, has_truth));
    }
    if scores.len() > 1 {
        rows.push(row("all".to_owned(), &total, has_truth));
    }
    write_rows(&mut out, &rows);
    if let Some((title, changes)) = report.changes() {
        let _ = write_changes(&mut out, report.title, title, &changes);
    }
    out
}

fn write_head(out: &mut String, report: &Report<'_>) -> std::fmt::Result {
    let history = report.history;
    let (start, end) = (history.start, history.end);
    write!(out, "{} to {} ({})", format_rfc3339(start), format_rfc3339(end), span(end - start))?;
    match report.learn_from.filter(|from| *from < start) {
        Some(from) => writeln!(out, ", {} learnt before", span(start - from))?,
        None => writeln!(out)?,
    }
    writeln!(out, "{} samples that the rules read, of {} series at most at a time", history.samples, history.series)?;
    if history.lost > 0 {
        writeln!(out, "warning: {} samples had no room (limits)", history.lost)?;
    }
    if history.pages_left_out > 0 {
        writeln!(out, "warning: {} pages more than can be kept; the figures are without them", history.pages_left_out)?;
    }
    for (rule, fault) in &history.faults {
        writeln!(out, "warning: rule {rule} failed: {fault}")?;
    }
    writeln!(out)
}

fn heading(has_truth: bool) -> Vec<String> {
    let mut cells = vec!["ALERT", "PAGES", "FIRING", "FLAPS"];
    if has_truth {
        cells.extend(["PRECISION", "RECALL", "MEDIAN LEAD"]);
    }
    cells.into_iter().map(str::to_owned).collect()
}

fn row(name: String, score: &Score, has_truth: bool) -> Vec<String> {
    let mut cells = vec![name, score.pages.to_string(), span(score.firing), score.flaps.to_string()];
    if has_truth {
        let truth = score.truth.clone().unwrap_or_default();
        let share = |part: Option<f64>, of: String| part.map_or("-".to_owned(), |p| format!("{:.0}% {of}", 100.0 * p));
        cells.push(share(score.precision(), format!("({}/{})", truth.true_pages, score.pages)));
        cells.push(share(score.recall(), format!("({}/{})", truth.found.len(), truth.incidents)));
        cells.push(score.median_lead().map_or("-".to_owned(), span));
    }
    cells
}

/// The first column to the left, all others to the right.
fn write_rows(out: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn write_changes(out: &mut String, before: &str, after: &str, changes: &[Change<'_>]) -> std::fmt::Result {
    writeln!(out, "\nwith {after} instead of {before}")?;
    let mut rows = vec![["ALERT", "PAGES", "FIRING", "NEW", "GONE"].map(str::to_owned).to_vec()];
    for change in changes {
        rows.push(vec![
            change.alert.to_owned(),
            format!("{} -> {}", change.pages.0, change.pages.1),
            format!("{} -> {}", span(change.firing.0), span(change.firing.1)),
            format!("+{}", change.new.len()),
            format!("-{}", change.gone.len()),
        ]);
    }
    write_rows(out, &rows);
    list(out, '+', changes.iter().flat_map(|change| &change.new).copied())?;
    list(out, '-', changes.iter().flat_map(|change| &change.gone).copied())
}

fn list<'p>(out: &mut String, sign: char, pages: impl Iterator<Item = &'p Page>) -> std::fmt::Result {
    let mut pages: Vec<&Page> = pages.collect();
    pages.sort_by(|a, b| (a.fired_at, &a.labels).cmp(&(b.fired_at, &b.labels)));
    for page in pages.iter().take(LISTED) {
        writeln!(out, "{sign} {}  {}", format_rfc3339(page.fired_at), page.labels)?;
    }
    match pages.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(out, "{sign} and {more} more; --json has them all"),
    }
}

/// A duration without milliseconds where it is longer than a minute.
fn span(millis: Millis) -> String {
    if millis.abs() >= 60_000 { format_duration(millis / 1000 * 1000) } else { format_duration(millis) }
}
