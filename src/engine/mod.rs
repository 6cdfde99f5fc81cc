//! The core: series, windows, expressions, models and alerts, driven by batches and watermarks.
//!
//! No clock, no I/O, no threads: a host hands in samples and says how far event time has come. Whoever wants the shards
//! worked on in parallel brings an [`Executor`].

mod interner;
mod store;
mod table;
