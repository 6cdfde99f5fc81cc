//! Queries of templates: what is kept for them, and how they are answered.
//!
//! When rules are loaded, each selector of a template's queries becomes a leaf that keeps samples and is never evaluated.
//! When an alert's text is made, the query's text is known in full: the samples it reads are taken from the rings and
//! handed, in order of time, to an engine that has this one expression. So there is one evaluator, nothing costs anything
//! until an alert's text is made, and the answer is the one that a query at that instant gets.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use promql_parser::parser::value::ValueType;

use crate::alert::{NUMBER_HOLE, Queries, TEXT_HOLE};
use crate::base::{BatchBuilder, Labels, Limits, Millis, Sample};
use crate::promql::{
    ExprError, LeafId, LeafSource, Plan, PlanOptions, Planner, Read, Reads, Schedule, Selector, Test, parse,
};
use crate::rules::RuleSet;

use super::engine::Engine;
use super::executor::Inline;
use super::options::{EngineOptions, Output, Profiles};
use super::query::QueryValue;
use super::shard::Shard;

/// Most elements of answers remembered within a tick; an answer counts as one more.
const MOST_REMEMBERED: usize = 100_000;

/// Plans what the queries of a rule's templates read; gives the leaves. What cannot be planned is left out: it was
/// warned of when the file was read, and expands to an error.
pub(super) fn retain(plan: &mut Plan, exprs: &[String], schedule: Schedule, options: &EngineOptions) -> Vec<LeafId> {
    let options = plan_options(options);
    let mut leaves = Vec::new();
    for expr in exprs {
        let Ok(parsed) = parse(expr) else { continue };
        let Ok(reads) = Reads::of(&parsed, options, &[TEXT_HOLE, NUMBER_HOLE]) else { continue };
        for Read { selector, reach } in reads.selectors {
            // A text may be made one tick after the alert last held, with what held then.
            let range = reach.saturating_add(schedule.interval);
            leaves.extend(Planner::new(plan, options, schedule).retain(selector, range));
        }
    }
    leaves.sort_unstable();
    leaves.dedup();
    leaves
}

/// Answers the queries of one rule's templates at one of its ticks.
#[derive(Debug)]
pub(super) struct TemplateQueries<'a> {
    options: &'a EngineOptions,
    plan: &'a Plan,
    shards: &'a [Shard],
    /// Leaves that keep samples for this rule.
    leaves: &'a [LeafId],
    /// The group's newest tick.
    tick: Millis,
    interval: Millis,
    answers: RefCell<Answers>,
    index: RefCell<HashMap<(LeafId, String), ByValue>>,
}

type Answer = Result<Vec<(Labels, f64)>, String>;

/// Answers by query and instant.
#[derive(Debug, Default)]
struct Answers {
    known: HashMap<(String, Millis), Answer>,
    /// What they count together, see [`MOST_REMEMBERED`].
    size: usize,
}

impl Answers {
    /// Remembers an answer if there is room for it.
    fn remember(&mut self, key: (String, Millis), answer: &Answer) {
        let size = self.size + 1 + answer.as_ref().map_or(0, Vec::len);
        if size <= MOST_REMEMBERED {
            self.size = size;
            self.known.insert(key, answer.clone());
        }
    }
}

/// Shard and row of a leaf's series.
type Place = (usize, usize);

/// Places by the value of a label.
type ByValue = HashMap<String, Vec<Place>>;

impl Queries for TemplateQueries<'_> {
    fn query(&self, expr: &str, at: Millis) -> Answer {
        let key = (expr.to_owned(), at);
        if let Some(known) = self.answers.borrow().known.get(&key) {
            return known.clone();
        }
        let answer = self.answer(expr, at);
        self.answers.borrow_mut().remember(key, &answer);
        answer
    }
}

impl<'a> TemplateQueries<'a> {
    /// For a rule whose templates' samples are kept by `leaves`, and whose group has had its newest tick at `tick`.
    pub fn new(
        options: &'a EngineOptions,
        plan: &'a Plan,
        shards: &'a [Shard],
        leaves: &'a [LeafId],
        tick: Millis,
        interval: Millis,
    ) -> Self {
        let (answers, index) = (RefCell::default(), RefCell::default());
        Self { options, plan, shards, leaves, tick, interval, answers, index }
    }

