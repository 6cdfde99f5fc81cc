//! What holds for every request: a deadline, headers against misuse by browsers, no changes on behalf of foreign pages; and
//! that each refusal is counted.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

use super::super::web::{Refused, count};
use super::Shared;
use crate::telemetry::HttpMetrics;

/// How long a request may take, the reading of its body included. A slow sender is told to try again: remote write gives
/// samples up on 4xx.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// The page needs its own style sheet and an icon, nothing else; no page may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What is around every port's routes and whoever guards them.
pub(in crate::server) fn around(router: Router, metrics: &HttpMetrics) -> Router {
    let counted = from_fn_with_state(metrics.clone(), count);
    router.layer(from_fn(deadline)).layer(counted).layer(from_fn(headers))
}

/// Ends requests that take too long.
async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let again = [(header::RETRY_AFTER, "5")];
            let answer = (StatusCode::SERVICE_UNAVAILABLE, again, "the request took too long\n");
            Refused::Slow.mark(answer.into_response())
        }
    }
}

/// Adds the headers.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests for changes that a browser makes for a page of another site.
pub(super) async fn same_site(State(state): State<Shared>, request: Request, next: Next) -> Response {
    if !request.method().is_safe()
        && let Err(refusal) = check(request.headers(), &state.external_url)
    {
        return Refused::ForeignPage.mark((StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response());
    }
    next.run(request).await
}

/// Why a browser's request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("refused: the request comes from a page of another site")]
    ForeignPage,
    /// DNS rebinding: the foreign page's own host name has been made to point here, so that Origin and Host agree.
    #[error("refused: a browser asked under a host name that this server does not know; set its external URL")]
    UnknownHost,
}

/// Clients that are no browsers send neither `Origin` nor `Sec-Fetch-Site`, and pass.
fn check(headers: &HeaderMap, external_url: &str) -> Result<(), Refusal> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Refusal::ForeignPage);
    }
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let origin = Url::parse(origin).map_err(|_| Refusal::ForeignPage)?;
    let external = Url::parse(external_url).ok();
    // Behind a proxy the Host header may be the proxy's choice; the origin is what the browser shows.
    if external.as_ref().is_some_and(|external| external.origin() == origin.origin()) {
        return Ok(());
    }
    let asked = text(header::HOST).and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    let asked = asked.ok_or(Refusal::ForeignPage)?;
    if !origin.origin().is_tuple() || asked.origin() != origin.origin() {
        return Err(Refusal::ForeignPage);
    }
    match asked.host() {
        Some(Host::Domain(name)) if !is_local(name) => Err(Refusal::UnknownHost),
        _ => Ok(()),
    }
}

/// Names that no foreign DNS answers for; an address in some odd spelling counts as well.
fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::Metrics;

    fn with(pairs: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let headers = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        check(&headers, "https://forewarn.example.org/sub/")
    }

    #[test]
    fn who_may_ask_for_changes() {
        assert_eq!(with(&[("host", "anything:9190")]), Ok(()), "curl");
        assert_eq!(with(&[("host", "127.0.0.1:9190"), ("origin", "http://127.0.0.1:9190")]), Ok(()));
        assert_eq!(with(&[("host", "[::1]:9190"), ("origin", "http://[::1]:9190")]), Ok(()));
        assert_eq!(with(&[("host", "localhost:80"), ("origin", "http://localhost")]), Ok(()));
        assert_eq!(with(&[("host", "10.0.0.5:9190"), ("origin", "https://forewarn.example.org")]), Ok(()), "proxied");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_ended_and_counted() {
        let metrics = Metrics::new().unwrap();
        let slow = |seconds| get(async move || tokio::time::sleep(Duration::from_secs(seconds)).await);
        let router = around(Router::new().route("/slow", slow(61)).route("/patient", slow(59)), &metrics.http);
        let ask = async |path: &str| {
            let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert!(answer.headers().contains_key(header::X_CONTENT_TYPE_OPTIONS), "{path}");
            answer.status().as_u16()
        };
        assert_eq!((ask("/slow").await, ask("/patient").await), (503, 200));
        let text = metrics.encode().unwrap();
        assert!(text.contains("forewarn_http_refused_total{reason=\"slow\"} 1\n"), "{text}");
    }

    #[test]
    fn who_may_not() {
        let foreign = Err(Refusal::ForeignPage);
        assert_eq!(with(&[("host", "127.0.0.1:9190"), ("origin", "http://evil.example")]), foreign);
        assert_eq!(with(&[("host", "127.0.0.1:9190"), ("origin", "http://127.0.0.1:8080")]), foreign, "another port");
        assert_eq!(with(&[("host", "127.0.0.1:9190"), ("origin", "null")]), foreign, "a sandboxed frame");
        assert_eq!(with(&[("origin", "http://127.0.0.1:9190")]), foreign, "no host");
        assert_eq!(with(&[("host", "127.0.0.1:9190"), ("sec-fetch-site", "cross-site")]), foreign);
        let rebound = with(&[("host", "evil.example:9190"), ("origin", "http://evil.example:9190")]);
        assert_eq!(rebound, Err(Refusal::UnknownHost));
    }
}
