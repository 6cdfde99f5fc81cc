//! Room for the bodies of all requests together: each has its own bound, and many at once would still fill the memory.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use tokio::sync::Semaphore;

use crate::base::Limits;

/// What room is counted in, so that the semaphore's numbers suffice.
const UNIT: usize = 4 << 10;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// The room, shared by all ports. Half of it is for bodies whose memory is not known beforehand, so that they, be they sent
/// ever so slowly, leave room for the others.
#[derive(Debug)]
pub(super) struct Bodies {
    known: Semaphore,
    unknown: Semaphore,
    /// The most that any reader takes, and that readers of OTLP take, unpacked.
    most: usize,
    otlp: usize,
    units: usize,
    patience: Duration,
}

impl Bodies {
    pub fn new(limits: &Limits) -> Arc<Self> {
        let units = (limits.requests_bytes / UNIT / 2).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Arc::new(Self {
            known: Semaphore::new(units),
            unknown: Semaphore::new(units),
            most: limits.request_bytes.max(limits.otlp_bytes),
            otlp: limits.otlp_bytes,
            units,
            patience: PATIENCE,
        })
    }

    /// Where a request needs room, and how much. Messages of gRPC have no announced length, and packed ones may become as large
    /// as any; of remote write, which is always packed, the announced length is what is read before the engine has room.
    fn need(&self, headers: &HeaderMap, announced: Option<usize>) -> (&Semaphore, u32) {
        let is = |name, value: &str| {
            headers.get(name).is_some_and(|v| v.as_bytes().to_ascii_lowercase().starts_with(value.as_bytes()))
        };
        let is_otlp = is(header::CONTENT_TYPE, "application/grpc") || is(header::CONTENT_ENCODING, "gzip");
        match announced {
            _ if is_otlp => (&self.unknown, self.units_of(self.otlp)),
            None => (&self.unknown, self.units_of(self.most)),
            Some(bytes) => (&self.known, self.units_of(bytes.min(self.most))),
        }
    }

    /// What announces more than is ever read is refused by its reader.
    fn units_of(&self, bytes: usize) -> u32 {
        // Not above `self.units`, which fits.
        bytes.div_ceil(UNIT).min(self.units) as u32
    }
}

/// Lets a request pass when there is room for its body, which it keeps until it is answered.
pub(super) async fn with_room(State(bodies): State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let announced = request.body().size_hint().exact().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let (room, units) = bodies.need(request.headers(), announced);
    let room = tokio::time::timeout(bodies.patience, room.acquire_many(units)).await;
    match room {
        Ok(Ok(_room)) => next.run(request).await,
        _ => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], "too many requests at once: try again\n")
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderName, HeaderValue};
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn bodies_count_for_what_they_may_become() {
        let limits =
            Limits { request_bytes: 64 << 10, otlp_bytes: 32 << 10, requests_bytes: 256 << 10, ..Limits::default() };
        let bodies = Bodies::new(&limits);
        assert_eq!((bodies.known.available_permits(), bodies.unknown.available_permits()), (32, 32));
        let need = |headers: &[(HeaderName, &'static str)], announced| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            let (room, units) = bodies.need(&headers, announced);
            (std::ptr::eq(room, &bodies.known), units)
        };
        let announced = [Some(0), Some(1), Some(4 << 10), Some((4 << 10) + 1), Some(1 << 40)];
        assert_eq!(announced.map(|n| need(&[], n)), [0, 1, 1, 2, 16].map(|units| (true, units)));
        assert_eq!(need(&[(header::CONTENT_ENCODING, "snappy")], Some(1)), (true, 1));
        assert_eq!(need(&[], None), (false, 16));
        assert_eq!(need(&[(header::CONTENT_ENCODING, "GZip")], Some(1)), (false, 8));
        assert_eq!(need(&[(header::CONTENT_TYPE, "application/grpc+proto")], None), (false, 8));
    }

    #[tokio::test]
    async fn what_finds_no_room_is_told_to_come_again_and_room_comes_back() {
        let limits = Limits { request_bytes: 8 << 10, otlp_bytes: 0, requests_bytes: 16 << 10, ..Limits::default() };
        let mut bodies = Bodies::new(&limits);
        Arc::get_mut(&mut bodies).unwrap().patience = Duration::from_millis(20);
        let router = Router::new()
            .route("/", post(async |_: Bytes| "taken").get(async || "well"))
            .layer(from_fn_with_state(Arc::clone(&bodies), with_room));
        let ask = async |method: &str, body: Body| {
            let request = Request::builder().method(method).uri("/").body(body).unwrap();
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!(ask("POST", Body::from(vec![0; 5 << 10])).await, 200);
        let taken = bodies.known.acquire_many(1).await.unwrap();
        assert_eq!(ask("POST", Body::from(vec![0; 5 << 10])).await, 503);
        assert_eq!(ask("POST", Body::from(vec![0; 4 << 10])).await, 200, "there is room for this one");
        assert_eq!(ask("GET", Body::empty()).await, 200, "whoever asks after our health needs none");
        drop(taken);
        assert_eq!(ask("POST", Body::from(vec![0; 5 << 10])).await, 200);
    }
}
