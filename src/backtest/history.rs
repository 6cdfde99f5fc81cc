//! Rules over a history: samples in, pages and charts out, as fast as the engine goes.
//!
//! The host hands in what it reads, in order of time, wherever it comes from. Reads no files and no clock.

use std::collections::BTreeMap;

use crate::base::{Batch, BatchBuilder, Limits, Millis};
use crate::engine::{Engine, EngineOptions, Executor, LoadError, Output, Profiles};
use crate::rules::{RuleKind, RuleSet};

use super::charts::{Chart, Charts};
use super::pages::{Collector, RuleFindings};
use super::plot::{plotted, with_plots};

/// Looks at failing rules: each walks all of them.
const FAULT_LOOKS: u32 = 100;

/// A part of a history.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Its samples, in any order.
    pub batch: Batch,
    /// No sample at or before this instant comes in a later slice.
    pub complete_until: Millis,
}

/// What part of the history is looked at. All instants included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// From here on models and windows learn; None is from the first sample on.
    pub learn_from: Option<Millis>,
    /// From here on findings count; None is from the first sample on.
    pub start: Option<Millis>,
    /// The end; None is the last sample.
    pub end: Option<Millis>,
}

/// What came of a set of rules.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The first instant whose findings count.
    pub start: Millis,
    /// The last one.
    pub end: Millis,
    /// Alerting rules with their pages.
    pub rules: Vec<RuleFindings>,
    /// What is to be drawn, if it was asked for.
    pub charts: Vec<Chart>,
    /// Charts of alerts that there was no room for.
    pub charts_left_out: usize,
    /// Pages beyond the bound; no figure has them.
    pub pages_left_out: u64,
    /// Samples that the rules read.
    pub samples: u64,
    /// Most series of theirs that were held at once.
    pub series: usize,
    /// Rules that failed at some instant, and why.
    pub faults: BTreeMap<String, String>,
    /// Samples that the engine's limits had no room for.
    pub lost: u64,
}

/// One set of rules going through the history.
#[derive(Debug)]
pub struct Backtest {
    engine: Engine,
    period: Period,
    out: Output,
    collector: Option<Collector>,
    charts: Option<Charts>,
    rules: RuleSet,
    first: Option<Millis>,
    last: Option<Millis>,
    series_most: usize,
    fault_looks: u32,
    done: History,
}

impl Backtest {
    /// Sets an engine up with rules; `draws` says whether curves are gathered, which costs time and up to 16 MB.
    ///
    /// # Errors
    /// Every rule that cannot be loaded.
    pub fn new(
        options: EngineOptions,
        rules: &RuleSet,
        profiles: &Profiles,
        period: Period,
        draws: bool,
    ) -> Result<Self, Vec<LoadError>> {
        let default_interval = options.evaluation_interval;
        let mut engine = Engine::new(EngineOptions { collect_recorded: draws, ..options });
        let (with_plots, plots) = with_plots(rules);
        let mut out = Output::default();
        engine.load(if draws { &with_plots } else { rules }, profiles, &mut out)?;
        let charts = draws.then(|| {
            let rules = rules.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
            let alerting = rules.filter(|(_, rule)| matches!(rule.kind, RuleKind::Alert { .. }));
            Charts::new(alerting.zip(plots).map(|((group, rule), plot)| {
                let own = rule.labels.iter().map(|(name, _)| name.clone()).collect();
                (plot, own, group.interval.unwrap_or(default_interval))
            }))
        });
        if let Some(learn_from) = period.learn_from {
            // So that ticks begin there, whether or not the history does.
            engine.advance(learn_from.saturating_sub(1), &crate::engine::Inline, &mut out);
        }
        Ok(Self {
            engine,
            period,
            out,
            collector: None,
            charts,
            rules: rules.clone(),
            first: None,
            last: None,
            series_most: 0,
            fault_looks: 0,
            done: History::default(),
        })
    }

    /// Takes the next slice.
    pub fn take(&mut self, slice: &Slice, executor: &dyn Executor) {
        let batch = self.within(&slice.batch);
        let batch = batch.as_ref().unwrap_or(&slice.batch);
        if batch.is_empty() && self.first.is_none() && self.period.learn_from.is_none() {
            return;
        }
        let times = || batch.all_samples().iter().map(|sample| sample.t);
        if self.first.is_none() {
            self.first = times().min();
        }
        self.last = self.last.max(times().max());
        let taken = self.engine.ingest(batch);
        self.done.samples += taken.accepted;
        self.done.lost += taken.over_series_limit + taken.over_pending_limit + taken.late;
        self.advance(slice.complete_until.min(self.period.end.unwrap_or(Millis::MAX)), executor);
    }

    /// Whether what comes later is beyond the end of the period.
    #[must_use]
    pub fn is_over(&self, slice: &Slice) -> bool {
        self.period.end.is_some_and(|end| slice.complete_until >= end)
    }

    /// The engine, as it is at the instant it has come to.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Goes on to the end of the period.
    #[must_use]
    pub fn finish(mut self, executor: &dyn Executor) -> History {
        self.end(executor);
        let (rules, pages_left_out) = self.collector().map(Collector::finish).unwrap_or_default();
        let (charts, charts_left_out) = self.charts.map(Charts::finish).unwrap_or_default();
        History {
            start: self.period.start.or(self.first).unwrap_or_default(),
            end: self.period.end.or(self.last).unwrap_or_default(),
            rules,
            charts,
            charts_left_out,
            pages_left_out,
            series: self.series_most,
            ..self.done
        }
    }

