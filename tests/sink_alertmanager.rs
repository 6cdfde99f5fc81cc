//! The Alertmanager sink and the webhook sink against a real Alertmanager.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use forewarn::base::Labels;
use serde_json::{Value, json};
use support::alerts::{Sinks, firing, now, resent, resolved};
use support::peer::Peer;
use support::receiver::Receiver;
use support::{eventually, http};

const QUIET: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";
const SOON: Duration = Duration::from_secs(10);

fn sink_to(address: &str) -> String {
    format!("- alertmanager: {{timeout: 2s, static_configs: [{{targets: ['{address}']}}]}}\n")
}

/// The active alerts of an Alertmanager by name, sorted.
async fn active(address: &str) -> Option<Vec<String>> {
    let alerts = http::get_json(address, "/api/v2/alerts").await?;
    let mut names: Vec<_> =
        alerts.as_array()?.iter().map(|a| a["labels"]["alertname"].as_str().unwrap_or("").to_owned()).collect();
    names.sort();
    Some(names)
}

async fn wait_for_active(address: &str, want: &[&str]) {
    eventually(&format!("active alerts {want:?}"), SOON, async || (active(address).await? == want).then_some(())).await;
}

#[tokio::test]
async fn an_alert_fires_and_resolves_in_alertmanager() {
    let Some(peer) = Peer::alertmanager(QUIET).await else { return };
    let sinks = Sinks::start(&sink_to(&peer.address));
    let at = now() - 120_000;
    sinks.send([firing("DiskFull", at)]);
    wait_for_active(&peer.address, &["DiskFull"]).await;

    let alerts = http::get_json(&peer.address, "/api/v2/alerts").await.unwrap();
    let alert = &alerts[0];
    assert_eq!(
        alert["labels"],
        json!({"alertname": "DiskFull", "cluster": "test", "instance": "a:9100", "severity": "page"})
    );
    assert_eq!(alert["annotations"], json!({"summary": "DiskFull is down"}));
    assert_eq!(alert["generatorURL"], "http://forewarn.test:9190/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    let starts = forewarn::base::parse_rfc3339(alert["startsAt"].as_str().unwrap()).unwrap();
    assert_eq!(starts, at);

    // A repetition moves the end on; the alert stays one.
    let first_end = alert["endsAt"].as_str().unwrap().to_owned();
    sinks.send([resent("DiskFull", at, at + 60_000)]);
    eventually("a later end", SOON, async || {
        let alerts = http::get_json(&peer.address, "/api/v2/alerts").await?;
        (alerts.as_array()?.len() == 1 && alerts[0]["endsAt"].as_str()? > first_end.as_str()).then_some(())
    })
    .await;

    sinks.send([resolved("DiskFull", at, now())]);
    wait_for_active(&peer.address, &[]).await;
    // Alertmanager shows an alert before its acknowledgement is here.
    eventually("three acknowledgements", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 3.0).then_some(())
    })
    .await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
}

#[tokio::test]
async fn a_revived_alertmanager_soon_has_all_current_states_and_none_out_of_date() {
    let Some(mut peer) = Peer::alertmanager(QUIET).await else { return };
    let sinks = Sinks::start(&sink_to(&peer.address));
    let at = now();
    sinks.send([firing("Kept", at), firing("Ends", at)]);
    wait_for_active(&peer.address, &["Ends", "Kept"]).await;
    peer.kill();
    // While it is dead: one ends, one is new, one comes and goes, one is repeated.
    sinks.send([firing("ComesAndGoes", at + 1), firing("New", at + 1)]);
    sinks.send([resolved("Ends", at, at + 2), resent("Kept", at, at + 2)]);
    sinks.send([resolved("ComesAndGoes", at + 1, at + 3)]);
    let refused = || sinks.metric("forewarn_sink_errors_total", &["connect"]);
    eventually("failed attempts", SOON, async || (refused() >= 3.0).then_some(())).await;
    peer.revive().await;
    wait_for_active(&peer.address, &["Kept", "New"]).await;
    eventually("an empty queue", SOON, async || (sinks.metric("forewarn_sink_queue_length", &[]) == 0.0).then_some(()))
        .await;
    assert_eq!(active(&peer.address).await.unwrap(), ["Kept", "New"]);
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &[]), 0.0);
}

#[tokio::test]
async fn one_alert_that_alertmanager_refuses_takes_no_other_with_it() {
    let Some(peer) = Peer::alertmanager(QUIET).await else { return };
    let sinks = Sinks::start(&sink_to(&peer.address));
    let mut alerts: Vec<_> = (0..20).map(|n| firing(&format!("Good{n:02}"), now())).collect();
    // A label's name begins with a letter or an underscore.
    alerts[7].labels = Labels::from_pairs([("alertname", "Bad"), ("0-", "x")]);
    sinks.send(alerts);
    eventually("19 alerts", SOON, async || (active(&peer.address).await?.len() == 19).then_some(())).await;
    eventually("one refused", SOON, async || {
        (sinks.metric("forewarn_sink_dropped_total", &["refused"]) == 1.0).then_some(())
    })
    .await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
}

#[tokio::test]
async fn our_webhook_says_what_alertmanagers_webhook_says() {
    let (theirs, ours) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "route: {{receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
         receivers: [{{name: ops, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
        theirs.address
    );
    let Some(peer) = Peer::alertmanager(&config).await else { return };
    let yaml = format!("{}- webhook: {{name: ops, url: 'http://{}/hook'}}\n", sink_to(&peer.address), ours.address);
    let sinks = Sinks::start(&yaml);
    let at = now() - 1_000;
    let message = async |receiver: &Receiver, n: usize| {
        eventually("a message", SOON, async || receiver.bodies().get(n).cloned()).await
    };
    sinks.send([firing("DiskFull", at)]);
    let firing = (message(&theirs, 0).await, message(&ours, 0).await);
    sinks.send([resolved("DiskFull", at, now())]);
    let ended = (message(&theirs, 1).await, message(&ours, 1).await);
    for (status, (mut theirs, mut ours)) in [("firing", firing), ("resolved", ended)] {
        assert_eq!(ours["status"], status);
        same_instants(&mut theirs, &mut ours);
        // Alertmanager's own address; it carries the alert's generator URL through.
        theirs["externalURL"] = ours["externalURL"].clone();
        assert_eq!(theirs, ours);
    }
    assert_eq!(ours.received()[0].path, "/hook");
}

/// Takes out of both messages the instants that they write differently (with or without fractions).
fn same_instants(theirs: &mut Value, ours: &mut Value) {
    for field in ["startsAt", "endsAt"] {
        let parse = |message: &Value| forewarn::base::parse_rfc3339(message["alerts"][0][field].as_str().unwrap());
        assert_eq!(parse(theirs), parse(ours), "{field}");
        for message in [&mut *theirs, &mut *ours] {
            message["alerts"][0][field] = Value::Null;
        }
    }
}
