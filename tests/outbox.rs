//! Alerts on disk: sinks end and start again over the same outbox while their receivers fail, hang and come back.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forewarn::sink::outbox::Outbox;
use prometheus::Registry;
use serde_json::Value;
use support::alerts::{Sinks, firing, now, resent, resolved};
use support::peer::Peer;
use support::receiver::{Answer, Receiver};
use support::{eventually, http};

const SOON: Duration = Duration::from_secs(15);
const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

fn alertmanager(target: &str) -> String {
    format!("- alertmanager: {{timeout: 1500ms, static_configs: [{{targets: ['{target}']}}]}}\n")
}

/// Sinks over the outbox in `dir`, as soon as those before them have let go of it.
async fn start(yaml: &str, dir: &Path) -> (Sinks, Arc<Outbox>) {
    let file = dir.join("outbox.redb");
    let outbox = eventually("the outbox", SOON, async || Outbox::open(&file, &Registry::new()).ok()).await;
    let outbox = Arc::new(outbox);
    (Sinks::start_with(yaml, |context| context.outbox = Some(Arc::clone(&outbox))), outbox)
}

fn entries(outbox: &Outbox) -> usize {
    outbox.backlog().iter().map(|sink| sink.entries).sum()
}

/// Names and starts of the alerts in requests to an Alertmanager.
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    let text = |alert: &Value, field: &str| alert[field].as_str().unwrap().to_owned();
    let all = receiver.bodies().into_iter().flat_map(|body| body.as_array().unwrap().clone());
    all.map(|a| (a["labels"]["alertname"].as_str().unwrap().to_owned(), text(&a, "startsAt"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_before_the_acknowledgement_sends_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let hanging = Receiver::answering(|n, _| if n == 0 { Answer::Never } else { Answer::Status(200) }).await;
    let yaml = alertmanager(&hanging.address);
    let (sinks, outbox) = start(&yaml, dir.path()).await;
    let at = now();
    sinks.send([firing("A", at), firing("B", at)]);
    eventually("the first attempt", SOON, async || (hanging.received().len() == 1).then_some(())).await;
    drop((sinks, outbox));

    let (sinks, outbox) = start(&yaml, dir.path()).await;
    assert_eq!(outbox.backlog().iter().map(|sink| sink.restored).sum::<u64>(), 2, "counted");
    eventually("the second attempt", SOON, async || (hanging.received().len() == 2).then_some(())).await;
    eventually("an empty outbox", SOON, async || (entries(&outbox) == 0).then_some(())).await;
    let told = told(&hanging);
    assert_eq!((told.len(), &told[..2]), (4, &told[2..]), "the same alerts, with the same identity");
    // The engine evaluates the same ticks again and finds the same.
    sinks.send([firing("A", at), firing("B", at)]);
    assert_eq!(entries(&outbox), 0);
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    drop((sinks, outbox));

    let (sinks, outbox) = start(&yaml, dir.path()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((entries(&outbox), hanging.received().len()), (0, 2), "what was acknowledged is not sent again");
    drop(sinks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_tells_a_revived_alertmanager_the_current_states() {
    let Some(mut peer) = Peer::alertmanager(QUIET).await else { return };
    let dir = tempfile::tempdir().unwrap();
    let yaml = alertmanager(&peer.address);
    let address = peer.address.clone();
    let active = async || {
        let alerts = http::get_json(&address, "/api/v2/alerts").await?;
        let name = |a: &Value| a["labels"]["alertname"].as_str().unwrap_or("").to_owned();
        let mut names: Vec<_> = alerts.as_array()?.iter().map(name).collect();
        names.sort();
        Some(names)
    };
    let (sinks, outbox) = start(&yaml, dir.path()).await;
    let at = now();
    sinks.send([firing("Kept", at), firing("Ends", at)]);
    eventually("two alerts", SOON, async || (active().await? == ["Ends", "Kept"]).then_some(())).await;
    eventually("an empty outbox", SOON, async || (entries(&outbox) == 0).then_some(())).await;
    peer.kill();
    sinks.send([firing("ComesAndGoes", at + 1), firing("New", at + 1), resent("Kept", at, at + 2)]);
    sinks.send([resolved("Ends", at, at + 2), resolved("ComesAndGoes", at + 1, at + 3)]);
    let left = sinks.dispatcher.shutdown(Duration::from_millis(200)).await;
    assert!((3..=4).contains(&left), "{left} wait");
    drop((sinks, outbox));

    // A minute of absence later; the engine repeats what fires.
    let (sinks, outbox) = start(&yaml, dir.path()).await;
    sinks.send([resent("Kept", at, at + 60_000)]);
    peer.revive().await;
    let back = Instant::now();
    eventually("an empty outbox", Duration::from_secs(30), async || (entries(&outbox) == 0).then_some(())).await;
    println!("all delivered {:.1?} after its return", back.elapsed());
    assert_eq!(active().await.unwrap(), ["Kept", "New"]);
    let alerts = http::get_json(&peer.address, "/api/v2/alerts").await.unwrap();
    for alert in alerts.as_array().unwrap() {
        let ends = forewarn::base::parse_rfc3339(alert["endsAt"].as_str().unwrap()).unwrap();
        assert!(ends > now(), "out of date: {alert}");
    }
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_whose_life_is_over_are_not_sent_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (dead, hook) = (support::peer::free_address(), Receiver::start().await);
    let at = now();
    let short = |name: &str| forewarn::alert::Transition { ends_at: at + 500, ..firing(name, at) };
    let (sinks, outbox) = start(&alertmanager(&dead), dir.path()).await;
    sinks.send([short("Over"), firing("Lives", at)]);
    drop((sinks, outbox));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let (sinks, outbox) = start(&alertmanager(&dead), dir.path()).await;
    eventually("expiry", SOON, async || {
        (sinks.metric("forewarn_sink_dropped_total", &["expired"]) == 1.0).then_some(())
    })
    .await;
    assert_eq!(entries(&outbox), 1);
    drop((sinks, outbox));
    // The sink is gone from the configuration.
    let (sinks, outbox) = start(&format!("- webhook: {{url: 'http://{}/'}}\n", hook.address), dir.path()).await;
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &["unconfigured"]), 1.0);
    assert_eq!((entries(&outbox), hook.received().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_gets_every_transition_in_order_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let failing = Receiver::answering(|n, _| Answer::Status(if n < 2 { 500 } else { 200 })).await;
    let yaml = |every: bool| format!("- webhook: {{url: 'http://{}/', every_transition: {every}}}\n", failing.address);
    let slow = |context: &mut forewarn::sink::SinkContext| context.backoff.base = Duration::from_secs(3_600);
    let (sinks, outbox) = start(&yaml(true), dir.path()).await;
    drop(sinks);
    let sinks = Sinks::start_with(&yaml(true), |context| {
        slow(context);
        context.outbox = Some(Arc::clone(&outbox));
    });
    let at = now();
    sinks.send([firing("A", at), resolved("A", at, at + 1), firing("B", at + 1)]);
    sinks.send([firing("A", at + 2), resolved("B", at + 1, at + 3)]);
    eventually("an attempt", SOON, async || (!failing.received().is_empty()).then_some(())).await;
    assert_eq!(entries(&outbox), 5);
    drop((sinks, outbox));
    let (sinks, outbox) = start(&yaml(true), dir.path()).await;
    sinks.send([resolved("A", at + 2, at + 4)]);
    eventually("an empty outbox", SOON, async || (entries(&outbox) == 0).then_some(())).await;
    let text = |body: &Value| {
        let alert = &body["alerts"][0];
        format!("{} {}", alert["labels"]["alertname"].as_str().unwrap(), body["status"].as_str().unwrap())
    };
    let heard: Vec<_> = failing.bodies().iter().skip(2).map(text).collect();
    assert_eq!(heard, ["A firing", "A resolved", "B firing", "A firing", "B resolved", "A resolved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sink_delays_no_other_and_the_engine_waits_for_the_disk_only() {
    let dir = tempfile::tempdir().unwrap();
    let (hanging, good) = (Receiver::answering(|_, _| Answer::Never).await, Receiver::start().await);
    let yaml = format!("{}{}", alertmanager(&hanging.address), alertmanager(&good.address));
    let registry = Registry::new();
    let outbox = Arc::new(Outbox::open(&dir.path().join("outbox.redb"), &registry).unwrap());
    let sinks = Sinks::start_with(&yaml, |context| context.outbox = Some(Arc::clone(&outbox)));
    let (at, started) = (now(), Instant::now());
    let mut longest = Duration::ZERO;
    for n in 0..200 {
        let sent = Instant::now();
        sinks.send((0..5).map(|m| firing(&format!("A{n}.{m}"), at)));
        longest = longest.max(sent.elapsed());
    }
    println!("200 batches of 5 alerts for 2 sinks: {:.1?}, the longest {longest:.1?}", started.elapsed());
    let name = format!("alertmanager/{}", good.address);
    eventually("1000 alerts", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[&name]) == 1000.0).then_some(())
    })
    .await;
    let backlog = outbox.backlog();
    let of = |address: &str| backlog.iter().find(|b| b.sink.ends_with(address)).unwrap();
    assert_eq!(of(&hanging.address).entries, 1000);
    assert!(of(&hanging.address).bytes > 100_000 && of(&hanging.address).oldest.is_some());
    assert!(outbox.is_durable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_the_outbox_to_the_receivers() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering(|_, _| Answer::Status(500)).await;
    let yaml = alertmanager(&receiver.address);
    let (sinks, outbox) = start(&yaml, dir.path()).await;
    sinks.send([firing("A", now())]);
    drop((sinks, outbox));
    let (sinks, outbox) = start(&yaml, dir.path()).await;
    drop(sinks);
    let dry = Sinks::start_with(&yaml, |context| {
        context.dry_run = true;
        context.outbox = Some(Arc::clone(&outbox));
    });
    dry.send([firing("B", now())]);
    assert_eq!(dry.dispatcher.shutdown(SOON).await, 0);
    assert_eq!(entries(&outbox), 1, "A waits, B was only logged");
}
