//! Runs unit tests of rules as promtool does (prometheus/prometheus `cmd/promtool/unittest.go`): all groups are evaluated
//! at the start and at every `evaluation_interval` after it, whatever their own intervals; alerts are those that fire after
//! the evaluation before or at `eval_time`; expressions are evaluated at `eval_time` itself, after the rules, and those
//! that look ahead see what comes later in the test. Samples after its last evaluation are not there, neither for an
//! expression that is asked for later nor for one that looks ahead that far.
//!
//! Otherwise than there, everything happens in one pass in order of time, and NaN is equal to NaN.

mod comparison;
mod expressions;
mod report;
mod run;
mod series;
mod windows;

pub use report::{AlertEvent, FiringAlert, TestReport};
pub use run::{TestSetup, run_tests};
pub use series::Recordings;
