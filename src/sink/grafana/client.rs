//! The four requests of Grafana's annotations API that are used: find, create, close, delete. Never retries.
//!
//! <https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::base::Millis;
use crate::http_client::HttpClient;

use super::super::failure::{Failure, Verdict};
use super::super::post::head;
use super::annotation::Annotation;

/// https://grafana.com/docs/grafana/latest/developers/http_api/authentication/
const ORG_ID: HeaderName = HeaderName::from_static("x-grafana-org-id");
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 1 << 20;
/// How far around its time an annotation is searched: people move them a little.
const AROUND: Millis = 3_600_000;

/// A Grafana.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) http: HttpClient,
    /// `<url><api_path>`.
    pub(super) annotations: Url,
    pub(super) org_id: Option<u64>,
    /// Shortest time between two requests.
    pub(super) pace: Duration,
    pub(super) next: Mutex<Option<Instant>>,
}

/// What Grafana said that was no success.
#[derive(Debug)]
pub(super) struct Refusal {
    /// None if no answer came: what was asked may have been done or not.
    pub(super) status: Option<StatusCode>,
    pub(super) failure: Failure,
}

impl Client {
    /// Ids of the annotations with a tag that lie around a time, the oldest first.
    pub(super) async fn find(&self, tag: &str, time: Millis, now: Millis) -> Result<Vec<u64>, Refusal> {
        #[derive(Deserialize)]
        struct Found {
            id: u64,
            #[serde(default)]
            tags: Vec<String>,
        }
        let mut url = self.annotations.clone();
        url.query_pairs_mut()
            .append_pair("tags", tag)
            .append_pair("matchAny", "false")
            .append_pair("from", &(time - AROUND).max(1).to_string())
            .append_pair("to", &(time + AROUND).max(1).to_string())
            .append_pair("limit", "100");
        let body = self.send(Method::GET, url, None::<&()>, now).await?;
        let found: Vec<Found> = serde_json::from_slice(&body).map_err(|e| not_grafana(&e))?;
        // Whoever does not know the parameters answers with everything.
        let mut ids: Vec<u64> = found.into_iter().filter(|f| f.tags.iter().any(|t| t == tag)).map(|f| f.id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) async fn create(&self, annotation: &Annotation, now: Millis) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        struct Created {
            #[allow(dead_code)] // its presence is what tells Grafana from a log-in page
            id: u64,
        }
        let body = self.send(Method::POST, self.annotations.clone(), Some(annotation), now).await?;
        serde_json::from_slice::<Created>(&body).map(drop).map_err(|e| not_grafana(&e))
    }

    /// Makes a region of an annotation. Leaves alone what people may have written into it.
    pub(super) async fn close(&self, id: u64, end: Millis, now: Millis) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        struct Patched {
            #[allow(dead_code)] // as with `Created`
            message: String,
        }
        let body = self.send(Method::PATCH, self.of(id), Some(&json!({"timeEnd": end})), now).await?;
        serde_json::from_slice::<Patched>(&body).map(drop).map_err(|e| not_grafana(&e))
    }

    pub(super) async fn delete(&self, id: u64, now: Millis) -> Result<(), Refusal> {
        self.send(Method::DELETE, self.of(id), None::<&()>, now).await.map(drop)
    }

    fn of(&self, id: u64) -> Url {
        let mut url = self.annotations.clone();
        url.set_path(&format!("{}/{id}", self.annotations.path().trim_end_matches('/')));
        url
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
        now: Millis,
    ) -> Result<Vec<u8>, Refusal> {
        self.wait_for_turn().await;
        let lost = |failure: Failure| Refusal { status: None, failure };
        let mut request = self.http.request(method, url).await.map_err(|e| lost(e.into()))?;
        request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(org) = self.org_id {
            request = request.header(ORG_ID, HeaderValue::from(org));
        }
        if let Some(body) = body {
            // Strings and numbers into memory: nothing there can fail.
            let bytes = serde_json::to_vec(body).unwrap_or_default();
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(bytes);
        }
        let answer = request.send().await.map_err(|e| lost(Failure::of_error(e)))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_success() {
            return Ok(head(answer, ANSWER_BYTES).await);
        }
        let body = head(answer, 200).await;
        let failure = Failure::of_answer(status, &headers, &String::from_utf8_lossy(&body), now);
        Err(Refusal { status: Some(status), failure })
    }

    /// Keeps the requests apart.
    async fn wait_for_turn(&self) {
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            tokio::time::sleep_until(at).await;
        }
        *next = Some(Instant::now() + self.pace);
    }
}

/// A success that is none of Grafana's: a proxy's log-in page, another server, an answer that broke off.
fn not_grafana(error: &serde_json::Error) -> Refusal {
    let message = format!("the answer is not one of Grafana's annotations API (is api_path right?): {error}");
    Refusal { status: None, failure: Failure { reason: "answer", message, verdict: Verdict::Retry(None) } }
}
