//! The language of rules: PromQL with predictive functions; from text to a plan, and the meaning of each function and
//! operator.
//!
//! Knows nothing of files, series stores, shards or time as it passes: those are others'.

mod arith;
mod calendar;
mod calls;
mod check;
mod cursor;
mod error;
mod exact;
mod explain;
mod extensions;
mod functions;
mod leaf;
mod lexer;
mod literal;
mod math;
mod metric;
mod parse;
mod plan;
mod planner;
mod quantile;
mod refuse;
mod regex;
mod selector;
mod selectors;
mod syntax;

pub use arith::{BinaryOp, SetOp};
pub use calendar::CalendarFn;
pub use calls::DEFAULT_PROFILE;
pub use error::ExprError;
pub use exact::ExactSum;
pub use leaf::{Feed, LabelMatcher, Leaf, LeafKind, LeafSource, Selector, Test};
pub use math::{MathFn, clamp, round};
pub use metric::parse_metric;
pub use parse::parse;
pub use plan::*;
pub use planner::{PlanError, PlanOptions, Planner};
pub use quantile::{Bucket, bucket_fraction, bucket_quantile, quantile};
pub use regex::anchored;
pub use selectors::selectors;
