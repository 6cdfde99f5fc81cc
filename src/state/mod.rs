//! What survives the process: checkpoints, and a log of what sources have acknowledged and could not be asked for again.
//!
//! Files, checksums, the order of writes and fsyncs, and what is made of a folder that a crash has left. What the bytes
//! of a record mean is for those who wrote them to know. Never the wall clock, whose time is an argument; instants only to
//! wait. docs/state.md is the manual.

pub mod checkpoint;
mod error;
mod fault;
mod folder;
pub mod log;

pub use error::StateError;
pub use fault::{Faults, Point};
pub use folder::{Lock, StateDir};
