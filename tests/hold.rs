//! While event time is held back: alerts that fire stay with a real Alertmanager, over a restart too; the source that time waits
//! for is named from the first second on; and what the engine says next wins.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::peer::Peer;
use support::process::Forewarn;
use support::receiver::Receiver;
use support::victim::Victim;
use support::{eventually, http, sample};

const SOON: Duration = Duration::from_secs(30);
const TICKS: &str = "forewarn_engine_ticks_total";
const KEPT: &str = "forewarn_sink_kept_alive_total";

/// `startsAt` of the alert, if Alertmanager holds it active.
async fn active(alertmanager: &str) -> Option<String> {
    let alerts = http::get_json(alertmanager, "/api/v2/alerts?active=true").await?;
    let alert = alerts.as_array()?.iter().find(|a| a["labels"]["alertname"] == "Stands")?;
    Some(alert["startsAt"].as_str()?.to_owned())
}

async fn metric(address: &str, series: &str) -> Option<f64> {
    let (_, text) = http::get(address, "/metrics").await?;
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
}

/// An alert's life is 20 s here. Time stands still for over twice as long, with a crash in between.
#[tokio::test(flavor = "multi_thread")]
async fn what_fires_stays_with_alertmanager_while_time_stands_still() {
    let pager = Receiver::start().await;
    let config = format!(
        "route: {{receiver: r, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers: [{{name: r, webhook_configs: [{{url: 'http://{}/', send_resolved: true}}]}}]\n",
        pager.address
    );
    let Some(peer) = Peer::alertmanager(&config).await else { return };
    let hook = Receiver::start().await;
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nengine: {{resend_delay: 5s}}\nrule_files: [rules.yml]\n\
         sources: {{host: {{interval: 1s}}, remote_write: {{lateness: 0s, idle_timeout: 1h}}}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
         sinks: [webhook: {{name: hook, url: 'http://{}/'}}]\n",
        peer.address, hook.address
    );
    let rules = "groups: [{name: g, rules: [{alert: Stands, expr: vector(1) unless on() holds == 2}]}]";
    let mut forewarn = Victim::new(&config, rules, "dir: state, checkpoint_interval: 2s");
    forewarn.launch(None);
    forewarn.answers().await;
    forewarn.ready(SOON).await;
    let address = forewarn.address.clone();
    let starts = eventually("the alert", SOON, async || active(&peer.address).await).await;

    let held_at = support::alerts::now();
    sample::write(&address, "holds", held_at, 1.0).await;
    // What is under way before the sample is taken in may still be evaluated.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ticks = metric(&address, TICKS).await.unwrap();
    let still = async |until: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < until {
            assert_eq!(active(&peer.address).await.as_ref(), Some(&starts), "after {:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    still(Duration::from_secs(26)).await;
    assert_eq!(metric(&address, TICKS).await.unwrap(), ticks, "time stands still");
    assert!(metric(&address, KEPT).await.unwrap() >= 2.0);
    assert!(metric(&address, "forewarn_source_holds_time_seconds{source=\"remote_write\"}").await.unwrap() > 10.0);

    forewarn.kill();
    forewarn.launch(None);
    forewarn.answers().await;
    still(Duration::from_secs(24)).await;
    assert!(metric(&address, KEPT).await.unwrap() >= 1.0, "goes on over a restart");
    assert!(forewarn.stderr().contains("event time is held back"), "{}", forewarn.stderr());

    // Nobody was told of an end, and nobody who needs no repetitions of any.
    let told = |receiver: &Receiver| -> Vec<String> {
        let status = |body: &Value| body["status"].as_str().unwrap().to_owned();
        receiver.bodies().iter().map(status).collect()
    };
    assert_eq!((told(&pager), told(&hook)), (vec!["firing".to_owned()], vec!["firing".to_owned()]));
    // The engine's next word wins.
    sample::write(&address, "holds", support::alerts::now(), 2.0).await;
    // A tick that lies after the sample.
    tokio::time::sleep(Duration::from_secs(2)).await;
    sample::write(&address, "holds", support::alerts::now(), 2.0).await;
    eventually("the end", SOON, async || active(&peer.address).await.is_none().then_some(())).await;
    let both = ["firing".to_owned(), "resolved".to_owned()];
    eventually("its notice", SOON, async || (told(&pager) == both && told(&hook) == both).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(active(&peer.address).await.is_none(), "and no repetition comes after it");
    assert_eq!((told(&pager), told(&hook)), (both.to_vec(), both.to_vec()));
}

#[tokio::test]
async fn a_kafka_that_cannot_be_reached_is_named_before_any_time_has_begun() {
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n\
         sources: {host: {interval: 1s}, kafka: [{name: bus, brokers: ['127.0.0.1:1'], \
         topics: [{name: metrics, decoder: remote_write}], patience: 40s}]}\n";
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: node_load1 >= 0}]}]";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    let waits = "forewarn_source_holds_time_seconds{source=\"bus\"}";
    eventually("a wait", SOON, async || forewarn.metric(waits).await.filter(|seconds| *seconds > 16.0)).await;
    assert_eq!(forewarn.metric(TICKS).await, Some(0.0), "nothing is evaluated");
    let lag = forewarn.metric("forewarn_engine_lag_seconds").await.unwrap();
    assert!((16.0..40.0).contains(&lag), "since the start: {lag}");
    let held = "forewarn_engine_held{kind=\"waiting_samples\"}";
    assert!(forewarn.metric(held).await.unwrap() > 0.0, "though time does not go on");
    let log = forewarn.stderr();
    let warning = log.lines().find(|line| line.contains("no rule is evaluated")).unwrap_or_else(|| panic!("{log}"));
    assert!(warning.contains("source=\"bus\""), "{warning}");
    let (_, page) = http::get(&forewarn.address, "/").await.unwrap();
    assert!(page.contains("event time waits for it"), "{page}");

    // Patience ends.
    eventually("ticks", SOON * 2, async || forewarn.metric(TICKS).await.filter(|ticks| *ticks > 0.0)).await;
    eventually("no wait", SOON, async || forewarn.metric(waits).await.filter(|seconds| *seconds == 0.0)).await;
    let (_, page) = http::get(&forewarn.address, "/").await.unwrap();
    assert!(!page.contains("event time waits for it"), "{page}");
}
