//! The whole process: reads the configuration, starts everything, and ends it in order.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::http_client::NamedFile;
use crate::rules::selectors_of;
use crate::sink::outbox::LAST_COMMIT;
use crate::source::host::host_name;
use crate::source::{clock, remote_write};
use crate::telemetry::{Exporting, LAST_SPANS, Metrics, Register, Traces};

use super::board::Board;
use super::changed_config::ConfigAtStart;
use super::config::{Config, base_dir};
use super::durable::{self, Beginning};
use super::executor::Parallel;
use super::handle::EngineHandle;
use super::host::{Host, Inputs, outlet};
use super::http::{AppState, Protocol, Readiness, RecentFindings, ReloadReport, ReloadRequest, Reloader};
use super::named_files::named_files;
use super::otlp::OtlpPorts;
use super::parts::{LastReload, summary};
use super::recorded::RecordedLanes;
use super::rules::{Read, Reloaded, RuleLoader, RuleSource};
use super::signals::{Signals, interrupted, interrupted_again};
use super::sinks;
use super::sources::{self, Started};
use super::teller::Told;
use super::warm_up::{Past, totals};
use super::web::{Access, TlsFault};
use super::welcome::welcome;

/// How long alerts may take to leave at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// How long a source with a thread of its own may take to end after the engine has.
const CLOSE: Duration = Duration::from_secs(3);
/// How long what is queued may take at the end where state is kept: the last checkpoint is part of it. What does not get
/// done is in the log.
const LAST_CHECKPOINT: Duration = Duration::from_secs(11);

/// How long tasks of sources may take to let go: they are told to wherever they wait.
const SOURCES: Duration = Duration::from_secs(1);

/// All of the end together: sources, requests, the engine, alerts with recorded samples and sources beside them, the outbox and its
/// thread, own spans.
const END: Duration = Duration::from_secs(
    SOURCES.as_secs()
        + FLUSH.as_secs()
        + LAST_CHECKPOINT.as_secs()
        + FLUSH.as_secs()
        + 2 * LAST_COMMIT.as_secs()
        + LAST_SPANS.as_secs(),
);
// Supervisors commonly wait for 30 s before they kill.
const _: () = assert!(END.as_secs() <= 29 && CLOSE.as_secs() <= FLUSH.as_secs());

/// Exit code after a second signal, or one during the start: as of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// What `forewarn run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration file.
    pub config_file: PathBuf,
    /// Log what would be sent to receivers, and send nothing.
    pub dry_run: bool,
    /// Switched on if the configuration says where own spans go.
    pub traces: Option<Traces>,
}

/// Why the process did not start, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error("{0}")]
    Config(String),
    /// The rules; each fault on a line of its own.
    #[error("the rules cannot be loaded:\n{}", .0.join("\n"))]
    Rules(Vec<String>),
    /// The address to listen on.
    #[error("cannot listen on {address}: {error}; choose another with {setting}")]
    Listen {
        /// Address.
        address: String,
        /// Why not.
        error: std::io::Error,
        /// The setting that names it.
        setting: &'static str,
    },
    /// TLS of the ports.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The operating system.
    #[error("{0}")]
    System(String),
    /// A bug: what reads a source panicked, and would be read no more. Its message is above.
    #[error("a source has failed; this is a bug, please report it with the message above")]
    SourceFailed,
    /// A bug: the engine's thread panicked. Its message is above.
    #[error("the engine has failed; this is a bug, please report it with the message above")]
    EngineFailed,
}

/// Reads a configuration file.
///
/// # Errors
/// The file cannot be read, or says what cannot work; the text names the file and, where known, the line.
pub fn read_config(file: &Path) -> Result<Config, StartError> {
    let fault = |text: String| StartError::Config(format!("{}: {text}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| {
        let absent = e.kind() == std::io::ErrorKind::NotFound;
        let way_out = if absent { "; give a configuration with -c FILE, or run in forewarn's folder" } else { "" };
        fault(format!("{e}{way_out}"))
    })?;
    Config::parse(&text, &base_dir(file)).map_err(|e| fault(e.to_string()))
}

