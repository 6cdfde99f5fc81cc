//! The engine's owner: one thread that takes batches and commands in turn, keeps the watermark, and hands out what comes of it.

mod keeping;
mod parts;
mod shown;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tracing::Span;
use tracing::field::Empty;

use crate::alert::Transition;
use crate::base::{Batch, Millis};
use crate::engine::{Engine, Executor, Ingested, Output};
use crate::source::clock::EventTime;
use crate::source::durable::LOG;
use crate::source::watermark::{Pace, Watermarks};
use crate::source::{Positions, SourceEvent, SourceId, clock};
use crate::telemetry::{EngineMetrics, OneSource};

use self::keeping::Keeping;
use super::board::Board;
use super::handle::Command;
use super::lag::LagWatch;
use super::recorded::RecordedLanes;

/// Event time evaluated at once, in milliseconds.
const SLICE: Millis = 3_600_000;
/// How often the watermark is looked at when nothing arrives: silence moves it, too.
const IDLE_LOOK: Duration = Duration::from_millis(250);
/// How often sources are told how far the engine has taken in what they sent.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Why the engine refuses samples of a source.
pub const REFUSED: [&str; 4] = ["late", "out_of_time", "series_limit", "pending_limit"];

/// A source as the engine's owner knows it.
#[derive(Debug)]
pub struct KnownSource {
    /// Its identity.
    pub id: SourceId,
    /// The source that it is a part of; itself if it is none.
    pub of: SourceId,
    /// How its watermark behaves.
    pub pace: Pace,
    /// Silence after which it is shown as degraded, in milliseconds.
    pub silence_max: Millis,
    /// Its metrics.
    pub metrics: OneSource,
}

/// Where transitions go, in the order of the ticks.
pub type Outlet = Box<dyn FnMut(Vec<Transition>) + Send>;

/// The engine with all it needs.
pub struct Host {
    engine: Engine,
    executor: Box<dyn Executor + Send>,
    marks: Watermarks,
    sources: Vec<KnownSource>,
    metrics: EngineMetrics,
    board: Board,
    outlet: Outlet,
    recorded_lanes: Option<Arc<RecordedLanes>>,
    refused_before: [u64; 4],
    held_at: Option<Instant>,
    started: Millis,
    lag: LagWatch,
    /// Recorded sources that have not ended.
    recorded: Vec<SourceId>,
    warm: watch::Sender<bool>,
    has_rules: bool,
    /// How far the streams have been read that can be read again.
    positions: Positions,
    /// Who wants to know of it, and whether there is news.
    followed: Option<watch::Sender<Arc<Positions>>>,
    followed_at: Option<Instant>,
    /// How far event time has come, for sources.
    event_time: EventTime,
    /// What survives the process; None where nothing is kept.
    keeping: Option<Keeping>,
}

/// The two ends at which the engine's owner receives.
#[derive(Debug)]
pub struct Inputs {
    /// Samples.
    pub events: mpsc::Receiver<SourceEvent>,
    /// Questions and orders.
    pub commands: mpsc::Receiver<Command>,
}

impl Host {
    /// Sets the engine up; nothing runs yet.
    #[must_use]
    pub fn new(
        engine: Engine,
        executor: Box<dyn Executor + Send>,
        sources: Vec<KnownSource>,
        metrics: EngineMetrics,
        board: Board,
        outlet: Outlet,
    ) -> Self {
        let mut marks = Watermarks::default();
        for source in &sources {
            marks.register(source.id, source.pace, clock::now());
        }
        let recorded: Vec<SourceId> = sources.iter().filter(|s| s.pace == Pace::Recorded).map(|s| s.id).collect();
        let (warm, _) = watch::channel(recorded.is_empty());
        let (refused_before, held_at, has_rules) = ([0; 4], None, false);
        Self {
            engine,
            executor,
            marks,
            sources,
            metrics,
            board,
            outlet,
            recorded_lanes: None,
            refused_before,
            held_at,
            started: clock::now(),
            lag: LagWatch::default(),
            recorded,
            warm,
            has_rules,
            positions: Positions::new(),
            followed: None,
            followed_at: None,
            event_time: EventTime::default(),
            keeping: None,
        }
    }

    /// Turns true when all that was recorded has been evaluated.
    #[must_use]
    pub fn warm(&self) -> watch::Receiver<bool> {
        self.warm.subscribe()
    }

