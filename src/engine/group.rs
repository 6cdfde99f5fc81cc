//! A rule group at work: its rules' states, and the stages in which its ticks are evaluated.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::alert::{AlertMachine, AlertSettings, AlertingRule, RuleRef};
use crate::base::Millis;
use crate::promql::{LeafId, NodeId, Plan, Schedule, Site};
use crate::rules::{Rule, RuleGroup, RuleKind};

use super::annotations::{Remarking, Remarks};
use super::explain::{Asked, asked_below};
use super::options::EngineOptions;
use super::recording::Recording;
use super::task::{Stage, can_see};
use super::template_query::retain;

/// A group.
#[derive(Debug)]
pub struct Group {
    /// As loaded.
    pub spec: Arc<RuleGroup>,
    /// When it is evaluated.
    pub schedule: Schedule,
    /// The instant to be evaluated next, once the group has begun.
    pub next: Option<Millis>,
    /// The instant evaluated last.
    pub last: Option<Millis>,
    /// When it was due: `query_offset` later, of the schedule of then.
    pub last_due: Option<Millis>,
    /// How long that took, by the host's stopwatch.
    pub took: Duration,
    /// Rules in order.
    pub rules: Vec<RuleState>,
    /// Stages in order, each with the rules that end it.
    pub stages: Vec<(Stage, std::ops::Range<usize>)>,
}

/// A rule at work.
#[derive(Debug)]
pub struct RuleState {
    /// The node whose value is the expression's.
    pub root: NodeId,
    /// What becomes of it.
    pub kind: RuleWork,
    /// Leaves that keep samples for the queries of its templates.
    pub retained: Vec<LeafId>,
    /// Why the last evaluation failed.
    pub last_error: Option<String>,
    /// How long its stage took, which it shares with the rules beside it.
    pub took: Duration,
    /// The nodes of the expression that may remark something; few have any.
    pub(super) remarking: Vec<Remarking>,
    /// What they remarked at the last evaluation.
    pub remarks: Remarks,
    /// What it asks of its models.
    pub asked: Vec<Asked>,
    /// Why each alert was pending or firing when it was last told of, by the key of its labels.
    pub explained: HashMap<u128, String>,
}

/// What a rule does with its result.
#[derive(Debug)]
pub enum RuleWork {
    /// Records it.
    Record(Box<Recording>),
    /// Drives alerts with it.
    Alert(Box<AlertMachine>),
}

/// The schedule of a group.
#[must_use]
pub fn schedule_of(group: &RuleGroup, options: &EngineOptions) -> Schedule {
    Schedule {
        interval: group.interval.unwrap_or(options.evaluation_interval).max(1),
        query_offset: group.query_offset.unwrap_or(options.query_offset).max(0),
    }
}

impl Group {
    /// A group over the nodes of its rules' expressions.
    ///
    /// # Errors
    /// A template that does not parse.
    pub fn new(
        spec: &Arc<RuleGroup>,
        plan: &Plan,
        planned: Vec<(NodeId, Vec<Site>)>,
        options: &EngineOptions,
    ) -> Result<Self, super::LoadError> {
        let schedule = schedule_of(spec, options);
        let mut rules = Vec::new();
        let roots: Vec<NodeId> = planned.iter().map(|(root, _)| *root).collect();
        for (rule, (root, sites)) in spec.rules.iter().zip(planned) {
            let (kind, remarking) = (work(spec, rule, schedule)?, Remarking::of(plan, root, sites));
            rules.push(RuleState {
                root,
                kind,
                retained: vec![],
                last_error: None,
                took: Duration::ZERO,
                remarking,
                remarks: Remarks::default(),
                asked: asked_below(plan, root),
                explained: HashMap::new(),
            });
        }
        let stages = stages(plan, spec, &roots);
        Ok(Self {
            spec: Arc::clone(spec),
            schedule,
            next: None,
            last: None,
            last_due: None,
            took: Duration::ZERO,
            rules,
            stages,
        })
    }

    /// Plans what the queries of its rules' templates read.
    pub fn retain(&mut self, plan: &mut Plan, options: &EngineOptions) {
        for rule in &mut self.rules {
            if let RuleWork::Alert(machine) = &rule.kind {
                rule.retained = retain(plan, machine.rule().queries(), self.schedule, options);
            }
        }
    }

