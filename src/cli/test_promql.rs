//! `forewarn test promql FILE…`: runs Prometheus' scripts of evaluations and shows what differs.
//!
//! Knows files, the terminal's stream and a stopwatch; the language and its meaning are `rules::promql_script`'s and
//! `backtest`'s part.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use super::junit::{Case, Suite, document};
use super::test::{failure_text, read_file};
use crate::backtest::{ScriptOptions, ScriptReport, Verdict, run_script};
use crate::rules::promql_script::Script;

/// What scripts are run with.
#[derive(Clone, Debug, Default)]
pub struct PromqlOptions {
    /// How the engine is set.
    pub script: ScriptOptions,
    /// Whether an evaluation that is refused counts as failed.
    pub deny_refused: bool,
    /// Where a report in JUnit's XML is written.
    pub junit: Option<PathBuf>,
}

/// What became of a file's evaluations.
#[derive(Default)]
struct Outcome {
    passed: usize,
    /// The lines of those refused, by reason.
    refused: BTreeMap<String, Vec<u64>>,
    /// Texts of the failures, in the order of the script; what could not be read or loaded is among them.
    failures: Vec<(Option<u64>, String)>,
}

/// Runs scripts and writes each one's counts, every difference, and what was refused. The exit code is 1 if anything failed,
/// or, with `deny_refused`, was refused.
///
/// # Errors
/// `out` or the JUnit file cannot be written.
pub fn promql(files: &[PathBuf], options: &PromqlOptions, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut suites = Vec::new();
    let mut has_failed = false;
    for file in files {
        let name = file.display().to_string();
        writeln!(out, "Evaluating:  {name}")?;
        let begin = Instant::now();
        let (outcome, cases) = match run_file(file, options) {
            Ok(report) => judge(&name, &report, options),
            Err(text) => {
                let outcome = Outcome { failures: vec![(None, text.clone())], ..Outcome::default() };
                (outcome, vec![Case { failures: vec![(text.clone(), text)], ..case("setup") }])
            }
        };
        let is_denied = options.deny_refused && !outcome.refused.is_empty();
        let seconds = begin.elapsed().as_secs_f64();
        has_failed |= is_denied || !outcome.failures.is_empty();
        write_outcome(&outcome, is_denied, out)?;
        suites.push(Suite { name, seconds, cases });
    }
    if let Some(path) = &options.junit {
        std::fs::write(path, document(&suites))
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs one script; on Err, why there is nothing to run.
fn run_file(path: &Path, options: &PromqlOptions) -> Result<ScriptReport, String> {
    let text = read_file(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let script = Script::parse(&text).map_err(|e| format!("{}:{e}", path.display()))?;
    Ok(run_script(&script, &options.script))
}

fn judge(file: &str, report: &ScriptReport, options: &PromqlOptions) -> (Outcome, Vec<Case>) {
    let mut outcome = Outcome::default();
    let mut cases = Vec::new();
    for failure in &report.failures {
        let text = failure_text(file, failure);
        cases.push(Case { failures: vec![(failure.to_string(), text.clone())], ..case("load") });
        outcome.failures.push((failure.line, text));
    }
    for eval in &report.evals {
        let mut case = case(&format!("line {}: {}", eval.line, eval.expr));
        match &eval.verdict {
            Verdict::Passed { .. } => outcome.passed += 1,
            Verdict::Refused(reason) => {
                outcome.refused.entry(reason.clone()).or_default().push(eval.line);
                if options.deny_refused {
                    case.failures.push((reason.clone(), format!("{file}:{}: {}: {reason}", eval.line, eval.expr)));
                } else {
                    case.skipped = Some(reason.clone());
                }
            }
            Verdict::Failed(failure) => {
                let text = failure_text(file, failure);
                outcome.failures.push((failure.line, text.clone()));
                case.failures.push((failure.to_string(), text));
            }
        }
        cases.push(case);
    }
    outcome.failures.sort_by_key(|(line, _)| *line);
    (outcome, cases)
}

/// One that passed. Evaluations are not timed one by one.
fn case(name: &str) -> Case {
    Case { name: name.to_owned(), seconds: None, failures: vec![], skipped: None }
}

fn write_outcome(outcome: &Outcome, is_denied: bool, out: &mut dyn Write) -> io::Result<()> {
    let verdict = if is_denied || !outcome.failures.is_empty() { "FAILED" } else { "SUCCESS" };
    let refused: usize = outcome.refused.values().map(Vec::len).sum();
    writeln!(out, "  {verdict}: {} passed, {refused} refused, {} failed", outcome.passed, outcome.failures.len())?;
    for line in outcome.failures.iter().flat_map(|(_, text)| text.lines()) {
        writeln!(out, "    {line}")?;
    }
    for (reason, lines) in &outcome.refused {
        let shown: Vec<String> = lines.iter().take(10).map(u64::to_string).collect();
        let more = if lines.len() > shown.len() { ", …" } else { "" };
        let word = if lines.len() == 1 { "line" } else { "lines" };
        writeln!(out, "    refused: {} ({word} {}{more}): {reason}", lines.len(), shown.join(", "))?;
    }
    writeln!(out)
}
