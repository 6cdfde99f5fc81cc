//! Rule files: their format, loading and checking.
//!
//! Knows the shape of Prometheus' rule groups and of `PrometheusRule` resources; does not evaluate anything.

mod diagnostic;
mod format;
mod group;
mod lint;
mod load;
mod reads;
mod scalar;
pub mod unit_test;
mod validate;

pub use diagnostic::{Diagnostic, Severity};
pub use group::{Position, Rule, RuleGroup, RuleKind, RuleSet};
pub use load::{Loaded, load_file, load_globs};
pub use reads::selectors_of;
