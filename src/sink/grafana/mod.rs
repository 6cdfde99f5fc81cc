//! Grafana: an annotation for every alert, from when it fires (POST) to when it is resolved (PATCH makes it a region); for
//! alerts that mark an instant one a mark, which stays a point.
//!
//! Grafana gives a new annotation for every POST, so that one whose answer was lost must not simply be sent again. Every
//! annotation has a tag that no other has, and whatever is done begins with a search for it: nothing need be remembered,
//! neither across attempts nor across restarts, and an annotation that somebody has deleted is not made again.
//!
//! Every transition is delivered in the order of its alert. One that Grafana does not take (no permission on its dashboard,
//! say) goes behind the others and is given up after a day. Of a beginning that was given up this process knows, so that
//! the end, whose turn comes then, makes the whole region.

mod annotation;
mod client;
mod marks;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::base::Millis;
use crate::http_client::{HttpClient, HttpClientConfig, Purpose};

use super::SinkError;
use super::failure::{Failure, Verdict};
use super::matching::Match;
use super::origin::Origin;
use super::pending::{Order, Outgoing, Policy};
use super::point::point;
use super::settings::{read_duration, write_duration};
use super::worker::Receiver;
use annotation::{Annotation, Style, annotation, ends, time, unique_tag};
use client::{Client, Refusal};
use marks::Marks;

/// How long an annotation that Grafana answers with an error is tried.
const GIVE_UP: Millis = 86_400_000;
/// Beginnings that were given up and whose ends are awaited; those beyond are not remembered.
const GIVEN_UP: usize = 10_000;
/// Alerts whose newest mark is remembered; of those that are forgotten each repetition is searched.
const MARKED: usize = 10_000;
/// Smallest `tags_bytes`: room for the unique tag.
const TAGS_BYTES_MIN: usize = 100;

/// Annotations in a Grafana.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrafanaConfig {
    /// For metrics and logs.
    pub name: String,
    /// Where Grafana is, such as `http://grafana:3000`, with its sub-path if it has one.
    pub url: Option<Url>,
    /// Path of the annotations API under it.
    pub api_path: String,
    /// Organisation, for users who are in several; sent as `X-Grafana-Org-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<u64>,
    /// Which alerts it gets.
    #[serde(rename = "match", skip_serializing_if = "Match::is_all")]
    pub matching: Match,
    /// How to reach it: `authorization: {credentials_file: …}` with a service account's token, or `basic_auth`.
    pub http_config: HttpClientConfig,
    /// Tags of every annotation, beside those from the labels.
    pub tags: Vec<String>,
    /// Most bytes of an annotation's tags; as Grafana's `[annotations] tags_length`.
    pub tags_bytes: usize,
    /// Dashboard of alerts whose rule has no annotation `__dashboardUid__`; without either, annotations belong to the
    /// organisation and are found by their tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_uid: Option<String>,
    /// Panel of that dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panel_id: Option<u32>,
    /// Most requests in a second.
    pub requests_per_second: u32,
    /// Longest time of one request.
    #[serde(deserialize_with = "read_duration", serialize_with = "write_duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for GrafanaConfig {
    fn default() -> Self {
        Self {
            name: "grafana".to_owned(),
            url: None,
            api_path: "/api/annotations".to_owned(),
            org_id: None,
            matching: Match::default(),
            http_config: HttpClientConfig::default(),
            tags: vec!["forewarn".to_owned()],
            tags_bytes: 500,
            dashboard_uid: None,
            panel_id: None,
            requests_per_second: 10,
            timeout: Duration::from_secs(10),
        }
    }
}

impl GrafanaConfig {
    /// Makes relative file names relative to `dir`.
    pub fn resolve_paths(&mut self, dir: &Path) {
        self.http_config.resolve_paths(dir);
    }

    pub(super) fn policy(capacity: usize) -> Policy {
        let order = Order::Every { pending: false };
        Policy { capacity, batch: 1, one_rule: false, repeats: false, resolved: true, points: true, order }
    }

