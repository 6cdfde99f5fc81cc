//! Loading rules: a new plan, and what is kept of the old one.

use std::collections::BTreeSet;

use crate::alert::AlertOutput;
use crate::base::{Labels, Millis, stale_nan};
use crate::promql::{Asked, NodeId, Op, Plan, PlanOptions, Planner, Schedule, Site, parse, sites};
use crate::rules::{Position, Rule, RuleGroup, RuleSet};

use super::annotations::Remarking;
use super::apply::context;
use super::directory::SelectorIndex;
use super::engine::{Engine, FeedWork};
use super::group::{Group, RuleWork, recorded_names, schedule_of};
use super::options::{Output, Profiles};
use super::query::{Query, QuerySpec};
use super::task::volatile_nodes;
use super::template_query::TemplateQueries;

/// A rule that cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}:{}: group {group:?}, rule {rule:?}: {message}", position.line, position.column)]
pub struct LoadError {
    /// File.
    pub file: String,
    /// Group.
    pub group: String,
    /// Rule; for a query, its expression, and file and group are empty.
    pub rule: String,
    /// Where the rule stands.
    pub position: Position,
    /// What is wrong.
    pub message: String,
}

impl LoadError {
    pub(super) fn new(group: &RuleGroup, rule: &Rule, message: String) -> Self {
        Self {
            file: group.file.clone(),
            group: group.name.clone(),
            rule: rule.name.clone(),
            position: rule.position,
            message,
        }
    }

    fn of_query(expr: &str, message: String) -> Self {
        let position = Position { line: 1, column: 1 };
        Self { file: String::new(), group: String::new(), rule: expr.to_owned(), position, message }
    }

    /// Whether it is about this rule of a group.
    pub(super) fn is_of(&self, group: &RuleGroup, rule: &Rule) -> bool {
        (&self.file, &self.group, &self.rule, self.position) == (&group.file, &group.name, &rule.name, rule.position)
    }

    /// Whether it is about this query.
    pub(super) fn is_of_query(&self, expr: &str) -> bool {
        self.file.is_empty() && self.group.is_empty() && self.rule == expr
    }
}

impl Engine {
    /// Puts rules in force. What the old and the new rules share goes on: windows, models, alerts and their timers. Alerts of
    /// rules that are gone are resolved; the transitions go to `out`.
    ///
    /// # Errors
    /// Every rule that cannot be loaded. The old rules then stay in force.
    pub fn load(&mut self, rules: &RuleSet, profiles: &Profiles, out: &mut Output) -> Result<(), Vec<LoadError>> {
        self.load_with_queries::<QuerySpec>(rules, &[], profiles, out)
    }

