//! The end of a process loses no alert that can still be delivered.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use support::eventually;
use support::process::Forewarn;
use support::receiver::{Answer, Receiver};

const SOON: Duration = Duration::from_secs(30);

/// A forewarn that has tried to page, with more sources and more settings.
async fn pages(pager: &Receiver, sources: &str, rest: &str) -> Forewarn {
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}{sources}}}\n\
         sinks:\n  - webhook: {{name: pager, url: 'http://{}/'}}\n{rest}",
        pager.address
    );
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1) > 0}]}]";
    let forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    eventually("an attempt", SOON, async || pager.received().first().cloned()).await;
    forewarn
}

#[tokio::test]
async fn an_alert_that_waits_for_its_receiver_is_delivered_before_the_end() {
    let pager = Receiver::answering(|n, _| match n {
        0 => Answer::Retry { status: 503, after_seconds: 2 },
        _ => Answer::Status(200),
    })
    .await;
    let mut forewarn = pages(&pager, "", "").await;
    assert_eq!(forewarn.end_by("TERM", SOON).await.code(), Some(0));
    let bodies = pager.bodies();
    assert_eq!(bodies.len(), 2, "the second attempt comes before the end: {}", forewarn.stderr());
    assert_eq!(bodies[1]["alerts"][0]["labels"]["alertname"], "Always");
}

/// `timeout` and terminals send to the process and to its group: two signals within microseconds.
#[tokio::test]
async fn a_signal_that_comes_twice_at_once_is_one_and_a_later_one_is_another() {
    for (pause, want) in [(Duration::ZERO, Some(0)), (Duration::from_millis(1_500), Some(130))] {
        let pager = Receiver::answering(|_, _| Answer::Never).await;
        let mut forewarn = pages(&pager, "", "").await;
        forewarn.signal("TERM");
        tokio::time::sleep(pause).await;
        let status = forewarn.end_by("TERM", SOON).await;
        assert_eq!(status.code(), want, "after {pause:?}: {}", forewarn.stderr());
    }
}

/// A receiver that never answers, a Kafka that is not there, and a folder for state.
async fn stuck() -> (Forewarn, Receiver) {
    let pager = Receiver::answering(|_, _| Answer::Never).await;
    let kafka = ", kafka: [{name: k, brokers: ['127.0.0.1:9'], group_id: g, topics: [{name: t, decoder: remote_write}], \
                 lateness: 0s, idle_timeout: 1s, patience: 2s}]";
    let state = "  - kafka: {brokers: ['127.0.0.1:9'], topic: out}\nstate: {dir: state}\n";
    let forewarn = pages(&pager, kafka, state).await;
    (forewarn, pager)
}

#[tokio::test]
async fn the_end_comes_in_time_though_nobody_answers() {
    let (mut forewarn, _pager) = stuck().await;
    // Supervisors kill after 30 s.
    assert_eq!(forewarn.end_by("TERM", Duration::from_secs(29)).await.code(), Some(0));
    assert!(forewarn.stderr().contains("alerts were not delivered before the end"), "{}", forewarn.stderr());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (mut forewarn, _pager) = stuck().await;
    forewarn.signal("TERM");
    eventually("the way down", SOON, async || {
        let ready = support::http::get(&forewarn.address, "/-/ready").await;
        ready.is_none_or(|(status, _)| status != 200).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(forewarn.end_by("INT", Duration::from_secs(2)).await.code(), Some(130));
}
