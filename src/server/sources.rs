//! Which sources a configuration asks for, and their tasks.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::base::Millis;
use crate::source::clock::EventTime;
use crate::source::decode::Dropped;
use crate::source::decode::otlp::MetricsReader;
use crate::source::durable::{Intake, SourceLog, gate};
use crate::source::exemplars::Exemplars;
use crate::source::host::{self, Host};
use crate::source::kafka::{self, Closing, KafkaConfig, KafkaParts};
use crate::source::otlp::{OtlpReceiver, SpanCounter, spans};
use crate::source::prometheus::{self, PrometheusHistory, Wanted};
use crate::source::remote_write::RemoteWrite;
use crate::source::replay;
use crate::source::scrape::{self, ScrapeHost};
use crate::source::watermark::Pace;
use crate::source::{Inlet, Positions, Progress, SourceEvent, SourceIds, clock};
use crate::telemetry::Metrics;

use super::config::Config;
use super::host::{KnownSource, REFUSED};
use super::run::StartError;
use super::trace_links::TraceLinks;

/// How long a remote write may wait for room in the queue before it is told to come back.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Name of the history that is fetched before the start.
const WARM_UP: &str = "warm_up";

/// A source is shown as degraded after this many times the silence that is usual for it.
const DEGRADED_AFTER: Millis = 4;

/// The sources of a configuration, started.
pub struct Started {
    /// All of them, for the engine's owner.
    pub known: Vec<KnownSource>,
    /// What the HTTP server needs of the remote-write receiver.
    pub remote_write: RemoteWrite,
    /// What the OTLP servers need, if there are any.
    pub otlp: Option<OtlpReceiver>,
    /// Finds the traces of what has been received.
    pub traces: TraceLinks,
    /// Tasks of those that run by themselves; dropping them ends them.
    pub tasks: JoinSet<()>,
    /// The ends of those that have threads of their own.
    pub closing: Vec<Closing>,
    /// How far recorded files have been read.
    pub progress: Vec<Arc<Progress>>,
    /// One line each, for people.
    pub described: Vec<(String, String)>,
}

struct Starter<'a> {
    queue: mpsc::Sender<SourceEvent>,
    metrics: &'a Metrics,
    ids: SourceIds,
    known: Vec<KnownSource>,
    described: Vec<(String, String)>,
}

/// From where the sources go on, and what they may leave behind.
#[derive(Clone, Debug, Default)]
pub struct Restart {
    /// How far event time had come; None at a first start.
    pub watermark: Option<Millis>,
    /// How far the streams had been read.
    pub positions: Positions,
    /// The same as it goes on; whoever owns the engine tells it.
    pub event_time: EventTime,
    /// The log for what cannot be read again; None where no state is kept.
    pub log: Option<SourceLog>,
    /// Whether nothing may show where they have read: in a dry run.
    pub dry_run: bool,
}

