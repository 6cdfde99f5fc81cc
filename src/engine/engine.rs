//! The engine: batches in, watermarks in, transitions out.

use crate::base::{Batch, CounterStart, FAR, Millis, Sample};
use crate::promql::{Feed, NodeId, Op, Plan, Span};

use super::coordinator::{Coordinator, Run};
use super::directory::{Directory, Known, SelectorIndex, Target};
use super::eval::{Evaluator, Moment};
use super::executor::{Executor, Inline};
use super::group::{Group, first_after};
use super::options::{EngineOptions, Holdings, Ingested, Output, Profiles};
use super::query::Query;
use super::shard::{Arrival, Shard};
use super::task::Stage;
use super::writer::{Places, Writer};

/// How often, in event time, series and label sets out of use are looked for.
const GARBAGE_INTERVAL: Millis = 600_000;

/// Up to so many series a tick is done on the caller's thread.
const FEW_SERIES: usize = 4_096;

/// The deterministic core. The same samples and rules give the same transitions, whatever the order of arrival within the
/// lateness, the number of shards, and the steps in which the watermark comes.
///
/// ```
/// use forewarn::base::{BatchBuilder, Limits};
/// use forewarn::engine::{Engine, EngineOptions, Inline, Output};
///
/// let mut engine = Engine::new(EngineOptions::default());
/// let (groups, faults) = forewarn::rules::load_file(
///     "up.yml",
///     "groups: [{name: g, interval: 15s, rules: [{alert: Down, expr: up == 0}]}]",
/// );
/// assert!(faults.is_empty());
/// let rules = forewarn::rules::RuleSet { groups: groups.into_iter().map(Into::into).collect() };
/// engine.load(&rules, &Default::default(), &mut Output::default()).unwrap();
///
/// let mut batch = BatchBuilder::new(&Limits::default());
/// batch.label("__name__", "up");
/// batch.end_labels().unwrap();
/// batch.sample(15_000, 0.0);
/// engine.ingest(&batch.finish());
/// let mut out = Output::default();
/// engine.advance(15_000, &Inline, &mut out);
/// assert_eq!(out.transitions[0].labels.to_string(), r#"{alertname="Down"}"#);
/// ```
#[derive(Debug)]
pub struct Engine {
    pub(super) options: EngineOptions,
    pub(super) plan: Plan,
    pub(super) index: SelectorIndex,
    pub(super) directory: Directory,
    pub(super) shards: Vec<Shard>,
    pub(super) coordinator: Coordinator,
    pub(super) groups: Vec<Group>,
    pub(super) feeds: Vec<FeedWork>,
    pub(super) queries: Vec<Query>,
    pub(super) volatile: Vec<bool>,
    pub(super) profiles: Profiles,
    pub(super) writer: Writer,
    /// Whether any rule reads `ALERTS` or `ALERTS_FOR_STATE`.
    pub(super) alerts_are_read: bool,
    /// How far event time has come; samples up to here are late.
    pub(super) watermark: Option<Millis>,
    pub(super) round: u64,
    pub(super) last_garbage: Option<Millis>,
    /// Whether elements may get new models at this tick.
    new_models: bool,
}

/// A subquery at work.
#[derive(Debug)]
pub(super) struct FeedWork {
    pub stage: Stage,
    pub next: Option<Millis>,
    /// The instants beyond which steps are of no use: nobody looks at them.
    pub span: Span,
}

impl FeedWork {
    /// The work of a plan's subquery, which has not begun.
    pub fn new(plan: &Plan, feed: usize) -> Self {
        let always = Span { first: Millis::MIN, last: Millis::MAX };
        let Feed { node, span, .. } = &plan.feeds[feed];
        // Models learn from the steps before, too.
        let span = span.filter(|_| !has_models(plan, *node)).unwrap_or(always);
        Self { stage: Stage::for_feed(plan, feed), next: None, span }
    }

    /// Begins, unless it has: the first step of use after `t`.
    fn begin(&mut self, t: Millis, feed: &Feed) {
        if self.next.is_none() {
            let first = first_after(t.max(self.span.first.saturating_sub(1)), feed.schedule.interval);
            self.next = Some(first).filter(|first| *first <= self.span.last);
        }
    }
}

/// Whether an expression has models of its own, but for those in subqueries.
fn has_models(plan: &Plan, node: NodeId) -> bool {
    let op = &plan.nodes[node].op;
    matches!(op, Op::Model { .. }) || op.children().into_iter().any(|child| has_models(plan, child))
}

