//! The whole platform, and forewarn killed in the middle of it: this machine's metrics → a real OpenTelemetry Collector → a
//! real Kafka → forewarn → a real Alertmanager → a webhook; beside it an annotation with its region, every transition in a
//! topic, and recorded series in another. It is killed while the alert is pending, and again while it fires. Nothing is missing,
//! nothing comes twice, and the times are those of the metrics.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use forewarn::base::parse_rfc3339;
use rdkafka::Message as _;
use serde_json::Value;
use support::eventually;
use support::grafana::{Grafana, TOKEN};
use support::kafka::{Kafka, headers};
use support::peer::Peer;
use support::receiver::Receiver;
use support::victim::Victim;

/// A file system in memory that every Linux has, and that the Collector sees.
const DISK: &str = "/dev/shm";
const MIB: u64 = 1 << 20;
/// So much is written, and half of it is too much.
const WRITTEN: u64 = 64 * MIB;
/// Generous: programs in a debug build, beside other tests.
const SOON: Duration = Duration::from_secs(90);
/// Long enough for a kill and a restart while it runs.
const FOR: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missing_or_double_though_forewarn_is_killed() {
    let Some(kafka) = Kafka::own().await else { return };
    let ballast = Ballast(format!("{DISK}/forewarn-test-{}", std::process::id()).into());
    for topic in ["metrics", "alerts", "recorded"] {
        kafka.topic(topic, 1).await;
    }
    let pager = Receiver::start().await;
    let Some(alertmanager) = Peer::alertmanager(&alertmanager_config(&pager.address)).await else { return };
    let grafana = Grafana::start().await;
    let config = forewarn_config(&kafka.plain, &alertmanager.address, &grafana.address);
    let mut forewarn = Victim::new(&config, &rules(used() + WRITTEN / 2), "dir: state, checkpoint_interval: 2s");
    std::fs::write(forewarn.dir().join("token"), TOKEN).unwrap();
    forewarn.launch(None);
    forewarn.answers().await;
    let Some(_collector) = Peer::collector(&collector_config(&kafka.plain)).await else { return };
    let lag = "forewarn_kafka_lag_messages{partition=\"0\",source=\"kafka\",topic=\"metrics\"}";
    eventually("messages from Kafka", SOON, async || forewarn.metric(lag).await).await;
    eventually("a checkpoint", SOON, async || {
        forewarn.metric("forewarn_checkpoints_total{outcome=\"written\"}").await.filter(|n| *n > 0.0)
    })
    .await;

    std::fs::write(&ballast.0, vec![7; WRITTEN as usize]).unwrap();
    eventually("a pending alert", SOON, async || alert(&forewarn, "pending").await).await;
    forewarn.kill();
    assert_eq!(pager.bodies(), Vec::<Value>::new(), "nobody is paged before its time");
    forewarn.launch(None);
    let page = eventually("the page", SOON, async || told(&pager, "firing")).await;
    eventually("the annotation", SOON, async || grafana.kept().first().cloned()).await;

    let firing = eventually("a firing alert", SOON, async || alert(&forewarn, "firing").await).await;
    forewarn.kill();
    drop(ballast);
    forewarn.launch(None);
    let end = eventually("the end", SOON, async || told(&pager, "resolved")).await;
    let annotation = eventually("the region's end", SOON, async || {
        grafana.kept().first().filter(|kept| kept.time_end > kept.time).cloned()
    })
    .await;
    forewarn.end(SOON).await;

    // Once each, and with the times of the metrics: it fired `for` after it began, whatever happened in between.
    let began = time(&firing["activeAt"]);
    let starts = time(&page["startsAt"]);
    let ends = time(&end["endsAt"]);
    assert_eq!(starts - began, i64::try_from(FOR.as_millis()).unwrap());
    assert_eq!(time(&end["startsAt"]), starts);
    assert!(ends > starts);
    let alerts = || pager.bodies().into_iter().flat_map(|body| body["alerts"].as_array().unwrap().clone());
    let statuses: Vec<Value> = alerts().map(|alert| alert["status"].clone()).collect();
    assert_eq!(statuses, ["firing", "resolved"]);
    assert_eq!(grafana.kept().len(), 1, "{:#?}", grafana.kept());
    assert_eq!((annotation.time, annotation.time_end), (starts, ends));

    // The topic has each transition once, in order; what a kill repeats has the same identity, comes at once, and is what
    // was on its way: with seconds between the transitions that is one at the most.
    let mut messages = kafka.read("alerts");
    let all = messages.len();
    messages.dedup_by_key(|message| header(message, "forewarn-id"));
    let kills = forewarn.ends().iter().filter(|end| end.by_us).count();
    assert_eq!(kills, 2);
    assert!(all - messages.len() <= kills, "{all} messages of {} transitions", messages.len());
    let identities: BTreeSet<String> = messages.iter().map(|message| header(message, "forewarn-id")).collect();
    assert_eq!(identities.len(), messages.len(), "told again after something else");
    let transitions: Vec<(String, String)> = messages
        .into_iter()
        .map(|message| {
            let json: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            (json["from"].as_str().unwrap().to_owned(), json["to"].as_str().unwrap().to_owned())
        })
        .filter(|(from, to)| from != to)
        .collect();
    let wanted = [("inactive", "pending"), ("pending", "firing"), ("firing", "inactive")];
    assert_eq!(transitions, wanted.map(|(from, to)| (from.to_owned(), to.to_owned())));

    // Every tick from the first to the last was evaluated, and always with the same result.
    let recorded = recorded(&kafka);
    let (first, last) = (*recorded.keys().next().unwrap(), *recorded.keys().next_back().unwrap());
    assert!(first < began && last > ends);
    let missing: Vec<i64> = (first..=last).step_by(1_000).filter(|t| !recorded.contains_key(t)).collect();
    assert!(missing.is_empty(), "{missing:?} of {first} to {last}");
    let doubtful: Vec<_> = recorded.iter().filter(|(_, values)| values.len() > 1).collect();
    assert!(doubtful.is_empty(), "{doubtful:?}");
    println!("{} ticks recorded, {} messages in the topic of alerts", recorded.len(), kafka.read("alerts").len());
}

