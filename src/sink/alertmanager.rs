//! Alertmanager, API v2: `POST <scheme>://<target><path_prefix>/api/v2/alerts`.
//!
//! Every instance of a cluster is sent everything, as Alertmanager asks of its clients; each instance is a sink of its
//! own, so that a dead one delays no other. Grouping, silences and inhibition are Alertmanager's and not done here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::Millis;
use crate::http_client::{
    Authorization, BasicAuth, HttpClient, HttpClientConfig, Purpose, Secret, TlsConfig, has_http_settings,
};

use super::SinkError;
use super::alertmanager_payload::payload;
use super::failure::Failure;
use super::matching::Match;
use super::origin::Origin;
use super::pending::{Order, Outgoing, Policy};
use super::post::post_json;
use super::settings::{read_duration, write_duration};
use super::worker::Receiver;

/// Alerts in one request: the batch of Prometheus 3's notifier. After each the outbox is written.
const BATCH: usize = 256;

/// A cluster of Alertmanagers: one entry of `alerting.alertmanagers`, in the shape of prometheus.yml
/// but for `match`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// `http` or `https`.
    pub scheme: String,
    /// Path before `/api/v2/alerts`.
    pub path_prefix: String,
    /// Longest time of one request.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// `v2`; Alertmanager has dropped v1.
    pub api_version: String,
    /// The instances.
    pub static_configs: Vec<StaticTargets>,
    /// Which alerts it gets.
    #[serde(rename = "match", skip_serializing_if = "Match::is_all")]
    pub matching: Match,
    // The HTTP client's settings stand among the others in prometheus.yml. `serde(flatten)` would let unknown fields pass.
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// File with a bearer token; the same as `authorization.credentials_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
    /// TLS.
    pub tls_config: TlsConfig,
    /// Proxy for all requests; without it none is used, whatever the environment says. A secret, since it may hold a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<Secret>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
}

/// Addresses, each `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticTargets {
    /// The addresses.
    pub targets: Vec<String>,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        let http = HttpClientConfig::default();
        Self {
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout: Duration::from_secs(10),
            api_version: "v2".to_owned(),
            static_configs: Vec::new(),
            matching: Match::default(),
            basic_auth: http.basic_auth,
            authorization: http.authorization,
            bearer_token_file: http.bearer_token_file,
            tls_config: http.tls_config,
            proxy_url: http.proxy_url,
            follow_redirects: http.follow_redirects,
        }
    }
}

has_http_settings!(AlertmanagerConfig);

impl AlertmanagerConfig {
    /// Where each instance takes alerts.
    ///
    /// # Errors
    /// A scheme, version or address that cannot be; no address at all.
    pub fn urls(&self) -> Result<Vec<Url>, SinkError> {
        let invalid = |text: String| Err(SinkError::Invalid { sink: "alertmanager".to_owned(), text });
        if self.api_version != "v2" {
            return invalid(format!("api_version {:?} is not served any more; use v2", self.api_version));
        }
        if !matches!(self.scheme.as_str(), "http" | "https") {
            return invalid(format!("scheme {:?} is neither http nor https", self.scheme));
        }
        let prefix = self.path_prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let mut urls = Vec::new();
        for target in self.static_configs.iter().flat_map(|s| &s.targets) {
            let plain = !target.is_empty() && !target.contains(['/', '@', '?', '#']);
            match Url::parse(&format!("{}://{target}{prefix}/api/v2/alerts", self.scheme)) {
                Ok(url) if plain => urls.push(url),
                _ => {
                    return invalid(format!("target {target:?} is not host:port (scheme and path_prefix stand apart)"));
                }
            }
        }
        if urls.is_empty() {
            return invalid("no targets; give static_configs: [{targets: ['localhost:9093']}]".to_owned());
        }
        Ok(urls)
    }

    pub(super) fn policy(capacity: usize) -> Policy {
        Policy {
            capacity,
            batch: BATCH,
            one_rule: false,
            repeats: true,
            resolved: true,
            points: false,
            order: Order::Newest,
        }
    }
}

/// One instance.
#[derive(Debug)]
pub(super) struct Alertmanager {
    client: HttpClient,
    url: Url,
    origin: Arc<Origin>,
}

impl Alertmanager {
    pub(super) fn new(config: &AlertmanagerConfig, url: Url, origin: Arc<Origin>) -> Result<Self, SinkError> {
        let client = HttpClient::new(&config.http(), Purpose::Write, config.timeout)
            .map_err(|e| SinkError::Invalid { sink: "alertmanager".to_owned(), text: e.to_string() })?;
        Ok(Self { client, url, origin })
    }

    /// For metrics and logs.
    pub(super) fn name(url: &Url) -> String {
        let (host, prefix) = (url.authority(), url.path().trim_end_matches("/api/v2/alerts"));
        format!("alertmanager/{host}{prefix}")
    }
}

impl Receiver for Alertmanager {
    async fn deliver(&self, batch: &[Outgoing], now: Millis) -> Result<(), Failure> {
        post_json(&self.client, self.url.clone(), payload(batch, &self.origin, now), now).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<Vec<String>, String> {
        let config: AlertmanagerConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        Ok(config.urls().map_err(|e| e.to_string())?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_shape_of_prometheus_yml_is_read() {
        let yaml = "scheme: https\npath_prefix: /am/\ntimeout: 5s\napi_version: v2\nbasic_auth: {username: u, password_file: p}\n\
                    static_configs:\n- targets: ['a:9093', '[::1]:9093']\n- targets: [b]\n";
        assert_eq!(
            parse(yaml).unwrap(),
            ["https://a:9093/am/api/v2/alerts", "https://[::1]:9093/am/api/v2/alerts", "https://b/am/api/v2/alerts"]
        );
        let url = Url::parse("https://a:9093/am/api/v2/alerts").unwrap();
        assert_eq!(Alertmanager::name(&url), "alertmanager/a:9093/am");
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, want) in [
            ("static_configs: []", "no targets"),
            ("static_configs: [{targets: ['http://a:9093']}]", "scheme and path_prefix stand apart"),
            ("static_configs: [{targets: ['u:p@a:9093']}]", "is not host:port"),
            ("{api_version: v1, static_configs: [{targets: [a]}]}", "use v2"),
            ("{scheme: ftp, static_configs: [{targets: [a]}]}", "neither http nor https"),
            ("{timeout: 5, static_configs: [{targets: [a]}]}", "not a duration"),
            ("{timeout: 0s, static_configs: [{targets: [a]}]}", "above zero"),
            ("{timeoot: 5s}", "timeoot"),
        ] {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
