//! What history a command is tried on: recorded files, or a Prometheus, read on a thread of their own while the engine works,
//! with a progress bar on a terminal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use crate::backtest::{Backtest, Period, Slice};
use crate::base::{Limits, Millis, format_rfc3339, parse_duration, parse_instant};
use crate::engine::{EngineOptions, Executor, Profiles};
use crate::http_client::HttpClientConfig;
use crate::rules::{RuleSet, Severity, selectors_of};
use crate::server::{Parallel, RuleSource};
use crate::source::Progress;
use crate::source::config::Span;
use crate::source::prometheus::{PrometheusConfig, PrometheusHistory, Wanted};
use crate::source::replay::{CsvColumns, Redate, Replay, ReplayConfig};

/// Slices read ahead.
const READ_AHEAD: usize = 4;

/// Rules, a history and a period, as commands take them.
#[derive(Clone, Debug, Args)]
pub(super) struct HistoryArgs {
    /// Rule files, folders or patterns
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// History: a file (CSV, OpenMetrics, JSON lines), a folder or pattern of files, or the URL of a Prometheus
    #[arg(long, value_name = "FILE|DIR|URL", default_value = "", hide_default_value = true)]
    pub data: String,
    /// First instant whose findings count, like 2026-01-31T08:30:00Z or 2026-01-31 [default: the first sample]
    #[arg(long, value_parser = instant)]
    pub start: Option<Millis>,
    /// Last instant [default: the last sample]
    #[arg(long, value_parser = instant)]
    pub end: Option<Millis>,
    /// How long before --start windows and models learn
    #[arg(long, default_value = "7d", value_parser = parse_duration)]
    pub warm_up: Millis,
    /// Interval of groups that give none
    #[arg(long, default_value = "1m", value_parser = step)]
    pub step: Millis,
    /// Folder of profiles beside those the program carries
    #[arg(long, value_name = "DIR")]
    pub profile_dir: Option<PathBuf>,
    /// Name of the metric in CSV files; {stem} is the file's name without ending
    #[arg(long, default_value = "{stem}")]
    pub metric: String,
    /// Labels to add to the series, name=value; {stem} as above. For a Prometheus, its external labels
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// Column of the time in CSV files
    #[arg(long, default_value = "timestamp")]
    pub timestamp_column: String,
    /// Column of the value in CSV files
    #[arg(long, default_value = "value")]
    pub value_column: String,
    /// Credentials, TLS and proxy for a URL: a file in the shape of Prometheus' http_config
    #[arg(long = "http.config.file", value_name = "FILE")]
    pub http_config_file: Option<PathBuf>,
}

/// A history being read.
pub(super) struct History {
    slices: Receiver<Result<Slice, String>>,
    progress: Arc<Progress>,
}

