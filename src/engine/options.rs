//! What an engine is told once, and what it tells back.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::{AlertState, Transition};
use crate::base::{Labels, Limits, Millis, Recorded};
use crate::model::Profile;

use super::annotations::Remarks;
use super::value::EvalError;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Shards; results do not depend on it.
    pub shards: usize,
    /// How old the newest sample of a series may be before the series counts as absent.
    pub lookback: Millis,
    /// Interval of groups that give none, and step of subqueries that give none.
    pub evaluation_interval: Millis,
    /// Instant from which the groups' ticks are counted. Subqueries' steps are multiples of their step, as in Prometheus.
    pub epoch: Millis,
    /// How long groups that do not say otherwise wait for late samples.
    pub query_offset: Millis,
    /// How long a firing alert is not sent again.
    pub resend_delay: Millis,
    /// Whether names are dropped at the end of an expression only, as with Prometheus' `promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
    /// For templates.
    pub external_labels: Labels,
    /// Where this server is reached from outside, for templates.
    pub external_url: String,
    /// Bounds.
    pub limits: Limits,
    /// Whether alerts of rules with predictive functions get an annotation that says why.
    pub explain_alerts: bool,
    /// Whether recorded samples are handed out as well.
    pub collect_recorded: bool,
    /// Whether the values of rules' expressions are handed out as well.
    pub collect_results: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            shards: 1,
            lookback: 300_000,
            evaluation_interval: 60_000,
            epoch: 0,
            query_offset: 0,
            resend_delay: 60_000,
            delayed_name_removal: false,
            external_labels: Labels::default(),
            external_url: String::new(),
            limits: Limits::default(),
            explain_alerts: false,
            collect_recorded: false,
            collect_results: false,
        }
    }
}

/// Profiles by the name that rules use.
pub type Profiles = BTreeMap<String, Arc<Profile>>;

/// The profiles that the program carries.
#[must_use]
pub fn builtin_profiles() -> Profiles {
    let named = |name: &str| Some((name.to_owned(), Arc::new(Profile::builtin(name)?)));
    Profile::builtin_names().filter_map(named).collect()
}

/// What became of a batch's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Taken, and waiting for their tick.
    pub accepted: u64,
    /// Of series that no rule asks for.
    pub unwanted: u64,
    /// At or before the watermark: their tick is over.
    pub late: u64,
    /// Of new series beyond `limits.series`.
    pub over_series_limit: u64,
    /// At instants hundreds of thousands of years away, see [`crate::base::FAR`].
    pub out_of_time: u64,
    /// Beyond `limits.pending_samples`.
    pub over_pending_limit: u64,
}

/// What an advance gives.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Changes of alerts, and repetitions; by tick, group, rule and labels.
    pub transitions: Vec<Transition>,
    /// Recorded samples, ALERTS and ALERTS_FOR_STATE among them, if the engine collects them.
    pub recorded: Vec<Recorded>,
    /// Values of the rules' expressions, in the order of evaluation, if the engine collects them.
    pub results: Vec<RuleResult>,
    /// Rules evaluated.
    pub evaluations: u64,
    /// Of these, those that failed.
    pub failures: u64,
    /// Instants at which something was evaluated.
    pub ticks: u64,
}

/// What a rule's expression gave at a tick, before it was recorded or drove alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleResult {
    /// Index of the group in the rules loaded.
    pub group: usize,
    /// Index of the rule in its group.
    pub rule: usize,
    /// Instant.
    pub t: Millis,
    /// Value, or why there is none.
    pub value: Result<RuleValue, EvalError>,
}

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleValue {
    /// A scalar.
    Scalar(f64),
    /// An instant vector, by labels.
    Vector(Vec<(Labels, f64)>),
}

/// How much the engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Series that rules ask for.
    pub series: usize,
    /// Bytes of these series' samples and windows, but for the windows' accumulators.
    pub series_bytes: usize,
    /// Series known not to be asked for.
    pub unwanted: usize,
    /// Models.
    pub models: usize,
    /// How often, since the engine began, an element went without a model for a tick because of `limits.models`.
    pub unmodelled: u64,
    /// Samples waiting for their tick.
    pub waiting: usize,
    /// Samples refused since the engine began because the series had the same one.
    pub duplicate: u64,
    /// ... because the series had another value for the instant.
    pub conflict: u64,
    /// ... because the series had a newer one.
    pub out_of_order: u64,
}

/// A group as the API shows it.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// File.
    pub file: String,
    /// Name.
    pub name: String,
    /// Milliseconds between evaluations.
    pub interval: Millis,
    /// Most alerts or samples of a rule; 0 is no limit.
    pub limit: usize,
    /// The tick evaluated last.
    pub last_evaluation: Option<Millis>,
    /// How long that took, by the host's stopwatch.
    pub evaluation_time: Duration,
    /// Rules in order.
    pub rules: Vec<RuleView>,
}

/// A rule as the API shows it.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// Alert's or metric's name.
    pub name: String,
    /// Expression as written.
    pub expr: String,
    /// Labels as written.
    pub labels: Vec<(String, String)>,
    /// Why the last evaluation failed.
    pub last_error: Option<String>,
    /// What the last evaluation remarked.
    pub remarks: Remarks,
    /// Whether it was evaluated at all.
    pub evaluated: bool,
    /// How long the evaluation took that it shares with the rules beside it.
    pub evaluation_time: Duration,
    /// For alerting rules.
    pub alert: Option<AlertRuleView>,
}

/// What alerting rules have besides.
#[derive(Clone, Debug)]
pub struct AlertRuleView {
    /// `for`.
    pub hold: Millis,
    /// `keep_firing_for`.
    pub keep_firing: Millis,
    /// Annotations as written.
    pub annotations: Vec<(String, String)>,
    /// The most active alert's state.
    pub state: AlertState,
    /// Pending and firing alerts.
    pub active: Vec<AlertView>,
}

/// An alert as the API shows it.
#[derive(Clone, Debug)]
pub struct AlertView {
    /// Labels.
    pub labels: Labels,
    /// Annotations, expanded.
    pub annotations: Vec<(String, String)>,
    /// State.
    pub state: AlertState,
    /// When the expression began to hold.
    pub active_at: Millis,
    /// When it stopped holding, while `keep_firing_for` keeps the alert.
    pub keep_firing_since: Option<Millis>,
    /// Value.
    pub value: f64,
}
