//! One GET of a target's metrics: status, size and credentials checked, nothing parsed.

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};

use crate::http_client::{HttpClient, HttpClientError, describe};
use crate::source::config::Target;
use crate::source::decode::text::{Format, Problem, TextError};

/// What Prometheus 3 asks for, without the protobuf formats.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// Nothing within the timeout.
    #[error("no answer within the scrape timeout")]
    Timeout,
    /// The request failed.
    #[error("{0}")]
    Request(String),
    /// Another status than 200.
    #[error("the target answered {0}")]
    Status(StatusCode),
    /// A body over the bound.
    #[error("the body is larger than limits.scrape_bytes ({0} bytes)")]
    TooLarge(usize),
    /// The text does not parse, or holds too many samples.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Credentials or certificates.
    #[error(transparent)]
    Client(#[from] HttpClientError),
    /// The parser failed within.
    #[error("the parser failed within")]
    Parser,
}

/// All that [`ScrapeError::reason`] says.
pub const FAILURES: [&str; 8] =
    ["timeout", "request", "status", "body_too_large", "too_many_samples", "malformed", "client", "parser"];

impl ScrapeError {
    /// The reason as a metric's label value.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Request(_) => "request",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "body_too_large",
            Self::Text(TextError { problem: Problem::TooManySamples(_), .. }) => "too_many_samples",
            Self::Text(_) => "malformed",
            Self::Client(_) => "client",
            Self::Parser => "parser",
        }
    }
}

impl From<reqwest::Error> for ScrapeError {
    fn from(e: reqwest::Error) -> Self {
        if e.is_timeout() { Self::Timeout } else { Self::Request(describe(e)) }
    }
}

/// Fetches the body and its format. The caller sets the deadline.
pub(super) async fn fetch(
    client: &HttpClient,
    target: &Target,
    bytes_max: usize,
) -> Result<(Vec<u8>, Format), ScrapeError> {
    let request = client
        .request(Method::GET, target.url.clone())
        .await?
        .header(ACCEPT, ACCEPTED)
        .header("x-prometheus-scrape-timeout-seconds", target.timeout.as_secs_f64().to_string());
    let mut response = request.send().await?;
    if response.status() != StatusCode::OK {
        return Err(ScrapeError::Status(response.status()));
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let format = Format::from_content_type(kind);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Err(ScrapeError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, format))
}
