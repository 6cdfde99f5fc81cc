//! Rule files: their format, loading and checking.
//!
//! Knows the shape of Prometheus' rule groups and of `PrometheusRule` resources; does not evaluate anything.

mod group;

pub use group::{Position, Rule, RuleGroup, RuleKind, RuleSet};