    /// Like [`Self::load`], with expressions that [`Self::query`] can then be asked for: texts, evaluated at the watermark, or
    /// [`QuerySpec`]s.
    ///
    /// # Errors
    /// Every rule and expression that cannot be loaded. The old rules then stay in force.
    pub fn load_with_queries<Q: Clone + Into<QuerySpec>>(
        &mut self,
        rules: &RuleSet,
        queries: &[Q],
        profiles: &Profiles,
        out: &mut Output,
    ) -> Result<(), Vec<LoadError>> {
        let mut plan = Plan::default();
        plan.drops_names_late = self.options.delayed_name_removal;
        let mut groups = Vec::new();
        let mut faults = Vec::new();
        let options = PlanOptions { lookback: self.options.lookback, default_step: self.options.evaluation_interval };
        for spec in &rules.groups {
            let mut planned = Vec::new();
            for rule in &spec.rules {
                match add(&mut plan, options, schedule_of(spec, &self.options), &rule.expr) {
                    Ok(root) => planned.push(root),
                    Err(message) => faults.push(LoadError::new(spec, rule, message)),
                }
            }
            if planned.len() == spec.rules.len() {
                match Group::new(spec, &plan, planned, &self.options) {
                    Ok(group) => groups.push(group),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        for (spec, group) in rules.groups.iter().zip(&groups) {
            for (rule, state) in spec.rules.iter().zip(&group.rules) {
                if let Err(message) = check_profiles(&plan, state.root, profiles) {
                    faults.push(LoadError::new(spec, rule, message));
                }
            }
        }
        let mut asked = Vec::new();
        for query in queries {
            let query: QuerySpec = query.clone().into();
            let schedule =
                Schedule { interval: self.options.evaluation_interval, query_offset: query.query_offset.max(0) };
            match ask(&mut plan, options, schedule, &query, profiles) {
                Ok(answer) => asked.push((answer, query)),
                Err(message) => faults.push(LoadError::of_query(&query.expr, message)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        groups.iter_mut().for_each(|group| group.retain(&mut plan, &self.options));
        let query = |((asked, remarking), spec)| Query::new(&plan, asked, spec, remarking);
        self.queries = asked.into_iter().map(query).collect();
        self.replace(plan, groups, profiles, out);
        Ok(())
    }

    fn replace(&mut self, plan: Plan, mut groups: Vec<Group>, profiles: &Profiles, out: &mut Output) {
        let mut old_groups = std::mem::take(&mut self.groups);
        for group in &mut groups {
            let twin = old_groups.iter_mut().find(|g| g.spec.file == group.spec.file && g.spec.name == group.spec.name);
            if let Some(twin) = twin {
                self.keep_old_texts(twin, group);
                group.inherit(twin);
            }
        }
        let ended = self.end_rules(old_groups, out);
        let old_feeds: Vec<_> =
            self.plan.feeds.iter().zip(&self.feeds).map(|(f, w)| (f.identity.clone(), w.next)).collect();
        let old = std::mem::replace(&mut self.plan, plan);
        self.profiles = profiles.clone();
        self.index = SelectorIndex::new(&self.plan);
        let (index, plan) = (&self.index, &self.plan);
        let profile = |name: &str| profiles.get(name).cloned();
        for shard in &mut self.shards {
            shard.evaluator.replan(&old, plan, &profile, |labels| index.leaves_of(plan, labels));
        }
        self.coordinator.evaluator.replan(&old, plan, &profile, |_| vec![]);
        self.feeds = (0..plan.feeds.len())
            .map(|feed| {
                let known = old_feeds.iter().find(|(identity, _)| *identity == plan.feeds[feed].identity);
                FeedWork { next: known.and_then(|(_, next)| *next), ..FeedWork::new(plan, feed) }
            })
            .collect();
        let recorded: BTreeSet<String> = groups.iter().flat_map(|g| &g.spec.rules).flat_map(recorded_names).collect();
        self.volatile = volatile_nodes(plan, &recorded);
        self.alerts_are_read = self.index.could_match(plan, &["ALERTS", "ALERTS_FOR_STATE"]);
        self.groups = groups;
        // Series unwanted before may be wanted now.
        self.directory.forget_unwanted();
        self.writer.forget();
        if let Some(t) = self.watermark {
            self.begin(t);
            for (t, samples) in ended {
                self.write_labelled(samples, t, out);
            }
        }
    }

    /// Holds the texts of alerts whose new version could not be made: what new templates query was not kept before, and with
    /// another interval the next tick may come too late for the old ones. Prometheus, too, keeps them until the next tick.
    fn keep_old_texts(&self, old: &mut Group, new: &Group) {
        let (tick, interval) = (old.last.unwrap_or_default(), old.schedule.interval);
        let same_schedule = old.schedule == new.schedule;
        for rule in &mut old.rules {
            let RuleWork::Alert(machine) = &mut rule.kind else { continue };
            let differs = new.rules.iter().any(|new| match &new.kind {
                RuleWork::Alert(new) => {
                    let same = same_schedule && new.rule().same_texts(machine.rule());
                    new.rule().same_identity(machine.rule()) && !same
                }
                RuleWork::Record(_) => false,
            });
            if differs {
                let queries =
                    TemplateQueries::new(&self.options, &self.plan, &self.shards, &rule.retained, tick, interval);
                machine.keep_texts(&context(&self.options, &queries));
            }
        }
    }

    /// Ends rules that are gone: their alerts are resolved and their series end. Gives the staleness markers of each group,
    /// right after its last tick, where there is no sample yet and none of a rule that has moved elsewhere will come.
    fn end_rules(&mut self, groups: Vec<Group>, out: &mut Output) -> Vec<(Millis, Vec<(Labels, f64)>)> {
        let Some(t) = self.watermark else { return vec![] };
        let interner = &self.coordinator.evaluator.store.interner;
        let mut markers = Vec::new();
        for group in groups {
            let mut given = AlertOutput::default();
            let mut ended = Vec::new();
            for rule in group.rules {
                match rule.kind {
                    RuleWork::Alert(machine) => {
                        let (tick, interval) = (group.last.unwrap_or(t), group.schedule.interval);
                        let (options, plan, shards) = (&self.options, &self.plan, &self.shards);
                        let queries = TemplateQueries::new(options, plan, shards, &rule.retained, tick, interval);
                        machine.remove(t, &context(options, &queries), &mut given);
                    }
                    RuleWork::Record(mut recording) => {
                        ended.extend(recording.end().into_iter().map(|(id, v)| (interner.labels(id), v)));
                    }
                }
            }
            out.transitions.append(&mut given.transitions);
            ended.extend(given.ended.into_iter().map(|e| (e.labels, stale_nan())));
            markers.extend(group.last.map(|last| (last + 1, ended)));
        }
        markers
    }
}

/// Adds an expression to a plan; gives its node, and those below it that may remark something.
fn add(plan: &mut Plan, options: PlanOptions, schedule: Schedule, text: &str) -> Result<(NodeId, Vec<Site>), String> {
    let expr = parse(text).map_err(|e| e.to_string())?;
    let root = Planner::new(plan, options, schedule).add(&expr).map_err(|e| e.to_string())?;
    Ok((root, sites(text, &expr, plan)))
}

/// Adds a query's expression to a plan.
fn ask(
    plan: &mut Plan,
    options: PlanOptions,
    schedule: Schedule,
    query: &QuerySpec,
    profiles: &Profiles,
) -> Result<(Asked, Vec<Remarking>), String> {
    let expr = parse(&query.expr).map_err(|e| e.to_string())?;
    let mut planner = Planner::new(plan, options, schedule);
    if let Some(span) = query.span {
        planner = planner.over(span);
    }
    let asked = planner.query(&expr).map_err(|e| e.to_string())?;
    let sites = sites(&query.expr, &expr, plan);
    let Asked::Value { root, .. } = asked else { return Ok((asked, vec![])) };
    check_profiles(plan, root, profiles)?;
    Ok((asked, Remarking::of(plan, root, sites)))
}

/// Whether there are all profiles that the nodes below one name.
fn check_profiles(plan: &Plan, root: NodeId, profiles: &Profiles) -> Result<(), String> {
    match unknown_profile(plan, root, profiles) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
            Err(format!("there is no profile {name:?}; there are: {}", known.join(", ")))
        }
    }
}

/// The first profile below a node that nobody has.
fn unknown_profile<'p>(plan: &'p Plan, root: usize, profiles: &Profiles) -> Option<&'p str> {
    let op = &plan.nodes[root].op;
    if let Op::Model { profile, .. } = op
        && !profiles.contains_key(profile)
    {
        return Some(profile);
    }
    op.children().into_iter().find_map(|child| unknown_profile(plan, child, profiles))
}
