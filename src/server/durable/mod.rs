//! Checkpoints and the log in the running process: opened at the start, written meanwhile, trimmed when it is safe.
//!
//! The engine's owner decides when (`host/keeping.rs`); `keeper.rs` writes on a thread of its own; `opening.rs` finds what a
//! process before this one has left. What is on disk, and how, is `state/`'s business.

mod beginning;
mod config;
mod due;
mod following;
mod host_record;
mod keeper;
mod opening;
mod streams;

pub(super) use beginning::{Beginning, begin};
pub use config::StateConfig;
pub(super) use following::follow;
pub(super) use host_record::{HostRecord, SourceProgress};
pub(super) use keeper::{Keeper, Taken};
pub(super) use opening::{Kept, kept_teller};
pub(super) use streams::Unclaimed;
