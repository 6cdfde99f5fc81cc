//! `forewarn run`: logs, the runtime, and the host.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::RunArgs;
use crate::server::{RunOptions, run as serve};
use crate::telemetry::{Traces, trace_layer};

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

pub(super) fn run(args: RunArgs) -> io::Result<ExitCode> {
    let traces = Some(log(&args)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options = RunOptions { config_file: args.config_file, dry_run: args.dry_run, traces };
    let outcome = runtime.block_on(serve(options));
    // Blocking reads of files and of hung mounts must not hold up the end.
    runtime.shutdown_background();
    Ok(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forewarn: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Logs go to standard error. On a terminal only warnings do, unless told otherwise: there the findings matter. Gives the
/// switch of own spans, whose receiver the configuration names.
fn log(args: &RunArgs) -> io::Result<Traces> {
    let terminal = io::stderr().is_terminal();
    let level = args.log_level.as_deref().unwrap_or(if terminal { "warn" } else { "info" });
    let filter = EnvFilter::try_new(level).map_err(|e| io::Error::other(format!("--log.level {level}: {e}")))?;
    let (spans, traces) = trace_layer();
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match args.log_format {
        LogFormat::Text => lines.with_ansi(terminal).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).init();
    Ok(traces)
}
