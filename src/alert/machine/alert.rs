//! One alert and the rules by which it changes; Prometheus' `rules/alerting.go`, `Eval` and `needsSending`. Knows nothing of
//! other alerts of its rule.

use std::sync::OnceLock;

use super::series::AlertSeriesPair;
use crate::alert::rule::Evaluated;
use crate::alert::{AlertContext, AlertSettings, AlertState, AlertingRule, Reason};
use crate::base::{Labels, Millis};

/// How long a resolved alert is kept, and sent again, so that an Alertmanager that was away learns of it.
const RESOLVED_RETENTION: Millis = 15 * 60 * 1000;

/// An alert: pending, firing, or resolved and kept.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    /// Its own labels, which are its identity.
    pub labels: Labels,
    /// [`crate::base::LabelsRef::key`] of `labels`.
    pub key: u128,
    /// Labels of the element it was last seen with, for templates.
    pub element: Labels,
    /// The element that `element` was taken from, unless that is gone.
    pub source: Option<u32>,
    /// Elements known to give this alert, where labels do not vary.
    pub ids: Vec<u32>,
    pub state: AlertState,
    /// The state when the last step ended; what a transition starts from.
    pub reported: AlertState,
    /// The expression's value when it last held.
    pub value: f64,
    /// When the expression last held.
    pub evaluated_at: Millis,
    pub active_at: Millis,
    pub fired_at: Option<Millis>,
    pub resolved_at: Option<Millis>,
    /// When it was last handed to the sinks.
    pub sent_at: Option<Millis>,
    pub keep_firing_since: Option<Millis>,
    /// The step in which it was last in the vector.
    pub seen_in: u64,
    /// Annotations as they were when the expression last held; none while it holds. What they have asked for may have changed
    /// since, and is not kept for long. Also those of before a reload, until the expression holds again.
    pub text: Option<Vec<(String, String)>>,
    /// Annotations that query, as they have been shown since the expression last held. What is sent does not depend on
    /// whether somebody looked.
    pub shown: OnceLock<Vec<(String, String)>>,
    /// Whether it is to be forgotten when the step ends.
    pub gone: bool,
    /// Its series while pending or firing.
    pub series: Option<AlertSeriesPair>,
}

impl Alert {
    /// An alert that nothing is known of but its labels and element.
    pub fn new(labels: Labels, element: Labels, source: u32) -> Self {
        Self {
            key: labels.as_ref().key(),
            labels,
            element,
            source: Some(source),
            ids: Vec::new(),
            state: AlertState::Inactive,
            reported: AlertState::Inactive,
            value: 0.0,
            evaluated_at: 0,
            active_at: 0,
            fired_at: None,
            resolved_at: None,
            sent_at: None,
            keep_firing_since: None,
            seen_in: 0,
            text: None,
            shown: OnceLock::new(),
            gone: false,
            series: None,
        }
    }

    /// The expression holds at `t`. An alert that was inactive begins anew.
    pub fn observe(&mut self, t: Millis, value: f64) {
        if self.state == AlertState::Inactive {
            self.state = AlertState::Pending;
            self.active_at = t;
            self.fired_at = None;
            self.resolved_at = None;
            self.sent_at = None;
            self.keep_firing_since = None;
        }
        self.value = value;
        self.evaluated_at = t;
        self.text = None;
        self.shown = OnceLock::new();
    }

    /// The annotations, expanded, as seen at `t`.
    pub fn annotations(&mut self, rule: &AlertingRule, t: Millis, context: &AlertContext<'_>) -> Vec<(String, String)> {
        let text = self.text.take().unwrap_or_else(|| rule.expand_annotations(self.evaluated(), context));
        if !rule.queries().is_empty() {
            if self.evaluated_at < t {
                self.text = Some(text.clone());
            } else {
                self.shown = OnceLock::from(text.clone());
            }
        }
        text
    }

    /// The annotations, expanded, to be shown. Queries are asked once for each time that the expression holds.
    pub fn shown(&self, rule: &AlertingRule, context: &AlertContext<'_>) -> Vec<(String, String)> {
        let expand = || rule.expand_annotations(self.evaluated(), context);
        match &self.text {
            Some(text) => text.clone(),
            None if rule.queries().is_empty() => expand(),
            None => self.shown.get_or_init(expand).clone(),
        }
    }

    /// Holds the text as it is until the expression holds again.
    pub fn keep_text(&mut self, rule: &AlertingRule, context: &AlertContext<'_>) {
        if self.text.is_none() {
            self.text = Some(rule.expand_annotations(self.evaluated(), context));
        }
    }

    /// Moves the alert on, having been observed or not.
    pub fn advance(&mut self, t: Millis, present: bool, settings: &AlertSettings) {
        if present {
            self.keep_firing_since = None;
            if self.state == AlertState::Pending && t - self.active_at >= settings.hold {
                self.state = AlertState::Firing;
                self.fired_at = Some(t);
            }
            return;
        }
        match self.state {
            AlertState::Pending => {
                self.state = AlertState::Inactive;
                self.resolved_at = Some(t);
                self.gone = true;
            }
            AlertState::Firing => {
                if !self.keeps_firing(t, settings.keep_firing) {
                    self.state = AlertState::Inactive;
                    self.resolved_at = Some(t);
                }
            }
            AlertState::Inactive => self.gone = self.resolved_at.is_some_and(|at| t - at > RESOLVED_RETENTION),
        }
    }

    /// What happened since the last step; a repetition aside.
    pub fn change(&self, t: Millis) -> Option<Reason> {
        match (self.reported, self.state) {
            (_, AlertState::Pending) if self.reported != AlertState::Pending => Some(Reason::Began),
            (AlertState::Inactive | AlertState::Pending, AlertState::Firing) => Some(Reason::HeldLongEnough),
            (AlertState::Pending, AlertState::Inactive) => Some(Reason::ClearedWhilePending),
            (AlertState::Firing, AlertState::Inactive) => Some(Reason::Cleared),
            (AlertState::Firing, AlertState::Firing) if self.keep_firing_since == Some(t) => Some(Reason::KeptFiring),
            _ => None,
        }
    }

    /// Whether it is time to send the alert: at once when it fires or is resolved, then every `resend_delay`.
    pub fn needs_sending(&self, t: Millis, resend_delay: Millis) -> bool {
        if self.state == AlertState::Pending || self.fired_at.is_none() || self.gone {
            return false;
        }
        match self.sent_at {
            None => true,
            Some(sent) => self.resolved_at.is_some_and(|resolved| resolved > sent) || sent + resend_delay < t,
        }
    }

    /// Pending or firing.
    pub fn is_active(&self) -> bool {
        self.state != AlertState::Inactive
    }

    /// What its templates are expanded with.
    pub fn evaluated(&self) -> Evaluated<'_> {
        Evaluated { element: &self.element, value: self.value, at: self.evaluated_at }
    }

    /// Starts `keep_firing_for` with the first tick at which the expression does not hold.
    fn keeps_firing(&mut self, t: Millis, keep_firing: Millis) -> bool {
        keep_firing > 0 && t - *self.keep_firing_since.get_or_insert(t) < keep_firing
    }
}
