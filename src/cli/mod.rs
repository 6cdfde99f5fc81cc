//! The command line: one file a command. Knows all other modules; nothing knows it.

mod backtest;
pub mod check;
mod evaluate;
mod evaluate_breaches;
mod explain;
pub mod findings;
mod history;
mod junit;
mod run;
pub mod schema;
mod state;
mod state_text;
mod suggest;
pub mod test;
pub mod test_promql;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::backtest::ScriptOptions;
use crate::base::{Millis, parse_duration};
use crate::engine::builtin_profiles;
use crate::rules::{Lint, LintOptions};

/// Streaming anomaly detection and predictive alerting for metrics: Prometheus rules that page before the disk is full.
#[derive(Debug, Parser)]
#[command(name = "forewarn", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch, evaluate rules, and send alerts (this is what happens without a command)
    Run(RunArgs),
    /// Say what is wrong with rules or a configuration
    #[command(subcommand)]
    Check(Check),
    /// Run unit tests
    #[command(subcommand)]
    Test(Test),
    /// Try rules on history: what they would have paged, and what that would have been worth
    Backtest(Box<backtest::BacktestArgs>),
    /// Run models over recorded series: figures of model cards, and scores for scorers of others
    Evaluate(evaluate::EvaluateArgs),
    /// Say which profiles and functions suit recorded series
    Suggest(suggest::SuggestArgs),
    /// Look at what is kept on disk
    #[command(subcommand)]
    State(State),
    /// Say why: what was expected of a series, and what the judgement of it rests on
    Explain(Box<explain::ExplainArgs>),
}

#[derive(Clone, Debug, Args)]
struct RunArgs {
    /// Configuration file
    #[arg(long = "config.file", short = 'c', visible_alias = "config", default_value = "forewarn.yml")]
    config_file: PathBuf,
    /// Show alerts on standard output, log what each receiver would be told, and send nothing to any
    #[arg(long)]
    dry_run: bool,
    /// What to log: error, warn, info, debug, trace, or filters like forewarn::source=debug; FOREWARN_LOG is the same
    #[arg(long = "log.level", env = "FOREWARN_LOG")]
    log_level: Option<String>,
    /// How to log
    #[arg(long = "log.format", value_enum, default_value_t)]
    log_format: run::LogFormat,
}

