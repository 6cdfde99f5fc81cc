//! Sinks whose receivers misbehave: they hang, fail, refuse, ask for patience, hang up. Nothing is lost, nobody else waits.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use forewarn::alert::Transition;
use serde_json::Value;
use support::alerts::{Sinks, firing, now, resent, resolved};
use support::eventually;
use support::receiver::{Answer, Receiver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

const SOON: Duration = Duration::from_secs(10);

fn alertmanager(targets: &[&str]) -> String {
    format!("- alertmanager: {{timeout: 1500ms, static_configs: [{{targets: {targets:?}}}]}}\n")
}

/// Names of the alerts in the requests to an Alertmanager.
fn names(bodies: &[Value]) -> Vec<Vec<String>> {
    let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
    bodies.iter().map(|body| body.as_array().unwrap().iter().map(name).collect()).collect()
}

/// An address where nobody answers, and the socket that keeps it so.
fn dead_address() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

async fn until_delivered(sinks: &Sinks, sink: &str, alerts: f64) {
    let delivered = || sinks.metric("forewarn_sink_notifications_total", &[sink]);
    eventually("delivery", SOON, async || (delivered() >= alerts).then_some(())).await;
}

fn name_of(receiver: &Receiver) -> String {
    format!("alertmanager/{}", receiver.address)
}

#[tokio::test]
async fn a_hanging_instance_delays_no_other() {
    let hanging = Receiver::answering(|_, _| Answer::Never).await;
    let slow = Receiver::answering(|_, _| Answer::After(Duration::from_millis(400))).await;
    let (good, hook) = (Receiver::start().await, Receiver::start().await);
    let yaml = format!(
        "{}- webhook: {{url: 'http://{}/'}}\n",
        alertmanager(&[&hanging.address, &slow.address, &good.address]),
        hook.address
    );
    let sinks = Sinks::start(&yaml);
    sinks.send([firing("Alert0", now())]);
    for receiver in [&hanging, &slow] {
        eventually("the first attempt", SOON, async || (!receiver.received().is_empty()).then_some(())).await;
    }
    for n in 1..5 {
        sinks.send([firing(&format!("Alert{n}"), now())]);
    }
    until_delivered(&sinks, &name_of(&good), 5.0).await;
    until_delivered(&sinks, "webhook", 5.0).await;
    let done = |receiver: &Receiver| sinks.metric("forewarn_sink_notifications_total", &[&name_of(receiver)]);
    assert_eq!((done(&slow), done(&hanging)), (0.0, 0.0), "the others did not wait for these");
    until_delivered(&sinks, &name_of(&slow), 5.0).await;
    assert_eq!(slow.received().len(), 2, "what comes in while an attempt is under way goes in one request");
    eventually("a timeout", SOON, async || {
        (sinks.metric("forewarn_sink_errors_total", &[&name_of(&hanging), "timeout"]) >= 1.0).then_some(())
    })
    .await;
    // Shutting down keeps to its limit and says what is left.
    let started = Instant::now();
    assert_eq!(sinks.dispatcher.shutdown(Duration::from_millis(200)).await, 5);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn server_errors_are_retried_and_acknowledged_once() {
    let receiver = Receiver::answering(|n, _| Answer::Status(if n < 3 { 500 } else { 200 })).await;
    let sinks = Sinks::start(&alertmanager(&[&receiver.address]));
    sinks.send([firing("A", now()), firing("B", now())]);
    eventually("an empty queue", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 2.0).then_some(())
    })
    .await;
    assert_eq!(names(&receiver.bodies()), vec![vec!["A", "B"]; 4]);
    assert_eq!(sinks.metric("forewarn_sink_errors_total", &["server_error"]), 3.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.received().len(), 4, "nothing is sent after the acknowledgement");
}