    /// Takes over what an earlier version of the group knows: timers and alerts of rules that are still there. Rules that
    /// are not stay in `old`.
    pub fn inherit(&mut self, old: &mut Self) {
        if self.schedule == old.schedule {
            self.next = old.next;
        }
        (self.last, self.last_due) = (old.last, old.last_due);
        for (rule, spec) in self.rules.iter_mut().zip(&self.spec.rules) {
            let twin =
                old.rules.iter().zip(&old.spec.rules).position(|(other, other_spec)| match (&rule.kind, &other.kind) {
                    (RuleWork::Alert(new), RuleWork::Alert(old)) => new.rule().same_identity(old.rule()),
                    (RuleWork::Record(_), RuleWork::Record(_)) => {
                        other_spec.name == spec.name && other_spec.labels == spec.labels
                    }
                    _ => false,
                });
            let Some(twin) = twin else { continue };
            let other = old.rules.remove(twin);
            Arc::make_mut(&mut old.spec).rules.remove(twin);
            match (&mut rule.kind, other.kind) {
                (RuleWork::Alert(new), RuleWork::Alert(mut machine)) => {
                    machine.change_rule(new.rule().clone());
                    *new = machine;
                    rule.explained = other.explained;
                }
                (RuleWork::Record(new), RuleWork::Record(recording)) => new.inherit(*recording),
                _ => {}
            }
        }
    }

    /// Whether an empty result would change nothing: no alert is known and nothing was recorded.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.rules.iter().all(|rule| match &rule.kind {
            RuleWork::Record(recording) => recording.pinned().is_empty(),
            RuleWork::Alert(machine) => machine.is_empty(),
        })
    }

    /// Has been evaluated at an instant.
    pub fn evaluated(&mut self, t: Millis) {
        self.last = Some(t);
        self.last_due = Some(t + self.schedule.query_offset);
        self.next = Some(t + self.schedule.interval);
    }

    /// Passes over its next so many instants, at which nothing could come of its rules; gives the evaluations spared.
    pub fn pass(&mut self, instants: i64) -> u64 {
        if let Some(next) = self.next.filter(|_| instants > 0) {
            self.evaluated(next + (instants - 1) * self.schedule.interval);
            for rule in &mut self.rules {
                (rule.last_error, rule.took, rule.remarks) = (None, Duration::ZERO, Remarks::default());
            }
        }
        instants.unsigned_abs() * self.rules.len() as u64
    }

    /// Begins: the first instant after `t` that lies `query_offset` before a multiple of the interval from `epoch`. The group
    /// is due at that multiple, as in Prometheus. A group whose schedule has changed goes on with the first that is due after `t`
    /// and later than the last one evaluated: windows never go back.
    pub fn begin(&mut self, t: Millis, epoch: Millis) {
        let origin = epoch - self.schedule.query_offset;
        let t = self.last.map_or(t, |last| last.max(t.saturating_sub(self.schedule.query_offset)));
        self.next.get_or_insert_with(|| first_after(t.saturating_sub(origin), self.schedule.interval) + origin);
    }
}

/// The first multiple of `interval` after `t`.
#[must_use]
pub fn first_after(t: Millis, interval: Millis) -> Millis {
    t.div_euclid(interval).saturating_add(1).saturating_mul(interval)
}

/// Names that a rule's evaluation adds samples to.
#[must_use]
pub fn recorded_names(rule: &Rule) -> Vec<String> {
    match rule.kind {
        RuleKind::Record => vec![rule.name.clone()],
        RuleKind::Alert { .. } => vec!["ALERTS".to_owned(), "ALERTS_FOR_STATE".to_owned()],
    }
}

fn work(group: &RuleGroup, rule: &Rule, schedule: Schedule) -> Result<RuleWork, super::LoadError> {
    let RuleKind::Alert { hold, keep_firing, annotations } = &rule.kind else {
        return Ok(RuleWork::Record(Box::new(Recording::new(&rule.name, &rule.labels, group.limit))));
    };
    let reference = Arc::new(RuleRef {
        file: group.file.clone(),
        group: group.name.clone(),
        alert: rule.name.clone(),
        expr: rule.expr.clone(),
    });
    let settings =
        AlertSettings { hold: *hold, keep_firing: *keep_firing, interval: schedule.interval, limit: group.limit };
    let parsed = AlertingRule::new(reference, settings, &rule.labels, annotations)
        .map_err(|e| super::LoadError::new(group, rule, e.to_string()))?;
    Ok(RuleWork::Alert(Box::new(AlertMachine::new(parsed))))
}

/// Cuts a group where a rule can see what an earlier one has just recorded.
fn stages(plan: &Plan, group: &RuleGroup, roots: &[NodeId]) -> Vec<(Stage, std::ops::Range<usize>)> {
    let mut stages = Vec::new();
    let mut start = 0;
    let mut recorded = BTreeSet::new();
    for (i, rule) in group.rules.iter().enumerate() {
        if can_see(plan, roots[i], &recorded) {
            stages.push((Stage::for_roots(plan, &roots[start..i]), start..i));
            start = i;
            recorded.clear();
        }
        recorded.extend(recorded_names(rule));
    }
    if start < group.rules.len() {
        stages.push((Stage::for_roots(plan, &roots[start..]), start..group.rules.len()));
    }
    stages
}
