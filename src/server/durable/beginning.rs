//! What the process begins with: what one before it has kept, or nothing.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::base::{Millis, Record};
use crate::engine::{Engine, EngineOptions};
use crate::sink::outbox::Outbox;
use crate::source::clock::EventTime;
use crate::source::durable::DurablePoint;
use crate::state::Lock;
use crate::telemetry::Metrics;

use super::super::config::Config;
use super::super::run::StartError;
use super::super::sources::Restart;
use super::super::teller::Teller;
use super::super::told_since::ToldSince;
use super::following::forget_what_will_not_come_again;
use super::opening::{Kept, Opened, open};

/// Where everything goes on from.
pub(in crate::server) struct Beginning {
    /// The engine.
    pub engine: Engine,
    /// For the sources.
    pub restart: Restart,
    /// Who is told of what.
    pub teller: Arc<Mutex<Teller>>,
    /// From which tick on recorded samples are told; those before were history.
    pub told_since: ToldSince,
    /// Recorded samples that still wait to be sent.
    pub recorded: Vec<Record>,
    /// The rest is there where state is kept.
    pub keeping: Option<Kept>,
    /// Where alerts wait until they are acknowledged.
    pub outbox: Option<Arc<Outbox>>,
    /// What need not be read again.
    pub durable: Option<watch::Receiver<DurablePoint>>,
    /// To be held to the end.
    pub lock: Option<Lock>,
}

/// Opens what is kept.
///
/// # Errors
/// The folder or the outbox cannot be used; the text says what to do.
pub(in crate::server) fn begin(
    config: &Config,
    options: &EngineOptions,
    metrics: &Metrics,
    now: Millis,
) -> Result<Beginning, StartError> {
    let Some(opened) = open(&config.state, &config.sources.kafka, options, &metrics.state, now)? else {
        let told_since = ToldSince::from(now);
        return Ok(Beginning {
            engine: Engine::new(options.clone()),
            restart: Restart::default(),
            teller: Arc::new(Mutex::new(Teller::new(told_since.clone()))),
            told_since,
            recorded: Vec::new(),
            keeping: None,
            outbox: None,
            durable: None,
            lock: None,
        });
    };
    let Opened { engine, watermark, told_since, recorded, positions, log, durable, teller, kept, outbox, faults, lock } =
        opened;
    let outbox =
        Outbox::open_with_faults(&outbox, metrics.registry(), faults).map_err(|e| StartError::System(e.to_string()))?;
    let outbox = Arc::new(outbox);
    tokio::spawn(forget_what_will_not_come_again(durable.clone(), Arc::clone(&outbox)));
    let restart =
        Restart { watermark, positions, event_time: EventTime::at(watermark), log: Some(log), dry_run: false };
    let (keeping, outbox, durable, lock) = (Some(kept), Some(outbox), Some(durable), Some(lock));
    Ok(Beginning { engine, restart, teller, told_since, recorded, keeping, outbox, durable, lock })
}
