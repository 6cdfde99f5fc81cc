//! What rules make of their results: recorded samples, alerts, and the samples about alerts.

use std::ops::Range;

use crate::alert::{AlertContext, AlertOutput, AlertState, Queries, Reason, Transition};
use crate::base::{Labels, Millis, stale_nan};

use super::engine::Engine;
use super::group::RuleWork;
use super::interner::{Interner, LabelId};
use super::options::{Output, RuleResult, RuleValue};
use super::template_query::TemplateQueries;
use super::value::{EvalError, Vector};
use super::writer::Places;

/// Annotation of alerts that says why; a rule's own annotation of this name stands.
pub(super) const EXPLANATION: &str = "explanation";

impl Engine {
    /// Applies the results of some rules of a group, in order. A rule that fails leaves its state as it was.
    pub(super) fn apply(&mut self, group: usize, rules: Range<usize>, t: Millis, out: &mut Output) {
        for rule in rules {
            out.evaluations += 1;
            let result = self.apply_one(group, rule, t, out);
            if result.is_err() {
                out.failures += 1;
            }
            let state = &mut self.groups[group].rules[rule];
            state.last_error = result.err().map(|e| e.to_string());
            if !state.remarking.is_empty() {
                let remarks = self.remarks(&self.groups[group].rules[rule].remarking, t);
                self.groups[group].rules[rule].remarks = remarks;
            }
        }
    }

    fn apply_one(&mut self, group: usize, rule: usize, t: Millis, out: &mut Output) -> Result<(), EvalError> {
        let interval = self.groups[group].schedule.interval;
        let state = &mut self.groups[group].rules[rule];
        let vector = self.coordinator.result(state.root);
        if self.options.collect_results {
            let is_scalar = self.plan.nodes[state.root].is_scalar;
            let interner = &self.coordinator.evaluator.store.interner;
            let value = vector.as_ref().map(|v| rule_value(v, is_scalar, interner)).map_err(Clone::clone);
            out.results.push(RuleResult { group, rule, t, value });
        }
        let vector = match vector {
            Ok(vector) => vector,
            Err(error) => {
                self.keep_texts(group, rule, t);
                return Err(error);
            }
        };
        // Prometheus looks at samples, and records, `query_offset` before the instant that it calls the evaluation's.
        let evaluated_at = t + self.groups[group].schedule.query_offset;
        let state = &mut self.groups[group].rules[rule];
        let interner = &mut self.coordinator.evaluator.store.interner;
        match &mut state.kind {
            RuleWork::Record(recording) => {
                let samples = recording.step(&vector, interner)?;
                self.write(&samples, t, out);
                Ok(())
            }
            RuleWork::Alert(machine) => {
                let elements: Vec<(LabelId, f64)> = vector.iter().collect();
                let (options, plan, shards) = (&self.options, &self.plan, &self.shards);
                let queries = TemplateQueries::new(options, plan, shards, &state.retained, t, interval);
                let context = context(options, &queries);
                let mut given = AlertOutput::default();
                let interner = &*interner;
                let labels_of = |id: LabelId| interner.labels(id);
                let stepped = machine.step(evaluated_at, &elements, &labels_of, &context, &mut given);
                let samples: Vec<(Labels, f64)> = machine
                    .samples()
                    .map(|s| (s.labels.clone(), s.value))
                    .chain(given.ended.into_iter().map(|ended| (ended.labels, stale_nan())))
                    .collect();
                if self.options.explain_alerts {
                    self.explain_alerts(group, rule, &mut given.transitions);
                }
                out.transitions.append(&mut given.transitions);
                if self.writer.collects() || self.alerts_are_read {
                    self.write_labelled(samples, t, out);
                }
                stepped.map_err(|e| {
                    self.keep_texts(group, rule, t);
                    EvalError::Alert(e.to_string())
                })
            }
        }
    }

    /// The rule fails: its alerts stay, but what their texts ask for is soon kept no more.
    fn keep_texts(&mut self, group: usize, rule: usize, t: Millis) {
        let interval = self.groups[group].schedule.interval;
        let state = &mut self.groups[group].rules[rule];
        let queries = TemplateQueries::new(&self.options, &self.plan, &self.shards, &state.retained, t, interval);
        match &mut state.kind {
            RuleWork::Alert(machine) if !machine.rule().queries().is_empty() => {
                machine.keep_texts(&context(&self.options, &queries));
            }
            _ => {}
        }
    }

