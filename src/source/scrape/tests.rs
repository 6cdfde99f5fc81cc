//! Scrapes of real servers: one of our own that misbehaves on demand, and node_exporter where it is installed.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

use super::*;
use crate::base::is_stale;
use crate::source::config::{ScrapeConfig, Span};
use crate::source::testing::{Running, free_port};
use crate::source::{SourceEvent, SourceId};
use crate::telemetry::Metrics;

/// Serves the answers one after the other, then the last for ever.
async fn serve(answers: Vec<fn(Request) -> Response>) -> String {
    let at = Arc::new(AtomicUsize::new(0));
    let app = Router::new().fallback(move |request: Request| {
        let answer = answers[at.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)];
        async move { answer(request) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn scraper(address: &str, more: &str, limits: Limits) -> (Scraper, mpsc::Receiver<SourceEvent>, Metrics) {
    // These tests count time from the epoch.
    let limits = Limits { past_seconds: u64::MAX, ..limits };
    let yaml = format!("job_name: j\nstatic_configs: [{{targets: ['{address}']}}]\n{more}");
    let config: ScrapeConfig = serde_saphyr::from_str(&yaml).unwrap();
    let second = Span(Duration::from_secs(1));
    let target = config.targets(second, second).unwrap().remove(0);
    let (queue, events) = mpsc::channel(4);
    let metrics = Metrics::new().unwrap();
    let host = ScrapeHost {
        inlet: Inlet { id: SourceId(0), queue },
        limits: Arc::new(limits),
        source: metrics.source.of("j"),
        metrics: metrics.scrape.clone(),
    };
    (Scraper::new(target, host), events, metrics)
}

/// `name=value` of every sample; the duration left out; instance and job checked and left out.
async fn scrape(scraper: &mut Scraper, t: Millis) -> Vec<String> {
    let batch = scraper.scrape(t).await;
    let one = |run| {
        let (labels, sample) = (batch.labels(run), batch.samples(run)[0]);
        assert_eq!((labels.get("job"), sample.t), (Some("j"), t));
        let value = if is_stale(sample.v) { "stale".to_owned() } else { sample.v.to_string() };
        let rest = labels.filter(|n| n != "job" && n != "instance");
        format!("{rest}={value}")
    };
    batch.runs().iter().map(one).filter(|s| !s.starts_with("scrape_duration")).collect()
}

#[tokio::test]
async fn up_and_staleness_follow_the_target() {
    let address = serve(vec![
        |_| "a 1\nb{x=\"y\"} 2\n".into_response(),
        |_| "a 1\n".into_response(),
        |_| (StatusCode::INTERNAL_SERVER_ERROR, "a 3").into_response(),
        |_| "a 1\na one".into_response(),
        |_| "a 5\n".into_response(),
    ])
    .await;
    let (mut target, _events, metrics) = scraper(&address, "", Limits::default());
    assert_eq!(scrape(&mut target, 1_000).await, ["a=1", r#"b{x="y"}=2"#, "up=1", "scrape_samples_scraped=2"]);
    assert_eq!(scrape(&mut target, 2_000).await, ["a=1", r#"b{x="y"}=stale"#, "up=1", "scrape_samples_scraped=1"]);
    assert_eq!(scrape(&mut target, 3_000).await, ["a=stale", "up=0", "scrape_samples_scraped=0"]);
    assert_eq!(scrape(&mut target, 4_000).await, ["up=0", "scrape_samples_scraped=0"]);
    assert_eq!(scrape(&mut target, 5_000).await, ["a=5", "up=1", "scrape_samples_scraped=1"]);
    let text = metrics.encode().unwrap();
    assert!(text.contains(r#"forewarn_scrape_failures_total{reason="status",scrape_job="j"} 1"#), "{text}");
    assert!(text.contains(r#"forewarn_scrape_failures_total{reason="malformed",scrape_job="j"} 1"#), "{text}");
}

#[tokio::test]
async fn a_target_that_hangs_or_floods_or_is_not_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let (mut target, _e, metrics) = scraper(&silent, "scrape_timeout: 100ms", Limits::default());
    assert_eq!(scrape(&mut target, 1).await[0], "up=0");
    assert!(metrics.encode().unwrap().contains(r#"reason="timeout",scrape_job="j"} 1"#));

    let flood = serve(vec![|_| "a 1\nb 1\nc 1\n".into_response()]).await;
    let (mut target, _e, metrics) = scraper(&flood, "", Limits { scrape_bytes: 8, ..Limits::default() });
    assert_eq!(scrape(&mut target, 1).await[0], "up=0");
    assert!(metrics.encode().unwrap().contains(r#"reason="body_too_large",scrape_job="j"} 1"#));
    let (mut target, _e, metrics) = scraper(&flood, "", Limits { scrape_samples: 2, ..Limits::default() });
    assert_eq!(scrape(&mut target, 1).await[0], "up=0");
    assert!(metrics.encode().unwrap().contains(r#"reason="too_many_samples",scrape_job="j"} 1"#));

    drop(listener);
    let (mut target, _e, metrics) = scraper(&silent, "", Limits::default());
    assert_eq!(scrape(&mut target, 1).await[0], "up=0");
    assert!(metrics.encode().unwrap().contains(r#"reason="request",scrape_job="j"} 1"#));
}

#[tokio::test]
async fn credentials_come_from_files_and_parameters_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let address = serve(vec![|request| {
        let auth = request.headers()["authorization"].to_str().unwrap();
        format!("a{{auth=\"{auth}\",query=\"{}\"}} 1\n", request.uri().query().unwrap_or("")).into_response()
    }])
    .await;
    let more = format!("params: {{m: [x]}}\nauthorization: {{credentials_file: {}}}", token.display());
    let (mut target, _e, metrics) = scraper(&address, &more, Limits::default());
    assert_eq!(scrape(&mut target, 1).await[0], "up=0");
    assert!(metrics.encode().unwrap().contains(r#"reason="client",scrape_job="j"} 1"#));
    std::fs::write(&token, "one\n").unwrap();
    assert_eq!(scrape(&mut target, 2).await[0], r#"a{auth="Bearer one", query="m=x"}=1"#);
    std::fs::write(&token, "two\n").unwrap();
    assert_eq!(scrape(&mut target, 3).await[0], r#"a{auth="Bearer two", query="m=x"}=1"#);
}

#[tokio::test]
async fn a_real_node_exporter_through_the_whole_loop() {
    let address = format!("127.0.0.1:{}", free_port());
    let listen = format!("--web.listen-address={address}");
    let Some(_running) = Running::start(Command::new("prometheus-node-exporter").arg(listen)) else { return };
    let (scraper, mut events, _m) = scraper(&address, "scrape_interval: 500ms", Limits::default());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { stopped.await.unwrap_or(()) };
    let task = tokio::spawn(run(scraper.target.clone(), scraper.host.clone(), stopped));
    let mut promised = None;
    for _ in 0..200 {
        let batch = match events.recv().await {
            Some(SourceEvent::Batch(_, batch)) => batch,
            Some(SourceEvent::Quiet(_, upto)) => {
                promised = promised.max(Some(upto));
                continue;
            }
            _ => panic!("the scraper ended"),
        };
        assert!(batch.all_samples().iter().all(|s| Some(s.t) > promised), "a broken promise");
        let find = |name: &str| batch.runs().iter().find(|r| batch.labels(r).metric_name() == name);
        let up = find("up").map(|run| batch.samples(run)[0]).unwrap();
        if up.v == 1.0 {
            assert!(find("node_load1").is_some() && batch.runs().len() > 200);
            stop.send(()).unwrap();
            assert_eq!(task.await.unwrap(), Ok(()));
            let mut last = None;
            events.close();
            while let Some(event) = events.recv().await {
                if let SourceEvent::Batch(_, batch) = event {
                    last = Some(batch);
                }
            }
            let last = last.unwrap();
            assert!(last.runs().len() > 200 && last.all_samples().iter().all(|s| is_stale(s.v)));
            return;
        }
    }
    panic!("never up");
}

#[tokio::test]
async fn promises_leave_room_for_a_targets_own_timestamps() {
    let address = serve(vec![|_| "a 1\nb 2 99000\n".into_response(), |_| "a 1\nb 2 200000\n".into_response()]).await;
    let (mut target, _e, _m) = scraper(&address, "scrape_timeout: 700ms", Limits::default());
    target.scrape(100_000).await;
    assert_eq!(target.behind, 700);
    target.scrape(200_000).await;
    assert_eq!(target.behind, 0);
}

#[tokio::test]
async fn tls_is_checked_against_the_configured_authority() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .output();
    if made.is_err() {
        crate::source::testing::lacking("openssl is not installed");
        return;
    }
    std::fs::write(path("metrics"), "a 1\n").unwrap();
    let port = free_port();
    let mut server = Command::new("openssl");
    server.current_dir(folder.path()).args(["s_server", "-WWW", "-key", "key.pem", "-cert", "cert.pem"]);
    let Some(_running) = Running::start(server.args(["-accept", &format!("127.0.0.1:{port}")])) else { return };
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let address = format!("localhost:{port}");
    for (tls, up) in [
        (format!("{{ca_file: {}}}", path("cert.pem")), "a=1"),
        ("{insecure_skip_verify: true}".to_owned(), "a=1"),
        ("{}".to_owned(), "up=0"),
        (format!("{{ca_file: {}}}", path("absent.pem")), "up=0"),
    ] {
        let (mut target, _e, _m) = scraper(&address, &format!("scheme: https\ntls_config: {tls}"), Limits::default());
        assert_eq!(scrape(&mut target, 1).await[0], up, "{tls}");
    }
}