/// Runs until told to stop.
///
/// # Errors
/// See [`StartError`].
pub async fn run(options: RunOptions) -> Result<(), StartError> {
    // Before all else: until then a signal kills, a SIGHUP that an impatient sidecar sends as well.
    let signals = Signals::catch().map_err(|e| StartError::System(format!("signals: {e}")))?;
    let mut config = read_config(&options.config_file)?;
    let at_start = ConfigAtStart::new(&options.config_file, config.clone());
    config.web.name_host(&host_name());
    for fault in named_files(&config).iter().filter_map(NamedFile::fault) {
        tracing::warn!("{fault}: what needs it fails until it can be read");
    }
    let dir = base_dir(&options.config_file);
    let started_at = clock::now();
    let early = tokio::spawn(end_early(Signals::catch().map_err(|e| StartError::System(format!("signals: {e}")))?));
    let metrics = Metrics::new().map_err(|e| StartError::System(e.to_string()))?;
    let exporting = start_traces(&config, &metrics, options.traces.as_ref())?;
    let access = Access::new(&config.web, &config.limits).counted_by(&metrics.http, &config.limits);
    let port = access.listen(&config.web.listen_address, "web.listen_address", Protocol::Http1).await?;
    let otlp_ports = OtlpPorts::bind(config.sources.otlp.as_ref(), &access).await?;

    // Before anything is opened: a start that fails because of them leaves nothing behind.
    let rules = rule_source(&config, &dir);
    let read = rules.read_aside().await.map_err(StartError::Rules)?;
    let faults = read.faults();
    if !faults.is_empty() {
        return Err(StartError::Rules(faults));
    }

    let dry_run = config.is_dry_run(options.dry_run);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let engine_options = config.engine_options(processors);
    let Beginning {
        engine: core,
        mut restart,
        teller,
        told_since,
        recorded: recorded_before,
        keeping,
        outbox,
        durable: checkpoints,
        lock,
    } = durable::begin(&config, &engine_options, &metrics, started_at)?;
    restart.dry_run = dry_run;
    let restored_rules = core.groups().iter().map(|group| group.rules.len()).sum();
    rules.may_follow(&read, restored_rules).map_err(StartError::Rules)?;

    if dry_run {
        teller.lock().unwrap_or_else(PoisonError::into_inner).run_dry();
    }
    let event_time = restart.event_time.clone();
    let mut dispatcher = sinks::start(&config, &metrics, dry_run, outbox.clone())?;
    let held_to = event_time.clone();
    dispatcher.keep_alive(move || held_to.get());
    let dispatcher = Arc::new(dispatcher);
    tokio::spawn(told_since.clone().follow(clock::now));
    let recorded = Arc::new(RecordedLanes::start(&config, &metrics, dry_run, told_since)?);
    if !dry_run {
        recorded.restore(&recorded_before);
    }
    let (engine, commands) = EngineHandle::new();
    let (queue, events) = mpsc::channel(config.limits.queued_batches.max(1));
    let board = Board::default();

    // The engine takes no sample before it has rules, see `Host`.
    let executor = Parallel::for_shards(engine_options.shards).map_err(|e| StartError::System(e.to_string()))?;
    let (followed, durable) = watch::channel(Arc::default());
    let followed = durable::follow(checkpoints, followed);
    let Started { known, remote_write, otlp, traces, mut tasks, closing, progress, described } =
        sources::start(&config, &dir, warm_up_selectors(&config, &read), queue, restart, durable, &metrics)?;
    for (name, description) in &described {
        let of_name = || known.iter().filter(|source| source.metrics.name() == name);
        let silence_max = of_name().map(|source| source.silence_max).max().unwrap_or(0);
        board.add(of_name().map(|source| source.id).collect(), silence_max, name, description);
    }
    let past = Past::new(sinks::line_format(&config, dry_run));
    let findings = RecentFindings::default();
    let tell = {
        let (past, findings, dispatcher) = (past.clone(), findings.clone(), Arc::clone(&dispatcher));
        let traces = traces.clone();
        outlet(move |transitions| {
            let transitions = traces.annotated(transitions);
            transitions.iter().for_each(|t| findings.push(t));
            let Told { shown, sent } = teller.lock().unwrap_or_else(PoisonError::into_inner).sort(&transitions);
            past.show(&shown);
            if !sent.is_empty() {
                dispatcher.send(&sent.into());
            }
        })
    };
    let mut host = Host::new(core, executor, known, metrics.engine.clone(), board.clone(), tell)
        .tells(event_time)
        .recorded_to(Arc::clone(&recorded));
    if let Some(followed) = followed {
        host = host.followed_by(followed);
    }
    let keeps = keeping.is_some();
    if let (Some(kept), Some(outbox)) = (keeping, outbox) {
        host.keep(kept, config.limits.clone(), Box::new(move || dry_run || outbox.is_durable()));
    }
    let warm = host.warm();
    let mut loader = RuleLoader::new(rules, engine.clone(), metrics.engine.clone());
    let mut engine_ended = host.spawn(Inputs { events, commands }).map_err(|e| StartError::System(e.to_string()))?;
    let loaded = loader.begin(read).await.map_err(StartError::Rules)?;
    report_warnings(&loaded);
    early.abort();

    let last_reload: LastReload = Arc::default();
    let (reloader, requests) = Reloader::new();
    let (ready, readiness) = watch::channel(Readiness::WarmingUp { done: 0, total: 0 });
    let state = AppState {
        engine: engine.clone(),
        metrics: metrics.clone(),
        ready: readiness,
        reload: reloader,
        summary: summary(board, Arc::clone(&last_reload), dispatcher.states(), recorded.states()),
        findings,
        external_url: config.web.external_url(),
        started: started_at,
        limits: Arc::new(config.limits.clone()),
        receivers: super::otlp::beside(remote_write::router(remote_write), otlp.as_ref()),
        traces,
    };
    let serve_otlp = |receiver| otlp_ports.serve(receiver, &config.limits, &access, &metrics.http);
    let otlp_servers = otlp.as_ref().map(serve_otlp).unwrap_or_default();
    drop(otlp);
    let (stop_http, http_stopped) = oneshot::channel::<()>();
    let router = super::http::guarded_router(state, |router| access.guarded(router));
    let limits = config.limits.clone();
    let http = tokio::spawn(async move {
        super::http::serve(port, router, &limits, async {
            // A dropped sender means the same.
            let _ = http_stopped.await;
        })
        .await
    });
    let watch_every = config.engine.rule_watch_interval.0;
    let Signals { hangup, mut interrupt, mut terminate } = signals;
    let reloads = tokio::spawn(keep_reloading(loader, at_start, requests, hangup, watch_every, last_reload));

    let outcome = tokio::select! {
        ended = &mut engine_ended => ended.map_err(|_| StartError::EngineFailed),
        () = panicked(&mut tasks) => Err(StartError::SourceFailed),
        () = live(&config, &engine, &past, &progress, warm, &ready, &described, loaded) => Ok(()),
        () = interrupted(&mut interrupt, &mut terminate) => Ok(()),
    };
    past.clear();
    ready.send_replace(Readiness::ShuttingDown);
    let in_order = async move {
        if tokio::time::timeout(SOURCES, tasks.shutdown()).await.is_err() {
            tracing::warn!("a source does not end; it is left behind");
        }
        reloads.abort();
        drop(stop_http);
        let servers = async { tokio::join!(otlp_servers.stop(), http) };
        if tokio::time::timeout(FLUSH, servers).await.is_err() {
            tracing::warn!("requests were still open at the end");
        }
        // With its sources gone the engine works off what is queued, and lets go of the sinks.
        let patience = if keeps { LAST_CHECKPOINT } else { FLUSH };
        if !engine_ended.is_terminated() && tokio::time::timeout(patience, engine_ended).await.is_err() {
            tracing::warn!(
                "samples were still waiting to be evaluated at the end, or the last checkpoint to be written"
            );
        }
        let mut others = JoinSet::new();
        for end in closing {
            others.spawn(end.within(CLOSE));
        }
        // What the last checkpoint has kept would be sent a second time at the next start.
        let recorded = recorded.shutdown(if keeps { Duration::ZERO } else { FLUSH }, keeps);
        let alerts = async {
            let left = dispatcher.shutdown(FLUSH).await;
            if left > 0 {
                tracing::warn!(alerts = left, "alerts were not delivered before the end");
            }
        };
        tokio::join!(others.join_all(), recorded, alerts);
        if let Some(exporting) = exporting {
            // A panic there is told of already.
            let _ = tokio::task::spawn_blocking(|| exporting.end()).await;
        }
    };
    tokio::select! {
        () = in_order => {}
        () = interrupted_again(&mut interrupt, &mut terminate) => {
            tracing::warn!("told to end a second time: ended at once; what was not finished is made up for at the next start");
            // What still holds threads must not hold the process.
            std::process::exit(INTERRUPTED);
        }
    }
    drop(lock);
    outcome
}

