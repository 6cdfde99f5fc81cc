//! Runs unit tests of rules as promtool does (prometheus/prometheus `cmd/promtool/unittest.go`): all groups are evaluated
//! at the start and at every `evaluation_interval` after it, whatever their own intervals; alerts are those that fire after
//! the evaluation before or at `eval_time`; expressions are evaluated at `eval_time` itself, after the rules. Samples after
//! the last evaluation are not there, even for an expression that is asked for later.
//!
//! Otherwise than there, everything happens in one pass in order of time, and NaN is equal to NaN.

mod comparison;
mod expressions;
mod run;
mod series;
mod verdict;
mod windows;

pub use run::{TestSetup, run_tests};
pub use series::Recordings;
pub use verdict::{AlertEvent, At, Check, Failure, FiringAlert, TestReport};
