//! This machine's own metrics, with node_exporter's names and labels, so that rules written for it work unchanged.
//!
//! Each collector is one file and one line in `COLLECTORS`; one that fails is reported as
//! `node_scrape_collector_success` 0 and does not stop the others. File systems are asked apart, see `filesystem`:
//! a hung mount must not hold up the rest.

mod config;
mod cpu;
mod diskstats;
mod filefd;
mod filesystem;
mod loadavg;
mod meminfo;
mod netclass;
mod netdev;
mod pressure;
mod stat;
mod uname;
mod vmstat;
mod writer;

pub use config::HostConfig;
pub use uname::host_name;

use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use self::config::Filters;
use self::filesystem::Filesystems;
use self::writer::Writer;
use super::decode::TargetLabels;
use super::schedule::{following_slot, promise_quiet, tell_set_back};
use super::scrape::report;
use super::{Closed, Inlet, clock};
use crate::base::{Batch, BatchBuilder, Limits, Millis};
use crate::telemetry::OneSource;

/// How one collector reads the machine. `Kept` is what it must remember from one time to the next.
type Collect = fn(&mut Kept, &mut Writer<'_>) -> Result<(), CollectError>;

/// The collectors, by node_exporter's names. File systems come after them.
const COLLECTORS: [(&str, Collect); 11] = [
    ("cpu", |kept, out| kept.cpu.collect(out)),
    ("diskstats", |kept, out| diskstats::collect(&kept.filters, out)),
    ("filefd", |_, out| filefd::collect(out)),
    ("loadavg", |_, out| loadavg::collect(out)),
    ("meminfo", |_, out| meminfo::collect(out)),
    ("netclass", |kept, out| netclass::collect(&kept.filters, out)),
    ("netdev", |kept, out| netdev::collect(&kept.filters, out)),
    ("pressure", |_, out| pressure::collect(out)),
    ("stat", |_, out| stat::collect(out)),
    ("uname", |_, out| uname::collect(out)),
    ("vmstat", |_, out| vmstat::collect(out)),
];

/// Why a collector gave nothing.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    Proc(#[from] procfs::ProcError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0} does not look as expected")]
    Form(&'static str),
}

#[derive(Debug)]
struct Kept {
    filters: Filters,
    cpu: cpu::Cpus,
}

/// Reads this machine.
#[derive(Debug)]
pub struct Host {
    kept: Kept,
    filesystems: Filesystems,
    labels: TargetLabels,
    interval: Duration,
    limits: Limits,
}

impl Host {
    /// Sets up the collectors; nothing is read yet.
    ///
    /// # Errors
    /// A filter in the configuration that is not a regular expression.
    pub fn new(config: &HostConfig, limits: &Limits) -> Result<Self, regex::Error> {
        let mut labels = config.labels.clone();
        labels.entry("job".to_owned()).or_insert_with(|| "node".to_owned());
        labels.entry("instance".to_owned()).or_insert_with(uname::host_name);
        Ok(Self {
            kept: Kept { filters: config.filters()?, cpu: cpu::Cpus::default() },
            filesystems: Filesystems::default(),
            labels: TargetLabels::new(labels, false),
            interval: config.interval.0.max(Duration::from_millis(100)),
            limits: limits.clone(),
        })
    }

    /// Reads everything once, at time `t`.
    pub async fn collect(&mut self, t: Millis) -> Batch {
        let mut out = Writer::new(&self.labels, t, &self.limits);
        for (name, collect) in COLLECTORS {
            let started = Instant::now();
            let result = collect(&mut self.kept, &mut out);
            outcome(name, started, result.err(), &mut out);
        }
        let started = Instant::now();
        let result = self.filesystems.collect(&self.kept.filters, self.interval / 2, &mut out).await;
        outcome("filesystem", started, result.err(), &mut out);
        let mut builder = BatchBuilder::extending(out.finish(), &self.limits);
        report(&mut builder, &self.labels, "up", t, 1.0);
        builder.finish()
    }
}

/// Reads the machine at every interval until the engine shuts down.
///
/// # Errors
/// The engine has shut down.
pub async fn run(mut host: Host, inlet: Inlet, metrics: OneSource) -> Result<(), Closed> {
    let interval = Millis::try_from(host.interval.as_millis()).unwrap_or(Millis::MAX);
    let name: Arc<str> = uname::host_name().into();
    let offset = (xxh3_64(name.as_bytes()) % interval.unsigned_abs()) as Millis;
    // The first reading is at once, so that a new user sees something; the others keep their slot.
    let mut t = clock::now();
    loop {
        let wait = Duration::from_millis((t - clock::now()).max(0).unsigned_abs());
        let batch = tokio::select! {
            biased;
            batch = async {
                tokio::time::sleep(wait).await;
                host.collect(t).await
            } => batch,
            Err(closed) = promise_quiet(&inlet, t, 0) => return Err(closed),
        };
        metrics.samples.inc_by(batch.all_samples().len() as u64);
        inlet.send(batch).await?;
        let (now, done) = (clock::now(), t);
        let set_back;
        (t, set_back) = following_slot(done, now, interval, offset);
        if set_back {
            tell_set_back(metrics.name(), done, now);
            metrics.clock_set_back();
        }
    }
}

fn outcome(collector: &'static str, started: Instant, error: Option<CollectError>, out: &mut Writer<'_>) {
    if let Some(error) = &error {
        tracing::debug!(collector, %error, "a host collector failed");
    }
    let labels = [("collector", collector)];
    out.with("node_scrape_collector_success", &labels, if error.is_none() { 1.0 } else { 0.0 });
    out.with("node_scrape_collector_duration_seconds", &labels, started.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests;
