//! The start: what a process before this one has left, and from where to go on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::base::{Millis, Record};
use crate::engine::{Engine, EngineOptions};
use crate::sink::{AlertKey, waits_for};
use crate::source::durable::{DurablePoint, LOG, SourceLog};
use crate::source::kafka::KafkaConfig;
use crate::state::checkpoint::{Header, Store};
use crate::state::log::{Event, Log, Observer, Options, Reader};
use crate::state::{Faults, Lock, StateDir};
use crate::telemetry::StateMetrics;

use super::super::run::StartError;
use super::super::teller::Teller;
use super::super::told_since::ToldSince;
use super::streams::is_configured;
use super::{HostRecord, Keeper, StateConfig};

/// A state folder in use.
pub(in crate::server) struct Opened {
    /// The engine as it was at the newest checkpoint, or a new one.
    pub engine: Engine,
    /// How far event time had come there.
    pub watermark: Option<Millis>,
    /// From which tick on findings and recorded samples are told; those before were history.
    pub told_since: ToldSince,
    /// Recorded samples that waited for their sinks.
    pub recorded: Vec<Record>,
    /// From where sources go on that can be read again.
    pub positions: BTreeMap<Arc<str>, u64>,
    /// The log for those that cannot.
    pub log: SourceLog,
    /// What will not be asked for again.
    pub durable: watch::Receiver<DurablePoint>,
    /// Who is told of what, as it was.
    pub teller: Arc<Mutex<Teller>>,
    /// What the engine's owner needs.
    pub kept: Kept,
    /// Where alerts wait until they are acknowledged.
    pub outbox: PathBuf,
    /// What a test lets fail.
    pub faults: Faults,
    /// To be held to the end.
    pub lock: Lock,
}

/// What the engine's owner needs to keep state.
pub(in crate::server) struct Kept {
    /// Writes checkpoints.
    pub keeper: Keeper,
    /// What came after the checkpoint.
    pub replay: Reader,
    /// How far the sources had come.
    pub host: HostRecord,
    /// How far the streams had been read.
    pub positions: BTreeMap<Arc<str>, u64>,
    /// Who is told of what.
    pub teller: Arc<Mutex<Teller>>,
    /// Fingerprint of the rules at the checkpoint.
    pub rules: String,
}

/// What was restored.
struct Restored {
    engine: Engine,
    host: HostRecord,
    recorded: Vec<Record>,
    header: Header,
}

/// Opens the folder, if one is configured, and restores the engine from the newest checkpoint that is whole.
///
/// # Errors
/// The folder cannot be used; what in it is damaged is no error, but passed over, logged and counted.
pub(in crate::server) fn open(
    config: &StateConfig,
    kafka: &[KafkaConfig],
    options: &EngineOptions,
    metrics: &StateMetrics,
    now: Millis,
) -> Result<Option<Opened>, StartError> {
    let Some(dir) = &config.dir else { return Ok(None) };
    let fault = |e: &dyn std::fmt::Display| StartError::System(format!("state: {e}"));
    let faults = Faults::from_env().map_err(StartError::System)?;
    if faults.is_planned() {
        tracing::warn!("FOREWARN_FAULT is set: this process will fail as it says");
    }
    let dir = StateDir::new(dir);
    let lock = dir.lock().map_err(|e| fault(&e))?;
    metrics.begin(now.div_euclid(1000));
    let mut store = Store::open(&dir, config.keep, faults.clone()).map_err(|e| fault(&e))?;
    let restored = restore(&mut store, options, metrics).map_err(|e| fault(&e))?;
    let positions: BTreeMap<Arc<str>, u64> = restored.as_ref().map_or_else(BTreeMap::new, |restored| {
        let positions = restored.header.positions.iter().filter(|(stream, _)| is_configured(stream, kafka));
        positions.map(|(stream, next)| (stream.as_str().into(), *next)).collect()
    });
    let next = positions.get(LOG).copied().unwrap_or(0);
    // Before the log is opened: what is appended from then on comes by the queue.
    let replay = Reader::new(&dir.log(), next).map_err(|e| fault(&e))?;
    let log_options =
        Options { segment_bytes: config.segment_bytes(), max_bytes: config.log_max_bytes, created: now, next };
    let (log, survey) =
        Log::open(&dir, log_options, faults.clone(), observer(metrics.clone())).map_err(|e| fault(&e))?;
    // Without a checkpoint the log begins with the process that first used the folder.
    let first_start = survey.segments.iter().find_map(|(_, _, head)| Some(head.as_ref()?.created));
    let (engine, host, recorded, header) = match restored {
        Some(Restored { engine, host, recorded, header }) => (engine, host, recorded, header),
        None => {
            let host = HostRecord { told_since: first_start.unwrap_or(now), ..HostRecord::default() };
            (Engine::new(options.clone()), host, Vec::new(), Header::default())
        }
    };
    let untold = host.untold.iter().map(|key| AlertKey::from_number(*key));
    let told_since = ToldSince::from(host.told_since);
    told_since.see_clock(now);
    let teller = Arc::new(Mutex::new(Teller::resumed(told_since.clone(), untold)));
    let log = SourceLog::new(log).counting(metrics.log_unlogged.clone());
    let (durable, points) = watch::channel(DurablePoint::default());
    let pace = (config.checkpoint_interval.0, config.log_max_bytes / 2);
    let keeper = Keeper::start(store, log.clone(), pace, metrics.clone(), durable).map_err(|e| fault(&e))?;
    let (watermark, rules) = (header.watermark, header.rules);
    let kept = Kept { keeper, replay, host, positions: positions.clone(), teller: Arc::clone(&teller), rules };
    let outbox = dir.outbox();
    Ok(Some(Opened {
        engine,
        watermark,
        told_since,
        recorded,
        positions,
        log,
        durable: points,
        teller,
        kept,
        outbox,
        faults,
        lock,
    }))
}