#[derive(Debug, Subcommand)]
enum State {
    /// Show what checkpoints, the log and the outbox hold, and which of it is whole; the exit code is 1 if not all is
    Inspect {
        /// The folder, as in state.dir
        dir: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Check rule files: each fault with file, line, column and the line itself
    Rules {
        /// Files, folders or patterns
        #[arg(required_unless_present = "explain")]
        files: Vec<PathBuf>,
        /// How often series are scraped, for lints that depend on it; like 1m
        #[arg(long, value_parser = duration, default_value = "15s")]
        scrape_interval: Millis,
        /// How often groups are evaluated that do not say so themselves; like 1m
        #[arg(long, value_parser = duration, default_value = "15s")]
        evaluation_interval: Millis,
        /// Say what a warning means and how to mend it, and check nothing
        #[arg(long, value_name = "CODE")]
        explain: Option<Lint>,
        #[command(flatten)]
        how: CheckArgs,
    },
    /// Check a configuration and the rule files it names
    Config {
        /// The file
        #[arg(default_value = "forewarn.yml")]
        file: PathBuf,
        #[command(flatten)]
        how: CheckArgs,
    },
    /// Print the JSON Schema of a kind of file, for editors
    Schema {
        /// The kind
        #[arg(long, value_enum, default_value_t)]
        kind: schema::Kind,
    },
}

#[derive(Clone, Debug, Args)]
struct CheckArgs {
    /// How findings are written
    #[arg(long, value_enum, default_value_t)]
    format: findings::Format,
    /// Exit with 1 for warnings as well
    #[arg(long)]
    deny_warnings: bool,
    /// Switch a lint off; may be given several times
    #[arg(long, value_name = "CODE")]
    disable: Vec<Lint>,
    /// Switch a lint on that is off by default; may be given several times
    #[arg(long, value_name = "CODE")]
    enable: Vec<Lint>,
}

impl CheckArgs {
    fn options(self, colour: bool) -> check::CheckOptions {
        let mut lints = LintOptions::default();
        lints.on.extend(self.enable);
        lints.on.retain(|lint| !self.disable.contains(lint));
        check::CheckOptions { lints, format: self.format, colour, deny_warnings: self.deny_warnings }
    }
}

fn duration(text: &str) -> Result<Millis, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
enum Test {
    /// Run unit tests of rules, in promtool's format
    Rules {
        /// Test files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write a report in JUnit's XML
        #[arg(long)]
        junit: Option<PathBuf>,
        /// Run only tests whose names match this regular expression; may be given several times
        #[arg(long = "run", value_name = "REGEX")]
        only: Vec<regex::Regex>,
        /// Show how each test's alerts change
        #[arg(long)]
        debug: bool,
        /// As with promtool; differences are always shown
        #[arg(long, hide = true)]
        diff: bool,
        /// Take rule files with keys that nothing knows
        #[arg(long)]
        ignore_unknown_fields: bool,
    },
    /// Run scripts of PromQL evaluations, in the language of Prometheus' own (load, eval, expect)
    Promql {
        /// Scripts
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Fail if an evaluation needs what forewarn does not have, such as native histograms
        #[arg(long)]
        deny_refused: bool,
        /// Drop metric names at once, as rules do unless engine.delayed_name_removal is set; scripts expect it to happen late
        #[arg(long)]
        drop_names_at_once: bool,
        /// Write a report in JUnit's XML
        #[arg(long)]
        junit: Option<PathBuf>,
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Check(check)) => on_stdout(|colour, out| run_check(check, colour, out)),
        Some(Command::Test(Test::Rules { files, junit, only, debug, diff: _, ignore_unknown_fields })) => {
            on_stdout(|colour, out| {
                let profiles = builtin_profiles();
                let options = test::TestOptions { profiles, junit, only, debug, ignore_unknown_fields, colour };
                test::rules(&files, &options, out)
            })
        }
        Some(Command::Test(Test::Promql { files, deny_refused, drop_names_at_once, junit })) => on_stdout(|_, out| {
            let script = ScriptOptions { delayed_name_removal: !drop_names_at_once, ..ScriptOptions::default() };
            let options = test_promql::PromqlOptions { script, deny_refused, junit };
            test_promql::promql(&files, &options, out)
        }),
        Some(Command::Evaluate(args)) => on_stdout(|_, out| evaluate::run(&args, out)),
        Some(Command::Suggest(args)) => on_stdout(|_, out| suggest::run(&args, out)),
        Some(Command::State(State::Inspect { dir, json })) => on_stdout(|_, out| state::inspect(&dir, json, out)),
        Some(Command::Explain(args)) => on_stdout(|colour, out| explain::run(&args, colour, out)),
        Some(Command::Backtest(args)) => on_stdout(|colour, out| backtest::run(&args, colour, out)),
    };
    done.unwrap_or_else(|error| {
        // Whoever reads standard output may have seen enough, as `head` does.
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("forewarn: {error}");
        }
        ExitCode::FAILURE
    })
}

fn run_check(check: Check, colour: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    match check {
        Check::Rules { explain: Some(lint), .. } => check::explain(lint, out),
        Check::Rules { files, scrape_interval, evaluation_interval, explain: None, how } => {
            let mut options = how.options(colour);
            options.lints = LintOptions { scrape_interval, evaluation_interval, ..options.lints };
            check::rules(&files, &options, out)
        }
        Check::Config { file, how } => check::config(&file, &how.options(colour), out),
        Check::Schema { kind } => schema::write(kind, out),
    }
}

fn on_stdout(command: impl FnOnce(bool, &mut dyn Write) -> io::Result<ExitCode>) -> io::Result<ExitCode> {
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = stdout.lock();
    let code = command(colour, &mut out)?;
    out.flush()?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_run() {
        let cli = Cli::parse_from(["forewarn", "-c", "x.yml", "--dry-run"]);
        assert!(cli.command.is_none() && cli.run.dry_run);
        assert_eq!(cli.run.config_file, PathBuf::from("x.yml"));
        assert!(matches!(Cli::parse_from(["forewarn", "run"]).command, Some(Command::Run(_))));
    }
}