/// A file that is gone when dropped, however the test ends.
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Bytes used of [`DISK`].
fn used() -> u64 {
    let stat = rustix::fs::statvfs(DISK).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

/// The alert in this state.
async fn alert(forewarn: &Victim, state: &str) -> Option<Value> {
    let (_, text) = support::http::get(&forewarn.address, "/api/v1/alerts").await?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    answer["data"]["alerts"].as_array()?.iter().find(|alert| alert["state"] == state).cloned()
}

/// What the pager was told of the alert with this status.
fn told(pager: &Receiver, status: &str) -> Option<Value> {
    let mut alerts = pager.bodies().into_iter().flat_map(|body| body["alerts"].as_array().unwrap().clone());
    alerts.find(|alert| alert["status"] == status)
}

fn time(value: &Value) -> i64 {
    parse_rfc3339(value.as_str().unwrap()).unwrap()
}

fn header(message: &impl rdkafka::Message, name: &str) -> String {
    headers(message).into_iter().find(|(n, _)| n == name).unwrap().1
}

/// Values of the recorded series, by tick.
fn recorded(kafka: &Kafka) -> BTreeMap<i64, BTreeSet<String>> {
    let mut ticks: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for message in kafka.read("recorded") {
        for line in String::from_utf8(message.payload().unwrap().to_vec()).unwrap().lines() {
            let json: Value = serde_json::from_str(line).unwrap();
            // The rules write ALERTS and ALERTS_FOR_STATE as well.
            if json["name"] != "disk:used:bytes" {
                continue;
            }
            let at = parse_rfc3339(json["timestamp"].as_str().unwrap()).unwrap();
            ticks.entry(at).or_default().insert(json["value"].as_str().unwrap().to_owned());
        }
    }
    ticks
}

fn rules(limit: u64) -> String {
    let seconds = FOR.as_secs();
    format!(
        r#"
groups:
  - name: disk
    interval: 1s
    rules:
      - record: disk:used:bytes
        expr: max by (mountpoint) (system_filesystem_usage_bytes{{state="used", mountpoint="{DISK}"}})
      - alert: DiskFills
        expr: disk:used:bytes > {limit}
        for: {seconds}s
        labels: {{severity: page}}
        annotations: {{summary: '{{{{ $value | humanize1024 }}}}B used'}}
"#
    )
}

fn forewarn_config(kafka: &str, alertmanager: &str, grafana: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
sources:
  kafka: [{{brokers: ['{kafka}'], group_id: forewarn, lateness: 1s, topics: [{{name: metrics, decoder: otlp_proto}}]}}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
sinks:
  - grafana: {{url: 'http://{grafana}', http_config: {{authorization: {{credentials_file: token}}}}}}
  - kafka: {{brokers: ['{kafka}'], topic: alerts, send_pending: true, recorded: {{topic: recorded, format: json_lines}}}}
"#
    )
}

fn collector_config(kafka: &str) -> String {
    format!(
        r#"
receivers:
  hostmetrics: {{collection_interval: 1s, scrapers: {{filesystem: {{include_virtual_filesystems: true}}}}}}
exporters:
  kafka: {{brokers: ['{kafka}'], metrics: {{topic: metrics, encoding: otlp_proto}}}}
service:
  pipelines:
    metrics: {{receivers: [hostmetrics], exporters: [kafka]}}
"#
    )
}

fn alertmanager_config(pager: &str) -> String {
    format!(
        r#"
route: {{receiver: pager, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: pager, webhook_configs: [{{url: 'http://{pager}/', send_resolved: true}}]}}]
"#
    )
}
