//! The language: from text to a plan, and the meaning of each function and operator.
//!
//! Knows nothing of series stores, shards or time as it passes: those are the engine's.

mod arith;
mod calendar;
mod calls;
mod exact;
mod math;
mod plan;
mod planner;
mod quantile;

pub use arith::{BinaryOp, SetOp};
pub use calendar::CalendarFn;
pub use calls::DEFAULT_PROFILE;
pub use exact::ExactSum;
pub use math::{MathFn, round};
pub use plan::*;
pub use planner::{PlanError, PlanOptions, Planner};
pub use quantile::{Bucket, bucket_quantile, quantile};
