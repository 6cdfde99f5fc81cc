//! No secret is logged, at any level, by us or by the libraries beneath. Alone in its binary: it takes the process' log.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::alerts::{Sinks, firing, now};
use support::eventually;
use support::receiver::{Answer, Receiver};

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    // As Express and Spring Boot answer: with the path.
    let server = Receiver::answering(|n, request| Answer::Text {
        status: [500, 415][n.min(1)],
        body: format!("Cannot POST {}", request.path),
    })
    .await;
    let settings = "http_config: {basic_auth: {username: me, password: hunter2}}";
    let hook = |name: &str, address: &str| {
        format!("- webhook: {{name: {name}, url: 'http://me:hunter2@{address}/hunter2', {settings}}}\n")
    };
    let sinks = Sinks::start(&format!("{}{}", hook("answers", &server.address), hook("dead", "127.0.0.1:1")));
    sinks.send([firing("A", now())]);
    for reason in ["connect", "client_error"] {
        eventually(reason, Duration::from_secs(10), async || {
            (sinks.metric("forewarn_sink_errors_total", &[reason]) >= 1.0).then_some(())
        })
        .await;
    }
    let shown = format!("{:?}", sinks.dispatcher.states()());
    assert!(shown.contains("Cannot POST <secret>") && !shown.contains("hunter2"), "{shown}");
    sinks.dispatcher.shutdown(Duration::from_millis(50)).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("delivery failed") && text.contains("refused"), "{text}");
    // "hunter2" and, in base64, "me:hunter2".
    let leaks: Vec<_> = text.lines().filter(|l| l.contains("hunter2") || l.contains("bWU6aHVudGVyMg")).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}