/// Starts all sources of a configuration; `read` are the selectors of the series that the rules read, `durable` tells what
/// need not be read again.
///
/// # Errors
/// Settings that cannot work.
pub fn start(
    config: &Config,
    dir: &Path,
    read: Vec<String>,
    queue: mpsc::Sender<SourceEvent>,
    restart: Restart,
    durable: watch::Receiver<Arc<Positions>>,
    metrics: &Metrics,
) -> Result<Started, StartError> {
    let limits = Arc::new(config.limits.clone());
    let mut starter = Starter { queue, metrics, ids: SourceIds::default(), known: vec![], described: vec![] };
    let Restart { watermark, positions, event_time, log, dry_run } = restart;
    let mut tasks = JoinSet::new();
    let mut progress = Vec::new();
    let dir: Arc<Path> = dir.into();
    for (i, replay) in config.sources.replay.iter().enumerate() {
        if positions.contains_key(&replay::stream(replay)) {
            tracing::info!(files = replay.files, "not played again: the checkpoint holds what they say");
            continue;
        }
        let name = format!("replay_{}", i + 1);
        let inlet = starter.add(&name, Pace::Recorded, Millis::MAX, format!("recorded files {}", replay.files));
        let shared = Arc::new(Progress::default());
        progress.push(Arc::clone(&shared));
        let source = metrics.source.of(&name);
        source.may_drop(["malformed_line"]);
        let (dir, limits, config) = (Arc::clone(&dir), Arc::clone(&limits), replay.clone());
        tasks.spawn(async move {
            if let Err(fault) = replay::run(inlet, config, dir, clock::now(), limits, shared, source).await {
                tracing::error!(source = name, %fault, "replay failed");
            }
        });
    }
    if let Some(settings) = &config.warm_up.prometheus {
        let to = clock::now();
        // What a checkpoint holds is not fetched again, only what came since.
        let from = to.saturating_sub(settings.range.millis()).max(watermark.map_or(Millis::MIN, |w| w + 1));
        let wanted = Wanted { selectors: read, from, to };
        let shared = Arc::new(Progress::default());
        progress.push(Arc::clone(&shared));
        let history = PrometheusHistory::new(settings, wanted, &config.limits, shared)
            .map_err(|e| StartError::Config(format!("warm_up.prometheus: {e}")))?;
        let description = format!("the last {} from {}", settings.range, settings.shown_url());
        let inlet = starter.add(WARM_UP, Pace::Recorded, Millis::MAX, description);
        let source = metrics.source.of(WARM_UP);
        // A restart knows all but the time since.
        let patience = if watermark.is_some() { std::time::Duration::ZERO } else { prometheus::PATIENCE };
        tasks.spawn(async move {
            if let Err(fault) = prometheus::run(inlet, history, source, patience).await {
                tracing::error!(source = WARM_UP, %fault, "the warm-up ended early; models know what came before");
            }
        });
    }
    if let Some(host) = &config.sources.host {
        let reader = Host::new(host, &config.limits).map_err(|e| StartError::Config(format!("sources.host: {e}")))?;
        let every = host.interval.millis();
        let inlet = starter.add("host", Pace::Scheduled, every, format!("this machine, every {}", host.interval));
        let inlet = logged(inlet, "host", log.as_ref(), &mut tasks);
        let source = metrics.source.of("host");
        tasks.spawn(async move {
            // It only ever ends because the engine did.
            let _ = host::run(reader, inlet, source).await;
        });
    }
    for job in &config.scrape_configs {
        let targets = job
            .targets(config.global.scrape_interval, config.global.scrape_timeout)
            .map_err(|e| StartError::Config(e.to_string()))?;
        let name = format!("scrape_{}", job.job_name);
        starter.describe(&name, format!("{} scraped", plural(targets.len())));
        metrics.scrape.begin(&job.job_name, targets.len(), scrape::FAILURES);
        for target in targets {
            let every = Millis::try_from(target.interval.as_millis()).unwrap_or(Millis::MAX);
            let host = ScrapeHost {
                inlet: logged(starter.inlet(&name, Pace::Scheduled, every), &name, log.as_ref(), &mut tasks),
                limits: Arc::clone(&limits),
                source: metrics.source.of(&name),
                metrics: metrics.scrape.clone(),
            };
            tasks.spawn(async move {
                let _ = scrape::run(target, host, std::future::pending()).await;
            });
        }
    }
    let (exemplars, created_timestamps) = (Exemplars::default(), config.global.created_timestamps);
    let mut closing = Vec::new();
    for kafka in &config.sources.kafka {
        let pace = kafka::pace(kafka);
        kafka::show(kafka, &metrics.kafka);
        let inlet = starter.add(&kafka.name, pace, kafka.idle_timeout.millis(), kafka.describe());
        let parts = KafkaParts {
            config: KafkaConfig {
                otlp: Some(kafka.otlp.clone().unwrap_or_else(|| config.otlp.clone())),
                ..kafka.clone()
            },
            id: inlet.id,
            ids: starter.ids.clone(),
            limits: Arc::clone(&limits),
            metrics: metrics.kafka.clone(),
            source: metrics.source.of(&kafka.name),
            restored: positions.clone(),
            durable: durable.clone(),
            event_time: event_time.clone(),
            exemplars: exemplars.clone(),
            created_timestamps,
            dry_run,
        };
        let (task, end) = kafka::start(parts, inlet.queue).map_err(|e| StartError::System(e.to_string()))?;
        tasks.spawn(task);
        closing.push(end);
    }
    let receiver = &config.sources.remote_write;
    let pace = Pace::Live { lateness: receiver.lateness.millis(), idle_timeout: receiver.idle_timeout.millis() };
    let inlet = starter.add("remote_write", pace, receiver.idle_timeout.millis(), "POST /api/v1/write".to_owned());
    let remote_write = RemoteWrite {
        intake: Intake { inlet, source: "remote_write".to_owned(), log: log.clone() },
        limits: Arc::clone(&limits),
        metrics: metrics.source.of("remote_write"),
        patience: PATIENCE,
        exemplars: exemplars.clone(),
        created_timestamps,
    };
    let traces = TraceLinks::new(exemplars.clone(), config.sources.trace_link.clone());
    let otlp = config.sources.otlp.as_ref().map(|settings| {
        let spans = SpanCounter::new(Arc::clone(&limits), exemplars, metrics.source.of("spans"));
        let every = settings.spans.interval;
        let inlet = starter.add("spans", Pace::Scheduled, every.millis(), format!("counted every {every}"));
        let inlet = logged(inlet, "spans", log.as_ref(), &mut tasks);
        metrics.source.of("spans").may_count_spans(spans::OUTCOMES);
        let (counter, spans_config) = (spans.clone(), settings.spans.clone());
        tasks.spawn(async move {
            // It only ever ends because the engine did.
            let _ = spans::run(counter, spans_config, inlet).await;
        });
        let pace = Pace::Live { lateness: settings.lateness.millis(), idle_timeout: settings.idle_timeout.millis() };
        let inlet = starter.add("otlp", pace, settings.idle_timeout.millis(), settings.describe());
        let intake = Intake { inlet, source: "otlp".to_owned(), log };
        let reader = MetricsReader::new(config.otlp.clone(), created_timestamps, &limits);
        OtlpReceiver::new(intake, reader, limits, metrics.source.of("otlp"), PATIENCE, spans)
    });
    let described = starter.described;
    Ok(Started { known: starter.known, remote_write, otlp, traces, tasks, closing, progress, described })
}