    /// Where the API is.
    fn annotations(&self) -> Result<Url, String> {
        let url = self.url.as_ref().ok_or("give url, such as http://grafana:3000")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("url: the scheme {:?} is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("url: leave out user, query and fragment; credentials go into http_config".to_owned());
        }
        if !self.api_path.starts_with('/') || self.api_path.contains(['?', '#']) {
            return Err(format!("api_path: {:?} is not a path that begins with /", self.api_path));
        }
        let mut annotations = url.clone();
        annotations.set_path(&format!("{}{}", url.path().trim_end_matches('/'), self.api_path.trim_end_matches('/')));
        Ok(annotations)
    }
}

/// The receiver.
#[derive(Debug)]
pub(super) struct Grafana {
    client: Client,
    style: Style,
    origin: Arc<Origin>,
    timeout: Duration,
    /// Unique tags of beginnings that Grafana never took.
    given_up: std::sync::Mutex<HashSet<String>>,
    marked: std::sync::Mutex<Marks>,
}

impl Grafana {
    pub(super) fn new(config: &GrafanaConfig, origin: Arc<Origin>) -> Result<Self, SinkError> {
        let invalid = |text: String| SinkError::Invalid { sink: config.name.clone(), text };
        let annotations = config.annotations().map_err(invalid)?;
        if config.requests_per_second == 0 {
            return Err(invalid("requests_per_second must be above zero".to_owned()));
        }
        if config.tags_bytes < TAGS_BYTES_MIN {
            return Err(invalid(format!("tags_bytes must be at least {TAGS_BYTES_MIN}")));
        }
        if config.panel_id.is_some() && config.dashboard_uid.is_none() {
            return Err(invalid("panel_id needs dashboard_uid beside it".to_owned()));
        }
        let http =
            HttpClient::new(&config.http_config, Purpose::Write, config.timeout).map_err(|e| invalid(e.to_string()))?;
        let pace = Duration::from_secs(1) / config.requests_per_second;
        let style = Style {
            tags: config.tags.clone(),
            tags_bytes: config.tags_bytes,
            dashboard_uid: config.dashboard_uid.clone(),
            panel_id: config.panel_id,
        };
        let client = Client { http, annotations, org_id: config.org_id, pace, next: Mutex::new(None) };
        Ok(Self {
            client,
            style,
            origin,
            timeout: config.timeout,
            given_up: std::sync::Mutex::default(),
            marked: std::sync::Mutex::new(Marks::new(MARKED)),
        })
    }

    /// Makes a point, unless it is there.
    async fn mark(&self, sent: &Outgoing, point: Millis, now: Millis) -> Result<(), Failure> {
        if self.marked().has(sent.key, point) {
            return Ok(());
        }
        self.begin(sent, now).await?;
        self.marked().note(sent.key, point);
        Ok(())
    }

    async fn begin(&self, sent: &Outgoing, now: Millis) -> Result<(), Failure> {
        let transition = &sent.transition;
        if !self.client.find(&unique_tag(transition), time(transition), now).await.map_err(judge)?.is_empty() {
            return Ok(());
        }
        self.create(annotation(transition, &self.style, &self.origin), now).await
    }

    async fn create(&self, mut wanted: Annotation, now: Millis) -> Result<(), Failure> {
        let mut created = self.client.create(&wanted, now).await;
        // A dashboard that is not there (any more): what happened is better shown elsewhere than not at all.
        if wanted.dashboard_uid.is_some() && created.as_ref().is_err_and(|refusal| refusal.is_any(&[400, 404])) {
            (wanted.dashboard_uid, wanted.panel_id) = (None, None);
            created = self.client.create(&wanted, now).await;
        }
        created.map_err(|refusal| {
            let uncertain =
                refusal.status.is_none() && matches!(refusal.failure.reason, "timeout" | "connection_lost" | "answer");
            let failure = judge(refusal);
            // It may be at work on it still: the next search must come after that.
            if uncertain { Failure { verdict: Verdict::Retry(Some(self.timeout)), ..failure } } else { failure }
        })
    }