/// Ends the process when it is told to before it can end in order: nothing has been taken in yet that a kill would lose.
async fn end_early(signals: Signals) {
    let Signals { mut interrupt, mut terminate, .. } = signals;
    interrupted(&mut interrupt, &mut terminate).await;
    tracing::warn!("told to end during the start");
    std::process::exit(INTERRUPTED);
}

/// Waits for the first task that panics; those that end have nothing more to do.
async fn panicked(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err_and(|e| e.is_panic()) {
            return;
        }
    }
    std::future::pending().await
}

/// Shows the warm-up, says hello, and then waits for ever.
#[allow(clippy::too_many_arguments)]
async fn live(
    config: &Config,
    engine: &EngineHandle,
    past: &Past,
    progress: &[Arc<crate::source::Progress>],
    warm: watch::Receiver<bool>,
    ready: &watch::Sender<Readiness>,
    described: &[(String, String)],
    loaded: Reloaded,
) {
    let mut look = tokio::time::interval(Duration::from_millis(200));
    let tell_readiness = async {
        loop {
            look.tick().await;
            let (done, total) = totals(progress);
            ready.send_replace(Readiness::WarmingUp { done, total });
        }
    };
    tokio::select! {
        () = past.watch(progress, warm) => {}
        () = tell_readiness => {}
    }
    ready.send_replace(Readiness::Ready);
    welcome(config, engine, past, described, &loaded).await;
    std::future::pending().await
}

