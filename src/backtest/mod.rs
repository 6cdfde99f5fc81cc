//! Rules over given series in virtual time: as fast as the engine goes, with nothing but the series' own times.
//!
//! A host of the engine like the server, without threads, clocks or I/O. Reads no files and prints nothing.

mod charts;
mod compare;
mod curves;
pub mod evaluate;
mod history;
mod incident;
mod pages;
mod plot;
mod promql_script;
mod report;
mod score;
pub mod suggest;
mod unit_test;
mod verdict;
mod virtual_time;

pub use charts::Chart;
pub use curves::{BUCKETS, Bucket, Curves};
pub use history::{Backtest, History, Period, Slice};
pub use incident::{Incident, IncidentError, parse_incidents};
pub use pages::{Page, RuleFindings};
pub use plot::{Curve, Plot};
pub use promql_script::{EvalReport, ScriptOptions, ScriptReport, Verdict, run_script};
pub use report::{Report, html, json, text};
pub use score::{FLAP_WITHIN, Judgement, LEAD_WINDOW, Score, Truth};
pub use unit_test::{AlertEvent, FiringAlert, Recordings, TestReport, TestSetup, run_tests};
pub use verdict::{At, Check, Failure};
pub use virtual_time::{Track, VirtualTime};
