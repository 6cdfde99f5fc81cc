//! Settings of a history that is fetched from a Prometheus: where it is, and how to ask. Pure: reads no files.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http_client::{HttpClientConfig, HttpClientError};
use crate::source::config::Span;

/// A server with Prometheus' query API: Prometheus itself, Thanos, Mimir, VictoriaMetrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Its address, with the path that it is served under, if any: `http://prometheus:9090`.
    pub url: Url,
    /// How far back to read.
    #[serde(default = "fortnight")]
    pub range: Span,
    /// Labels to add to every series that has no such label: the server's `external_labels`, which it adds to what it writes
    /// to others but not to answers.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long one request may take.
    #[serde(default = "two_minutes")]
    pub timeout: Span,
    /// Requests at once.
    #[serde(default = "four")]
    pub concurrency: usize,
    /// Credentials, TLS, proxy.
    #[serde(default)]
    pub http_config: HttpClientConfig,
}

impl PrometheusConfig {
    /// The server at this address, asked as usual.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self {
            url,
            range: fortnight(),
            labels: BTreeMap::new(),
            timeout: two_minutes(),
            concurrency: four(),
            http_config: HttpClientConfig::default(),
        }
    }

    /// Checks what can be checked without asking anybody.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn validate(&self) -> Result<(), HttpClientError> {
        let invalid = |text: &str| Err(HttpClientError::Invalid(text.to_owned()));
        if !matches!(self.url.scheme(), "http" | "https") {
            return invalid("url: write it like http://prometheus:9090");
        }
        if self.concurrency == 0 || self.timeout.0.is_zero() {
            return invalid("concurrency and timeout must be more than 0");
        }
        self.http_config.validate()
    }

    /// The address as people may see it: without what may be a password.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        // It fails for URLs that can have no password.
        let _ = url.set_password(None);
        let _ = url.set_username("");
        url.set_query(None);
        url.to_string()
    }

    /// Makes relative file names relative to `dir`, the folder of the configuration file.
    pub fn resolve_paths(&mut self, dir: &Path) {
        self.http_config.resolve_paths(dir);
    }
}

fn fortnight() -> Span {
    Span(Duration::from_secs(14 * 86_400))
}

fn two_minutes() -> Span {
    Span(Duration::from_secs(120))
}

fn four() -> usize {
    4
}
