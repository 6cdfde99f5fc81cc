//! How the engine's owner keeps state: goes on from what was kept, replays the log, and takes checkpoints between events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::super::durable::{HostRecord, Keeper, Kept, SourceProgress, Taken, Unclaimed, kept_teller};
use super::super::handle::Command;
use super::super::teller::Teller;
use super::Host;
use crate::base::{Batch, Limits};
use crate::rules::RuleSet;
use crate::source::durable::{LOG, decode};
use crate::source::watermark::Pace;
use crate::source::{Position, SourceEvent, SourceId, clock};
use crate::state::checkpoint::Header;
use crate::state::log::{Entry, Reader};

/// What is kept, and how.
pub(super) struct Keeping {
    keeper: Keeper,
    teller: Arc<std::sync::Mutex<Teller>>,
    limits: Limits,
    /// Whether all transitions so far are on disk: their ticks will not come again after a checkpoint.
    told: Box<dyn Fn() -> bool + Send>,
    /// What came after the checkpoint; taken once.
    replay: Option<Reader>,
    /// Whether a part of the log could not be read: a checkpoint would let go of it. The next start tries again.
    unread: bool,
    /// Fingerprint of the rules in force.
    rules: String,
    /// Restored positions that nobody here goes on from yet.
    unclaimed: Unclaimed,
}

/// How long the last checkpoint waits for the outbox to have all on disk.
const TOLD: Duration = Duration::from_secs(1);

/// The log while it is read again: a source that holds the others back until its end.
const REPLAYED_LOG: SourceId = SourceId(usize::MAX);

impl Host {
    /// Keeps state, and goes on from what was kept. To be called before [`Self::spawn`]. `told` says whether all transitions
    /// that were handed out are on disk, or need not be.
    pub(in crate::server) fn keep(&mut self, kept: Kept, limits: Limits, told: Box<dyn Fn() -> bool + Send>) {
        let Kept { keeper, replay, host, positions, teller, rules } = kept;
        self.positions = positions;
        self.resume(&host);
        let now = clock::now();
        self.marks.register(REPLAYED_LOG, Pace::Recorded, now);
        self.recorded.push(REPLAYED_LOG);
        self.warm.send_replace(false);
        let unclaimed = Unclaimed::new(&self.positions, Instant::now());
        let replay = Some(replay);
        self.keeping = Some(Keeping { keeper, teller, limits, told, replay, unread: false, rules, unclaimed });
        self.tell_event_time();
    }

    fn resume(&mut self, host: &HostRecord) {
        // Those of one name are told apart by their order.
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for source in &self.sources {
            let name = source.metrics.name();
            let nth = seen.entry(name).or_default();
            let kept = host.sources.iter().filter(|kept| kept.name == name).nth(*nth);
            *nth += 1;
            if let Some(kept) = kept {
                self.marks.resume(source.id, (kept.newest, kept.quiet), clock::now());
            }
        }
    }

