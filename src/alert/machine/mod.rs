//! The alerts of one rule and what becomes of them at each tick: Prometheus' `AlertingRule.Eval` and `sendAlerts`
//! (prometheus/prometheus `rules/alerting.go`, 3.x), as a pure function of state, vector and T.
//!
//! A tick costs O(elements + alerts): elements are known by the caller's ids, so that labels are built when an alert
//! begins and not at every tick. Rules whose label templates use the value are the exception; theirs are expanded each time.

mod alert;
mod registry;
mod saved;
mod series;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use self::alert::Alert;
use self::registry::Registry;
pub use self::saved::SavedAlerts;
use self::series::AlertSeriesPair;
pub use self::series::{AlertSample, EndedSeries, SeriesHandle};
use super::rule::Evaluated;
use super::{AlertContext, AlertState, AlertingRule, Reason, Transition};
use crate::base::{Labels, Millis};

/// The state machine of a rule.
#[derive(Clone, Debug)]
pub struct AlertMachine {
    rule: AlertingRule,
    alerts: Registry,
    /// Counts the steps, to know which alerts are in the vector of this one.
    steps: u64,
    /// Counts the series begun.
    series: u64,
    /// Slot of each element of the vector; kept for its memory.
    slots: Vec<u32>,
    fresh: Vec<u32>,
}

/// What a step gives. The machine appends, so that one of these serves many rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertOutput {
    /// Sorted by labels within a step.
    pub transitions: Vec<Transition>,
    /// Series of `ALERTS` and `ALERTS_FOR_STATE` that ended with this step.
    pub ended: Vec<EndedSeries>,
}

/// Why a vector gives no alerts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// Two elements would be one alert. Alerts stay as they were and nothing is sent.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateLabels,
    /// All alerts of the rule have been given up; those that fired have been resolved.
    #[error("exceeded limit of {limit} with {count} alerts")]
    OverLimit {
        /// The group's limit.
        limit: usize,
        /// Alerts, pending and firing.
        count: usize,
    },
}

/// An alert as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveAlert<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Its annotations, expanded, in the order of the file.
    pub annotations: Vec<(String, String)>,
    /// Pending or firing.
    pub state: AlertState,
    /// When the expression began to hold.
    pub active_at: Millis,
    /// When the expression stopped holding, while `keep_firing_for` keeps the alert.
    pub keep_firing_since: Option<Millis>,
    /// The expression's value when it last held.
    pub value: f64,
}

impl AlertMachine {
    /// A machine without alerts.
    #[must_use]
    pub fn new(rule: AlertingRule) -> Self {
        let (slots, fresh) = (Vec::new(), Vec::new());
        Self { rule, alerts: Registry::default(), steps: 0, series: 0, slots, fresh }
    }

    /// Its rule.
    #[must_use]
    pub fn rule(&self) -> &AlertingRule {
        &self.rule
    }

    /// Evaluates a tick. `elements` are the expression's result, each with an id that names the same labels at every tick
    /// (until [`Self::remap`]); `labels_of` gives those labels and is asked for new elements only. Where the expression
    /// failed there is no vector and this must not be called: the alerts then stay as they are, as in Prometheus.
    ///
    /// # Errors
    /// See [`AlertError`]. On an error only what it says goes to `out`.
    pub fn step(
        &mut self,
        t: Millis,
        elements: &[(u32, f64)],
        labels_of: &dyn Fn(u32) -> Labels,
        context: &AlertContext<'_>,
        out: &mut AlertOutput,
    ) -> Result<(), AlertError> {
        self.steps += 1;
        self.find(t, elements, labels_of, context)?;
        self.alerts.admit(&self.fresh);
        for (slot, (id, value)) in self.slots.iter().zip(elements) {
            if let Some(alert) = self.alerts.get_mut(*slot) {
                if alert.source != Some(*id) {
                    alert.element = labels_of(*id);
                    alert.source = Some(*id);
                }
                alert.observe(t, *value);
            }
        }
        let settings = *self.rule.settings();
        let mut count = 0;
        self.alerts.for_each(|alert| {
            alert.advance(t, alert.seen_in == self.steps, &settings);
            count += usize::from(alert.is_active());
        });
        if settings.limit > 0 && count > settings.limit {
            self.give_up(t, Reason::OverLimit, context, out);
            return Err(AlertError::OverLimit { limit: settings.limit, count });
        }
        self.emit(t, context, out);
        self.alerts.sweep();
        Ok(())
    }