/// Reloads rules on SIGHUP, when asked over HTTP, and when files have changed; says so where it takes more than that.
async fn keep_reloading(
    mut loader: RuleLoader,
    mut at_start: ConfigAtStart,
    mut requests: mpsc::Receiver<ReloadRequest>,
    mut hangup: Signal,
    every: Duration,
    last: LastReload,
) {
    let mut look = tokio::time::interval(every);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (result, asker) = tokio::select! {
            Some(asker) = requests.recv() => (loader.load().await.map(Some), Some(asker)),
            Some(()) = hangup.recv() => (loader.load().await.map(Some), None),
            _ = look.tick() => (loader.load_if_changed().await, None),
        };
        let mut outcome = match result {
            Ok(None) => continue,
            Ok(Some(loaded)) => {
                report_warnings(&loaded);
                tracing::info!(groups = loaded.groups, rules = loaded.rules, "rules loaded");
                Ok(format!("{} rules in {} groups are in force", loaded.rules, loaded.groups))
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                tracing::error!("the rules were not reloaded; those in force stay in force");
                Err(faults)
            }
        };
        if let Some(change) = at_start.look().await {
            if change.is_new {
                tracing::warn!("{}", change.text);
            }
            match &mut outcome {
                Ok(done) => *done = format!("{done}; {}", change.text),
                Err(faults) => faults.push(change.text),
            }
        }
        let report = ReloadReport { at: clock::now(), outcome: outcome.clone() };
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        if let Some(asker) = asker {
            // Whoever asked may have hung up.
            let _ = asker.send(outcome);
        }
    }
}

fn report_warnings(loaded: &Reloaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}

/// What is fetched before the start: the series that the rules read which are there now.
fn warm_up_selectors(config: &Config, read: &Read) -> Vec<String> {
    if config.warm_up.prometheus.is_none() {
        return vec![];
    }
    selectors_of(&read.loaded.rule_set)
}

fn rule_source(config: &Config, dir: &Path) -> RuleSource {
    RuleSource {
        rule_files: config.rule_files.clone(),
        model_files: config.model_files.clone(),
        dir: dir.to_owned(),
        limits: config.limits.clone(),
    }
}

fn start_traces(config: &Config, metrics: &Metrics, traces: Option<&Traces>) -> Result<Option<Exporting>, StartError> {
    let started = traces.map(|traces| traces.start(&config.tracing, Register::new(metrics.registry())));
    started.transpose().map(Option::flatten).map_err(|e| StartError::Config(e.to_string()))
}
