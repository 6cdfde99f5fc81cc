//! A disk that does not fail but hangs, in a real process: the sources go on, alerts are delivered, nobody is told that something
//! is safe which is not, and when the disk answers again nothing is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use forewarn::base::encode::{compress, encode_write_request};
use futures_util::future::join_all;
use support::input::{Input, RULES};
use support::receiver::Receiver;
use support::victim::{Victim, now};
use support::{eventually, http};

const SOON: Duration = Duration::from_secs(60);
const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\nlimits: {request_bytes: 1048576}\n\
    sources: {remote_write: {lateness: 0s, idle_timeout: 1h}}\nsinks: [stdout: {format: json}]";
const STATE: &str = "dir: state, checkpoint_interval: 400ms, keep: 2, log_max_bytes: 4194304";

/// One whose disk hangs at this passing of a point, until it is released.
async fn hanging(mut victim: Victim, point: &str) -> Victim {
    let fault = format!("{point}:hang:{}", victim.release().display());
    victim.launch(Some(&fault));
    victim.answers().await;
    victim.ready(SOON).await;
    victim
}

fn release(victim: &Victim) {
    std::fs::write(victim.release(), "").unwrap();
}

async fn becomes(victim: &Victim, metric: &str, value: f64) {
    eventually(metric, SOON, async || victim.metric(metric).await.filter(|now| *now == value)).await;
}

async fn log_hangs(mut victim: Victim, input: Input) -> BTreeSet<String> {
    let started = Instant::now();
    while victim.metric("forewarn_log_failing").await != Some(1.0) {
        assert!(started.elapsed() < SOON, "it never hangs");
        victim.feed(&input, Instant::now() + Duration::from_millis(200)).await;
    }
    let stuck = victim.sent;
    // Many at once, none of whom waits for long, and none of whom is told that it was taken.
    let (body, asked) = (compress(&encode_write_request(&input.batch(stuck))), Instant::now());
    let answers = join_all((0..100).map(|_| http::post(&victim.address, "/api/v1/write", &[], &body))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_some_and(|(status, _)| *status == 503)), "{answers:?}");
    assert!(answers[0].as_ref().unwrap().1.contains("hangs"), "{answers:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(victim.metric("forewarn_log_stalls_total").await, Some(1.0));
    // Those at the door are counted when the log's thread looks next.
    let refused = r#"forewarn_log_refused_entries_total{reason="stalled"}"#;
    eventually("all are counted", SOON, async || victim.metric(refused).await.filter(|n| *n > 99.0)).await;
    release(&victim);
    victim.feed_to(&input, stuck + 10).await;
    assert_eq!(victim.metric("forewarn_log_failing").await, Some(0.0));
    // What was acknowledged around all that is there after the worst end, too.
    victim.kill();
    victim.launch(None);
    victim.live_out(&input).await
}

async fn checkpoint_hangs(mut victim: Victim, input: Input) -> BTreeSet<String> {
    while victim.metric("forewarn_checkpoint_hanging").await != Some(1.0) {
        let sent = victim.sent;
        victim.feed_to(&input, sent + 10).await;
    }
    // Ticks and deliveries go on.
    let (sent, told) = (victim.sent, victim.lines().len());
    victim.feed_to(&input, sent + 40).await;
    assert!(victim.lines().len() > told + 10, "only {told} transitions, and then {}", victim.lines().len());
    // The end does not wait for ever, and is a good one.
    let asked = Instant::now();
    victim.end(Duration::from_secs(29)).await;
    println!("ended after {:.1?}", asked.elapsed());
    release(&victim);
    victim.launch(None);
    victim.live_out(&input).await
}

