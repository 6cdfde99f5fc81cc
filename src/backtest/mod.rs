//! Rules over given series in virtual time: as fast as the engine goes, with nothing but the series' own times.
//!
//! A host of the engine like the server, without threads, clocks or I/O. Reads no files and prints nothing.

mod unit_test;
mod virtual_time;

pub use unit_test::{AlertEvent, At, Check, Failure, FiringAlert, Recordings, TestReport, TestSetup, run_tests};
pub use virtual_time::{Track, VirtualTime};
