//! What a remote-write receiver's answer means: pure but for the types it reads.
//!
//! Remote write 1.0: 5xx and 429 are tried again, other 4xx are not. Which of a request's samples an answer of 400 is about it
//! does not say; receivers name the kind of fault in their text, each in its own words.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::base::Millis;

use super::super::failure::{Failure, Verdict};
use super::super::recorded::Refusal;

/// Words of receivers, in lower case: Prometheus, Mimir and Cortex, Thanos.
const WORDS: [(Refusal, &[&str]); 3] = [
    (Refusal::OutOfOrder, &["out of order", "out-of-order"]),
    (Refusal::Duplicate, &["duplicate sample", "duplicate-timestamp", "different value but same timestamp"]),
    (Refusal::OutOfBounds, &["out of bounds", "too old", "too-old", "too far in", "too-far-in"]),
];

/// What an answer other than 2xx means.
pub(super) fn of_answer(status: StatusCode, headers: &HeaderMap, body: &str, now: Millis) -> (Failure, Refusal) {
    let mut failure = Failure::of_answer(status, headers, body, now);
    let mut refusal = Refusal::Refused;
    match status.as_u16() {
        400 | 409 | 422 => {
            failure.verdict = Verdict::Split;
            let text = body.to_lowercase();
            let named = WORDS.iter().find(|(_, words)| words.iter().any(|word| text.contains(word)));
            if let Some((kind, _)) = named {
                refusal = *kind;
                failure.reason = reason(*kind);
            }
        }
        413 => failure.verdict = Verdict::Split,
        429 => {}
        400..=499 => failure.verdict = Verdict::Refused,
        _ => {}
    }
    (failure, refusal)
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::OutOfOrder => "out_of_order",
        Refusal::Duplicate => "duplicate",
        Refusal::OutOfBounds => "out_of_bounds",
        Refusal::Refused => "client_error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(status: u16, body: &str) -> (Verdict, Refusal) {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let (failure, refusal) = of_answer(StatusCode::from_u16(status).unwrap(), &headers, body, 0);
        (failure.verdict, refusal)
    }

    #[test]
    fn only_429_of_the_4xx_is_tried_again() {
        assert_eq!(of(429, ""), (Verdict::Retry(Some(Duration::from_secs(7))), Refusal::Refused));
        assert_eq!(of(503, "").0, Verdict::Retry(Some(Duration::from_secs(7))));
        for status in [500, 502, 504, 302] {
            assert_eq!(of(status, "").0, Verdict::Retry(None), "{status}");
        }
        for status in [401, 403, 404, 405, 408, 410, 415] {
            assert_eq!(of(status, "").0, Verdict::Refused, "{status}");
        }
    }

    #[test]
    fn receivers_words_are_known() {
        for (body, want) in [
            ("out of order sample\n", Refusal::OutOfOrder),
            ("duplicate sample for timestamp\n", Refusal::Duplicate),
            ("out of bounds\n", Refusal::OutOfBounds),
            ("the sample has been rejected ... (err-mimir-sample-out-of-order)", Refusal::OutOfOrder),
            ("... (err-mimir-sample-duplicate-timestamp)", Refusal::Duplicate),
            ("... (err-mimir-sample-timestamp-too-old)", Refusal::OutOfBounds),
            ("invalid labels", Refusal::Refused),
        ] {
            assert_eq!(of(400, body), (Verdict::Split, want), "{body}");
        }
        assert_eq!(of(409, "store locally: Out of order sample").1, Refusal::OutOfOrder);
    }
}
