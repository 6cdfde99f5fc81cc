//! What the API shows of groups, rules and alerts.

use crate::base::Labels;
use crate::rules::RuleKind;

use super::apply::{EXPLANATION, context};
use super::engine::Engine;
use super::group::{Group, RuleState, RuleWork};
use super::options::{AlertRuleView, AlertView, GroupView, RuleView};
use super::template_query::TemplateQueries;

impl Engine {
    /// All groups, in order, with their rules and active alerts.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupView> {
        self.groups.iter().map(|group| self.group_view(group)).collect()
    }

    fn group_view(&self, group: &Group) -> GroupView {
        let rules = group.rules.iter().zip(&group.spec.rules);
        GroupView {
            file: group.spec.file.clone(),
            name: group.spec.name.clone(),
            interval: group.schedule.interval,
            limit: group.spec.limit,
            last_evaluation: group.last_due,
            evaluation_time: group.took,
            rules: rules
                .map(|(state, spec)| RuleView {
                    name: spec.name.clone(),
                    expr: spec.expr.clone(),
                    labels: spec.labels.clone(),
                    last_error: state.last_error.clone(),
                    remarks: state.remarks.clone(),
                    evaluated: group.last.is_some(),
                    evaluation_time: state.took,
                    alert: self.alert_view(group, state, &spec.kind),
                })
                .collect(),
        }
    }

    fn alert_view(&self, group: &Group, state: &RuleState, kind: &RuleKind) -> Option<AlertRuleView> {
        let (RuleWork::Alert(machine), RuleKind::Alert { hold, keep_firing, annotations }) = (&state.kind, kind) else {
            return None;
        };
        let (tick, interval) = (group.last.unwrap_or_default(), group.schedule.interval);
        let queries = TemplateQueries::new(&self.options, &self.plan, &self.shards, &state.retained, tick, interval);
        let active = machine.active(&context(&self.options, &queries)).into_iter().map(|alert| AlertView {
            annotations: explained(state, alert.labels, alert.annotations),
            labels: alert.labels.clone(),
            state: alert.state,
            active_at: alert.active_at,
            keep_firing_since: alert.keep_firing_since,
            value: alert.value,
        });
        Some(AlertRuleView {
            hold: *hold,
            keep_firing: *keep_firing,
            annotations: annotations.clone(),
            state: machine.state(),
            active: active.collect(),
        })
    }
}

/// The annotations with what was said last of why.
fn explained(state: &RuleState, alert: &Labels, mut annotations: Vec<(String, String)>) -> Vec<(String, String)> {
    if let Some(text) = state.explained.get(&alert.as_ref().key()) {
        annotations.push((EXPLANATION.to_owned(), text.clone()));
    }
    annotations
}
