//! The OTLP receiver's own ports. What is received there is the source's matter.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::http::{Patience, Protocol, guard, serve_with};
use super::run::StartError;
use crate::base::Limits;
use crate::source::otlp::{OtlpConfig, OtlpReceiver, grpc, http};

/// The ports, bound, so that nobody sends into the void between start and readiness.
#[derive(Debug, Default)]
pub struct OtlpPorts {
    grpc: Option<TcpListener>,
    http: Option<TcpListener>,
}

/// The servers. They end when this is dropped.
#[derive(Debug, Default)]
pub struct OtlpServers {
    running: Vec<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>,
}

impl OtlpPorts {
    /// Binds those that the configuration names.
    ///
    /// # Errors
    /// A port is taken, or an address is none of this machine.
    pub async fn bind(config: Option<&OtlpConfig>) -> Result<Self, StartError> {
        let Some(config) = config else { return Ok(Self::default()) };
        Ok(Self {
            grpc: listen(&config.grpc_address, "sources.otlp.grpc_address").await?,
            http: listen(&config.http_address, "sources.otlp.http_address").await?,
        })
    }

    /// Serves the receiver.
    #[must_use]
    pub fn serve(self, receiver: &OtlpReceiver, limits: &Limits) -> OtlpServers {
        let ports = [
            (self.grpc, grpc::router(receiver.clone()), Protocol::Http2),
            (self.http, http::router(receiver.clone()), Protocol::Http1),
        ];
        let start = |(listener, router, protocol): (Option<TcpListener>, Router, Protocol)| {
            let router = router
                .layer(DefaultBodyLimit::max(limits.request_bytes))
                .layer(from_fn(guard::deadline))
                .layer(from_fn(guard::headers));
            let (limits, listener) = (limits.clone(), listener?);
            let (stop, stopped) = oneshot::channel::<()>();
            let task = tokio::spawn(async move {
                // A dropped sender means the same.
                let stopped = async { _ = stopped.await };
                serve_with(listener, router, &limits, Patience::default(), protocol, stopped).await
            });
            Some((stop, task))
        };
        OtlpServers { running: ports.into_iter().filter_map(start).collect() }
    }
}

impl OtlpServers {
    /// Lets requests under way end and waits for that.
    pub async fn stop(self) {
        let (stops, tasks): (Vec<_>, Vec<_>) = self.running.into_iter().unzip();
        drop(stops);
        for task in tasks {
            // One that has failed has ended as well.
            let _ = task.await;
        }
    }
}

/// What is received at the address of the status page, OTLP over HTTP among it where it is received at all.
pub fn beside(router: Router, receiver: Option<&OtlpReceiver>) -> Router {
    receiver.map_or(router.clone(), |receiver| router.merge(http::router(receiver.clone())))
}

async fn listen(address: &str, setting: &'static str) -> Result<Option<TcpListener>, StartError> {
    if address.is_empty() {
        return Ok(None);
    }
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|error| StartError::Listen { address: address.to_owned(), error, setting })
}
