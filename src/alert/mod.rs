//! Alerts: the state machine of an alerting rule, its templates, and the transitions that come out.
//!
//! Pure: (state, vector, T) -> (state, transitions with a reason). Reads no clock, does no I/O, knows nothing of
//! expressions or sinks.

mod machine;
mod rule;
mod template;
mod transition;

pub use machine::{
    ActiveAlert, AlertError, AlertMachine, AlertOutput, AlertSample, EndedSeries, SavedAlerts, SeriesHandle,
};
pub use rule::{AlertContext, AlertSettings, AlertingRule, RuleTemplateError};
pub use template::{
    AskedQuery, LabelRead, NUMBER_HOLE, NoQueries, Queries, TEXT_HOLE, Template, TemplateContext, TemplateError,
};
pub use transition::{AlertState, Reason, RuleRef, Transition};
