//! One POST of JSON to a receiver, and what came of it. Never retries.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response};
use url::Url;

use crate::base::Millis;
use crate::http_client::HttpClient;

use super::failure::Failure;

/// Bytes of a refusal's body that are logged.
const BODY_BYTES: usize = 200;

/// Sends `body`. Any 2xx is an acknowledgement, whatever becomes of the answer's body.
pub(super) async fn post_json(client: &HttpClient, url: Url, body: Vec<u8>, now: Millis) -> Result<(), Failure> {
    let request = client.request(Method::POST, url).await?;
    let json = HeaderValue::from_static("application/json");
    let answer = request.header(CONTENT_TYPE, json).body(body).send().await.map_err(Failure::of_error)?;
    if answer.status().is_success() {
        // Read to its end, so that the connection serves again; a body without end is cut off.
        let _ = head(answer, 64 << 10).await;
        return Ok(());
    }
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = head(answer, BODY_BYTES).await;
    Err(Failure::of_answer(status, &headers, &String::from_utf8_lossy(&body), now))
}

/// The first `most` bytes of an answer's body, or what came before it broke off.
pub(super) async fn head(mut answer: Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        if body.len() == most {
            break;
        }
    }
    body
}