impl HistoryArgs {
    /// The period that is asked for.
    pub(super) fn period(&self) -> Result<Period, String> {
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            return Err(format!("--end {} is before --start {}", format_rfc3339(end), format_rfc3339(start)));
        }
        let learn_from = self.start.map(|start| start.saturating_sub(self.warm_up));
        Ok(Period { learn_from, start: self.start, end: self.end })
    }

    /// Reads rules and the profiles that they may name.
    pub(super) fn read_rules(&self, files: &[PathBuf], colour: bool) -> Result<(RuleSet, Profiles), String> {
        if self.data.is_empty() {
            return Err("--data is missing: a file, a folder, a pattern or the URL of a Prometheus".to_owned());
        }
        let profiles = |end: &str| Some(format!("{}/*.{end}", escaped(self.profile_dir.as_deref()?)));
        let source = RuleSource {
            rule_files: files.iter().map(|path| super::check::pattern(path)).collect(),
            model_files: profiles("yaml").into_iter().chain(profiles("yml")).collect(),
            dir: PathBuf::new(),
            limits: Limits::default(),
        };
        let mut read = source.read();
        let mut faults = read.profile_faults.join("\n");
        for diagnostic in &mut read.loaded.diagnostics {
            // Whoever names files wants them used; elsewhere they may come later.
            if diagnostic.severity == Severity::Error || diagnostic.position.is_none() {
                faults.push_str(&diagnostic.render(colour));
            }
        }
        if faults.is_empty() { Ok((read.loaded.rule_set, read.profiles)) } else { Err(faults) }
    }

    /// How to reach an HTTP server.
    pub(super) fn http_config(&self) -> Result<HttpClientConfig, String> {
        let Some(path) = &self.http_config_file else { return Ok(HttpClientConfig::default()) };
        let fault = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| fault(&e))?;
        let mut config: HttpClientConfig = serde_saphyr::from_str(&text).map_err(|e| fault(&e))?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// The engine's settings.
    pub(super) fn engine_options(&self) -> EngineOptions {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        EngineOptions {
            shards: processors.clamp(1, 8),
            evaluation_interval: self.step,
            explain_alerts: true,
            ..EngineOptions::default()
        }
    }

    /// Begins to read what these rules read of the history.
    pub(super) fn open(&self, rules: &[RuleSet], period: Period) -> Result<History, String> {
        let progress = Arc::new(Progress::default());
        let (sender, slices) = sync_channel(READ_AHEAD);
        let shared = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("history".to_owned());
        let started = match Url::parse(&self.data).ok().filter(|url| matches!(url.scheme(), "http" | "https")) {
            Some(url) => {
                let (config, wanted) = self.prometheus(url, rules, period)?;
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let runtime = runtime.map_err(|e| e.to_string())?;
                let mut history = PrometheusHistory::new(&config, wanted, &Limits::default(), shared)
                    .map_err(|e| format!("{}: {e}", self.data))?;
                let server = self.data.clone();
                thread.spawn(move || {
                    let mut next =
                        || runtime.block_on(history.next()).map_err(|e| format!("{server}: {e}")).transpose();
                    while let Some(step) = next() {
                        if sender.send(step.map(|(batch, complete_until)| Slice { batch, complete_until })).is_err() {
                            break;
                        }
                    }
                })
            }
            None => {
                let replay = Replay::open(&self.replay_config(), Path::new(""), 0, &Limits::default(), shared)
                    .map_err(|e| e.to_string())?;
                thread.spawn(move || {
                    for batch in replay {
                        let slice = batch.map_err(|e| e.to_string()).map(|batch| {
                            // A replay never cuts within an instant.
                            Slice { complete_until: batch.newest().unwrap_or(Millis::MIN), batch }
                        });
                        // Whoever has seen enough hangs up.
                        if sender.send(slice).is_err() {
                            break;
                        }
                    }
                })
            }
        };
        started.map_err(|e| e.to_string())?;
        Ok(History { slices, progress })
    }

    fn prometheus(&self, url: Url, rules: &[RuleSet], period: Period) -> Result<(PrometheusConfig, Wanted), String> {
        let (Some(from), Some(to)) = (period.learn_from, period.end) else {
            return Err("a Prometheus needs --start and --end: it may hold years".to_owned());
        };
        let config = PrometheusConfig {
            labels: self.labels.iter().cloned().collect(),
            http_config: self.http_config()?,
            ..PrometheusConfig::at(url)
        };
        let mut selectors: Vec<String> = Vec::new();
        for selector in rules.iter().flat_map(selectors_of) {
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        Ok((config, Wanted { selectors, from, to }))
    }

    fn replay_config(&self) -> ReplayConfig {
        let path = Path::new(&self.data);
        ReplayConfig {
            files: if path.exists() { escaped(path) } else { self.data.clone() },
            format: None,
            metric: Some(self.metric.clone()),
            labels: self.labels.iter().cloned().collect(),
            csv: CsvColumns {
                header: true,
                timestamp: self.timestamp_column.clone(),
                value: self.value_column.clone(),
            },
            redate: Redate::None,
            interval: Span(Duration::from_secs(60)),
            bad_lines_max: 100,
        }
    }
}

/// The threads that shards are worked on with.
pub(super) fn executor(options: &EngineOptions) -> Result<Box<dyn Executor + Send>, String> {
    Parallel::for_shards(options.shards).map_err(|e| e.to_string())
}

impl History {
    /// Plays it, up to the end of the period.
    pub(super) fn play(self, backtests: &mut [Backtest], executor: &dyn Executor) -> Result<(), String> {
        let bar = bar();
        for slice in &self.slices {
            let slice = slice.inspect_err(|_| bar.finish_and_clear())?;
            for backtest in &mut *backtests {
                backtest.take(&slice, executor);
            }
            bar.set_length(self.progress.total());
            bar.set_position(self.progress.done());
            bar.set_message(format_rfc3339(slice.complete_until));
            if backtests.iter().all(|backtest| backtest.is_over(&slice)) {
                break;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// A bar on standard error; indicatif draws nothing where that is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("  {bar:40} {percent:>3}%  {eta:>4} left  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn escaped(path: &Path) -> String {
    glob::Pattern::escape(path.to_string_lossy().trim_end_matches('/'))
}

pub(super) fn instant(text: &str) -> Result<Millis, String> {
    parse_instant(text)
        .ok_or_else(|| "not a time; write it like 2026-01-31T08:30:00Z, 2026-01-31 or a Unix time".to_owned())
}

fn step(text: &str) -> Result<Millis, String> {
    match parse_duration(text).map_err(|e| e.to_string())? {
        0 => Err("must be longer than 0".to_owned()),
        step => Ok(step),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}