    /// Reads again what came after the checkpoint. The sources' own events wait meanwhile; commands are obeyed.
    pub(super) fn replay(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let replay = self.keeping.as_mut().and_then(|keeping| keeping.replay.take());
        let (Some(mut log), Some(keeping)) = (replay, &self.keeping) else { return };
        let (metrics, limits) = (keeping.keeper.metrics().clone(), keeping.limits.clone());
        let count = |outcome: &str, n: u64| metrics.replayed.with_label_values(&[outcome]).inc_by(n);
        let (mut scratch, mut replayed, mut unread, started) = (Vec::new(), 0_u64, false, Instant::now());
        loop {
            let entry = match log.read() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(
                        %error,
                        "a part of the log cannot be read; nothing of it is removed, and no checkpoint is taken until a start at \
                         which it can be"
                    );
                    count("unreadable", 1);
                    unread = true;
                    continue;
                }
            };
            match decode(&entry, &limits, &mut scratch) {
                Ok(batch) => self.replay_one(&entry, &batch),
                Err(error) => {
                    tracing::error!(%error, "an entry of the log cannot be read");
                    count("unreadable", 1);
                }
            }
            self.positions.insert(LOG.into(), entry.sequence + 1);
            replayed += 1;
            self.look_around();
            while let Ok(command) = commands.try_recv() {
                self.obey(command);
            }
        }
        count("replayed", replayed);
        self.keeping.iter_mut().for_each(|keeping| keeping.unread = unread);
        for lost in log.lost() {
            let (from, upto) = (lost.0.start, lost.0.end);
            tracing::error!(
                from,
                upto,
                "entries of the log are damaged, though their senders may have been told that they are safe"
            );
            count("lost", upto - from);
        }
        if replayed > 0 {
            tracing::info!(entries = replayed, took = ?started.elapsed(), "the log has been read again");
        }
        self.take(SourceEvent::End(REPLAYED_LOG));
        self.marks.listen(clock::now());
    }

    /// One entry, with event time moved no further than it had come when the entry arrived: nothing that was taken then is
    /// late now. It is the engine's own time that goes there: the marks of the sources are those of the checkpoint, and the
    /// promises that moved them are in no log.
    fn replay_one(&mut self, entry: &Entry, batch: &Batch) {
        // Others that have to be read again come first: time waits for them, but not for so long that samples which were
        // acknowledged find no room.
        let crowded = || self.engine.waiting() + batch.all_samples().len() > self.engine.waiting_max() / 2;
        if let Some(watermark) = entry.watermark
            && (self.log_is_alone() || crowded())
        {
            self.marks.observe(REPLAYED_LOG, watermark, clock::now());
            self.advance_to(watermark);
        }
        let taken = self.engine.ingest(batch);
        let source = self.sources.iter().find(|s| s.metrics.name() == entry.source).map(|s| s.id);
        if let (Some(id), Some(newest)) = (source, batch.newest()) {
            self.marks.observe(id, newest, clock::now());
            self.count(id, taken);
        }
    }

    /// Whether nothing else is read again: no recorded files, and no topics. Without a checkpoint these begin where the
    /// configuration says, or the group's offsets, which are before what the log has.
    fn log_is_alone(&self) -> bool {
        let is_topic = |source: &super::KnownSource| matches!(source.pace, Pace::Log { .. });
        self.recorded.iter().all(|id| *id == REPLAYED_LOG) && !self.sources.iter().any(is_topic)
    }

    /// Shows what waits for the log's disk; and while history or the log is read no checkpoint is taken, and none is missed.
    pub(super) fn show_kept(&self, now: crate::base::Millis) {
        let Some(keeping) = &self.keeping else { return };
        let metrics = keeping.keeper.metrics();
        metrics.log_queued.set(i64::try_from(keeping.keeper.log().waiting()).unwrap_or(i64::MAX));
        if !self.recorded.is_empty() {
            metrics.checkpoint_time.set(now.div_euclid(1000));
        }
    }

    /// Takes note of how far a stream has been read.
    pub(super) fn reached(&mut self, position: Position) {
        self.keeping.iter_mut().for_each(|keeping| keeping.unclaimed.claim(&position.stream));
        self.positions.insert(position.stream, position.next);
    }

    /// Takes a checkpoint if it is time.
    pub(super) fn keep_if_due(&mut self) {
        let due = self.keeping.as_mut().is_some_and(|keeping| keeping.keeper.is_due(Instant::now()));
        if due && let Some(keeping) = &mut self.keeping {
            let lapsed = keeping.unclaimed.lapsed(Instant::now());
            self.positions.retain(|stream, _| !lapsed.contains(stream));
        }
        if due
            && let Some(taken) = self.checkpoint()
            && let Some(keeping) = &mut self.keeping
        {
            keeping.keeper.write(taken);
        }
    }

    pub(super) fn note_unlogged(&mut self) {
        self.keeping.iter_mut().for_each(|keeping| keeping.keeper.note_unlogged());
    }

    /// The checkpoint at the end.
    pub(super) fn keep_last(&mut self) {
        // Sinks that deliver meanwhile have something written again and again.
        let end = Instant::now() + TOLD;
        while self.keeping.as_ref().is_some_and(|keeping| !(keeping.told)()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let taken = self.checkpoint();
        if self.keeping.is_some() && taken.is_none() {
            tracing::warn!("no last checkpoint is taken: the next start goes on from the one before, and the log");
        }
        if let Some(keeping) = self.keeping.take() {
            keeping.keeper.finish(taken);
        }
    }

    /// A copy of all state, as of now. None while history is played, which would have to be played again from its middle,
    /// and while the outbox cannot write: the ticks whose alerts it lacks must come again.
    fn checkpoint(&self) -> Option<Taken> {
        let keeping = self.keeping.as_ref().filter(|keeping| !keeping.unread && self.recorded.is_empty())?;
        if !(keeping.told)() {
            return None;
        }
        let started = Instant::now();
        let mut records = self.engine.snapshot();
        let (told_since, untold) = kept_teller(&keeping.teller);
        let progress = |source: &super::KnownSource| {
            let (newest, quiet) = self.marks.kept(source.id);
            SourceProgress { name: source.metrics.name().to_owned(), newest, quiet }
        };
        let sources = self.sources.iter().map(progress).collect();
        // Those samples' ticks are behind the checkpoint and will not come again.
        records.extend(self.recorded_lanes.iter().flat_map(|lanes| lanes.waiting()));
        records.push(HostRecord { told_since, untold, sources }.encode());
        let header = Header {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            created: clock::now(),
            watermark: self.engine.watermark(),
            positions: self.positions.iter().map(|(stream, next)| (stream.to_string(), *next)).collect(),
            rules: keeping.rules.clone(),
        };
        keeping.keeper.metrics().snapshot_seconds.observe(started.elapsed().as_secs_f64());
        Some(Taken { header, records })
    }

    /// Takes note of the rules in force. Those that are restored are told from those that are loaded at the start.
    pub(super) fn rules_changed(&mut self, rules: &RuleSet) {
        let Some(keeping) = &mut self.keeping else { return };
        let fingerprint = format!("{:032x}", xxh3_128(format!("{rules:?}").as_bytes()));
        if keeping.replay.is_some() && !keeping.rules.is_empty() && keeping.rules != fingerprint {
            tracing::info!("the rules are not those of the checkpoint: what both have goes on");
        }
        keeping.rules = fingerprint;
    }

    /// Tells the sources whether the engine's room for samples is half taken, until it is so to a quarter.
    pub(super) fn tell_crowded(&self) {
        let part = if self.event_time.is_crowded() { 4 } else { 2 };
        self.event_time.set_crowded(self.engine.waiting() > self.engine.waiting_max() / part);
    }

    /// Tells the log and the sources how far event time has come.
    pub(super) fn tell_event_time(&self) {
        let Some(watermark) = self.engine.watermark() else { return };
        self.event_time.set(watermark);
        if let Some(keeping) = &self.keeping {
            keeping.keeper.log().set_event_time(watermark);
        }
    }
}