    async fn end(&self, sent: &Outgoing, now: Millis) -> Result<(), Failure> {
        let transition = &sent.transition;
        let found = self.client.find(&unique_tag(transition), time(transition), now).await.map_err(judge)?;
        let Some((first, doubles)) = found.split_first() else {
            // Its beginning was acknowledged: somebody has deleted it. Or given up: it was never there.
            if !self.given_up().contains(&unique_tag(transition)) {
                return Ok(());
            }
            let wanted = annotation(transition, &self.style, &self.origin);
            return self.create(Annotation { time_end: Some(ends(transition)), ..wanted }, now).await;
        };
        for id in doubles {
            // A POST that was answered too late by more than any patience. Nothing is lost if it stays.
            if let Err(refusal) = self.client.delete(*id, now).await {
                tracing::warn!(id, error = refusal.failure.message, "Grafana has an annotation twice and keeps it");
            }
        }
        match self.client.close(*first, ends(transition), now).await {
            Err(refusal) if refusal.is_any(&[404]) => Ok(()),
            closed => closed.map_err(judge),
        }
    }

    /// Remembers what became of a transition for the end of its alert.
    fn settled(&self, sent: &Outgoing, taken: bool) {
        let mut given_up = self.given_up();
        if taken || !sent.is_firing() {
            given_up.remove(&unique_tag(&sent.transition));
        } else if given_up.len() < GIVEN_UP {
            given_up.insert(unique_tag(&sent.transition));
        }
    }

    fn marked(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn given_up(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver for Grafana {
    async fn deliver(&self, batch: &[Outgoing], now: Millis) -> Result<(), Failure> {
        for sent in batch {
            let point = point(&sent.transition);
            let told = match point {
                Some(point) => self.mark(sent, point, now).await,
                None if sent.is_firing() => self.begin(sent, now).await,
                None => self.end(sent, now).await,
            };
            let told = told.map_err(|failure| match failure.verdict {
                Verdict::Defer if now.saturating_sub(sent.received) > GIVE_UP => {
                    Failure { verdict: Verdict::Refused, ..failure }
                }
                _ => failure,
            });
            if point.is_none() && told.as_ref().map_or_else(|failure| failure.verdict == Verdict::Refused, |()| true) {
                self.settled(sent, told.is_ok());
            }
            told?;
        }
        Ok(())
    }
}

impl Refusal {
    fn is_any(&self, statuses: &[u16]) -> bool {
        self.status.is_some_and(|status| statuses.contains(&status.as_u16()))
    }
}

/// What to do about an answer. One annotation may be at fault or all of them, and Grafana does not say which: what may pass
/// goes behind the others.
fn judge(refusal: Refusal) -> Failure {
    let failure = refusal.failure;
    let verdict = match refusal.status.map(|status| status.as_u16()) {
        // Too much, or not now.
        Some(429 | 503) => failure.verdict,
        // No permission (on this dashboard), no such path or dashboard, a state that is in the way, an error of its own.
        Some(401 | 403 | 404 | 407 | 409 | 412 | 500..=599) => Verdict::Defer,
        Some(400 | 413 | 422) => Verdict::Refused,
        _ => failure.verdict,
    };
    Failure { verdict, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(yaml: &str) -> Result<String, String> {
        let config: GrafanaConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        let grafana = Grafana::new(&config, Arc::default()).map_err(|e| e.to_string())?;
        Ok(grafana.client.annotations.to_string())
    }

    #[test]
    fn the_api_is_under_the_url() {
        assert_eq!(open("{url: 'http://g:3000'}").unwrap(), "http://g:3000/api/annotations");
        assert_eq!(open("{url: 'https://x/grafana/'}").unwrap(), "https://x/grafana/api/annotations");
        assert_eq!(open("{url: 'http://g', api_path: /other/path/}").unwrap(), "http://g/other/path");
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, want) in [
            ("{}", "give url"),
            ("{url: 'ftp://g'}", "http nor https"),
            ("{url: 'http://u:p@g'}", "credentials go into http_config"),
            ("{url: 'http://g', api_path: api}", "begins with /"),
            ("{url: 'http://g', requests_per_second: 0}", "above zero"),
            ("{url: 'http://g', tags_bytes: 50}", "tags_bytes must be"),
            ("{url: 'http://g', panel_id: 3}", "needs dashboard_uid"),
            ("{url: 'http://g', dashboardUid: x}", "dashboardUid"),
        ] {
            let error = open(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
