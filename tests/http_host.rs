//! Everything else over HTTP: health, reload, metrics, the status page, and clients that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use forewarn::base::Limits;
use forewarn::server::http::{Patience, Readiness};
use support::engine::engine;
use support::server::{Server, Setup, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const RULES: &str = "groups: [{name: g, interval: 15s, rules: [{alert: Down, expr: 'up == 0', \
                     annotations: {summary: '{{ $labels.instance }} is down'}}]}]";

const HOSTILE: &str = "</table><script>alert(1)</script>";

async fn server(setup: Setup) -> Server {
    let now = forewarn::source::clock::now() / 15_000 * 15_000;
    let labels = [("__name__", "up"), ("instance", HOSTILE)];
    Server::start(engine("up.yml", RULES, &[(&labels, &[(now, 0.0)])], now), setup).await
}

#[tokio::test]
async fn ready_says_how_far_the_warm_up_is() {
    let server = server(Setup::default()).await;
    assert_eq!(server.get("/-/healthy").await.status, 200);
    assert_eq!(server.get("/-/ready").await.status, 200);
    server.ready.send_replace(Readiness::WarmingUp { done: 1, total: 4 });
    let answer = server.get("/-/ready").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "Warming up: 1 of 4 (25%)\n"));
    assert_eq!(server.get("/-/healthy").await.status, 200, "healthy all the same");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = server(Setup::default()).await;
    server.metrics.source.of("host").samples.inc_by(3);
    let answer = server.get("/metrics").await;
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert!(answer.body.contains(r#"forewarn_source_samples_total{source="host"} 3"#), "{}", answer.body);
}

#[tokio::test]
async fn reloads_report_what_came_of_them() {
    let mut server = server(Setup::default()).await;
    let outcomes = [Ok("loaded 3 rules".to_owned()), Err(vec!["a.yml:1:2: no".to_owned(), "b.yml: gone".to_owned()])];
    let mut reloads = std::mem::replace(&mut server.reloads, tokio::sync::mpsc::channel(1).1);
    let host = tokio::spawn(async move {
        for outcome in outcomes {
            reloads.recv().await.unwrap().send(outcome).unwrap();
        }
    });
    let answer = server.request("POST", "/-/reload", &["content-length: 0"]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "loaded 3 rules\n"));
    let answer = server.request("PUT", "/-/reload", &["content-length: 0"]).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.ends_with("a.yml:1:2: no\nb.yml: gone\n"), "{}", answer.body);
    host.await.unwrap();
    let answer = server.get("/-/reload").await;
    assert!(answer.status == 405 && answer.head.contains("allow: post,put"), "{answer:?}");
}

#[tokio::test]
async fn a_foreign_page_cannot_reload() {
    let mut server = server(Setup::default()).await;
    for header in ["origin: http://evil.example", "sec-fetch-site: cross-site", "origin: null"] {
        let answer = server.request("POST", "/-/reload", &[header, "content-length: 0"]).await;
        assert_eq!(answer.status, 403, "{header}");
    }
    assert!(server.reloads.try_recv().is_err(), "nobody was asked");
    let refused = "forewarn_http_refused_total{reason=\"foreign_page\"} 3\n";
    assert!(server.get("/metrics").await.body.contains(refused), "and it is counted");
}

#[tokio::test]
async fn the_status_page_shows_alerts_and_escapes_them() {
    let server = server(Setup::default()).await;
    let answer = server.get("/").await;
    assert!(answer.head.contains("content-type: text/html; charset=utf-8"));
    assert!(answer.head.contains("content-security-policy: default-src 'none'"));
    assert!(
        answer.head.contains("x-content-type-options: nosniff") && answer.head.contains("referrer-policy: no-referrer")
    );
    assert!(
        answer.body.contains("(1) forewarn") && answer.body.contains("&lt;script&gt;alert(1)&lt;/script&gt; is down")
    );
    assert!(!answer.body.contains("<script"));
    assert!(server.get("/style.css").await.head.contains("content-type: text/css"));
    let redirect = server.get("/graph?g0.expr=up+%3D%3D+0&g0.tab=1").await;
    assert_eq!(redirect.status, 303);
    assert!(redirect.head.contains("location: ./?expr=up+%3d%3d+0"), "{}", redirect.head);
    assert!(server.get("/?expr=up+%3D%3D+0").await.body.contains("The rule you came for"));
}

fn impatient() -> Patience {
    let short = Duration::from_millis(300);
    Patience { head: short, stall: short, shutdown: short }
}

#[tokio::test]
async fn slow_and_silent_clients_are_let_go() {
    let server = server(Setup { patience: impatient(), ..Setup::default() }).await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still connected");
    }
    assert_eq!(server.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    let chunk = || Body::from(vec![b'x'; 64 << 20]);
    let receivers = Router::new().route("/large", get(async move || chunk()));
    let limits = Limits { http_connections: 1, ..Limits::default() };
    let server = server(Setup { limits, patience: impatient(), receivers, ..Setup::default() }).await;
    let mut stuck = TcpStream::connect(&server.address).await.unwrap();
    stuck.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // The only connection there is: this waits until the stuck one has been cut off.
    assert_eq!(server.get("/-/healthy").await.status, 200);
    drop(stuck);
}

#[tokio::test]
async fn connections_are_bounded_and_the_next_waits() {
    let limits = Limits { http_connections: 2, ..Limits::default() };
    let server = server(Setup { limits, ..Setup::default() }).await;
    let first = TcpStream::connect(&server.address).await.unwrap();
    let _second = TcpStream::connect(&server.address).await.unwrap();
    let mut third = TcpStream::connect(&server.address).await.unwrap();
    third.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), third.readable()).await;
    assert!(waited.is_err(), "served beyond the bound");
    drop(first);
    assert_eq!(read_answer(&mut third).await.status, 200);
}

#[tokio::test]
async fn shutdown_lets_requests_end_but_not_for_ever() {
    let slow = |time: u64| {
        get(async move || {
            tokio::time::sleep(Duration::from_millis(time)).await;
            "done"
        })
    };
    let receivers = Router::new().route("/short", slow(300)).route("/endless", slow(3_600_000));
    let patience = Patience { shutdown: Duration::from_secs(2), ..Patience::default() };
    let mut server = server(Setup { patience, receivers, ..Setup::default() }).await;
    let mut short = TcpStream::connect(&server.address).await.unwrap();
    short.write_all(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut endless = TcpStream::connect(&server.address).await.unwrap();
    endless.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let _idle = TcpStream::connect(&server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    server.shut_down();
    let answer = read_answer(&mut short).await;
    assert!(answer.status == 200 && answer.body == "done", "{answer:?}");
    assert!(TcpStream::connect(&server.address).await.is_err(), "no new connections");
    (&mut server.task).await.unwrap().unwrap();
    assert!((2.0..6.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn shutdown_without_requests_is_quick() {
    let mut server = server(Setup::default()).await;
    let _idle = TcpStream::connect(&server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    server.shut_down();
    (&mut server.task).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn bodies_are_bounded() {
    let receivers = Router::new().route("/take", post(async |body: String| body.len().to_string()));
    let limits = Limits { request_bytes: 1_000, ..Limits::default() };
    let server = server(Setup { limits, receivers, ..Setup::default() }).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = "POST /take HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n";
    stream.write_all(format!("{head}{}", "x".repeat(2_000)).as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 413);
}
