//! The receiver over a real socket, and with a real Prometheus where it is installed.

use std::process::Command;

use tokio::sync::mpsc;

use super::*;
use crate::base::{Batch, BatchBuilder, is_stale};
use crate::source::encode::{compress, encode_write_request};
use crate::source::testing::Running;
use crate::source::{Inlet, SourceEvent, SourceId};
use crate::telemetry::Metrics;

struct Server {
    url: String,
    events: mpsc::Receiver<SourceEvent>,
    metrics: Metrics,
}

async fn serve(limits: Limits, queue: usize) -> Server {
    // These tests count time from the epoch.
    let limits = Limits { past_seconds: u64::MAX, ..limits };
    let (queue, events) = mpsc::channel(queue);
    let metrics = Metrics::new().unwrap();
    let state = RemoteWrite {
        intake: Intake { inlet: Inlet { id: SourceId(3), queue }, source: "remote_write".to_owned(), log: None },
        limits: Arc::new(limits),
        metrics: metrics.source.of("remote_write"),
        patience: Duration::from_millis(50),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(state)).await });
    Server { url, events, metrics }
}

impl Server {
    async fn post(&self, body: Vec<u8>, headers: &[(&'static str, &'static str)]) -> (u16, String) {
        let client = crate::source::plain_client();
        let mut request = client.post(&self.url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

fn batch(times: &[i64]) -> Batch {
    let mut builder = BatchBuilder::new(&Limits::default());
    builder.label("__name__", "up");
    builder.end_labels().unwrap();
    times.iter().for_each(|t| builder.sample(*t, 1.0));
    builder.finish()
}

const V1: [(&str, &str); 2] = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];

#[tokio::test]
async fn takes_samples_and_drops_those_of_the_future() {
    let mut server = serve(Limits::default(), 4).await;
    let now = clock::now();
    let body = compress(&encode_write_request(&batch(&[now, now + 3_600_000])));
    assert_eq!(server.post(body, &V1).await.0, 204);
    let Some(SourceEvent::Batch(SourceId(3), got)) = server.events.recv().await else { panic!("no batch") };
    assert_eq!(got.newest(), Some(now));
    let text = server.metrics.encode().unwrap();
    assert!(text.contains(r#"forewarn_source_dropped_samples_total{reason="future",source="remote_write"} 1"#));
    assert!(text.contains(r#"forewarn_source_requests_total{code="204",source="remote_write"} 1"#));
}

#[tokio::test]
async fn bad_requests_get_the_status_senders_understand() {
    let server = serve(Limits { request_bytes: 1_000, ..Limits::default() }, 4).await;
    let good = compress(&encode_write_request(&batch(&[1])));
    let v2 = [("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")];
    let v1 = [("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")];
    assert_eq!(server.post(good.clone(), &v1).await.0, 204);
    assert_eq!(server.post(good.clone(), &v2).await.0, 415);
    assert_eq!(server.post(good.clone(), &[("content-type", "application/json")]).await.0, 415);
    assert_eq!(server.post(good.clone(), &[("content-encoding", "gzip")]).await.0, 415);
    assert_eq!(server.post(b"not snappy".to_vec(), &V1).await.0, 400);
    assert_eq!(server.post(compress(b"not protobuf"), &V1).await.0, 400);
    assert_eq!(server.post(vec![0; 2_000], &V1).await.0, 413);
}

#[tokio::test]
async fn a_chunked_body_over_the_bound_is_413_as_well() {
    let server = serve(Limits { request_bytes: 1_000, ..Limits::default() }, 4).await;
    let client = crate::source::plain_client();
    let chunks = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![0u8; 100])));
    let response = client.post(&server.url).body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
}

#[tokio::test]
async fn a_full_queue_is_told_to_the_sender_and_nothing_is_lost() {
    let mut server = serve(Limits::default(), 1).await;
    let body = compress(&encode_write_request(&batch(&[1])));
    assert_eq!(server.post(body.clone(), &V1).await.0, 204);
    let client = crate::source::plain_client();
    let response = client.post(&server.url).body(body.clone()).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    server.events.recv().await.unwrap();
    assert_eq!(server.post(body.clone(), &V1).await.0, 204);
    server.events.close();
    while server.events.recv().await.is_some() {}
    assert_eq!(server.post(body, &V1).await.0, 503);
}

/// The first sample of the series of this name that fits, waiting for it.
async fn wait_for(events: &mut mpsc::Receiver<SourceEvent>, name: &str, fits: impl Fn(f64) -> bool) -> String {
    let wait = async {
        while let Some(SourceEvent::Batch(_, batch)) = events.recv().await {
            let found = batch
                .runs()
                .iter()
                .find(|run| batch.labels(run).metric_name() == name && batch.samples(run).iter().any(|s| fits(s.v)));
            if let Some(run) = found {
                return batch.labels(run).to_string();
            }
        }
        panic!("the queue closed")
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap()
}

#[tokio::test]
async fn a_real_prometheus_sends_samples_and_staleness_markers() {
    let mut server = serve(Limits::default(), 16).await;
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&gone);
    let text = Router::new().route(
        "/metrics",
        axum::routing::get(move || async move {
            if told.load(std::sync::atomic::Ordering::Relaxed) { "" } else { "probe{zone=\"a\"} 7\n" }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, text).await });
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{target}']}}]}}]\n\
         remote_write: [{{url: '{}', queue_config: {{batch_send_deadline: 100ms}}}}]\n",
        server.url
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"];
    let mut command = Command::new("prometheus");
    let Some(_running) = Running::start(command.current_dir(folder.path()).args(flags)) else { return };
    let labels = wait_for(&mut server.events, "probe", |v| v == 7.0).await;
    assert_eq!(labels, format!("probe{{instance=\"{target}\", job=\"j\", zone=\"a\"}}"));
    gone.store(true, std::sync::atomic::Ordering::Relaxed);
    wait_for(&mut server.events, "probe", is_stale).await;
}
