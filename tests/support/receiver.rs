//! A real HTTP server that records what it is sent and answers as a test wishes: a webhook's receiver, or a strict fake of
//! an Alertmanager with faults.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// How to answer one request.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    Retry { status: u16, after_seconds: u64 },
    Text { status: u16, body: String },
    Redirect { status: u16, to: String },
    After(Duration),
    Never,
}

/// The server. Ends when dropped.
pub struct Receiver {
    pub address: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Answers 200 to all.
    pub async fn start() -> Self {
        Self::answering(|_, _| Answer::Status(200)).await
    }

    /// Answers as `answer` says; it is given the number of the request from 0, and the request.
    pub async fn answering(answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::serve(listener, address, answer)
    }

    /// As [`Self::answering`], over TLS.
    pub async fn tls(
        acceptor: TlsAcceptor,
        answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::serve(TlsListener { listener, acceptor }, address, answer)
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The bodies that came so far.
    pub fn bodies(&self) -> Vec<Value> {
        self.received().into_iter().map(|r| r.body).collect()
    }

    fn serve<L: Listener>(
        listener: L,
        address: String,
        answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self
    where
        L::Addr: std::fmt::Debug,
    {
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&received), Arc::new(answer));
        let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let request = Received { at: Instant::now(), method, path: uri.path().to_owned(), headers, body };
                let number = {
                    let mut log: std::sync::MutexGuard<'_, Vec<Received>> = log.lock().unwrap();
                    log.push(request.clone());
                    log.len() - 1
                };
                Ok::<_, Infallible>(respond(answer(number, &request)).await)
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, received, task }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(answer: Answer) -> Response {
    let status = |code: u16| StatusCode::from_u16(code).unwrap();
    match answer {
        Answer::Status(code) => status(code).into_response(),
        Answer::Retry { status: code, after_seconds } => {
            (status(code), [("retry-after", after_seconds.to_string())]).into_response()
        }
        Answer::Text { status: code, body } => (status(code), body).into_response(),
        Answer::Redirect { status: code, to } => (status(code), [("location", to)]).into_response(),
        Answer::After(wait) => {
            tokio::time::sleep(wait).await;
            StatusCode::OK.into_response()
        }
        Answer::Never => std::future::pending().await,
    }
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // A client that does not trust us hangs up here.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