impl Engine {
    /// An engine without rules.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        let mut shards: Vec<Shard> = (0..options.shards.max(1)).map(|_| Shard::default()).collect();
        let mut coordinator = Coordinator::new(shards.len());
        if options.delayed_name_removal {
            coordinator.evaluator.store.interner.drop_names_late();
            shards.iter_mut().for_each(|shard| shard.evaluator.store.interner.drop_names_late());
        }
        Self {
            plan: Plan::default(),
            index: SelectorIndex::default(),
            directory: Directory::default(),
            shards,
            coordinator,
            groups: vec![],
            feeds: vec![],
            queries: vec![],
            volatile: vec![],
            profiles: Profiles::default(),
            writer: Writer::new(options.collect_recorded),
            alerts_are_read: false,
            watermark: None,
            round: 0,
            last_garbage: None,
            new_models: true,
            options,
        }
    }

    /// Takes samples in. Their effect shows when the watermark has passed them.
    pub fn ingest(&mut self, batch: &Batch) -> Ingested {
        let mut report = Ingested::default();
        let mut room = self.options.limits.pending_samples.saturating_sub(self.waiting());
        for run in batch.runs() {
            let samples = batch.samples(run);
            let known = match self.directory.get(run.key) {
                Some(known) => known,
                None => match self.discover(batch, run) {
                    Some(known) => known,
                    None => {
                        report.over_series_limit += samples.len() as u64;
                        continue;
                    }
                },
            };
            let Known::At(Target { shard, slot }) = known else {
                report.unwanted += samples.len() as u64;
                continue;
            };
            let shard = &mut self.shards[shard as usize];
            let mut is_increment = false;
            for (i, sample) in samples.iter().enumerate() {
                let adds = std::mem::take(&mut is_increment);
                if let Some(start) = CounterStart::of(sample.v) {
                    is_increment = start == CounterStart::Increment;
                    // As late as the sample behind it, which it says something of, and no loss where its series is further on.
                    let behind = samples[i + 1..].iter().find(|s| CounterStart::of(s.v).is_none());
                    let is_on_time = |s: &Sample| self.watermark.is_none_or(|w| s.t > w) && s.t <= FAR;
                    let newest = shard.evaluator.store.series[slot as usize].newest();
                    let is_news = !is_increment && sample.t > newest.t && sample.t >= -FAR;
                    if is_news && behind.is_some_and(is_on_time) && room > 1 {
                        room -= 1;
                        let next = samples.get(i + 1).and_then(|next| CounterStart::of(next.v));
                        let adds = next == Some(CounterStart::Increment);
                        shard.receive(Arrival { slot, adds, t: sample.t, v: sample.v });
                    }
                } else if self.watermark.is_some_and(|w| sample.t <= w) {
                    report.late += 1;
                } else if !(-FAR..=FAR).contains(&sample.t) {
                    report.out_of_time += 1;
                } else if room == 0 {
                    report.over_pending_limit += 1;
                } else {
                    room -= 1;
                    report.accepted += 1;
                    shard.receive(Arrival { slot, adds, t: sample.t, v: sample.v });
                }
            }
        }
        report
    }

    /// Says that event time has come to `watermark`: evaluates every tick up to it, in order. Samples that arrive later for
    /// instants up to it are late. A watermark that goes back is ignored.
    pub fn advance(&mut self, watermark: Millis, executor: &dyn Executor, out: &mut Output) {
        let watermark = watermark.clamp(-FAR, FAR);
        if self.watermark.is_some_and(|w| watermark <= w) {
            return;
        }
        if self.watermark.is_none() {
            // Counters that began long ago are no reason to evaluate the time since.
            let waiting = self.shards.iter().flat_map(Shard::arrivals);
            let oldest = waiting.filter(|a| CounterStart::of(a.v).is_none()).map(|a| a.t).min();
            // One millisecond back, so that a sample at the very instant of a tick is seen by that tick.
            let start = oldest.map_or(watermark, |oldest| oldest.min(watermark)).saturating_sub(1);
            self.begin(start);
        }
        while let Some(due) = self.next_due().filter(|due| *due <= watermark) {
            let news = self.oldest_waiting().map_or(watermark, |oldest| oldest.min(watermark));
            if due < news && self.rests() {
                self.skip_to(news, out);
                continue;
            }
            let stopwatch = executor;
            let executor = self.hands(executor);
            // Before the tick and at multiples of the interval, so that models are forgotten at the same instants whether
            // ticks before were skipped or not.
            let garbage = due.div_euclid(GARBAGE_INTERVAL).saturating_mul(GARBAGE_INTERVAL);
            if self.last_garbage.is_none_or(|last| last < garbage) {
                self.last_garbage = Some(garbage);
                self.collect_garbage(garbage, executor);
            }
            self.take_in(due, executor);
            self.tick(due, executor, stopwatch, out);
        }
        self.take_in(watermark, executor);
        self.watermark = Some(watermark);
    }

    /// Never looks for what is out of use: for an engine that lives for one answer, whose samples all wait from the start.
    pub(super) fn keep_everything(&mut self) {
        self.last_garbage = Some(Millis::MAX);
    }

    /// How far event time has come.
    #[must_use]
    pub fn watermark(&self) -> Option<Millis> {
        self.watermark
    }

    /// How much the engine holds. Walks all series.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let mut held = Holdings { unwanted: self.directory.unwanted(), ..Holdings::default() };
        for shard in &self.shards {
            held.series += shard.evaluator.store.len();
            held.series_bytes += shard.evaluator.store.series.iter().map(super::store::Series::bytes).sum::<usize>();
            held.unmodelled += shard.evaluator.unmodelled();
            held.waiting += shard.waiting();
            held.duplicate += shard.refused.duplicate;
            held.conflict += shard.refused.conflict;
            held.out_of_order += shard.refused.out_of_order;
        }
        held.models = self.models();
        held.unmodelled += self.coordinator.evaluator.unmodelled();
        held
    }

    /// Series that rules ask for.
    #[must_use]
    pub fn series(&self) -> usize {
        self.shards.iter().map(|shard| shard.evaluator.store.len()).sum()
    }

    /// Models held.
    pub(super) fn models(&self) -> usize {
        let evaluators = self.shards.iter().map(|s| &s.evaluator).chain([&self.coordinator.evaluator]);
        evaluators.map(Evaluator::models).sum()
    }

    /// Starts what has not started: the first instants after `t`.
    pub(super) fn begin(&mut self, t: Millis) {
        for group in &mut self.groups {
            group.begin(t, self.options.epoch);
        }
        for (feed, work) in self.plan.feeds.iter().zip(&mut self.feeds) {
            work.begin(t, feed);
        }
    }

    fn take_in(&mut self, until: Millis, executor: &dyn Executor) {
        if self.shards.iter().any(|shard| shard.has_waiting(until)) {
            executor.for_each(&mut self.shards, &|shard| shard.take_in(until));
        }
    }

    /// Who works on the shards: for a few series, waking other threads costs more than the work.
    fn hands<'e>(&self, executor: &'e dyn Executor) -> &'e dyn Executor {
        if self.series() < FEW_SERIES { &Inline } else { executor }
    }

    fn oldest_waiting(&self) -> Option<Millis> {
        self.shards.iter().filter_map(Shard::oldest_waiting).min()
    }

    /// How many samples may wait for their tick.
    #[must_use]
    pub fn waiting_max(&self) -> usize {
        self.options.limits.pending_samples
    }

    /// Samples waiting for their tick, of [`Engine::waiting_max`].
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shards.iter().map(Shard::waiting).sum()
    }

    /// Looks a new series up; None if there is no room for it.
    #[cold]
    fn discover(&mut self, batch: &Batch, run: &crate::base::SeriesRun) -> Option<Known> {
        let mut places = Places {
            plan: &self.plan,
            index: &self.index,
            directory: &mut self.directory,
            shards: &mut self.shards,
            limit: self.options.limits.series,
        };
        places.find(batch.labels(run))
    }

    /// The next instant of processing, an evaluation's own instant and its query offset; none without rules.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        let groups = self.groups.iter().filter_map(|g| Some(g.next? + g.schedule.query_offset));
        let feeds = self.plan.feeds.iter().zip(&self.feeds);
        groups.chain(feeds.filter_map(|(feed, work)| Some(work.next? + feed.schedule.query_offset))).min()
    }

    fn tick(&mut self, due: Millis, executor: &dyn Executor, stopwatch: &dyn Executor, out: &mut Output) {
        out.ticks += 1;
        self.new_models = self.models() < self.options.limits.models;
        for g in 0..self.groups.len() {
            let group = &self.groups[g];
            let Some(t) = group.next.filter(|t| t + group.schedule.query_offset == due) else { continue };
            let idle = self.group_rests(group);
            let began = stopwatch.stopwatch();
            for s in 0..if idle { 0 } else { self.groups[g].stages.len() } {
                self.round += 1;
                let stage_began = stopwatch.stopwatch();
                let at = Moment { t, due, round: self.round, new_models: self.new_models };
                for f in 0..self.groups[g].stages[s].0.feeds.len() {
                    let feed = self.groups[g].stages[s].0.feeds[f];
                    self.run_feed_if_due(feed, due, executor);
                }
                let group = &mut self.groups[g];
                let (stage, rules) = &group.stages[s];
                let run = Run { plan: &self.plan, volatile: &self.volatile, at, executor };
                self.coordinator.run(run, &mut self.shards, stage);
                let rules = rules.clone();
                self.apply(g, rules.clone(), t, out);
                let took = stopwatch.stopwatch().saturating_sub(stage_began);
                self.groups[g].rules[rules].iter_mut().for_each(|rule| rule.took = took);
            }
            let group = &mut self.groups[g];
            group.took = stopwatch.stopwatch().saturating_sub(began);
            if idle {
                out.evaluations += group.pass(1);
            } else {
                group.evaluated(t);
            }
        }
        for feed in 0..self.feeds.len() {
            self.run_feed_if_due(feed, due, executor);
        }
    }

    /// Whether no tick changes anything until samples come.
    fn rests(&self) -> bool {
        self.groups.iter().all(|group| self.group_rests(group)) && self.feeds.iter().all(|work| self.feed_rests(work))
    }

    fn group_rests(&self, group: &Group) -> bool {
        // Whoever collects results wants empty ones, too.
        let skips = !self.options.collect_results && group.is_quiet();
        skips && group.stages.iter().all(|(stage, _)| self.is_idle(stage))
    }

    /// Passes over the instants of processing before `to`: a recording may have a gap of decades.
    fn skip_to(&mut self, to: Millis, out: &mut Output) {
        for group in &mut self.groups {
            let Some(next) = group.next else { continue };
            out.evaluations += group.pass(group.schedule.steps_before(next, to));
        }
        for (feed, work) in self.plan.feeds.iter().zip(&mut self.feeds) {
            let next = work.next.map(|next| next + feed.schedule.steps_before(next, to) * feed.schedule.interval);
            work.next = next;
        }
    }

    /// Whether a stage has nothing to read, so that nothing can come of it. Rules for what is not there then cost nothing.
    fn is_idle(&self, stage: &Stage) -> bool {
        let stores = || self.shards.iter().map(|s| &s.evaluator.store).chain([&self.coordinator.evaluator.store]);
        let nothing_to_read = stage.leaves.iter().all(|&leaf| stores().all(|store| store.is_empty(leaf)));
        stage.strict && nothing_to_read && stage.feeds.iter().all(|&feed| self.feed_rests(&self.feeds[feed]))
    }

    /// Whether a subquery has no more steps to come, or nothing comes of them.
    fn feed_rests(&self, work: &FeedWork) -> bool {
        work.next.is_none() || self.is_idle(&work.stage)
    }

    fn run_feed_if_due(&mut self, feed: usize, due: Millis, executor: &dyn Executor) {
        let schedule = self.plan.feeds[feed].schedule;
        let Some(t) = self.feeds[feed].next.filter(|t| t + schedule.query_offset == due) else { return };
        if !self.is_idle(&self.feeds[feed].stage) {
            self.round += 1;
            let at = Moment { t, due, round: self.round, new_models: self.new_models };
            let run = Run { plan: &self.plan, volatile: &self.volatile, at, executor };
            self.coordinator.run_feed(run, &mut self.shards, feed, &self.feeds[feed].stage);
        }
        let work = &mut self.feeds[feed];
        work.next = Some(t + schedule.interval).filter(|next| *next <= work.span.last);
    }

    fn collect_garbage(&mut self, t: Millis, executor: &dyn Executor) {
        let plan = &self.plan;
        let gone = std::sync::Mutex::new(Vec::new());
        executor.for_each(&mut self.shards, &|shard| {
            let keys = shard.collect_garbage(plan, t);
            gone.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(keys);
        });
        for key in gone.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            self.directory.remove(key);
        }
        self.directory.forget_unwanted();
        let pinned = self.pinned();
        let remap = self.coordinator.collect_garbage(plan, t, &pinned);
        self.renumber(&remap);
    }
}
