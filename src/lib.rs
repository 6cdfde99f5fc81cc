//! forewarn: a streaming anomaly detection and predictive alerting engine for metrics.
//!
//! A deterministic core without I/O, clocks or threads (`engine`), and hosts around it:
//!
//! ```text
//! sources ─► decode ─► Batch ─►┌────────────── engine (no clock, no I/O, no threads) ─────────────┐
//!                              │ series windows ─► expressions ─► models ─► alert state machines │─► Transition, Sample
//! watermark ───── advance(T) ─►└────────────────────────────────────────────────────────────────┘        │
//!                                                                                          sinks ◄───────┘
//! ```
//!
//! ARCHITECTURE.md says which module may know which.

pub mod alert;
pub mod backtest;
pub mod base;
pub mod cli;
pub mod engine;
pub mod http_client;
pub mod kafka_client;
pub mod model;
pub mod promql;
pub mod rules;
pub mod server;
pub mod sink;
pub mod source;
pub mod state;
pub mod telemetry;
pub mod window;
