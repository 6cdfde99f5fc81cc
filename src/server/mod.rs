//! The native host: configuration, the engine on its thread, sources and sinks as tasks, reloads, HTTP.
//!
//! Here clocks are read, threads started and sockets opened, so that the engine need not.

mod board;
mod changed_config;
mod config;
mod durable;
mod executor;
mod handle;
mod host;
pub mod http;
mod lag;
mod named_files;
mod otlp;
mod parts;
mod recorded;
mod rules;
mod run;
mod signals;
mod sink_status;
mod sinks;
mod sources;
mod teller;
mod told_since;
mod topic_loop;
mod trace_links;
mod warm_up;
mod web;
mod welcome;

pub use config::{Alerting, Config, ConfigError, EngineConfig, Global, RemoteWriteConfig, Sources, WarmUp, base_dir};
pub use durable::StateConfig;
pub use executor::Parallel;
pub use handle::{Command, EngineGone, EngineHandle};
pub use host::{Host, Inputs, KnownSource, Outlet, outlet};
pub use named_files::named_files;
pub use rules::{Read, Reloaded, RuleLoader, RuleSource};
pub use run::{RunOptions, StartError, read_config, run};
pub use trace_links::TraceLinks;
pub use web::{Access, ClientAuth, Port, TlsFault, TlsServerConfig, TlsVersion, Web};