    fn answer(&self, text: &str, at: Millis) -> Answer {
        let expr = parse(text).map_err(|fault| parse_error(text, &fault))?;
        if !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar) {
            return Err("rule result is not a vector or scalar".to_owned());
        }
        let reads = Reads::of(&expr, plan_options(self.options), &[]).map_err(|e| e.to_string())?;
        let limit = self.options.limits.template_query_samples;
        if reads.steps > limit as i64 {
            return Err(format!("query processing takes more than {limit} evaluations of subqueries"));
        }
        let mut series = BTreeMap::new();
        let mut count = 0;
        for read in &reads.selectors {
            self.collect(read, at, &mut series, &mut count)?;
        }
        evaluate(text, at, at.saturating_sub(reads.longest), &series, self.options)
    }

    /// Adds the samples that a selector reads.
    fn collect(
        &self,
        read: &Read,
        at: Millis,
        series: &mut BTreeMap<Labels, Vec<Sample>>,
        count: &mut usize,
    ) -> Result<(), String> {
        let limit = self.options.limits.template_query_samples;
        let leaf = self.leaf(read).ok_or_else(|| {
            let name = read.selector.name.as_deref().unwrap_or("this selector");
            format!("no samples are kept of {name}: what the query reads was not known when the rule was loaded")
        })?;
        // What is older than what is sure to be kept may be there by chance, and must not show.
        if at < self.tick.saturating_sub(self.interval) {
            return Err("the samples of that instant are kept no more".to_owned());
        }
        let start = at.saturating_sub(read.reach);
        for (shard, row) in self.places(leaf, &read.selector) {
            let store = &self.shards[shard].evaluator.store;
            let table = &store.tables[leaf];
            if !store.interner.with(table.ids[row], |labels| read.selector.matches(labels)) {
                continue;
            }
            let ring = store.series[table.slots[row] as usize].ring();
            let samples: Vec<Sample> = table.retained(row, ring, start, at).take(limit + 1).collect();
            *count += samples.len();
            if *count > limit {
                return Err(format!("query processing would load more than {limit} samples"));
            }
            let known: &mut Vec<Sample> = series.entry(store.interner.labels(table.ids[row])).or_default();
            // Of two selectors the one that reaches further back has all of the other's samples.
            if known.len() < samples.len() {
                *known = samples;
            }
        }
        Ok(())
    }

    /// The leaf that keeps what a selector reads.
    fn leaf(&self, read: &Read) -> Option<LeafId> {
        self.leaves.iter().copied().find(|&leaf| {
            let leaf = &self.plan.leaves[leaf];
            match &leaf.source {
                LeafSource::Selector(kept) => {
                    leaf.range >= read.reach.saturating_add(self.interval) && kept.covers(&read.selector)
                }
                LeafSource::Feed(_) => false,
            }
        })
    }

    /// Where a leaf has series that a selector may match. A matcher that had a hole when the leaf was planned mostly picks
    /// few of many, so those are found by its label; the index lasts as long as the tick.
    fn places(&self, leaf: LeafId, selector: &Selector) -> Vec<Place> {
        let LeafSource::Selector(kept) = &self.plan.leaves[leaf].source else { return vec![] };
        let filled = selector.matchers.iter().find_map(|matcher| match &matcher.test {
            Test::Equal(value) if !value.is_empty() && kept.matchers.iter().all(|m| m.name != matcher.name) => {
                Some((matcher.name.clone(), value))
            }
            _ => None,
        });
        let tables = || self.shards.iter().map(|shard| &shard.evaluator.store).enumerate();
        let Some((label, value)) = filled else {
            return tables().flat_map(|(i, s)| (0..s.tables[leaf].slots.len()).map(move |row| (i, row))).collect();
        };
        let mut index = self.index.borrow_mut();
        let by_value = index.entry((leaf, label.clone())).or_insert_with(|| {
            let mut by_value = ByValue::new();
            for (shard, store) in tables() {
                for (row, &id) in store.tables[leaf].ids.iter().enumerate() {
                    by_value.entry(store.interner.value(id, &label).to_owned()).or_default().push((shard, row));
                }
            }
            by_value
        });
        by_value.get(value).cloned().unwrap_or_default()
    }
}

/// As Prometheus places it; the words are ours.
fn parse_error(text: &str, fault: &ExprError) -> String {
    let before = fault.span.as_ref().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, start) = (1 + before.matches('\n').count(), before.rfind('\n').map_or(0, |at| at + 1));
    format!("{line}:{}: parse error: {}", before.len() - start + 1, fault.message)
}

fn plan_options(options: &EngineOptions) -> PlanOptions {
    PlanOptions { lookback: options.lookback, default_step: options.evaluation_interval }
}

/// The value of an expression at an instant over these series, which have all it reads, from after `start` on.
fn evaluate(
    text: &str,
    at: Millis,
    start: Millis,
    series: &BTreeMap<Labels, Vec<Sample>>,
    options: &EngineOptions,
) -> Answer {
    // Bounds on what comes from outside have been applied to these samples already, which have a bound of their own.
    let (most, read) = (usize::MAX, series.values().map(Vec::len).sum::<usize>());
    let limits = Limits {
        labels_per_series: most,
        label_name_bytes: most,
        label_value_bytes: most,
        series: most,
        pending_samples: most,
        ..options.limits
    };
    let mut batch = BatchBuilder::new(&limits);
    let options = EngineOptions {
        shards: 1,
        limits,
        collect_recorded: false,
        collect_results: false,
        query_offset: 0,
        ..options.clone()
    };
    let mut engine = Engine::new(options);
    engine.keep_everything();
    let mut out = Output::default();
    let loaded = engine.load_with_queries(&RuleSet::default(), &[text.to_owned()], &Profiles::default(), &mut out);
    loaded.map_err(|faults| faults.into_iter().next().map_or_else(String::new, |fault| fault.message))?;
    // So that the steps of subqueries begin where their windows do.
    engine.advance(start, &Inline, &mut out);
    for (labels, samples) in series {
        batch.series(labels.as_ref());
        for sample in samples {
            batch.sample(sample.t, sample.v);
        }
    }
    let taken = engine.ingest(&batch.finish());
    if taken.accepted != read as u64 {
        return Err(format!("only {} of {read} samples could be read", taken.accepted));
    }
    engine.advance(at, &Inline, &mut out);
    let value = engine.query(0, &Inline).map_err(|e| e.to_string())?;
    Ok(value.map_or_else(Vec::new, QueryValue::into_elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_not_all_remembered() {
        let mut answers = Answers::default();
        let long: Answer = Ok(vec![(Labels::default(), 1.0); MOST_REMEMBERED / 2 - 1]);
        for i in 0..3 {
            answers.remember((i.to_string(), 0), &long);
        }
        assert_eq!((answers.known.len(), answers.size), (2, MOST_REMEMBERED));
        answers.remember(("short".to_owned(), 0), &Err("no".to_owned()));
        assert_eq!(answers.known.len(), 2);
    }
}
