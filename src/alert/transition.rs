//! What leaves the engine about alerts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Labels, Millis};

/// State of an alert, as Prometheus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The expression does not hold (any more).
    Inactive,
    /// It holds, but not yet for `for`.
    Pending,
    /// It has held for `for`.
    Firing,
}

/// Why a transition happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The expression began to hold and the rule has a `for`.
    Began,
    /// The expression has held for `for` (or the rule has none).
    HeldLongEnough,
    /// The expression stopped holding before `for` was over; nobody was told of the alert.
    ClearedWhilePending,
    /// The expression stopped holding, and `keep_firing_for` is over.
    Cleared,
    /// The expression stopped holding, but `keep_firing_for` keeps the alert firing.
    KeptFiring,
    /// Nothing changed; the alert is sent again so that its receivers do not let it expire.
    Resent,
    /// The rule was removed or changed while the alert was active.
    RuleRemoved,
    /// The rule gave more alerts than its group's `limit`.
    OverLimit,
}

/// The rule that a transition comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RuleRef {
    /// Rule file, as the configuration names it.
    pub file: String,
    /// Group's name.
    pub group: String,
    /// The alert's name.
    pub alert: String,
    /// The expression as written.
    pub expr: String,
}

/// A change of one alert, or its repetition. Equal inputs give equal bytes when serialised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transition {
    /// The tick at which it happened.
    pub at: Millis,
    /// The rule.
    pub rule: Arc<RuleRef>,
    /// The alert's labels, `alertname` among them, external labels not.
    pub labels: Labels,
    /// Expanded annotations, in the order of the file.
    #[serde(serialize_with = "serialize_pairs")]
    pub annotations: Vec<(String, String)>,
    /// State before.
    pub from: AlertState,
    /// State after.
    pub to: AlertState,
    /// Why.
    pub reason: Reason,
    /// Value of the expression when it last held.
    #[serde(serialize_with = "serialize_value")]
    pub value: f64,
    /// When the expression began to hold.
    pub active_at: Millis,
    /// When the alert began to fire; Alertmanager's `startsAt`. None while pending.
    pub fired_at: Option<Millis>,
    /// When it was resolved.
    pub resolved_at: Option<Millis>,
    /// Alertmanager's `endsAt`: for a resolved alert when it ended, else when receivers may give it up unless it is sent again.
    pub ends_at: Millis,
}

impl Transition {
    /// Whether receivers are told: firing, resolved after firing, or a repetition of either.
    #[must_use]
    pub fn is_notified(&self) -> bool {
        self.fired_at.is_some() && self.reason != Reason::KeptFiring
    }
}

/// As an object, in order.
fn serialize_pairs<S: serde::Serializer>(pairs: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, text)| (name, text)))
}

/// As Prometheus' API writes a sample value: a string, since JSON has no NaN or infinities.
fn serialize_value<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&crate::base::format_value(*value))
}
