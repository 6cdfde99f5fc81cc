//! The sources' part of `forewarn.yml`; `scrape_configs` is shaped as in prometheus.yml. Pure: reads no files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::decode::TargetLabels;
use crate::base::{DURATION_PATTERN, Millis, format_duration, parse_duration};
use crate::http_client::{Authorization, BasicAuth, HttpClientConfig, Secret, TlsConfig, has_http_settings};

/// A duration written as Prometheus does: `15s`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis::try_from(self.0.as_millis()).unwrap_or(Millis::MAX)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.millis()))
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration: 15s, 5m, 1h30m, 7d.",
            "minLength": 1,
            "pattern": DURATION_PATTERN,
        })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let millis = parse_duration(&text).map_err(D::Error::custom)?;
        Ok(Self(Duration::from_millis(millis.unsigned_abs())))
    }
}

/// One job to scrape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// Name of the job: the `job` label.
    pub job_name: String,
    /// Path of the metrics.
    #[serde(default = "metrics_path")]
    pub metrics_path: String,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// How often; the global interval where nothing is said.
    #[serde(default)]
    pub scrape_interval: Option<Span>,
    /// How long at most; the global timeout where nothing is said.
    #[serde(default)]
    pub scrape_timeout: Option<Span>,
    /// The targets.
    #[serde(default)]
    pub static_configs: Vec<StaticConfig>,
    /// Whether labels of the target's own stand against those of the configuration.
    #[serde(default)]
    pub honor_labels: bool,
    /// Whether timestamps of the target's own stand.
    #[serde(default = "yes")]
    pub honor_timestamps: bool,
    /// Parameters of the request.
    #[serde(default)]
    pub params: BTreeMap<String, Vec<String>>,
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

/// Targets with the labels they share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// `host:port` each.
    pub targets: Vec<String>,
    /// Labels for all of them.
    pub labels: BTreeMap<String, String>,
}

/// Protocol of a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// With TLS.
    Https,
}

/// One target, ready to be scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name of its job.
    pub job: String,
    /// Where.
    pub url: Url,
    /// What every series of it gets.
    pub labels: TargetLabels,
    /// How often.
    pub interval: Duration,
    /// How long at most.
    pub timeout: Duration,
    /// Whether timestamps of its own stand.
    pub honor_timestamps: bool,
    /// How to speak to it.
    pub http: HttpClientConfig,
}

/// What is wrong with a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scrape job {job:?}: {problem}")]
pub struct ScrapeConfigError {
    /// The job.
    pub job: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

has_http_settings!(ScrapeConfig);

impl ScrapeConfig {
    /// The targets of the job; `interval` and `timeout` are the global ones.
    ///
    /// # Errors
    /// A timeout above the interval, an interval of zero, two kinds of credentials, a target that is not `host:port`.
    pub fn targets(&self, interval: Span, timeout: Span) -> Result<Vec<Target>, ScrapeConfigError> {
        let fault = |problem: String| ScrapeConfigError { job: self.job_name.clone(), problem };
        let interval = self.scrape_interval.unwrap_or(interval);
        // As in Prometheus a global timeout gives way to a shorter interval, one of the job's own does not.
        let timeout = self.scrape_timeout.unwrap_or(timeout.min(interval));
        if interval.0.is_zero() || timeout.0.is_zero() {
            return Err(fault("scrape_interval and scrape_timeout must be above zero".to_owned()));
        }
        if timeout > interval {
            return Err(fault(format!("scrape_timeout {timeout} is longer than scrape_interval {interval}")));
        }
        let http = self.http();
        http.validate().map_err(|e| fault(e.to_string()))?;
        let mut targets = Vec::new();
        for group in &self.static_configs {
            if let Some(name) = group.labels.keys().find(|n| n.starts_with("__")) {
                return Err(fault(format!(
                    "label {name:?}: names that start with __ belong to relabelling, which is not supported"
                )));
            }
            for address in &group.targets {
                let mut labels = BTreeMap::from([("instance", address.as_str()), ("job", self.job_name.as_str())]);
                labels.extend(group.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
                targets.push(Target {
                    job: self.job_name.clone(),
                    url: self.url(address).map_err(&fault)?,
                    labels: TargetLabels::new(labels, self.honor_labels),
                    interval: interval.0,
                    timeout: timeout.0,
                    honor_timestamps: self.honor_timestamps,
                    http: http.clone(),
                });
            }
        }
        Ok(targets)
    }

    fn url(&self, address: &str) -> Result<Url, String> {
        let fault = || format!("{address:?} is not a target: write host:port, without scheme and path");
        if address.is_empty() || address.contains(['/', '@', '?', '#', ' ']) {
            return Err(fault());
        }
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        let slash = if self.metrics_path.starts_with('/') { "" } else { "/" };
        let text = format!("{scheme}://{address}{slash}{}", self.metrics_path);
        let mut url = Url::parse(&text).map_err(|_| fault())?;
        let pairs = self.params.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
        if self.params.values().any(|values| !values.is_empty()) {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(url)
    }
}

fn metrics_path() -> String {
    "/metrics".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOBAL: (Span, Span) = (Span(Duration::from_secs(15)), Span(Duration::from_secs(10)));

    fn read(yaml: &str) -> ScrapeConfig {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn reads_a_job_as_in_prometheus_yml() {
        let job = read(concat!(
            "job_name: node\nscheme: https\nmetrics_path: /m\nscrape_interval: 5s\nhonor_labels: true\n",
            "params: {module: [a, 'b c']}\nauthorization: {credentials: hush}\ntls_config: {insecure_skip_verify: true}\n",
            "static_configs:\n- targets: ['h:9100', '[::1]:9100']\n  labels: {zone: x}\n"
        ));
        let targets = job.targets(GLOBAL.0, GLOBAL.1).unwrap();
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0].url.as_str(), "https://h:9100/m?module=a&module=b+c");
        assert_eq!((targets[0].interval.as_secs(), targets[0].timeout.as_secs()), (5, 5));
        let labels: Vec<_> = targets[0].labels.iter().collect();
        assert_eq!(labels, [("instance", "h:9100"), ("job", "node"), ("zone", "x")]);
        assert!(!format!("{job:?}").contains("hush"));
    }

    #[test]
    fn mistakes_are_named() {
        let problem = |yaml: &str| read(yaml).targets(GLOBAL.0, GLOBAL.1).unwrap_err().to_string();
        assert!(problem("job_name: a\nscrape_timeout: 20s").contains("longer than scrape_interval 15s"));
        assert!(
            problem("job_name: a\nbasic_auth: {username: a}\nauthorization: {credentials: b}").contains("only one")
        );
        assert!(problem("job_name: a\nstatic_configs: [{targets: ['http://a']}]").contains("without scheme"));
        assert!(problem("job_name: a\nstatic_configs: [{labels: {__x: y}}]").contains("__x"));
        assert!(serde_saphyr::from_str::<ScrapeConfig>("job_name: a\nrelabel_configs: []").is_err());
    }
}
