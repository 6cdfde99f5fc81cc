//! The sinks that the configuration names: one place, as `sources.rs` is for sources. What each does is its own business.

use std::sync::Arc;

use crate::sink::outbox::Outbox;
use crate::sink::{Backoff, Dispatcher, LineFormat, Origin, SinkConfig, SinkContext, SinkMetrics};
use crate::telemetry::Metrics;

use super::StartError;
use super::config::Config;

/// Starts all sinks.
pub(super) fn start(
    config: &Config,
    metrics: &Metrics,
    dry_run: bool,
    outbox: Option<Arc<Outbox>>,
) -> Result<Dispatcher, StartError> {
    let context = SinkContext {
        origin: origin(config),
        queued_alerts: config.limits.queued_alerts,
        backoff: Backoff::default(),
        dry_run,
        metrics: SinkMetrics::register(metrics.registry()).map_err(|e| StartError::System(e.to_string()))?,
        outbox,
    };
    Dispatcher::start(&config.all_sinks(dry_run), &context).map_err(|e| StartError::Config(e.to_string()))
}

/// Where what leaves comes from.
pub(super) fn origin(config: &Config) -> Origin {
    let labels = config.global.external_labels.iter();
    Origin {
        external_labels: labels.map(|(n, v)| (n.clone(), v.clone())).collect(),
        external_url: config.web.external_url(),
    }
}

/// The form in which standard output shows alerts, if it does.
pub(super) fn line_format(config: &Config, dry_run: bool) -> Option<LineFormat> {
    config.all_sinks(dry_run).iter().find_map(|sink| match sink {
        SinkConfig::Stdout(stdout) => Some(stdout.format.settle()),
        _ => None,
    })
}
