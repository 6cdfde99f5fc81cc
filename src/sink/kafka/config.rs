//! A Kafka sink's settings. Reads no file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http_client::{Secret, TlsConfig};
use crate::kafka_client::{Connection, Role, Sasl};

use super::super::SinkError;
use super::super::matching::Match;
use super::super::settings::{read_duration, write_duration};

/// A cluster, and the topics that are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSinkConfig {
    /// For metrics and logs.
    pub name: String,
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    /// Topic for transitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Which alerts are written; recorded series are all.
    #[serde(rename = "match", skip_serializing_if = "Match::is_all")]
    pub matching: Match,
    /// What they are written as.
    pub format: TransitionFormat,
    /// Whether the ends of alerts are written.
    pub send_resolved: bool,
    /// Whether pending alerts are written, and those that were cleared while pending.
    pub send_pending: bool,
    /// Recorded series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedConfig>,
    /// Credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// TLS; `{}` for TLS with the system's certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: Compression,
    /// How long a message may take to be acknowledged before the attempt counts as failed.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Further settings of librdkafka by their names; those that forewarn sets are refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Secret>,
}

/// What transitions are written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransitionFormat {
    /// The JSON of standard output.
    #[default]
    Json,
    /// Protobuf, see [`super::AlertTransition`].
    Protobuf,
}

/// Recorded series in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordedConfig {
    /// The topic.
    pub topic: String,
    /// What samples are written as.
    pub format: RecordedFormat,
}

/// What recorded samples are written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordedFormat {
    /// Remote write 1.0: a snappy block with a protobuf `WriteRequest`.
    #[default]
    RemoteWrite,
    /// A line of JSON a sample, as prometheus-kafka-adapter writes it.
    JsonLines,
}

/// How messages are compressed on their way and in the topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not.
    None,
    /// With gzip.
    Gzip,
    /// With snappy.
    Snappy,
    /// With LZ4.
    #[default]
    Lz4,
    /// With zstd.
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Default for KafkaSinkConfig {
    fn default() -> Self {
        Self {
            name: "kafka".to_owned(),
            brokers: Vec::new(),
            topic: None,
            matching: Match::default(),
            format: TransitionFormat::default(),
            send_resolved: true,
            send_pending: false,
            recorded: None,
            sasl: None,
            tls: None,
            compression: Compression::default(),
            timeout: Duration::from_secs(30),
            options: BTreeMap::new(),
        }
    }
}

impl KafkaSinkConfig {
    /// How to reach the cluster.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection {
            brokers: self.brokers.clone(),
            sasl: self.sasl.clone(),
            tls: self.tls.clone(),
            options: self.options.clone(),
        }
    }

    /// Makes relative file names relative to `dir`.
    pub fn resolve_paths(&mut self, dir: &Path) {
        Connection::resolve_paths(&mut self.sasl, &mut self.tls, dir);
    }

    /// Checks what can be checked without a file and without the cluster.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), SinkError> {
        let invalid = |text: &str| Err(SinkError::Invalid { sink: self.name.clone(), text: text.to_owned() });
        if let Err(error) = self.connection().validate(Role::Sink) {
            return invalid(&error.0);
        }
        let recorded = self.recorded.as_ref().map(|r| r.topic.as_str());
        match (self.topic.as_deref(), recorded) {
            (None, None) => invalid("give a topic for transitions, or recorded: {topic: …}, or both"),
            (Some(""), _) | (_, Some("")) => invalid("a topic must have a name"),
            (Some(a), Some(b)) if a == b => invalid("transitions and recorded series need topics of their own"),
            _ if self.timeout > Duration::from_secs(600) => invalid("timeout: at most 10m"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let problem = |yaml: &str| {
            let config: KafkaSinkConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
            config.validate().map_err(|e| e.to_string())
        };
        assert_eq!(problem("{brokers: ['k:9092'], topic: alerts, recorded: {topic: rec}}"), Ok(()));
        for (yaml, want) in [
            ("{topic: a}", "brokers"),
            ("{brokers: ['k:9092']}", "give a topic"),
            ("{brokers: ['k:9092'], recorded: {}}", "must have a name"),
            ("{brokers: ['k:9092'], topic: a, recorded: {topic: a}}", "topics of their own"),
            ("{brokers: ['k:9092'], topic: a, format: avro}", "avro"),
            ("{brokers: ['k:9092'], topic: a, compression: brotli}", "brotli"),
            ("{brokers: ['k:9092'], topic: a, options: {security.protocol: ssl}}", "the blocks tls and sasl say it"),
            ("{brokers: ['k:9092'], topic: a, options: {compression.codec: zstd}}", "compression says it"),
        ] {
            let error = problem(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