#[tokio::test]
async fn a_receivers_retry_after_is_honoured() {
    let receiver = Receiver::answering(|n, _| match n {
        0 => Answer::Retry { status: 429, after_seconds: 1 },
        1 => Answer::Retry { status: 503, after_seconds: 1 },
        _ => Answer::Status(200),
    })
    .await;
    let sinks = Sinks::start(&alertmanager(&[&receiver.address]));
    sinks.send([firing("A", now())]);
    eventually("delivery", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 1.0).then_some(())
    })
    .await;
    let at: Vec<_> = receiver.received().iter().map(|r| r.at).collect();
    assert_eq!(at.len(), 3);
    // The back-off of these tests is at most 200 ms.
    assert!(at.windows(2).all(|p| p[1] - p[0] >= Duration::from_millis(990)), "{at:?}");
}

#[tokio::test]
async fn a_secret_that_is_rotated_or_an_ingress_that_rolls_loses_nothing() {
    let misbehaving = || Receiver::answering(|n, _| Answer::Status(*[401, 403, 404].get(n).unwrap_or(&200)));
    let (instance, hook) = (misbehaving().await, misbehaving().await);
    let yaml = format!("{}- webhook: {{url: 'http://{}/'}}\n", alertmanager(&[&instance.address]), hook.address);
    let sinks = Sinks::start(&yaml);
    sinks.send([firing("A", now())]);
    until_delivered(&sinks, &name_of(&instance), 1.0).await;
    until_delivered(&sinks, "webhook", 1.0).await;
    assert_eq!((instance.received().len(), hook.received().len()), (4, 4));
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &[]), 0.0);
}

#[tokio::test]
async fn a_refusal_is_final_but_the_next_state_is_sent() {
    let receiver = Receiver::answering(|n, _| match n {
        0 => Answer::Text { status: 415, body: "no such form".repeat(1_000) },
        _ => Answer::Status(200),
    })
    .await;
    let sinks = Sinks::start(&alertmanager(&[&receiver.address]));
    let at = now();
    sinks.send([firing("A", at)]);
    eventually("a drop", SOON, async || {
        (sinks.metric("forewarn_sink_dropped_total", &["refused"]) == 1.0).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.received().len(), 1, "a refused alert is not sent again by itself");
    sinks.send([resent("A", at, at + 1)]);
    eventually("delivery", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bad_alert_is_found_by_halving() {
    let receiver = Receiver::answering(|_, request| {
        let bad = request.body.as_array().unwrap().iter().any(|a| a["labels"]["alertname"] == "Alert13");
        Answer::Status(if bad { 400 } else { 200 })
    })
    .await;
    let sinks = Sinks::start(&alertmanager(&[&receiver.address]));
    sinks.send((0..64).map(|n| firing(&format!("Alert{n}"), now())));
    eventually("63 of 64", SOON, async || {
        let delivered = sinks.metric("forewarn_sink_notifications_total", &[]);
        let refused = sinks.metric("forewarn_sink_dropped_total", &["refused"]);
        (delivered == 63.0 && refused == 1.0).then_some(())
    })
    .await;
    assert!(receiver.received().len() <= 13, "{} requests", receiver.received().len());
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_not_an_acknowledgement() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let mut attempts = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            attempts += 1;
            let mut buffer = vec![0; 64 << 10];
            match attempts {
                // Closes half-way through the request.
                1 => drop(stream.read(&mut buffer[..10]).await),
                // Closes half-way through the status line.
                2 => {
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(b"HTTP/1.1 20").await;
                }
                // Acknowledges, then breaks off in the body: that is an acknowledgement.
                _ => {
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
                    return attempts;
                }
            }
        }
    });
    let sinks = Sinks::start(&alertmanager(&[&address]));
    sinks.send([firing("A", now())]);
    assert_eq!(tokio::time::timeout(SOON, server).await.unwrap().unwrap(), 3);
    eventually("delivery", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 1.0).then_some(())
    })
    .await;
    assert_eq!(sinks.metric("forewarn_sink_errors_total", &["connection_lost"]), 2.0);
}

#[tokio::test]
async fn a_redirect_that_would_lose_the_body_is_no_acknowledgement() {
    let target = Receiver::start().await;
    let to = format!("http://{}/elsewhere", target.address);
    let receiver =
        Receiver::answering(move |n, _| Answer::Redirect { status: if n == 0 { 302 } else { 307 }, to: to.clone() })
            .await;
    let sinks = Sinks::start(&alertmanager(&[&receiver.address]));
    sinks.send([firing("A", now())]);
    eventually("delivery", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 1.0).then_some(())
    })
    .await;
    assert_eq!(sinks.metric("forewarn_sink_errors_total", &["redirect"]), 1.0);
    assert_eq!(names(&target.bodies()), [["A"]], "307 keeps method and body");
}