    /// Goes on to the end of the period, and no further.
    pub fn end(&mut self, executor: &dyn Executor) {
        if let Some(end) = self.period.end.or(self.last) {
            self.advance(end, executor);
        }
    }

    /// The rules themselves; what is recorded for curves may fail in peace.
    fn look_for_faults(&mut self) {
        for rule in self.engine.groups().into_iter().flat_map(|group| group.rules) {
            if let Some(fault) = rule.last_error.filter(|_| plotted(&rule.name).is_none()) {
                self.done.faults.entry(rule.name).or_insert(fault);
            }
        }
    }

    fn collector(&mut self) -> Option<Collector> {
        let start = self.period.start.or(self.first)?;
        Some(self.collector.take().unwrap_or_else(|| Collector::new(&self.rules, start)))
    }

    fn advance(&mut self, until: Millis, executor: &dyn Executor) {
        self.engine.advance(until, executor, &mut self.out);
        let out = std::mem::take(&mut self.out);
        if out.failures > 0 && self.fault_looks < FAULT_LOOKS {
            self.fault_looks += 1;
            self.look_for_faults();
        }
        if out.ticks > 0 {
            self.series_most = self.series_most.max(self.engine.series());
        }
        let start = self.period.start.or(self.first).unwrap_or(Millis::MAX);
        let Some(mut collector) = self.collector() else { return };
        for transition in &out.transitions {
            collector.take(transition);
            let fires = transition.from != transition.to && transition.to == crate::alert::AlertState::Firing;
            if fires
                && transition.at >= start
                && let (Some(charts), Some(rule)) = (&mut self.charts, collector.rule_of(transition))
            {
                charts.fired(rule, &transition.labels);
            }
        }
        self.collector = Some(collector);
        if let Some(charts) = &mut self.charts {
            out.recorded.iter().filter(|recorded| recorded.t >= start).for_each(|recorded| charts.take(recorded));
        }
    }

    /// The batch less what lies outside the period; None where all of it lies within.
    fn within(&self, batch: &Batch) -> Option<Batch> {
        let Period { learn_from, end, .. } = self.period;
        let (from, to) = (learn_from.unwrap_or(Millis::MIN), end.unwrap_or(Millis::MAX));
        let inside = |t: Millis| (from..=to).contains(&t);
        if batch.all_samples().iter().all(|sample| inside(sample.t)) {
            return None;
        }
        // Bounds on labels are for input from outside; these labels have been let in.
        let mut builder = BatchBuilder::new(&Limits::default());
        for run in batch.runs() {
            let mut samples = batch.samples(run).iter().filter(|sample| inside(sample.t)).peekable();
            if samples.peek().is_some() {
                builder.series(batch.labels(run));
                samples.for_each(|sample| builder.sample(sample.t, sample.v));
            }
        }
        Some(builder.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Labels;
    use crate::engine::{Holdings, Inline, builtin_profiles};
    use crate::rules::load_file;

    const DAY: Millis = 86_400_000;

    /// What the engine holds after so many days of two series at one sample a minute, and what came of them.
    fn play(days: i64) -> (Holdings, History) {
        let text =
            "groups: [{name: g, rules: [{alert: A, expr: 'predict_anomaly(m) > 1e9 or avg_over_time(m[1h]) > 2'}]}]";
        let rules = RuleSet { groups: load_file("r.yml", text).0.into_iter().map(Arc::new).collect() };
        let period = Period::default();
        let mut backtest = Backtest::new(EngineOptions::default(), &rules, &builtin_profiles(), period, true).unwrap();
        for hour in 0..24 * days {
            let mut batch = BatchBuilder::new(&Limits::default());
            for x in ["a", "b"] {
                batch.series(Labels::from_pairs([("__name__", "m"), ("x", x)]).as_ref());
                for minute in 0..60 {
                    let v = if hour % 24 == 5 && x == "a" { 3.0 } else { f64::from(minute % 2) };
                    batch.sample((hour * 60 + i64::from(minute)) * 60_000, v);
                }
            }
            backtest.take(&Slice { batch: batch.finish(), complete_until: (hour + 1) * 3_600_000 - 1 }, &Inline);
            assert!(backtest.out.recorded.is_empty() && backtest.out.transitions.is_empty());
        }
        let held = backtest.engine().holdings();
        (held, backtest.finish(&Inline))
    }

    #[test]
    fn a_longer_history_takes_no_more_memory() {
        let (short, _) = play(4);
        let (long, history) = play(16);
        assert!(long.series_bytes <= short.series_bytes * 3 / 2, "{} {}", long.series_bytes, short.series_bytes);
        assert_eq!((long.waiting, long.models), (short.waiting, short.models));
        assert_eq!(history.rules[0].pages.len(), 16);
        assert_eq!((history.start, history.end, history.samples), (0, 16 * DAY - 60_000, 2 * 16 * 1440));
        assert_eq!(history.charts.len(), 1, "of the one that fires");
        assert!(history.charts[0].curves.buckets().len() <= super::super::BUCKETS);
    }
}
