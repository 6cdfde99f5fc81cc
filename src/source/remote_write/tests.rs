//! The receiver over a real socket, and with a real Prometheus where it is installed.

use std::process::Command;

use tokio::sync::mpsc;

use super::*;
use crate::base::encode::{compress, encode_write_request, write_field, write_varint};
use crate::base::{Batch, BatchBuilder, CounterStart, is_stale};
use crate::source::testing::Running;
use crate::source::{Inlet, SourceEvent, SourceId};
use crate::telemetry::Metrics;

struct Server {
    url: String,
    events: mpsc::Receiver<SourceEvent>,
    metrics: Metrics,
    exemplars: Exemplars,
}

async fn serve(limits: Limits, queue: usize) -> Server {
    // These tests count time from the epoch.
    let limits = Limits { past_seconds: u64::MAX, ..limits };
    let (queue, events) = mpsc::channel(queue);
    let (metrics, exemplars) = (Metrics::new().unwrap(), Exemplars::default());
    let state = RemoteWrite {
        intake: Intake { inlet: Inlet { id: SourceId(3), queue }, source: "remote_write".to_owned(), log: None },
        limits: Arc::new(limits),
        metrics: metrics.source.of("remote_write"),
        patience: Duration::from_millis(50),
        exemplars: exemplars.clone(),
        created_timestamps: CreatedTimestamps::ZeroSample,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(state)).await });
    Server { url, events, metrics, exemplars }
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

const V2: [(&str, &str); 2] =
    [("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"), ("content-encoding", "snappy")];

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
    let unknown = [("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")];
    let v1 = [("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")];
    assert_eq!(server.post(good.clone(), &v1).await.0, 204);
    assert_eq!(server.post(good.clone(), &unknown).await.0, 415);
    assert_eq!(server.post(good.clone(), &V2).await.0, 400, "version 1 in version 2's name");
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

/// A version 2 request with samples of `up` at these times, each with an exemplar, of a counter that began a second before the
/// first, and with a native histogram or not.
fn v2_request(times: &[i64], with_histogram: bool, exemplar_label: &str) -> Vec<u8> {
    let (mut series, mut request) = (Vec::new(), Vec::new());
    write_field(&mut series, 1, &[1, 2, 3, 4]);
    for t in times {
        let mut sample = vec![0x10];
        prost::encoding::encode_varint(*t as u64, &mut sample);
        write_field(&mut series, 2, &sample);
        write_field(&mut series, 4, &[0x0a, 2, 5, 6, 0x18, 9]);
    }
    if let Some(first) = times.first() {
        series.push(6 << 3);
        write_varint(&mut series, (first - 1_000) as u64);
    }
    if with_histogram {
        write_field(&mut series, 3, b"");
    }
    for symbol in ["", "__name__", "up", "job", "j", exemplar_label, "0123456789abcdef"] {
        write_field(&mut request, 4, symbol.as_bytes());
    }
    write_field(&mut request, 5, &series);
    compress(&request)
}

#[tokio::test]
async fn version_2_is_told_what_was_written() {
    let mut server = serve(Limits::default(), 4).await;
    let client = crate::source::plain_client();
    let now = clock::now();
    let later = now + 3_600_000;
    for (times, with_histogram, label, status, samples, exemplars) in [
        (vec![now, now + 1], false, "trace_id", 204, "2", "2"),
        (vec![now, now + 1], true, "trace_id", 400, "2", "2"),
        (vec![now, later], false, "trace_id", 400, "1", "2"),
        (vec![now, now + 1], false, "request_id", 204, "2", "2"),
        (vec![], false, "trace_id", 204, "0", "0"),
    ] {
        let mut request = client.post(&server.url).body(v2_request(&times, with_histogram, label));
        for (name, value) in V2 {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers()[format!("x-prometheus-remote-write-{name}-written")].clone();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!((header("samples"), header("exemplars")), (samples.parse().unwrap(), exemplars.parse().unwrap()));
        assert_eq!(header("histograms"), "0");
        if samples != "0" {
            let Some(SourceEvent::Batch(_, got)) = server.events.recv().await else { panic!("no batch") };
            assert_eq!(got.labels(&got.runs()[0]).to_string(), r#"up{job="j"}"#);
            assert_eq!(got.measured().to_string(), samples);
            let first = got.all_samples()[0];
            assert_eq!((first.t, CounterStart::of(first.v)), (times[0] - 1_000, Some(CounterStart::Created)));
        }
    }
    let alert = crate::base::Labels::from_pairs([("job", "j")]);
    assert_eq!(server.exemplars.find(alert.as_ref()), Some("0123456789abcdef".to_owned()));
}

/// A Prometheus 3: one that can send version 2.
fn prometheus_3() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = || format!("{}/.cache", set("HOME").unwrap_or_else(|| "/tmp".to_owned()));
    let cached = || format!("{}/forewarn-test-peers/bin/prometheus", set("XDG_CACHE_HOME").unwrap_or_else(home));
    let found =
        set("FOREWARN_PROMETHEUS").or_else(|| Some(cached()).filter(|file| std::path::Path::new(file).is_file()));
    if found.is_none() {
        crate::source::testing::lacking("there is no Prometheus 3");
    }
    found
}

#[tokio::test]
async fn a_real_prometheus_sends_version_1() {
    from_prometheus("prometheus", "").await;
}

#[tokio::test]
async fn a_real_prometheus_sends_version_2_and_is_content() {
    let Some(program) = prometheus_3() else { return };
    let Some((address, _running)) =
        from_prometheus(&program, "protobuf_message: io.prometheus.write.v2.Request,").await
    else {
        return;
    };
    // It judges by the headers.
    let metrics = crate::source::plain_client().get(format!("http://{address}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let value = |name: &str| -> f64 {
        let line =
            metrics.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap_or_else(|| panic!("{name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("prometheus_remote_storage_samples_total") >= 2.0);
    assert_eq!(value("prometheus_remote_storage_samples_failed_total"), 0.0);
}

/// A Prometheus that scrapes a series, until that ends, and writes it here: its samples come, then a staleness marker.
async fn from_prometheus(program: &str, setting: &str) -> Option<(String, Running)> {
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
         remote_write: [{{url: '{}', {setting} queue_config: {{batch_send_deadline: 100ms}}}}]\n",
        server.url
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let address = format!("127.0.0.1:{}", crate::source::testing::free_port());
    let listen = format!("--web.listen-address={address}");
    let flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", &listen];
    let mut command = Command::new(program);
    let running = Running::start(command.current_dir(folder.path()).args(flags))?;
    let labels = wait_for(&mut server.events, "probe", |v| v == 7.0).await;
    assert_eq!(labels, format!("probe{{instance=\"{target}\", job=\"j\", zone=\"a\"}}"));
    gone.store(true, std::sync::atomic::Ordering::Relaxed);
    wait_for(&mut server.events, "probe", is_stale).await;
    Some((address, running))
}
