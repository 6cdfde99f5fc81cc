//! The native host: configuration, the engine on its thread, sources and sinks as tasks, reloads, HTTP.
//!
//! Here clocks are read, threads started and sockets opened, so that the engine need not.

mod handle;
pub mod http;

pub use handle::{Command, EngineGone, EngineHandle};
