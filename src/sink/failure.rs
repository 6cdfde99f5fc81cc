//! What an HTTP answer means for a delivery: pure but for the error types it reads.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::base::Millis;
use crate::http_client::HttpClientError;

/// Why a delivery was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For metrics; one of a fixed few.
    pub reason: &'static str,
    /// For the log.
    pub message: String,
    /// What to do about it.
    pub verdict: Verdict,
}

/// What to do about a failed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before the receiver's own wish where it has one. (It may be over already: [`super::Backoff`] keeps its pauses.)
    Retry(Option<Duration>),
    /// Try again, after what else waits: others may fare better.
    Defer,
    /// The content may be at fault: try again in halves, give up an alert that is refused alone.
    Split,
    /// Give up.
    Refused,
    /// Give up: the receiver is gone for good.
    Gone,
}

impl Failure {
    /// All reasons of a receiver that is spoken to by HTTP.
    pub const OF_HTTP: [&str; 10] = [
        "client_error",
        "client_setup",
        "connect",
        "connection_lost",
        "redirect",
        "request",
        "server_error",
        "timeout",
        "too_many_requests",
        "unauthorized",
    ];

    /// What an answer other than 2xx means. `now` is wall-clock time, for a `Retry-After` that names a date.
    #[must_use]
    pub fn of_answer(status: StatusCode, headers: &HeaderMap, body: &str, now: Millis) -> Self {
        let verdict = match status.as_u16() {
            429 | 503 => Verdict::Retry(retry_after(headers, now)),
            408 | 500..=599 => Verdict::Retry(None),
            // A secret that is being rotated, a receiver behind an ingress that rolls: a page must outlive that.
            401 | 403 | 404 | 405 | 407 | 409 | 410 => Verdict::Retry(None),
            // A redirect that is not followed: a proxy's or a log-in page's doing, and likely to pass.
            300..=399 => Verdict::Retry(None),
            // Bad request, too large, unprocessable: it may be one alert of many.
            400 | 413 | 422 => Verdict::Split,
            _ => Verdict::Refused,
        };
        let reason = match status.as_u16() {
            408 => "timeout",
            429 => "too_many_requests",
            401 | 403 | 407 => "unauthorized",
            300..=399 => "redirect",
            500..=599 => "server_error",
            _ => "client_error",
        };
        let body: String = body.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { reason, message: format!("{status}: {}", body.trim()), verdict }
    }

    /// No answer came.
    #[must_use]
    pub fn of_error(error: reqwest::Error) -> Self {
        let reason = if error.is_timeout() {
            "timeout"
        } else if error.is_connect() {
            "connect"
        } else if error.is_builder() {
            "request"
        } else {
            "connection_lost"
        };
        Self { reason, message: crate::http_client::describe(error), verdict: Verdict::Retry(None) }
    }
}

/// A file with a secret may be missing while it is rotated: tried again.
impl From<HttpClientError> for Failure {
    fn from(error: HttpClientError) -> Self {
        Self { reason: "client_setup", message: error.to_string(), verdict: Verdict::Retry(None) }
    }
}

/// `Retry-After` in either of its forms, RFC 9110 section 10.2.3: seconds or a date.
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::from_millis(u64::try_from(date.as_millisecond() - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert("retry-after", text.parse().unwrap());
        }
        let failure = Failure::of_answer(StatusCode::from_u16(status).unwrap(), &headers, "", 784_111_777_000 - 5_000);
        assert!(Failure::OF_HTTP.contains(&failure.reason), "{}", failure.reason);
        failure.verdict
    }

    #[test]
    fn what_may_pass_is_retried_and_what_will_not_is_not() {
        for status in [302, 401, 403, 404, 405, 407, 408, 409, 410, 500, 502, 503, 504] {
            assert_eq!(verdict(status, None), Verdict::Retry(None), "{status}");
        }
        for status in [402, 406, 411, 415, 431] {
            assert_eq!(verdict(status, None), Verdict::Refused, "{status}");
        }
        for status in [400, 413, 422] {
            assert_eq!(verdict(status, None), Verdict::Split, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(verdict(429, Some("7")), Verdict::Retry(Some(Duration::from_secs(7))));
        // RFC 9110's own example date, five seconds ahead.
        assert_eq!(verdict(503, Some("Sun, 06 Nov 1994 08:49:37 GMT")), Verdict::Retry(Some(Duration::from_secs(5))));
        assert_eq!(verdict(503, Some("Tue, 06 Nov 1984 08:49:37 GMT")), Verdict::Retry(Some(Duration::ZERO)));
        assert_eq!(verdict(429, Some("soon")), Verdict::Retry(None));
    }
}
