//! Rules over given series in virtual time: as fast as the engine goes, with nothing but the series' own times.
//!
//! A host of the engine like the server, without threads, clocks or I/O. Reads no files and prints nothing.

mod diff;
mod promql_script;
mod unit_test;
mod verdict;
mod virtual_time;

pub use promql_script::{EvalReport, ScriptOptions, ScriptReport, Verdict, run_script};
pub use unit_test::run_tests;
pub use verdict::{Check, Failure, FiringAlert, TestReport};
pub use virtual_time::{Track, VirtualTime};