    /// Runs on a thread of its own, from the first rules in force until the sources have closed their queue. The receiver learns of the end; it gets an
    /// error instead if the thread panicked.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn spawn(self, inputs: Inputs) -> std::io::Result<oneshot::Receiver<()>> {
        let (done, ended) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            runtime.block_on(self.run(inputs));
            // Nobody listens any more if the process is going down already.
            let _ = done.send(());
        })?;
        Ok(ended)
    }

    async fn run(mut self, mut inputs: Inputs) {
        let mut look = tokio::time::interval(IDLE_LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A sample that comes before the rules is one that no rule asks for: the sources wait for them.
        while !self.has_rules {
            match inputs.commands.recv().await {
                Some(command) => self.obey(command),
                None => return,
            }
        }
        self.replay(&mut inputs.commands);
        // How far event time has come, where it has not been evaluated so far yet.
        let mut goal = None;
        loop {
            if goal.is_some() {
                // What is asked for is answered meanwhile; samples would be late by now, or early.
                while let Ok(command) = inputs.commands.try_recv() {
                    self.obey(command);
                }
                if inputs.events.is_closed() && inputs.events.is_empty() {
                    break;
                }
            } else {
                tokio::select! {
                    Some(command) = inputs.commands.recv() => self.obey(command),
                    event = inputs.events.recv() => match event {
                        Some(event) => {
                            self.metrics.queued.set(inputs.events.len() as i64);
                            self.take(event);
                        }
                        None => break,
                    },
                    _ = look.tick() => {}
                }
            }
            goal = match goal {
                // The silence of sources is not looked at before they are listened to again.
                Some(goal) => self.advance_towards(goal).then_some(goal),
                None => self.advance(),
            };
            self.tell_crowded();
            self.look_around();
            if self.recorded.is_empty() && goal.is_none() {
                self.warm.send_if_modified(|warm| !std::mem::replace(warm, true));
            }
            if self.followed_at.is_none_or(|at| at.elapsed() >= FOLLOW_EVERY) {
                self.followed_at = Some(Instant::now());
                self.tell_positions();
            }
            self.keep_if_due();
        }
        self.tell_positions();
        if let Some(lanes) = self.recorded_lanes.clone().filter(|_| self.keeping.is_some()) {
            lanes.finish().await;
        }
        self.keep_last();
    }

    fn obey(&mut self, command: Command) {
        if Self::is_for_nobody(&command) {
            return;
        }
        match command {
            Command::Groups(reply) => drop(reply.send(self.engine.groups())),
            Command::Holdings(reply) => drop(reply.send(self.engine.holdings())),
            Command::Explain { rule, labels, most, reply } => {
                drop(reply.send(self.engine.explain(&rule, &labels, most)));
            }
            Command::Load { rules, profiles, reply } => {
                let mut out = Output::default();
                let loaded = self.engine.load(&rules, &profiles, &mut out);
                if loaded.is_ok() {
                    self.has_rules = true;
                    self.rules_changed(&rules);
                    self.metrics.rules.set(rules.groups.iter().map(|g| g.rules.len() as i64).sum());
                }
                self.hand_out(out);
                drop(reply.send(loaded));
            }
        }
    }

    /// Whether who asked has gone away: an answer may be dear.
    fn is_for_nobody(command: &Command) -> bool {
        match command {
            Command::Groups(reply) => reply.is_closed(),
            Command::Holdings(reply) => reply.is_closed(),
            Command::Explain { reply, .. } => reply.is_closed(),
            Command::Load { .. } => false,
        }
    }

    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::End(id) => {
                self.marks.end(id);
                self.board.ended(id);
                self.recorded.retain(|recorded| *recorded != id);
            }
            SourceEvent::Reached(position) => self.reached(position),
            SourceEvent::Left(stream) => drop(self.positions.remove(&stream)),
            SourceEvent::Quiet(id, upto) => self.marks.quiet(id, upto, clock::now()),
            SourceEvent::Waits(id) => self.marks.waits(id, clock::now()),
            SourceEvent::Open(part) => self.open(part),
            SourceEvent::Close(id) => {
                self.marks.close(id);
                self.sources.retain(|s| s.id != id);
            }
            SourceEvent::AtEnd(id, at_end) => self.marks.at_end(id, at_end, clock::now()),
            SourceEvent::Trouble(id, trouble) => self.board.trouble(id, trouble),
            SourceEvent::Batch(id, batch) => self.ingest(id, &batch),
            SourceEvent::Read(id, batch, position) => {
                self.ingest(id, &batch);
                self.reached(position);
            }
            SourceEvent::Unlogged(id, batch) => {
                self.ingest(id, &batch);
                self.note_unlogged();
            }
            SourceEvent::Logged(id, batch, next) => {
                self.ingest(id, &batch);
                self.positions.insert(LOG.into(), next);
            }
        }
    }

    fn ingest(&mut self, id: SourceId, batch: &Batch) {
        let started = Instant::now();
        let taken = self.engine.ingest(batch);
        self.metrics.ingest_seconds.observe(started.elapsed().as_secs_f64());
        if let Some(newest) = batch.newest() {
            self.marks.observe(id, newest, clock::now());
        }
        self.count(id, taken);
    }

    fn count(&self, id: SourceId, taken: Ingested) {
        self.metrics.unwanted_samples.inc_by(taken.unwanted);
        let Some(source) = self.sources.iter().find(|s| s.id == id) else { return };
        let refused = [taken.late, taken.out_of_time, taken.over_series_limit, taken.over_pending_limit];
        REFUSED.into_iter().zip(refused).for_each(|(reason, samples)| source.metrics.dropped(reason, samples));
        // What a source is complete to, only its slowest part can tell, and what is newest, all of them: `tell_lag` does.
        let watermark = self.marks.of(id).filter(|_| source.id == source.of);
        let newest = self.marks.newest(id);
        self.board.heard(source.of, newest, watermark, clock::now());
    }

    /// Goes on to where event time has come, or a slice of the way: to where, if there is more.
    fn advance(&mut self) -> Option<Millis> {
        let now = clock::now();
        self.marks.look(now);
        self.marks.current(now).filter(|watermark| self.advance_towards(*watermark))
    }

    fn advance_to(&mut self, watermark: Millis) {
        while self.advance_towards(watermark) {}
    }

    /// Goes on by a slice: what a long gap has to say is handed out bit by bit. Whether there is more.
    fn advance_towards(&mut self, goal: Millis) -> bool {
        let before = self.engine.watermark();
        let watermark = before.map_or(goal, |w| goal.min(w.saturating_add(SLICE)));
        if before.is_some_and(|w| watermark <= w) {
            return false;
        }
        let started = Instant::now();
        let due = self.engine.next_due().is_some_and(|due| due <= watermark);
        let span = if due {
            tracing::debug_span!("tick", watermark, ticks = Empty, transitions = Empty)
        } else {
            Span::none()
        };
        let _span = span.clone().entered();
        let mut out = Output::default();
        self.engine.advance(watermark, &*self.executor, &mut out);
        self.metrics.watermark.set(watermark.div_euclid(1000));
        self.tell_event_time();
        if out.ticks > 0 {
            self.metrics.advance_seconds.observe(started.elapsed().as_secs_f64());
        }
        span.record("ticks", out.ticks).record("transitions", out.transitions.len());
        self.hand_out(out);
        watermark < goal
    }

    fn hand_out(&mut self, out: Output) {
        self.metrics.ticks.inc_by(out.ticks);
        self.metrics.evaluations.inc_by(out.evaluations);
        self.metrics.failures.inc_by(out.failures);
        for transition in out.transitions.iter().filter(|t| t.from != t.to) {
            let state = match transition.to {
                crate::alert::AlertState::Inactive => "inactive",
                crate::alert::AlertState::Pending => "pending",
                crate::alert::AlertState::Firing => "firing",
            };
            self.metrics.transitions.with_label_values(&[state]).inc();
        }
        if !out.transitions.is_empty() {
            (self.outlet)(out.transitions);
        }
        if let Some(lanes) = self.recorded_lanes.as_ref().filter(|_| !out.recorded.is_empty()) {
            lanes.put(out.recorded);
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("sources", &self.sources).finish_non_exhaustive()
    }
}

/// An outlet that passes transitions on in shared form.
#[must_use]
pub fn outlet(mut f: impl FnMut(Arc<[Transition]>) + Send + 'static) -> Outlet {
    Box::new(move |transitions| f(transitions.into()))
}
