//! `forewarn backtest`: what rules would have paged in a history, and what those pages would have been worth.
//!
//! Knows files and the terminal; the engine over history, figures and reports are `backtest`'s part.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::history::{HistoryArgs, executor};
use crate::backtest::{Backtest, History, Incident, Judgement, Report, html, json, parse_incidents, text};
use crate::base::{Millis, parse_duration};
use crate::engine::LoadError;

/// `forewarn backtest`'s arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct BacktestArgs {
    #[command(flatten)]
    history: HistoryArgs,
    /// Other rules to try on the same history: what they would page that --rules do not, and the other way round
    #[arg(long, num_args = 1.., value_name = "FILE")]
    compare: Vec<PathBuf>,
    /// Incidents, to judge pages by (docs/backtest.md)
    #[arg(long, value_name = "FILE")]
    incidents: Option<PathBuf>,
    /// How long before an incident a page still counts as its early warning
    #[arg(long, default_value = "4h", value_parser = parse_duration)]
    lead_window: Millis,
    /// Write all figures and alerts as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts, one file that needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs rules over history. The exit code is 1 where they cannot be run.
pub(super) fn run(args: &BacktestArgs, colour: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    match report(args, colour, out) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Fault::Output(error)) => Err(error),
        Err(Fault::User(fault)) => {
            eprintln!("forewarn: {}", fault.trim_end());
            Ok(ExitCode::FAILURE)
        }
    }
}

enum Fault {
    User(String),
    Output(io::Error),
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::User(text)
    }
}

fn report(args: &BacktestArgs, colour: bool, out: &mut dyn Write) -> Result<(), Fault> {
    let history = &args.history;
    if history.rules.is_empty() {
        return Err("--rules is missing: rule files, folders or patterns".to_owned().into());
    }
    let period = history.period()?;
    let incidents = args.incidents.as_deref().map(read_incidents).transpose()?;
    let options = history.engine_options();
    let executor = executor(&options)?;
    let (mut backtests, mut rule_sets) = (Vec::new(), Vec::new());
    for files in [&history.rules, &args.compare].into_iter().filter(|files| !files.is_empty()) {
        let (rules, profiles) = history.read_rules(files, colour)?;
        let draws = args.html.is_some() && backtests.is_empty();
        let backtest = Backtest::new(options.clone(), &rules, &profiles, period, draws).map_err(faults)?;
        backtests.push(backtest);
        rule_sets.push(rules);
    }
    history.open(&rule_sets, period)?.play(&mut backtests, &*executor)?;
    let done: Vec<History> = backtests.into_iter().map(|backtest| backtest.finish(&*executor)).collect();
    let Some((first, others)) = done.split_first() else { return Ok(()) };
    if first.samples == 0 {
        return Err(format!("{}: no sample that the rules read, in this period", history.data).into());
    }
    let title = titled(&history.rules);
    let other_title = titled(&args.compare);
    let report = Report {
        title: &title,
        history: first,
        judgement: Judgement {
            incidents: incidents.as_deref(),
            lead_window: args.lead_window,
            start: first.start,
            end: first.end,
        },
        learn_from: period.learn_from,
        other: others.first().map(|other| (other_title.as_str(), other)),
    };
    out.write_all(text(&report).as_bytes()).map_err(Fault::Output)?;
    if let Some(path) = &args.json {
        let document = serde_json::to_string_pretty(&json(&report)).map_err(|e| e.to_string())?;
        write(path, &(document + "\n"))?;
    }
    if let Some(path) = &args.html {
        write(path, &html(&report))?;
    }
    Ok(())
}

fn read_incidents(path: &Path) -> Result<Vec<Incident>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: cannot be read: {e}", path.display()))?;
    parse_incidents(&text).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text).map_err(|e| Fault::User(format!("{}: cannot be written: {e}", path.display())))
}

pub(super) fn faults(faults: Vec<LoadError>) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn titled(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
