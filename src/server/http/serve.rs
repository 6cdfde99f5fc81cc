//! Accepts connections and serves them, each within limits that a slow or hostile client cannot stretch.
//!
//! `axum::serve` has no time limits, so hyper is driven here. Bounds: connections at once, time for TLS, time for a request's head (an
//! idle connection ends then too), time without progress while a response is written, size of a head. The time for a
//! request as a whole is the router's matter.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::web::Port;
use super::stall::StallGuard;
use crate::base::Limits;

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;

/// How long to wait before accepting again when the system has no more descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a request's head; from the end of the request before, so idle connections end after this.
    pub head: Duration,
    /// Without taking any more of a response.
    pub stall: Duration,
    /// For requests under way at shutdown.
    pub shutdown: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // Longer than the usual scrape interval of a minute, so that scrapers keep their connection.
        let head = Duration::from_secs(75);
        Self { head, stall: Duration::from_secs(30), shutdown: Duration::from_secs(5) }
    }
}

/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 64;

/// Which HTTP a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 from the first byte on, as gRPC clients speak it.
    Http2,
}

/// Serves until `shutdown`, then lets requests under way end, for a few seconds at most.
///
/// # Errors
/// The listener is no longer one.
pub async fn serve(
    port: impl Into<Port>,
    router: Router,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(port, router, limits, Patience::default(), Protocol::Http1, shutdown).await
}

/// As [`serve`], with other times or another protocol.
///
/// # Errors
/// The listener is no longer one.
pub async fn serve_with(
    port: impl Into<Port>,
    router: Router,
    limits: &Limits,
    patience: Patience,
    protocol: Protocol,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Port { listener, tls, connections: open } = port.into();
    let bound = limits.http_connections.max(1);
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        open.iter().for_each(|open| open.set(i64::try_from(connections.len()).unwrap_or(i64::MAX)));
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            // Further clients wait in the kernel's queue.
            stream = accept(&listener), if connections.len() < bound => {
                let (stream, tls) = (stream?, tls.clone());
                let (router, closed) = (router.clone(), closed.clone());
                connections.spawn(async move {
                    // Small responses go out at once; without it a client waits for its own delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let Some(tls) = tls else { return connection(stream, router, patience, protocol, closed).await };
                    match tls.accept(stream).await {
                        Ok(stream) => connection(stream, router, patience, protocol, closed).await,
                        Err(error) => tracing::debug!(%error, "a client could not agree on TLS"),
                    }
                });
            }
        }
    }
    drop(listener);
    // Connections wait for the sender to go.
    drop(closing);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(patience.shutdown, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "HTTP requests did not end in time and are cut off");
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, whatever becomes of others.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        let error = match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => return Err(error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                tracing::warn!(%error, "cannot accept HTTP connections for now");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
            // The client's own trouble: accept(2) hands out errors of the new connection.
            _ => tracing::debug!(%error, "an HTTP connection failed before it began"),
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    patience: Patience,
    protocol: Protocol,
    mut closed: watch::Receiver<()>,
) {
    let io = TokioIo::new(StallGuard::new(stream, patience.stall));
    let service = TowerToHyperService::new(router);
    let result = match protocol {
        Protocol::Http1 => {
            let mut served = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(patience.head)
                    .max_buf_size(HEAD_BYTES)
                    .serve_connection(io, service)
            );
            tokio::select! {
                result = &mut served => result,
                _ = closed.changed() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            }
        }
        Protocol::Http2 => {
            let mut served = pin!(
                http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    // Clients keep their connection; one that has gone away without a word is found out by this.
                    .keep_alive_interval(patience.head)
                    .keep_alive_timeout(patience.stall)
                    .max_concurrent_streams(STREAMS)
                    .max_header_list_size(HEAD_BYTES as u32)
                    .serve_connection(io, service)
            );
            tokio::select! {
                result = &mut served => result,
                _ = closed.changed() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
