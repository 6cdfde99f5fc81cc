//! The command line: one file a command. Knows all other modules; nothing knows it.

mod backtest;
pub mod check;
mod evaluate;
mod explain;
mod history;
mod junit;
mod run;
pub mod test;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::engine::builtin_profiles;

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
    /// Say why: what was expected of a series, and what the judgement of it rests on
    Explain(Box<explain::ExplainArgs>),
}

#[derive(Clone, Debug, Args)]
struct RunArgs {
    /// Configuration file
    #[arg(long = "config.file", short = 'c', visible_alias = "config", default_value = "forewarn.yml")]
    config_file: PathBuf,
    /// Log what would be sent to Alertmanagers and webhooks, and send nothing
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
enum Check {
    /// Check rule files: each fault with file, line, column and the line itself
    Rules {
        /// Files, folders or patterns
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Check a configuration and the rule files it names
    Config {
        /// The file
        #[arg(default_value = "forewarn.yml")]
        file: PathBuf,
    },
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
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run::run(cli.run),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Check(Check::Rules { files })) => on_stdout(|colour, out| check::rules(&files, colour, out)),
        Some(Command::Check(Check::Config { file })) => on_stdout(|colour, out| check::config(&file, colour, out)),
        Some(Command::Test(Test::Rules { files, junit })) => on_stdout(|colour, out| {
            test::rules(&files, &test::TestOptions { profiles: builtin_profiles(), junit, colour }, out)
        }),
        Some(Command::Evaluate(args)) => on_stdout(|_, out| evaluate::run(&args, out)),
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
