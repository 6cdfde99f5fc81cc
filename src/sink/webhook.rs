//! A webhook of anyone's, in Alertmanager's webhook format, for those who run no Alertmanager.
//!
//! One message tells of one alert unless `max_alerts` allows more of the same rule. The engine's repetitions are not sent:
//! a receiver hears that an alert fires and that it is resolved, each once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::Millis;
use crate::http_client::{HttpClient, HttpClientConfig, HttpClientError, NamedFile, Purpose, Secret, read_secret};

use super::SinkError;
use super::failure::Failure;
use super::matching::Match;
use super::origin::Origin;
use super::pending::{Order, Outgoing, Policy};
use super::post::post_json;
use super::secret_url::hide;
use super::settings::{read_duration, write_duration};
use super::webhook_payload::payload;
use super::worker::Receiver;

/// Most alerts in one message when `max_alerts` is 0.
const MOST_ALERTS: usize = 64;

/// A webhook; the fields are those of Alertmanager's `webhook_config` but for `name`,
/// `match` and `every_transition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// For metrics, logs, and the message's `receiver`.
    pub name: String,
    /// Where to. A secret, since many receivers tell their users apart by a token in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// File with the URL, read at every message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Which alerts it gets.
    #[serde(rename = "match", skip_serializing_if = "Match::is_all")]
    pub matching: Match,
    /// How to reach it.
    pub http_config: HttpClientConfig,
    /// Whether resolved alerts are sent.
    pub send_resolved: bool,
    /// Alerts of one rule in one message; what is beyond follows in further messages. 0: as many as 64. Unlike in
    /// Alertmanager the default is 1, so that `status` and `groupKey` speak of one alert.
    pub max_alerts: usize,
    /// Whether every change of an alert is sent, in order, however late; else only the newest state of each.
    pub every_transition: bool,
    /// Longest time of one request.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            name: "webhook".to_owned(),
            url: None,
            url_file: None,
            matching: Match::default(),
            http_config: HttpClientConfig::default(),
            send_resolved: true,
            max_alerts: 1,
            every_transition: false,
            timeout: Duration::from_secs(10),
        }
    }
}

impl WebhookConfig {
    /// Makes relative file names relative to `dir`.
    pub fn resolve_paths(&mut self, dir: &Path) {
        if let Some(file) = &mut self.url_file {
            *file = dir.join(&*file);
        }
        self.http_config.resolve_paths(dir);
    }

    pub(super) fn files(&self) -> Vec<NamedFile> {
        let url = self.url_file.as_deref().map(|file| NamedFile::new("url_file", file));
        url.into_iter().chain(super::within("http_config", self.http_config.files())).collect()
    }

    pub(super) fn policy(&self, capacity: usize) -> Policy {
        let batch = if self.max_alerts == 0 { MOST_ALERTS } else { self.max_alerts.min(MOST_ALERTS) };
        let order = if self.every_transition { Order::Every { pending: false } } else { Order::Newest };
        Policy { capacity, batch, one_rule: true, repeats: false, resolved: self.send_resolved, points: false, order }
    }
}

/// The receiver.
#[derive(Debug)]
pub(super) struct Webhook {
    client: HttpClient,
    address: Address,
    name: String,
    /// Whether a message may hold more than one alert.
    grouped: bool,
    origin: Arc<Origin>,
}

#[derive(Debug)]
enum Address {
    Given(Secret),
    File(PathBuf),
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig, origin: Arc<Origin>) -> Result<Self, SinkError> {
        let invalid = |text: String| SinkError::Invalid { sink: config.name.clone(), text };
        let address = match (&config.url, &config.url_file) {
            (Some(url), None) => {
                parse("url", url).map_err(|e| invalid(e.to_string()))?;
                Address::Given(url.clone())
            }
            (None, Some(file)) => Address::File(file.clone()),
            _ => return Err(invalid("give either url or url_file".to_owned())),
        };
        let client =
            HttpClient::new(&config.http_config, Purpose::Write, config.timeout).map_err(|e| invalid(e.to_string()))?;
        Ok(Self { client, address, name: config.name.clone(), grouped: config.max_alerts != 1, origin })
    }

    async fn url(&self) -> Result<Url, HttpClientError> {
        match &self.address {
            Address::Given(url) => parse("url", url),
            Address::File(file) => parse("url_file", &read_secret("url_file", file).await?),
        }
    }
}

impl Receiver for Webhook {
    async fn deliver(&self, batch: &[Outgoing], now: Millis) -> Result<(), Failure> {
        let (body, url) = (payload(batch, &self.name, self.grouped, &self.origin, now), self.url().await?);
        let posted = post_json(&self.client, url.clone(), body, now).await;
        // The receiver may name the URL in its answer.
        posted.map_err(|failure| Failure { message: hide(&failure.message, &url), ..failure })
    }
}

/// Parses a URL and says nothing of it when it is none.
fn parse(what: &str, url: &Secret) -> Result<Url, HttpClientError> {
    Url::parse(url.expose())
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https"))
        .ok_or_else(|| HttpClientError::Invalid(format!("{what} does not hold an http or https URL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(yaml: &str) -> Result<Webhook, String> {
        let config: WebhookConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        Webhook::new(&config, Arc::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn mistakes_are_named_without_the_url() {
        assert!(open("{url: 'http://x/tok'}").is_ok());
        for (yaml, want) in [
            ("{}", "either url or url_file"),
            ("{url: 'http://x/tok', url_file: f}", "either url or url_file"),
            ("{url: 'ftp://x/tok'}", "http or https"),
            ("{url: 'http://x/tok', http_config: {basic_auth: {}, bearer_token_file: f}}", "only one of"),
            ("{uri: 'http://x/tok'}", "uri"),
        ] {
            let error = open(yaml).unwrap_err();
            assert!(error.contains(want) && !error.contains("x/tok") || yaml.contains("uri"), "{yaml}: {error}");
        }
    }

    #[test]
    fn the_url_is_not_shown() {
        let config: WebhookConfig = serde_saphyr::from_str("{url: 'http://x/hunter2'}").unwrap();
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
