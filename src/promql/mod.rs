//! The language of rules: PromQL with predictive functions; from text to a plan, and the meaning of each function and
//! operator.
//!
//! Knows nothing of files, series stores, shards or time as it passes: those are others'.

mod annotation;
mod arith;
mod asked;
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
mod located;
mod math;
mod metric;
mod parse;
mod placement;
mod plan;
mod planner;
mod quantile;
mod reach;
mod reads;
mod refuse;
mod regex;
mod selector;
mod selectors;
mod signatures;
mod sites;
mod syntax;

pub use annotation::{Annotation, Annotations, Severity};
pub use arith::{BinaryOp, SetOp};
pub use asked::{Asked, Order};
pub use calendar::CalendarFn;
pub use calls::DEFAULT_PROFILE;
pub use error::{ExprError, FaultKind};
pub use exact::ExactSum;
pub use leaf::{Feed, LabelMatcher, Leaf, LeafKind, LeafSource, Selector, Test};
pub use lexer::parse_string;
pub use located::{Located, LocatedMatcher, Parsed};
pub use math::{MathFn, clamp, round};
pub use metric::parse_metric;
pub use parse::{parse, parse_parts};
pub use plan::*;
pub use planner::{PlanError, PlanOptions, Planner};
pub use quantile::{Bucket, bucket_fraction, bucket_quantile, median_deviation, quantile};
pub use reach::{Reach, Span, asks_ahead, reach};
pub use reads::{Read, Reads};
pub use regex::anchored;
pub use selectors::{parse_matchers, selectors, series_selector};
pub use sites::{Site, ineffective_sorts, sites};
