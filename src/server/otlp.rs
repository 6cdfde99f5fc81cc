//! The OTLP receiver's own ports. What is received there is the source's matter.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::http::{Patience, Protocol, guard, serve_with};
use super::run::StartError;
use super::web::{Access, Port};
use crate::base::Limits;
use crate::source::otlp::{OtlpConfig, OtlpReceiver, grpc, http};
use crate::telemetry::HttpMetrics;

/// The ports, bound, so that nobody sends into the void between start and readiness.
#[derive(Debug, Default)]
pub struct OtlpPorts {
    grpc: Option<Port>,
    http: Option<Port>,
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
    /// A port is taken, an address is none of this machine, or there is no TLS to be had.
    pub async fn bind(config: Option<&OtlpConfig>, access: &Access) -> Result<Self, StartError> {
        let Some(config) = config else { return Ok(Self::default()) };
        let port = async |address: &str, setting, protocol| match address {
            "" => Ok(None),
            address => access.listen(address, setting, protocol).await.map(Some),
        };
        Ok(Self {
            grpc: port(&config.grpc_address, "sources.otlp.grpc_address", Protocol::Http2).await?,
            http: port(&config.http_address, "sources.otlp.http_address", Protocol::Http1).await?,
        })
    }

    /// Serves the receiver.
    #[must_use]
    pub fn serve(
        self,
        receiver: &OtlpReceiver,
        limits: &Limits,
        access: &Access,
        metrics: &HttpMetrics,
    ) -> OtlpServers {
        let ports = [
            (self.grpc, grpc::router(receiver.clone()), Protocol::Http2),
            (self.http, http::router(receiver.clone()), Protocol::Http1),
        ];
        let start = |(port, router, protocol): (Option<Port>, Router, Protocol)| {
            let router = access.guarded(router).layer(DefaultBodyLimit::max(limits.request_bytes));
            let router = guard::around(router, metrics);
            let (limits, port) = (limits.clone(), port?);
            let (stop, stopped) = oneshot::channel::<()>();
            let task = tokio::spawn(async move {
                // A dropped sender means the same.
                let stopped = async { _ = stopped.await };
                serve_with(port, router, &limits, Patience::default(), protocol, stopped).await
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
