//! The core: series, windows, expressions, models and alerts, driven by batches and watermarks.
//!
//! No clock, no I/O, no threads: a host hands in samples and says how far event time has come. Whoever wants the shards
//! worked on in parallel brings an [`Executor`].

mod annotations;
mod apply;
mod coordinator;
mod directory;
#[allow(clippy::module_inception)]
mod engine;
mod eval;
mod executor;
mod explain;
mod failures;
mod group;
mod increments;
mod interner;
mod late_names;
mod load;
mod options;
mod pages;
mod query;
mod query_order;
mod recording;
mod shard;
mod snapshot;
mod store;
mod table;
mod task;
mod template_query;
#[cfg(test)]
mod tests;
mod value;
mod view;
mod window_value;
mod writer;

pub use annotations::Remarks;
pub use engine::Engine;
pub use executor::{Executor, Inline};
pub use explain::Explanation;
pub use load::LoadError;
pub use options::*;
pub use query::{QuerySpec, QueryValue};
pub use shard::Shard;
pub use snapshot::{RestoreError, Restored};
pub use value::EvalError;
