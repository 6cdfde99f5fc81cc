//! Rule groups as the engine takes them, whatever file they came from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::Millis;

/// All groups in force, in the order of the files and within them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    /// The groups.
    pub groups: Vec<Arc<RuleGroup>>,
}

/// A group: rules that are evaluated in order at the same instants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleGroup {
    /// File it stands in, as the configuration names it.
    pub file: String,
    /// Name, unique within the file.
    pub name: String,
    /// Evaluation interval; None means the configuration's `global.evaluation_interval`.
    pub interval: Option<Millis>,
    /// How long to wait for late samples beyond the watermark before a tick is evaluated; None means the configuration's.
    pub query_offset: Option<Millis>,
    /// Most alerts or samples a rule may give; 0 is no limit.
    pub limit: usize,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Alert's name or recorded metric's name.
    pub name: String,
    /// Expression as written.
    pub expr: String,
    /// Labels to add, group labels merged in, sorted by name. For alerts the values are templates.
    pub labels: Vec<(String, String)>,
    /// Alerting or recording.
    pub kind: RuleKind,
    /// Where the rule stands.
    pub position: Position,
}

/// What becomes of a rule's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RuleKind {
    /// It is stored as a series.
    Record,
    /// It drives alerts.
    Alert {
        /// How long the expression must hold before the alert fires.
        hold: Millis,
        /// How long the alert keeps firing after the expression stopped holding.
        keep_firing: Millis,
        /// Annotation templates, in the order of the file.
        annotations: Vec<(String, String)>,
    },
}

/// Place in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}
