//! What the handlers are given, and what the host tells them for the status page.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use super::{RecentFindings, ReloadOutcome, Reloader};
use crate::base::{Limits, Millis};
use crate::server::{EngineHandle, TraceLinks};
use crate::telemetry::Metrics;

/// What the handlers are given.
#[derive(Clone)]
pub struct AppState {
    /// The engine's owner.
    pub engine: EngineHandle,
    /// For `/metrics`.
    pub metrics: Metrics,
    /// How far the start is.
    pub ready: watch::Receiver<Readiness>,
    /// Who reloads.
    pub reload: Reloader,
    /// The parts besides the engine, as they are now. Called for each status page; must not block.
    pub summary: Arc<dyn Fn() -> Summary + Send + Sync>,
    /// The last changes of alerts.
    pub findings: RecentFindings,
    /// URL under which people reach this server; may be empty. Browsers may ask for changes under its host name.
    pub external_url: String,
    /// When the process started.
    pub started: Millis,
    /// Bounds on requests.
    pub limits: Arc<Limits>,
    /// Routes of the sources that receive over HTTP.
    pub receivers: Router,
    /// Finds traces for alerts.
    pub traces: TraceLinks,
}

/// How far the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// History is being read.
    WarmingUp {
        /// Samples read.
        done: u64,
        /// Samples there are; 0 where nobody knows.
        total: u64,
    },
    /// Live.
    Ready,
    /// On the way out.
    ShuttingDown,
}

/// The parts of the process besides the engine.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Sources, in the order of the configuration.
    pub sources: Vec<SourceStatus>,
    /// Sinks, in the order of the configuration.
    pub sinks: Vec<SinkStatus>,
    /// The last reload.
    pub reload: Option<ReloadReport>,
}

/// A source.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Name in the configuration.
    pub name: String,
    /// As in "scrape".
    pub kind: String,
    /// How it is.
    pub health: Health,
    /// The same in words, as in "3 of 4 targets up".
    pub detail: String,
    /// Newest event time seen.
    pub newest: Option<Millis>,
    /// Event time up to which it is complete.
    pub watermark: Option<Millis>,
}

/// A sink.
#[derive(Clone, Debug, Default)]
pub struct SinkStatus {
    /// Name in the configuration.
    pub name: String,
    /// As in "alertmanager".
    pub kind: String,
    /// How it is.
    pub health: Health,
    /// The same in words, as in "connection refused, next attempt in 20s".
    pub detail: String,
    /// Alerts, or recorded samples, that wait to be sent.
    pub waiting: usize,
}

/// What came of a reload.
#[derive(Clone, Debug)]
pub struct ReloadReport {
    /// When.
    pub at: Millis,
    /// What came of it.
    pub outcome: ReloadOutcome,
}

/// How a part is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// It works.
    Good,
    /// It works, but somebody should look.
    Degraded,
    /// It does not work.
    Failed,
    /// It came to its end, as a file does.
    Ended,
}

impl Readiness {
    /// Whether alerts are live.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }

    /// Share of the present work that is done, 0 to 1, where it is known.
    #[must_use]
    pub fn progress(&self) -> Option<f64> {
        match self {
            Self::WarmingUp { done, total } if *total > 0 => Some((*done as f64 / *total as f64).min(1.0)),
            _ => None,
        }
    }
}

/// `Warming up: 120 of 400 (30%)`.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, total) = match self {
            Self::WarmingUp { done, total } => (done, total),
            Self::Ready => return f.write_str("Ready"),
            Self::ShuttingDown => return f.write_str("Shutting down"),
        };
        f.write_str("Warming up")?;
        match self.progress() {
            Some(share) => write!(f, ": {done} of {total} ({:.0}%)", (share * 100.0).floor()),
            None if *done > 0 => write!(f, ": {done} so far"),
            None => Ok(()),
        }
    }
}

/// The closure and the routes say nothing.
impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("external_url", &self.external_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_in_words() {
        let text = |r: Readiness| r.to_string();
        assert_eq!(text(Readiness::WarmingUp { done: 120, total: 400 }), "Warming up: 120 of 400 (30%)");
        assert_eq!(text(Readiness::WarmingUp { done: 399, total: 400 }), "Warming up: 399 of 400 (99%)");
        assert_eq!(text(Readiness::WarmingUp { done: 7, total: 0 }), "Warming up: 7 so far");
        assert_eq!(text(Readiness::WarmingUp { done: 0, total: 0 }), "Warming up");
        assert!(Readiness::Ready.is_ready() && !Readiness::ShuttingDown.is_ready());
    }
}
