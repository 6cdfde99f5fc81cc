//! Rule files: their format, loading and checking.
//!
//! Knows the shape of Prometheus' rule groups and of `PrometheusRule` resources; does not evaluate anything.

mod collector;
mod diagnostic;
mod duplicates;
mod excerpt;
mod expression;
mod format;
mod group;
mod lint;
mod load;
pub mod promql_script;
mod reads;
mod recover;
mod scalar;
mod schema;
mod template_check;
pub mod unit_test;
mod validate;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use group::{Position, Rule, RuleGroup, RuleKind, RuleSet};
pub use lint::{Lint, LintOptions, UnknownLint};
pub use load::{Loaded, check_file, check_globs, content_hash, load_file, load_globs};
pub use reads::selectors_of;
pub use schema::rule_file_schema;
pub use validate::UNKNOWN_KEY;
pub use yaml::yaml_fault;
