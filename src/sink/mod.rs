//! Sinks: what becomes of the engine's transitions and of the samples that rules record. One file or folder each.
//!
//! ```text
//! Dispatcher::send ─► outbox ─┬─► mailbox (newest state of each alert) ─► worker ─► Alertmanager a
//!                             ├─► mailbox                              ─► worker ─► Alertmanager b
//!                             ├─► mailbox                              ─► worker ─► webhook
//!                             └─► mailbox (every transition)           ─► worker ─► standard output
//! RecordedLane::put ─► queue ─► remote write, topic
//! ```
//!
//! `send` waits for no sink, only for one write of the outbox if there is one; a sink that hangs or is dead delays no other.
//! What waits is bounded, and what is given up is counted with its reason. Knows transitions, protocols, selectors and the wall
//! clock; knows nothing of rules, evaluation or sources.

mod alertmanager;
mod alertmanager_payload;
mod aside;
mod backoff;
mod dispatcher;
mod dry_run;
mod failure;
mod grafana;
mod journal;
mod kafka;
mod keep_alive;
mod key;
mod list;
mod matching;
mod metrics;
mod origin;
#[cfg(test)]
mod outage_tests;
pub mod outbox;
mod pending;
mod point;
mod post;
mod recorded;
pub mod remote_write;
mod secret_url;
mod settings;
mod stdout;
#[cfg(test)]
mod testing;
mod transition_text;
mod waiting;
mod webhook;
mod webhook_payload;
mod worker;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::http_client::NamedFile;

pub use alertmanager::{AlertmanagerConfig, StaticTargets};
pub use backoff::Backoff;
pub use dispatcher::{Dispatcher, SinkContext};
pub use grafana::GrafanaConfig;
pub use kafka::{AlertTransition, KafkaSinkConfig, RecordedConfig, RecordedFormat, TransitionFormat, start_recorded};
pub use key::{AlertKey, TransitionId};
pub use list::Sinks;
pub use matching::Match;
pub use metrics::SinkMetrics;
pub use origin::Origin;
pub use recorded::{Bound as RecordedBound, LaneState, RecordedLane, RecordedMetrics, waits_for};
pub use remote_write::RemoteWriteSinkConfig;
pub use stdout::{LineFormat, StdoutConfig, StdoutFormat};
pub use webhook::WebhookConfig;
pub use worker::SinkState;

/// One entry of `sinks:` in `forewarn.yml`, such as `- webhook: {url: 'http://localhost:5001/'}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkConfig {
    /// Standard output.
    Stdout(StdoutConfig),
    /// A cluster of Alertmanagers; an entry of `alerting.alertmanagers` becomes one of these.
    Alertmanager(Box<AlertmanagerConfig>),
    /// A webhook.
    Webhook(Box<WebhookConfig>),
    /// Annotations in Grafana.
    Grafana(Box<GrafanaConfig>),
    /// Topics of a Kafka cluster.
    Kafka(Box<KafkaSinkConfig>),
}

impl SinkConfig {
    /// Checks the settings without starting anything or reading a file.
    ///
    /// # Errors
    /// As [`Dispatcher::start`].
    pub fn validate(&self) -> Result<(), SinkError> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::Alertmanager(config) => config
                .urls()?
                .into_iter()
                .try_for_each(|url| alertmanager::Alertmanager::new(config, url, std::sync::Arc::default()).map(drop)),
            Self::Webhook(config) => webhook::Webhook::new(config, std::sync::Arc::default()).map(drop),
            Self::Grafana(config) => grafana::Grafana::new(config, std::sync::Arc::default()).map(drop),
            Self::Kafka(config) => config.validate(),
        }
    }

    /// Whether it wants recorded series.
    #[must_use]
    pub fn wants_recorded(&self) -> bool {
        matches!(self, Self::Kafka(config) if config.recorded.is_some())
    }

    /// What kind of sink it is, as people call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "standard output",
            Self::Alertmanager(_) => "Alertmanager",
            Self::Webhook(_) => "webhook",
            Self::Grafana(_) => "Grafana",
            Self::Kafka(_) => "Kafka",
        }
    }

    /// The files with secrets and certificates that it names, with their settings.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile> {
        match self {
            Self::Stdout(_) => Vec::new(),
            Self::Alertmanager(config) => within("alertmanager", config.http().files()),
            Self::Webhook(config) => within("webhook", config.files()),
            Self::Grafana(config) => within("grafana.http_config", config.http_config.files()),
            Self::Kafka(config) => within("kafka", config.connection().files()),
        }
    }

    /// Makes relative file names relative to `dir`, the folder of the configuration file.
    pub fn resolve_paths(&mut self, dir: &Path) {
        match self {
            Self::Stdout(_) => {}
            Self::Alertmanager(config) => config.resolve_paths(dir),
            Self::Webhook(config) => config.resolve_paths(dir),
            Self::Grafana(config) => config.resolve_paths(dir),
            Self::Kafka(config) => config.resolve_paths(dir),
        }
    }
}

fn within(block: &str, files: Vec<NamedFile>) -> Vec<NamedFile> {
    files.into_iter().map(|file| file.within(block)).collect()
}

/// Settings of a sink that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// What is wrong, for the person who wrote it.
    #[error("sink {sink}: {text}")]
    Invalid {
        /// The sink.
        sink: String,
        /// What is wrong and what would be right.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_sinks_is_read() {
        let yaml = "- stdout: {format: json}\n- webhook: {url: 'http://localhost:5001/'}\n\
                    - alertmanager: {static_configs: [{targets: ['localhost:9093']}]}\n";
        let sinks: Vec<SinkConfig> = serde_saphyr::from_str(yaml).unwrap();
        assert!(matches!(sinks[0], SinkConfig::Stdout(StdoutConfig { format: StdoutFormat::Json })));
        assert!(sinks.iter().all(|s| s.validate().is_ok()));
        let error = serde_saphyr::from_str::<Vec<SinkConfig>>("- pager: {}\n").unwrap_err().to_string();
        assert!(error.contains("pager"), "{error}");
    }
}
