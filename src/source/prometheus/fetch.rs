//! One request for the raw samples of a selector, with its retries.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use url::Url;
use url::form_urlencoded::Serializer;

use super::answer::{Answer, Part, Refusal};
use crate::base::{Limits, Millis};
use crate::http_client::{HttpClient, HttpClientError, describe};
use crate::source::decode::TargetLabels;

/// Attempts at one request, and the wait after the first failure, which doubles.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Where requests go.
#[derive(Debug)]
pub(super) struct Server {
    pub client: HttpClient,
    /// Of the query API.
    pub url: Url,
    /// Added to every series.
    pub labels: TargetLabels,
    /// `scrape_bytes` bounds an answer.
    pub limits: Limits,
}

/// Why there is no answer, for good.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Too much for one of the two sides.
    #[error("too much for one request: {0}")]
    TooMuch(String),
    /// No answer after several attempts.
    #[error("no answer after {ATTEMPTS} attempts: {0}")]
    Unreachable(String),
    /// The server does not take the request.
    #[error("{0}")]
    Refused(String),
    /// Credentials or certificates.
    #[error(transparent)]
    Client(#[from] HttpClientError),
}

/// Asks for the samples of `selector` with `after` < t ≤ `until`; older servers give those at `after` as well,
/// which are left out.
pub(super) async fn samples(server: &Server, selector: &str, after: Millis, until: Millis) -> Result<Part, FetchError> {
    let query = format!("{selector}[{}ms]", until - after);
    let time = format!("{}.{:03}", until.div_euclid(1000), until.rem_euclid(1000));
    let form = Serializer::new(String::new()).append_pair("query", &query).append_pair("time", &time).finish();
    let mut wait = FIRST_WAIT;
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tracing::debug!(%last, "Prometheus does not answer; asking again");
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        let (status, body) = match ask(server, &form).await? {
            Ok(answer) => answer,
            Err(Refusal::Later(text)) => {
                last = text;
                continue;
            }
            Err(Refusal::TooMuch(text) | Refusal::Never(text)) => return Err(FetchError::TooMuch(text)),
        };
        match Answer::read(status, &body) {
            Ok(answer) => return Ok(answer.part(after, &server.labels, &server.limits)),
            Err(Refusal::TooMuch(text)) => return Err(FetchError::TooMuch(text)),
            Err(Refusal::Never(text)) => return Err(FetchError::Refused(text)),
            Err(Refusal::Later(text)) => last = text,
        }
    }
    Err(FetchError::Unreachable(last))
}

/// Status and body.
async fn ask(server: &Server, form: &str) -> Result<Result<(u16, Vec<u8>), Refusal>, HttpClientError> {
    let bytes_max = server.limits.scrape_bytes;
    let request = server.client.request(Method::POST, server.url.clone()).await?;
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned());
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_timeout() && !error.is_connect() => {
            return Ok(Err(Refusal::TooMuch("no answer in time".to_owned())));
        }
        Err(error) => return Ok(Err(Refusal::Later(describe(error)))),
    };
    let status = response.status().as_u16();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => {
                let text = format!("the answer is larger than limits.scrape_bytes ({bytes_max} bytes)");
                return Ok(Err(Refusal::TooMuch(text)));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) if error.is_timeout() => return Ok(Err(Refusal::TooMuch("no answer in time".to_owned()))),
            Err(error) => return Ok(Err(Refusal::Later(describe(error)))),
        }
    }
    Ok(Ok((status, body)))
}