impl Starter<'_> {
    fn add(&mut self, name: &str, pace: Pace, usual_silence: Millis, description: String) -> Inlet {
        self.describe(name, description);
        self.inlet(name, pace, usual_silence)
    }

    fn describe(&mut self, name: &str, description: String) {
        self.described.push((name.to_owned(), description));
    }

    /// A source of its own. Those of one name share their metrics: a job's targets may be many.
    fn inlet(&mut self, name: &str, pace: Pace, usual_silence: Millis) -> Inlet {
        let id = self.ids.next();
        let silence_max = usual_silence.saturating_mul(DEGRADED_AFTER);
        let metrics = self.metrics.source.of(name);
        metrics.may_drop(REFUSED.into_iter().chain(Dropped::reasons()));
        self.known.push(KnownSource { id, of: id, pace, silence_max, metrics });
        Inlet { id, queue: self.queue.clone() }
    }
}

/// An inlet that goes through the log, if there is one.
fn logged(inlet: Inlet, name: &str, log: Option<&SourceLog>, tasks: &mut JoinSet<()>) -> Inlet {
    let Some(log) = log else { return inlet };
    let (gated, task) = gate(inlet, name.to_owned(), log.clone());
    tasks.spawn(task);
    gated
}

fn plural(n: usize) -> String {
    format!("{n} target{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::watermark::Watermarks;

    #[tokio::test]
    async fn time_goes_on_with_the_fast_job_while_a_slow_one_sleeps() {
        // Nobody answers at either: that is `up 0`, and what counts here is when it comes.
        let yaml = "
sources: {host: {interval: 1h}}
scrape_configs:
  - {job_name: fast, scrape_interval: 1s, static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]}
  - {job_name: slow, scrape_interval: 1h, static_configs: [{targets: ['127.0.0.1:1']}]}";
        let config = Config::parse(yaml, Path::new(".")).unwrap();
        let (queue, mut events) = mpsc::channel(64);
        let (_, durable) = watch::channel(Arc::default());
        let metrics = Metrics::new().unwrap();
        let started = start(&config, Path::new("."), vec![], queue, Restart::default(), durable, &metrics).unwrap();
        let begin = clock::now();
        let mut marks = Watermarks::default();
        for source in &started.known {
            marks.register(source.id, source.pace, begin);
            // As after their first samples.
            if source.metrics.name() != "remote_write" {
                marks.observe(source.id, begin, begin);
            }
        }
        // The slow job or the host would hold time back for an hour.
        let goal = begin + 5_000;
        let mut batches = 0;
        while marks.current(clock::now()).is_none_or(|mark| mark < goal) {
            assert!(clock::now() < begin + 60_000, "at {:?}, {begin} at the start", marks.current(clock::now()));
            match events.recv().await.unwrap() {
                SourceEvent::Quiet(id, upto) => marks.quiet(id, upto, clock::now()),
                SourceEvent::Batch(id, batch) => {
                    let mark = marks.current(clock::now());
                    assert!(batch.all_samples().iter().all(|s| Some(s.t) > mark), "late by our own doing");
                    marks.observe(id, batch.newest().unwrap(), clock::now());
                    batches += 1;
                }
                other => panic!("a scraper has no end and no position: {other:?}"),
            }
        }
        assert!(batches >= 4, "{batches}");
    }
}