/// The newest checkpoint that is whole and that this release can go on from.
fn restore(
    store: &mut Store,
    options: &EngineOptions,
    metrics: &StateMetrics,
) -> Result<Option<Restored>, crate::state::StateError> {
    let mut before = None;
    loop {
        let found = store.newest(before)?;
        for error in &found.passed_over {
            tracing::error!(%error, "a checkpoint is not whole; the one before it is taken");
            metrics.passed_over.inc();
        }
        let Some(checkpoint) = found.checkpoint else { return Ok(None) };
        let (number, watermark) = (checkpoint.manifest.number, checkpoint.manifest.header.watermark);
        let restored = HostRecord::find(&checkpoint.records).and_then(|host| {
            Engine::restore(options.clone(), &checkpoint.records).map(|r| (host, r)).map_err(|e| e.to_string())
        });
        match restored {
            Ok((host, restored)) => {
                for rule in &restored.left_out {
                    tracing::warn!(%rule, "a rule of the checkpoint is not taken by this release; its state is gone");
                }
                tracing::info!(number, watermark, bytes = checkpoint.manifest.bytes, "restored from a checkpoint");
                let header = checkpoint.manifest.header;
                let recorded = checkpoint.records.into_iter().filter(|r| waits_for(r).is_some()).collect();
                return Ok(Some(Restored { engine: restored.engine, host, recorded, header }));
            }
            Err(error) => {
                tracing::error!(number, %error, "a checkpoint cannot be restored; the one before it is taken");
                metrics.passed_over.inc();
                before = Some(number);
            }
        }
    }
}

/// Counts what the log does, and tells of its failures once.
fn observer(metrics: StateMetrics) -> Observer {
    let mut failing = false;
    Box::new(move |event| match event {
        Event::Synced { entries, bytes, took } => {
            metrics.log_entries.inc_by(entries as u64);
            metrics.log_written.inc_by(bytes as u64);
            metrics.log_sync_seconds.observe(took.as_secs_f64());
            if std::mem::take(&mut failing) {
                metrics.log_failing.set(0);
                tracing::info!("the log can be written again");
            }
        }
        Event::Failed(error) => {
            metrics.log_failures.inc();
            metrics.log_failing.set(1);
            if !std::mem::replace(&mut failing, true) {
                tracing::error!(%error, "the log cannot be written: senders are told to come again until it can");
            }
        }
        Event::Stalled(waited) => {
            metrics.log_stalls.inc();
            metrics.log_failing.set(1);
            failing = true;
            tracing::error!(
                ?waited,
                "the disk of the log hangs: senders are told to come again until it answers, scrapes go on without the log"
            );
        }
        Event::Answers(hung) => {
            metrics.log_failing.set(0);
            failing = false;
            tracing::info!(?hung, "the disk of the log answers again");
        }
        Event::Refused(refused, entries) => {
            metrics.log_refused.with_label_values(&[refused.reason()]).inc_by(entries as u64);
        }
        Event::Held(bytes, segments) => {
            metrics.log_bytes.set(bytes as i64);
            metrics.log_segments.set(segments as i64);
        }
    })
}

/// What a teller knows, for the next process.
pub(in crate::server) fn kept_teller(teller: &Mutex<Teller>) -> (Millis, Vec<u128>) {
    let (told_since, untold) = teller.lock().unwrap_or_else(PoisonError::into_inner).kept();
    (told_since, untold.into_iter().map(AlertKey::get).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_start_with_the_right_clock_puts_right_what_one_with_a_clock_ahead_has_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = StateConfig { dir: Some(dir.path().join("state")), ..StateConfig::default() };
        let told_since = |now: Millis| {
            let metrics = Metrics::new().unwrap();
            open(&config, &[], &EngineOptions::default(), &metrics.state, now).unwrap().unwrap().told_since.get()
        };
        let (right, ahead) = (1_700_000_000_000, 1_700_007_200_000);
        assert_eq!(told_since(ahead), ahead);
        assert_eq!(told_since(ahead + 60_000), ahead, "the first start is known to the next");
        assert_eq!(told_since(right), right);
    }
}
