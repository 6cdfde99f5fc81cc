//! A listening port and what holds for whoever connects to it.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use prometheus::IntGauge;
use tokio::net::TcpListener;

use super::super::http::Protocol;
use super::super::run::StartError;
use super::bodies::{Bodies, with_room};
use super::config::Web;
use super::refusal::Refused;
use super::tls::{ServerTls, TlsFault};
use super::users::{Users, only_users};
use crate::base::Limits;
use crate::telemetry::HttpMetrics;

/// A port, bound. One without TLS can be made from a listener.
#[derive(Debug)]
pub struct Port {
    pub(in crate::server) listener: TcpListener,
    pub(in crate::server) tls: Option<Arc<ServerTls>>,
    /// How many connections are open.
    pub(in crate::server) connections: Option<IntGauge>,
}

impl From<TcpListener> for Port {
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None, connections: None }
    }
}

/// What holds for all ports together.
#[derive(Clone, Debug)]
pub struct Access {
    web: Web,
    users: Option<Arc<Users>>,
    bodies: Arc<Bodies>,
    /// Where connections are counted, and how many there may be on each port.
    metrics: Option<(HttpMetrics, usize)>,
}

impl Access {
    /// As configured. One for all ports, so that they share what has proven right.
    #[must_use]
    pub fn new(web: &Web, limits: &Limits) -> Self {
        let (users, bodies) = (Users::new(&web.basic_auth_users), Bodies::new(limits, None));
        Self { web: web.clone(), users, bodies, metrics: None }
    }

    /// The same, with connections and bodies counted, and reasons to refuse shown before there is one.
    #[must_use]
    pub fn counted_by(self, metrics: &HttpMetrics, limits: &Limits) -> Self {
        metrics.may_refuse(Refused::ALL.map(Refused::reason));
        let bodies = Bodies::new(limits, Some(metrics));
        Self { bodies, metrics: Some((metrics.clone(), limits.http_connections.max(1))), ..self }
    }

    /// Binds an address that `setting` names.
    ///
    /// # Errors
    /// The address is taken or none of this machine, or a file of TLS does not hold what it should.
    pub async fn listen(&self, address: &str, setting: &'static str, protocol: Protocol) -> Result<Port, StartError> {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|error| StartError::Listen { address: address.to_owned(), error, setting })?;
        self.warn_if_open(&listener, setting);
        let connections = self.metrics.as_ref().map(|(metrics, most)| metrics.connections(setting, *most));
        Ok(Port { connections, ..self.port(listener, protocol)? })
    }

    /// A bound port with its TLS.
    ///
    /// # Errors
    /// A file of TLS cannot be read or does not hold what it should.
    pub fn port(&self, listener: TcpListener, protocol: Protocol) -> Result<Port, TlsFault> {
        let alpn: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        let tls = self.web.tls_server_config.as_ref().map(|tls| ServerTls::new(tls, alpn).map(Arc::new));
        Ok(Port { listener, tls: tls.transpose()?, connections: None })
    }

    /// Says that strangers can write to a port that is not only this machine's, where nothing keeps them out.
    fn warn_if_open(&self, listener: &TcpListener, setting: &str) {
        let Ok(address) = listener.local_addr() else { return };
        if self.web.is_open() && !address.ip().is_loopback() {
            tracing::warn!(
                setting,
                %address,
                "whoever reaches this address can write and read: set web.basic_auth_users, or let a proxy or the network keep strangers out"
            );
        }
    }

    /// The router behind the question for name and password, where there are users, and behind room for bodies.
    pub fn guarded(&self, router: Router) -> Router {
        let router = router.layer(from_fn_with_state(Arc::clone(&self.bodies), with_room));
        match &self.users {
            Some(users) => router.layer(from_fn_with_state(Arc::clone(users), only_users)),
            None => router,
        }
    }
}