#[tokio::test]
async fn what_a_dead_receiver_never_heard_of_is_not_resolved_aloud() {
    let (_port, address) = dead_address();
    let sinks = Sinks::start(&alertmanager(&[&address]));
    let at = now();
    sinks.send([firing("Attempted", at)]);
    let failed = || sinks.metric("forewarn_sink_errors_total", &["connect"]);
    eventually("an attempt", SOON, async || (failed() >= 2.0).then_some(())).await;
    // Both in one go, so that no attempt can come between them.
    sinks.send([firing("Unheard", at + 1), resolved("Unheard", at + 1, at + 2), resolved("Attempted", at, at + 2)]);
    assert_eq!(sinks.metric("forewarn_sink_queue_length", &[]), 1.0);
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &[]), 0.0, "nothing is lost by that");
}

#[tokio::test]
async fn the_queue_is_bounded_and_resolved_alerts_go_first() {
    let (_port, address) = dead_address();
    let sinks = Sinks::start_with(&alertmanager(&[&address]), |context| context.queued_alerts = 10);
    let at = now();
    sinks.send((0..5).map(|n| resolved(&format!("Old{n}"), at - 1_000, at)));
    sinks.send((0..8).map(|n| firing(&format!("New{n}"), at)));
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &["queue_full"]), 3.0);
    assert_eq!(sinks.metric("forewarn_sink_queue_length", &[]), 10.0);
}

#[tokio::test]
async fn an_alert_whose_life_is_over_is_given_up() {
    let (_port, address) = dead_address();
    let sinks = Sinks::start(&alertmanager(&[&address]));
    let at = now();
    sinks.send([Transition { ends_at: at + 300, ..firing("Short", at) }]);
    eventually("expiry", SOON, async || {
        (sinks.metric("forewarn_sink_dropped_total", &["expired"]) == 1.0).then_some(())
    })
    .await;
    assert_eq!(sinks.metric("forewarn_sink_queue_length", &[]), 0.0);
}

#[tokio::test]
async fn a_webhook_hears_of_each_state_once() {
    let receiver = Receiver::start().await;
    let sinks = Sinks::start(&format!("- webhook: {{url: 'http://{}/'}}\n", receiver.address));
    let at = now();
    sinks.send([firing("A", at)]);
    eventually("firing", SOON, async || (receiver.received().len() == 1).then_some(())).await;
    eventually("settled", SOON, async || (sinks.metric("forewarn_sink_queue_length", &[]) == 0.0).then_some(())).await;
    sinks.send([resent("A", at, at + 1)]);
    sinks.send([resolved("A", at, at + 2)]);
    eventually("resolved", SOON, async || (receiver.received().len() == 2).then_some(())).await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    let states: Vec<_> = receiver.bodies().iter().map(|b| b["status"].clone()).collect();
    assert_eq!(states, ["firing", "resolved"]);
}

#[tokio::test]
async fn shutting_down_delivers_what_waits() {
    let receiver = Receiver::answering(|n, _| Answer::Status(if n == 0 { 500 } else { 200 })).await;
    let sinks = Sinks::start_with(&alertmanager(&[&receiver.address]), |context| {
        // So long a back-off that only the shutdown can cut it short.
        context.backoff.base = Duration::from_secs(3_600);
        context.backoff.cap = Duration::from_secs(3_600);
    });
    sinks.send([firing("A", now())]);
    eventually("an attempt", SOON, async || (!receiver.received().is_empty()).then_some(())).await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn a_dry_run_tells_nobody() {
    let receiver = Receiver::start().await;
    let sinks = Sinks::start_with(&alertmanager(&[&receiver.address]), |context| context.dry_run = true);
    sinks.send([firing("A", now())]);
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    assert!(receiver.received().is_empty());
}
