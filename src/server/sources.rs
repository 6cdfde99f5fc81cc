//! Which sources a configuration asks for, and their tasks.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::base::Millis;
use crate::source::host::{self, Host};
use crate::source::remote_write::RemoteWrite;
use crate::source::replay::{self, Progress};
use crate::source::scrape::{self, ScrapeHost};
use crate::source::watermark::Pace;
use crate::source::{Inlet, SourceEvent, SourceId, clock};
use crate::telemetry::Metrics;

use super::config::Config;
use super::host::KnownSource;
use super::run::StartError;

/// How long a remote write may wait for room in the queue before it is told to come back.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The sources of a configuration, started.
pub struct Started {
    /// All of them, for the engine's owner.
    pub known: Vec<KnownSource>,
    /// What the HTTP server needs of the remote-write receiver.
    pub remote_write: RemoteWrite,
    /// Tasks of those that run by themselves; dropping them ends them.
    pub tasks: JoinSet<()>,
    /// How far recorded files have been read.
    pub progress: Vec<Arc<Progress>>,
    /// One line each, for people.
    pub described: Vec<(String, String)>,
}

struct Starter<'a> {
    queue: mpsc::Sender<SourceEvent>,
    metrics: &'a Metrics,
    known: Vec<KnownSource>,
    described: Vec<(String, String)>,
}

/// Starts all sources of a configuration.
///
/// # Errors
/// Settings that cannot work.
pub fn start(
    config: &Config,
    dir: &Path,
    queue: mpsc::Sender<SourceEvent>,
    metrics: &Metrics,
) -> Result<Started, StartError> {
    let limits = Arc::new(config.limits.clone());
    let mut starter = Starter { queue, metrics, known: vec![], described: vec![] };
    let mut tasks = JoinSet::new();
    let mut progress = Vec::new();
    let dir: Arc<Path> = dir.into();
    for (i, replay) in config.sources.replay.iter().enumerate() {
        let name = format!("replay_{}", i + 1);
        let inlet = starter.add(&name, Pace::Recorded, format!("recorded files {}", replay.files));
        let shared = Arc::new(Progress::default());
        progress.push(Arc::clone(&shared));
        let source = metrics.source.of(&name);
        let (dir, limits, config) = (Arc::clone(&dir), Arc::clone(&limits), replay.clone());
        tasks.spawn(async move {
            if let Err(fault) = replay::run(inlet, config, dir, clock::now(), limits, shared, source).await {
                tracing::error!(source = name, %fault, "replay failed");
            }
        });
    }
    if let Some(host) = &config.sources.host {
        let reader = Host::new(host, &config.limits).map_err(|e| StartError::Config(format!("sources.host: {e}")))?;
        let idle_timeout = 4 * host.interval.millis();
        let inlet = starter.add(
            "host",
            Pace::Live { lateness: 0, idle_timeout },
            format!("this machine, every {}", host.interval),
        );
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
        let millis = |span: std::time::Duration| Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX);
        // A slow target's samples bear the time at which its scrape began.
        let lateness = targets.iter().map(|t| millis(t.timeout)).max().unwrap_or(0);
        let idle_timeout = targets.iter().map(|t| 4 * millis(t.interval)).max().unwrap_or(60_000);
        let name = format!("scrape_{}", job.job_name);
        let inlet =
            starter.add(&name, Pace::Live { lateness, idle_timeout }, format!("{} scraped", plural(targets.len())));
        metrics.scrape.set_targets(&job.job_name, targets.len());
        for target in targets {
            let host = ScrapeHost {
                inlet: inlet.clone(),
                limits: Arc::clone(&limits),
                source: metrics.source.of(&name),
                metrics: metrics.scrape.clone(),
            };
            tasks.spawn(async move {
                let _ = scrape::run(target, host, std::future::pending()).await;
            });
        }
    }
    let receiver = &config.sources.remote_write;
    let pace = Pace::Live { lateness: receiver.lateness.millis(), idle_timeout: receiver.idle_timeout.millis() };
    let remote_write = RemoteWrite {
        inlet: starter.add("remote_write", pace, "POST /api/v1/write".to_owned()),
        limits,
        metrics: metrics.source.of("remote_write"),
        patience: PATIENCE,
    };
    Ok(Started { known: starter.known, remote_write, tasks, progress, described: starter.described })
}

impl Starter<'_> {
    fn add(&mut self, name: &str, pace: Pace, description: String) -> Inlet {
        let id = SourceId(self.known.len());
        self.known.push(KnownSource { id, pace, metrics: self.metrics.source.of(name) });
        self.described.push((name.to_owned(), description));
        Inlet { id, queue: self.queue.clone() }
    }
}

fn plural(n: usize) -> String {
    format!("{n} target{}", if n == 1 { "" } else { "s" })
}