    /// Adds to alerts of rules with models why they are told of; ended ones keep what was said of them last.
    fn explain_alerts(&mut self, group: usize, rule: usize, transitions: &mut [Transition]) {
        for transition in transitions {
            let state = &self.groups[group].rules[rule];
            let RuleWork::Alert(machine) = &state.kind else { return };
            if state.asked.is_empty() || transition.annotations.iter().any(|(name, _)| name == EXPLANATION) {
                continue;
            }
            let key = transition.labels.as_ref().key();
            let holds = transition.to != AlertState::Inactive && transition.reason != Reason::KeptFiring;
            let element = machine.element_of(&transition.labels).filter(|_| holds);
            let text = element.and_then(|element| self.explain_element(&state.asked, element)).map(|m| m.to_string());
            let explained = &mut self.groups[group].rules[rule].explained;
            let text = match transition.to {
                AlertState::Inactive => explained.remove(&key),
                _ => text.or_else(|| explained.get(&key).cloned()),
            };
            let Some(text) = text else { continue };
            if transition.to != AlertState::Inactive {
                explained.insert(key, text.clone());
            }
            transition.annotations.push((EXPLANATION.to_owned(), text));
        }
    }

    /// Records samples of label sets of the coordinator.
    pub(super) fn write(&mut self, samples: &[(LabelId, f64)], t: Millis, out: &mut Output) {
        let mut places = Places {
            plan: &self.plan,
            index: &self.index,
            directory: &mut self.directory,
            shards: &mut self.shards,
            limit: self.options.limits.series,
        };
        let interner = &self.coordinator.evaluator.store.interner;
        let first = out.recorded.len();
        for &(id, v) in samples {
            self.writer.write(&mut places, interner, id, t, v, out);
        }
        // Elements come in the order of shards and rows, which must not show.
        out.recorded[first..].sort_by(|a, b| a.labels.cmp(&b.labels));
    }

    /// Records samples of series given by their labels.
    pub(super) fn write_labelled(&mut self, samples: Vec<(Labels, f64)>, t: Millis, out: &mut Output) {
        if samples.is_empty() {
            return;
        }
        let interner = &mut self.coordinator.evaluator.store.interner;
        let samples: Vec<(LabelId, f64)> =
            samples.into_iter().map(|(labels, v)| (interner.intern(labels.as_ref()), v)).collect();
        self.write(&samples, t, out);
    }

    /// Label sets of the coordinator that rules hold on to.
    pub(super) fn pinned(&self) -> Vec<LabelId> {
        let rules = self.groups.iter().flat_map(|g| &g.rules);
        rules
            .filter_map(|rule| match &rule.kind {
                RuleWork::Record(recording) => Some(recording.pinned()),
                RuleWork::Alert(_) => None,
            })
            .flatten()
            .copied()
            .collect()
    }

    /// The coordinator's label sets have new ids.
    pub(super) fn renumber(&mut self, remap: &[LabelId]) {
        self.writer.forget();
        for rule in self.groups.iter_mut().flat_map(|g| &mut g.rules) {
            match &mut rule.kind {
                RuleWork::Record(recording) => recording.renumber(remap),
                RuleWork::Alert(machine) => {
                    machine.remap(&|id| remap.get(id as usize).copied().filter(|&new| new != super::interner::UNKNOWN))
                }
            }
        }
    }
}

/// A result as it is handed out.
fn rule_value(vector: &Vector, is_scalar: bool, interner: &Interner) -> RuleValue {
    if is_scalar {
        return RuleValue::Scalar(vector.values.first().copied().unwrap_or(f64::NAN));
    }
    let mut elements: Vec<(Labels, f64)> = vector.iter().map(|(id, v)| (interner.labels(id), v)).collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    RuleValue::Vector(elements)
}

/// What alerts are evaluated with.
pub(super) fn context<'a>(options: &'a super::EngineOptions, queries: &'a dyn Queries) -> AlertContext<'a> {
    AlertContext {
        external_labels: &options.external_labels,
        external_url: &options.external_url,
        resend_delay: options.resend_delay,
        template_bytes: options.limits.template_bytes,
        queries,
        template_queries: options.limits.template_queries,
    }
}
