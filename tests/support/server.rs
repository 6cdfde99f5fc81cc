//! The HTTP server on a free loopback port, with state that a test can change, and requests to it by hand.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use forewarn::base::Limits;
use forewarn::server::EngineHandle;
use forewarn::server::http::{
    AppState, Patience, Protocol, Readiness, RecentFindings, ReloadRequest, Reloader, Summary, router, serve_with,
};
use forewarn::telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// A running server. Ends when dropped.
pub struct Server {
    pub address: String,
    pub ready: watch::Sender<Readiness>,
    pub reloads: mpsc::Receiver<ReloadRequest>,
    pub findings: RecentFindings,
    pub metrics: Metrics,
    shutdown: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<std::io::Result<()>>,
}

/// What a test may want otherwise.
#[derive(Default)]
pub struct Setup {
    pub limits: Limits,
    pub patience: Patience,
    pub summary: Summary,
    pub receivers: Router,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Server {
    /// A server in front of this engine.
    pub async fn start(engine: EngineHandle, setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ready, readiness) = watch::channel(Readiness::Ready);
        let (reload, reloads) = Reloader::new();
        let (findings, metrics) = (RecentFindings::default(), Metrics::new().unwrap());
        let Setup { limits, patience, summary, receivers } = setup;
        let state = AppState {
            engine,
            metrics: metrics.clone(),
            ready: readiness,
            reload,
            summary: Arc::new(move || summary.clone()),
            findings: findings.clone(),
            external_url: String::new(),
            started: forewarn::source::clock::now() - 3_723_000,
            limits: Arc::new(limits.clone()),
            receivers,
            traces: Default::default(),
        };
        let (shutdown, asked) = oneshot::channel();
        let task = tokio::spawn(async move {
            let asked = async { _ = asked.await };
            serve_with(listener, router(state), &limits, patience, Protocol::Http1, asked).await
        });
        Self { address, ready, reloads, findings, metrics, shutdown: Some(shutdown), task }
    }

    /// Asks it to shut down; [`Self::task`] ends when it has.
    pub fn shut_down(&mut self) {
        self.shutdown.take();
    }

    /// A request without a body.
    pub async fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let further: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{further}\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    /// A GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[]).await
    }

    /// A GET of JSON.
    pub async fn json(&self, path: &str) -> (u16, serde_json::Value) {
        let answer = self.get(path).await;
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }
}

/// Reads to the end of the connection.
pub async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the connection does not end").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