async fn checkpoint_hangs_for_a_while(mut victim: Victim, input: Input) -> BTreeSet<String> {
    victim.feed_to(&input, 50).await;
    let written = r#"forewarn_checkpoints_total{outcome="written"}"#;
    let before = victim.metric(written).await;
    release(&victim);
    eventually("a checkpoint", SOON, async || victim.metric(written).await.filter(|n| Some(*n) > before)).await;
    victim.kill();
    victim.launch(None);
    victim.live_out(&input).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_told_is_what_a_disk_that_does_not_hang_tells() {
    let victim = || Victim::new(CONFIG, RULES, STATE);
    let through = victim().started().await;
    let log = hanging(victim(), "log.sync:40").await;
    let checkpoint = hanging(victim(), "checkpoint.written:3").await;
    let short = hanging(victim(), "checkpoint.synced:2").await;
    // All have started: nothing is history to any of them.
    let input = Input::new((now() / 1000 + 2) * 1000, 220);
    let (expected, log, checkpoint, short) = tokio::join!(
        through.live_out(&input),
        log_hangs(log, input),
        checkpoint_hangs(checkpoint, input),
        checkpoint_hangs_for_a_while(short, input),
    );
    assert!(expected.len() > 150, "only {} transitions", expected.len());
    for (what, told) in [("the log", log), ("a checkpoint", checkpoint), ("a checkpoint for a while", short)] {
        let (lost, new): (Vec<_>, Vec<_>) =
            (expected.difference(&told).collect(), told.difference(&expected).collect());
        assert!(lost.is_empty() && new.is_empty(), "{what}: lost {lost:#?}\nmade up {new:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn alerts_fire_while_the_log_hangs() {
    let pager = Receiver::start().await;
    let config = format!(
        "global: {{evaluation_interval: 500ms}}\nrule_files: [rules.yml]\n\
         sources: {{host: {{interval: 1s}}, remote_write: {{lateness: 0s, idle_timeout: 1s}}}}\n\
         sinks: [webhook: {{name: pager, url: 'http://{}/', every_transition: true}}]",
        pager.address
    );
    let rules = "groups: [{name: g, rules: [{alert: Gone, expr: 'absent_over_time(square[2s])'}]}]";
    // The host's readings come first; wherever it hangs, it does for all.
    let mut victim = hanging(Victim::new(&config, rules, "dir: state, checkpoint_interval: 1h"), "log.sync:60").await;
    let input = Input::new((now() / 1000 + 1) * 1000, 400);
    let statuses = |from: usize| {
        let bodies = pager.bodies().into_iter().skip(from);
        let alerts = bodies.flat_map(|body| body["alerts"].as_array().unwrap().clone());
        alerts.map(|alert| alert["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let started = Instant::now();
    let mut before = 0;
    while victim.metric("forewarn_log_failing").await != Some(1.0) {
        assert!(started.elapsed() < SOON, "it never hangs");
        before = pager.received().len();
        victim.feed(&input, Instant::now() + Duration::from_millis(200)).await;
    }
    // Nothing of what is pushed gets in, and the rule that misses it says so: time goes on with the host's readings.
    let fired = eventually("an alert while the log hangs", SOON, async || {
        statuses(before).into_iter().any(|status| status == "firing").then(Instant::now)
    });
    println!("fired {:.1?} after the start", fired.await - started);
    assert_eq!(victim.metric("forewarn_log_failing").await, Some(1.0));
    let unlogged = r#"forewarn_log_unlogged_batches_total{source="host"}"#;
    eventually("readings without the log", SOON, async || victim.metric(unlogged).await.filter(|n| *n >= 3.0)).await;
    let fired = pager.received().len();
    release(&victim);
    let fresh = Input::new((now() / 1000) * 1000, 400);
    victim.sent = 0;
    while !statuses(fired).iter().any(|status| status == "resolved") {
        assert!(victim.sent < 400, "it is never resolved\n{}", victim.stderr());
        victim.feed(&fresh, Instant::now() + Duration::from_millis(200)).await;
    }
    becomes(&victim, "forewarn_log_failing", 0.0).await;
    // What the log lacks a checkpoint has soon, though its time has not come.
    let written = r#"forewarn_checkpoints_total{outcome="written"}"#;
    eventually("a checkpoint", SOON, async || victim.metric(written).await.filter(|n| *n >= 2.0)).await;
    victim.end(SOON).await;
}
