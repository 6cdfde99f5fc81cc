//! An entry of `remote_write` in `forewarn.yml`, shaped as in prometheus.yml. Reads no file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::http_client::{Authorization, BasicAuth, Secret, TlsConfig, has_http_settings};

use super::super::SinkError;
use super::super::backoff::Backoff;
use super::super::recorded::{Batching, Bound};
use super::super::settings::{read_duration, write_duration};

/// Headers that forewarn sets itself; those that Prometheus keeps for itself.
const RESERVED: [&str; 10] = [
    "host",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "transfer-encoding",
    "user-agent",
    "x-prometheus-remote-write-version",
    "accept-encoding",
];

/// Where recorded series, `ALERTS` and `ALERTS_FOR_STATE` are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteWriteSinkConfig {
    /// Where to; for Prometheus its `/api/v1/write`.
    pub url: Url,
    /// For metrics and logs; entries need names of their own.
    #[serde(default = "name")]
    pub name: String,
    /// Longest time of one request.
    #[serde(default = "timeout", deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub remote_timeout: Duration,
    /// Headers of every request, beside those of the protocol.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Message that is sent.
    #[serde(default)]
    pub protobuf_message: ProtobufMessage,
    /// Selectors as for federation: a series is sent if any of them matches it; all if there are none. They see the labels
    /// that the rules give, without external ones.
    #[serde(default, rename = "match")]
    pub matches: Vec<String>,
    /// Whether `ALERTS` and `ALERTS_FOR_STATE` are sent.
    #[serde(default = "yes")]
    pub send_alerts: bool,
    /// How much waits, for how long, and how much goes at once.
    #[serde(default)]
    pub queue_config: QueueConfig,
    // The HTTP client's settings stand among the others in prometheus.yml. `serde(flatten)` would let unknown fields pass.
    /// User name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// File with a bearer token; the same as `authorization.credentials_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// Proxy for all requests; without it none is used, whatever the environment says. A secret, since it may hold a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Secret>,
    /// Whether redirects are followed.
    #[serde(default = "yes")]
    pub follow_redirects: bool,
}

/// The messages of remote write. That of 2.0 is not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ProtobufMessage {
    /// Remote write 1.0.
    #[default]
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
}

/// `queue_config`. There is one queue and one request at a time: that keeps each series in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Samples that may wait; beyond it the oldest are dropped.
    pub capacity: usize,
    /// Bytes of memory that they may have.
    pub capacity_bytes: usize,
    /// Most samples in a request.
    pub max_samples_per_send: usize,
    /// How long a sample waits for others to fill its request.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub batch_send_deadline: Duration,
    /// Longest wait after the first failure; it doubles with each further one.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub min_backoff: Duration,
    /// Longest wait of all.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub max_backoff: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 1_000_000,
            capacity_bytes: 64 << 20,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
        }
    }
}

has_http_settings!(RemoteWriteSinkConfig);

impl RemoteWriteSinkConfig {
    /// Checks what can be checked without a file and without the receiver; not the selectors.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), SinkError> {
        let invalid = |text: String| Err(SinkError::Invalid { sink: self.name.clone(), text });
        if !matches!(self.url.scheme(), "http" | "https") || self.url.host_str().is_none() {
            return invalid("url: write http://host:port/api/v1/write".to_owned());
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return invalid("url: put user name and password into basic_auth".to_owned());
        }
        if self.name.is_empty() {
            return invalid("name: leave it out, or give one".to_owned());
        }
        if let Err(error) = self.http().validate() {
            return invalid(error.to_string());
        }
        if let Err(text) = self.header_map() {
            return invalid(text);
        }
        let queue = &self.queue_config;
        if queue.max_samples_per_send == 0 || queue.capacity < queue.max_samples_per_send {
            return invalid("queue_config: max_samples_per_send must be from 1 to capacity".to_owned());
        }
        if queue.capacity_bytes < 1 << 20 {
            return invalid("queue_config: capacity_bytes must be 1048576 or more".to_owned());
        }
        if queue.min_backoff > queue.max_backoff {
            return invalid("queue_config: min_backoff is longer than max_backoff".to_owned());
        }
        Ok(())
    }

    /// Headers of every request.
    pub(super) fn header_map(&self) -> Result<HeaderMap, String> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("headers: {name} is not yours to set"));
            }
            let parsed =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("headers: {name:?} is no name"))?;
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("headers: the value of {name} holds a character no header can"))?;
            value.set_sensitive(true);
            map.insert(parsed, value);
        }
        Ok(map)
    }

    pub(super) fn batching(&self) -> Batching {
        let queue = &self.queue_config;
        Batching {
            samples: queue.max_samples_per_send,
            deadline: queue.batch_send_deadline,
            bound: Bound { samples: queue.capacity, bytes: queue.capacity_bytes },
            backoff: Backoff { base: queue.min_backoff, cap: queue.max_backoff, ..Backoff::default() },
        }
    }
}

fn name() -> String {
    "remote_write".to_owned()
}

fn timeout() -> Duration {
    Duration::from_secs(30)
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<RemoteWriteSinkConfig, String> {
        let config: RemoteWriteSinkConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn reads_an_entry_as_in_prometheus_yml() {
        let config = read(concat!(
            "url: https://mimir/api/v1/push\nname: mimir\nremote_timeout: 10s\nheaders: {X-Scope-OrgID: hush}\n",
            "basic_auth: {username: u, password: hush}\nprotobuf_message: prometheus.WriteRequest\n",
            "queue_config: {capacity: 5000, max_samples_per_send: 500, batch_send_deadline: 1s, max_backoff: 1m}\n",
        ))
        .unwrap();
        assert!(config.send_alerts && config.header_map().unwrap().contains_key("x-scope-orgid"));
        assert_eq!((config.batching().samples, config.batching().backoff.cap), (500, Duration::from_secs(60)));
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
        let least = read("url: http://p:9090/api/v1/write").unwrap();
        assert_eq!((least.name.as_str(), least.queue_config.clone()), ("remote_write", QueueConfig::default()));
        let written = serde_json::to_string(&least).unwrap();
        assert_eq!(read(&written).unwrap(), least, "what is written is read");
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, want) in [
            ("{}", "url"),
            ("url: 'ftp://x'", "http://host:port"),
            ("url: 'http://u:p@x/'", "basic_auth"),
            ("{url: 'http://x/', headers: {content-type: y}}", "not yours to set"),
            ("{url: 'http://x/', headers: {'a b': y}}", "no name"),
            ("{url: 'http://x/', basic_auth: {}, authorization: {credentials: b}}", "only one"),
            ("{url: 'http://x/', queue_config: {capacity: 10}}", "from 1 to capacity"),
            ("{url: 'http://x/', queue_config: {capacity_bytes: 10}}", "capacity_bytes"),
            ("{url: 'http://x/', queue_config: {min_backoff: 1m}}", "min_backoff"),
            ("{url: 'http://x/', queue_config: {max_shards: 5}}", "max_shards"),
            ("{url: 'http://x/', remote_timeout: 0s}", "above zero"),
            ("{url: 'http://x/', protobuf_message: io.prometheus.write.v2.Request}", "prometheus.WriteRequest"),
            ("{url: 'http://x/', write_relabel_configs: []}", "write_relabel_configs"),
        ] {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
