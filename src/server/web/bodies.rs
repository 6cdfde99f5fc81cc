//! Room for the bodies of all requests together: each has its own bound, and many at once would still fill the memory.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Refused;
use crate::base::Limits;
use crate::telemetry::HttpMetrics;

/// What room is counted in, so that the semaphore's numbers suffice.
const UNIT: usize = 4 << 10;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(5);

/// The room, shared by all ports. Half of it is for bodies whose memory is not known beforehand, so that they, be they sent
/// ever so slowly, leave room for the others.
#[derive(Debug)]
pub(super) struct Bodies {
    known: Room,
    unknown: Room,
    /// The most that any reader takes, and that readers of OTLP take, unpacked.
    most: usize,
    otlp: usize,
    units: usize,
    patience: Duration,
}

/// Half of the room.
#[derive(Debug)]
struct Room {
    units: Semaphore,
    /// Bytes that are taken.
    taken: Option<IntGauge>,
}

/// Room that a request has, which it gives back however it ends.
struct Place<'a> {
    _units: SemaphorePermit<'a>,
    counted: Option<(&'a IntGauge, i64)>,
}

impl Bodies {
    /// Room for as much as is configured, shown by `metrics`.
    pub fn new(limits: &Limits, metrics: Option<&HttpMetrics>) -> Arc<Self> {
        let units = (limits.requests_bytes / UNIT / 2).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let room = |length| Room {
            units: Semaphore::new(units),
            taken: metrics.map(|metrics| metrics.bodies(length, units.saturating_mul(UNIT))),
        };
        Arc::new(Self {
            known: room("announced"),
            unknown: room("unknown"),
            most: limits.request_bytes.max(limits.otlp_bytes),
            otlp: limits.otlp_bytes,
            units,
            patience: PATIENCE,
        })
    }

    /// Where a request needs room, and how much. Messages of gRPC have no announced length, and packed ones may become as large
    /// as any; of remote write, which is always packed, the announced length is what is read before the engine has room.
    fn need(&self, headers: &HeaderMap, announced: Option<usize>) -> (&Room, u32) {
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

impl Room {
    /// Takes some; None if there is none within this time.
    async fn take(&self, units: u32, patience: Duration) -> Option<Place<'_>> {
        let taken = tokio::time::timeout(patience, self.units.acquire_many(units)).await.ok()?.ok()?;
        let counted = self.taken.as_ref().map(|gauge| (gauge, i64::from(units).saturating_mul(UNIT as i64)));
        counted.iter().for_each(|(gauge, bytes)| gauge.add(*bytes));
        Some(Place { _units: taken, counted })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.counted.iter().for_each(|(gauge, bytes)| gauge.sub(*bytes));
    }
}

/// Lets a request pass when there is room for its body, which it keeps until it is answered.
pub(super) async fn with_room(State(bodies): State<Arc<Bodies>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let announced = request.body().size_hint().exact().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let (room, units) = bodies.need(request.headers(), announced);
    let Some(_place) = room.take(units, bodies.patience).await else {
        let again = [(header::RETRY_AFTER, "5")];
        let text = "too many requests at once: try again\n";
        return Refused::NoRoom.mark((StatusCode::SERVICE_UNAVAILABLE, again, text).into_response());
    };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{HeaderName, HeaderValue};
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::super::count;
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn bodies_count_for_what_they_may_become() {
        let limits =
            Limits { request_bytes: 64 << 10, otlp_bytes: 32 << 10, requests_bytes: 256 << 10, ..Limits::default() };
        let bodies = Bodies::new(&limits, None);
        assert_eq!([&bodies.known, &bodies.unknown].map(|room| room.units.available_permits()), [32, 32]);
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
        let metrics = Metrics::new().unwrap();
        let mut bodies = Bodies::new(&limits, Some(&metrics.http));
        Arc::get_mut(&mut bodies).unwrap().patience = Duration::from_millis(20);
        let router = Router::new()
            .route("/", post(async |_: Bytes| "taken").get(async || "well"))
            .route("/slow", post(std::future::pending::<()>))
            .layer(from_fn_with_state(Arc::clone(&bodies), with_room))
            .layer(from_fn_with_state(metrics.http.clone(), count));
        let shown = |series: &str| {
            let text = metrics.encode().unwrap();
            text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<u64>().ok())
        };
        let announced = || shown("forewarn_http_body_bytes{length=\"announced\"}");
        let refused = || shown("forewarn_http_refused_total{reason=\"no_room\"}");
        assert_eq!(shown("forewarn_http_body_bytes_max{length=\"announced\"}"), Some(8 << 10));
        let ask = async |method: &str, body: Body| {
            let request = Request::builder().method(method).uri("/").body(body).unwrap();
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!(ask("POST", Body::from(vec![0; 5 << 10])).await, 200);
        assert_eq!((announced(), refused()), (Some(0), None));
        let taken = bodies.known.take(1, bodies.patience).await;
        assert_eq!(announced(), Some(4 << 10));
        assert_eq!(ask("POST", Body::from(vec![0; 5 << 10])).await, 503);
        assert_eq!((announced(), refused()), (Some(4 << 10), Some(1)));
        assert_eq!(ask("POST", Body::from(vec![0; 4 << 10])).await, 200, "there is room for this one");
        assert_eq!(ask("GET", Body::empty()).await, 200, "whoever asks after our health needs none");
        drop(taken);
        assert_eq!(ask("POST", Body::from(vec![0; 5 << 10])).await, 200);
        assert_eq!((announced(), refused()), (Some(0), Some(1)));

        // Who hangs up gives it back.
        let slow = Request::post("/slow").body(Body::from(vec![0; 5 << 10])).unwrap();
        let asked = tokio::spawn(router.clone().oneshot(slow));
        while announced() != Some(8 << 10) {
            tokio::task::yield_now().await;
        }
        asked.abort();
        assert!(asked.await.is_err_and(|e| e.is_cancelled()));
        assert_eq!(announced(), Some(0));
    }
}
