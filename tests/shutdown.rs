//! The end of a process loses no alert that can still be delivered.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use support::eventually;
use support::process::Forewarn;
use support::receiver::{Answer, Receiver};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_alert_that_waits_for_its_receiver_is_delivered_before_the_end() {
    let pager = Receiver::answering(|n, _| match n {
        0 => Answer::Retry { status: 503, after_seconds: 2 },
        _ => Answer::Status(200),
    })
    .await;
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}}}\n\
         sinks: [webhook: {{name: pager, url: 'http://{}/'}}]\n",
        pager.address
    );
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1) > 0}]}]";
    let mut forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    eventually("a first attempt", SOON, async || pager.received().first().cloned()).await;
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
        let config = format!(
            "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}}}\n\
             sinks: [webhook: {{name: pager, url: 'http://{}/'}}]\n",
            pager.address
        );
        let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1) > 0}]}]";
        let mut forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
        eventually("a first attempt", SOON, async || pager.received().first().cloned()).await;
        forewarn.signal("TERM");
        tokio::time::sleep(pause).await;
        let status = forewarn.end_by("TERM", SOON).await;
        assert_eq!(status.code(), want, "after {pause:?}: {}", forewarn.stderr());
    }
}