    /// The samples of `ALERTS` and `ALERTS_FOR_STATE` at the tick that was stepped last, sorted by the alerts' labels.
    pub fn samples(&self) -> impl Iterator<Item = AlertSample<'_>> {
        self.alerts.iter().filter_map(|alert| alert.series.as_ref().map(|pair| pair.samples(alert.active_at))).flatten()
    }

    /// Pending and firing alerts, sorted by labels. Annotations are expanded now, those that query once for each tick.
    #[must_use]
    pub fn active(&self, context: &AlertContext<'_>) -> Vec<ActiveAlert<'_>> {
        self.alerts
            .iter()
            .filter(|alert| alert.is_active())
            .map(|alert| ActiveAlert {
                labels: &alert.labels,
                annotations: alert.shown(&self.rule, context),
                state: alert.state,
                active_at: alert.active_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value,
            })
            .collect()
    }

    /// The element that an alert was last seen with; None if there is no such alert.
    #[must_use]
    pub fn element_of(&self, alert: &Labels) -> Option<&Labels> {
        let slot = self.alerts.of_key(alert.as_ref().key())?;
        Some(&self.alerts.get(slot)?.element)
    }

    /// Whether no alert is known, not even one that has just been resolved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.iter().next().is_none()
    }

    /// The rule's state: that of its most active alert.
    #[must_use]
    pub fn state(&self) -> AlertState {
        let mut state = AlertState::Inactive;
        for alert in self.alerts.iter() {
            match alert.state {
                AlertState::Firing => return AlertState::Firing,
                AlertState::Pending => state = AlertState::Pending,
                AlertState::Inactive => {}
            }
        }
        state
    }

    /// Tells the machine that elements have new ids; `None` says that an element is gone for good and its id may be given
    /// to another. Alerts are not touched: an alert whose element is gone is still found by its labels.
    pub fn remap(&mut self, new_id: &dyn Fn(u32) -> Option<u32>) {
        self.alerts.remap(new_id);
    }

    /// Goes on with another version of the rule, alerts and timers kept, as Prometheus does at a reload. It must be
    /// [`AlertingRule::same_identity`]; the ids of elements are forgotten, since the expression may have changed. Texts that
    /// are kept stay, where new ones would have to query the past.
    pub fn change_rule(&mut self, rule: AlertingRule) {
        if !self.rule.same_texts(&rule) {
            let queries = !rule.queries().is_empty();
            self.alerts.for_each(|alert| {
                // Without queries the new text can be made of what is known.
                alert.text = alert.text.take().filter(|_| queries);
                alert.shown = OnceLock::new();
            });
        }
        self.rule = rule;
        self.alerts.remap(|_| None);
    }

    /// Holds the annotations of all alerts as they are until the expression holds again. To be called while what they query
    /// can still be asked: when the expression has failed, and before a change of the rule's annotations.
    pub fn keep_texts(&mut self, context: &AlertContext<'_>) {
        let rule = &self.rule;
        self.alerts.for_each(|alert| alert.keep_text(rule, context));
    }

    /// The rule is gone. Alerts that had fired are resolved, with their sinks told at once; Prometheus says nothing and lets
    /// them expire at `ends_at`.
    pub fn remove(mut self, t: Millis, context: &AlertContext<'_>, out: &mut AlertOutput) {
        self.give_up(t, Reason::RuleRemoved, context, out);
    }

    /// Finds the slot of every element, with new alerts for those that have none. Leaves nothing behind if it fails.
    fn find(
        &mut self,
        t: Millis,
        elements: &[(u32, f64)],
        labels_of: &dyn Fn(u32) -> Labels,
        context: &AlertContext<'_>,
    ) -> Result<(), AlertError> {
        self.slots.clear();
        self.fresh.clear();
        for &(id, value) in elements {
            let known = if self.rule.labels_vary() { None } else { self.alerts.of_id(id) };
            let slot = match known {
                Some(slot) => slot,
                None => self.find_by_labels(t, id, value, labels_of(id), context),
            };
            let seen_in = self.alerts.get_mut(slot).map(|alert| std::mem::replace(&mut alert.seen_in, self.steps));
            if seen_in == Some(self.steps) {
                for slot in self.fresh.drain(..) {
                    self.alerts.discard(slot);
                }
                return Err(AlertError::DuplicateLabels);
            }
            self.slots.push(slot);
        }
        Ok(())
    }

    fn find_by_labels(&mut self, t: Millis, id: u32, value: f64, element: Labels, context: &AlertContext<'_>) -> u32 {
        let labels = self.rule.alert_labels(Evaluated { element: &element, value, at: t }, context);
        let slot = self.alerts.of_key(labels.as_ref().key()).unwrap_or_else(|| {
            let slot = self.alerts.insert(Alert::new(labels, element, id));
            self.fresh.push(slot);
            slot
        });
        if !self.rule.labels_vary() {
            self.alerts.link(id, slot);
        }
        slot
    }

    /// Hands out what happened in this step.
    fn emit(&mut self, t: Millis, context: &AlertContext<'_>, out: &mut AlertOutput) {
        let rule = &self.rule;
        let series = &mut self.series;
        self.alerts.for_each(|alert| {
            let change = alert.change(t);
            let due = alert.needs_sending(t, context.resend_delay);
            if due {
                alert.sent_at = Some(t);
            }
            if let Some(reason) = change {
                out.transitions.push(transition(rule, alert, t, reason, context));
            }
            if due && matches!(change, None | Some(Reason::KeptFiring)) {
                out.transitions.push(transition(rule, alert, t, Reason::Resent, context));
            }
            alert.reported = alert.state;
            AlertSeriesPair::update(&mut alert.series, alert.labels.as_ref(), alert.state, series, &mut out.ended);
        });
    }

    /// Ends all alerts. Those that this very step has ended keep their own reason; those that it began are not mentioned.
    fn give_up(&mut self, t: Millis, reason: Reason, context: &AlertContext<'_>, out: &mut AlertOutput) {
        let rule = &self.rule;
        let series = &mut self.series;
        self.alerts.for_each(|alert| {
            let own = if alert.is_active() { None } else { alert.change(t) };
            if alert.reported != AlertState::Firing {
                alert.fired_at = None;
            }
            alert.state = AlertState::Inactive;
            alert.resolved_at = Some(t);
            if alert.reported != AlertState::Inactive {
                out.transitions.push(transition(rule, alert, t, own.unwrap_or(reason), context));
            }
            AlertSeriesPair::update(&mut alert.series, alert.labels.as_ref(), alert.state, series, &mut out.ended);
        });
        self.alerts = Registry::default();
    }
}

fn transition(
    rule: &AlertingRule,
    alert: &mut Alert,
    t: Millis,
    reason: Reason,
    context: &AlertContext<'_>,
) -> Transition {
    // Receivers may miss two evaluations, or two sends, before they give the alert up.
    let patience = 4 * rule.settings().interval.max(context.resend_delay);
    Transition {
        at: t,
        rule: rule.reference().clone(),
        labels: alert.labels.clone(),
        annotations: alert.annotations(rule, t, context),
        from: alert.reported,
        to: alert.state,
        reason,
        value: alert.value,
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        resolved_at: alert.resolved_at,
        // Resolved: when it ended. Kept firing: as it was last sent.
        ends_at: alert.resolved_at.unwrap_or_else(|| match reason {
            Reason::KeptFiring => alert.sent_at.unwrap_or(t) + patience,
            _ => t + patience,
        }),
    }
}
