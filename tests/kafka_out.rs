//! Kafka as a sink, against a real broker: transitions and recorded series as topics have them.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use forewarn::base::Limits;
use forewarn::sink::AlertTransition;
use forewarn::source::decode::{prometheus_kafka_adapter, remote_write};
use prost::Message as _;
use rdkafka::Message as _;
use support::alerts::{self, Sinks};
use support::kafka::{self, Kafka};
use support::kafka_source::{message, now};
use support::{eventually, process::Forewarn};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn transitions_in_both_formats_and_nothing_twice_over_a_crash() {
    let Some(mut broker) = Kafka::own().await else { return };
    for topic in ["json", "proto"] {
        broker.topic(topic, 3).await;
    }
    let sink = |name: &str, topic: &str, format: &str| {
        format!(
            "- kafka: {{name: {name}, brokers: ['{}'], topic: {topic}, format: {format}, timeout: 5s}}\n",
            broker.plain
        )
    };
    let sinks = Sinks::start(&(sink("a", "json", "json") + &sink("b", "proto", "protobuf")));
    let at = now();
    let names: Vec<String> = (0..10).map(|n| format!("Alert{n}")).collect();
    let fire = |from: usize, to: usize| names[from..to].iter().map(|name| alerts::firing(name, at)).collect::<Vec<_>>();
    sinks.send(fire(0, 5));
    eventually("the first", SOON, async || (broker.read("json").len() == 5).then_some(())).await;
    broker.kill();
    sinks.send(fire(5, 10));
    // Longer than an attempt, so that it fails and is made again.
    tokio::time::sleep(Duration::from_secs(7)).await;
    broker.revive().await;
    eventually("the others", SOON, async || (broker.read("proto").len() >= 10).then_some(())).await;
    sinks.send(names.iter().map(|name| alerts::resolved(name, at, at + 1_000)));
    eventually("all", SOON, async || (sinks.metric("forewarn_sink_notifications_total", &[]) == 40.0).then_some(()))
        .await;
    assert!(sinks.metric("forewarn_sink_errors_total", &["timeout"]) >= 1.0, "a failed attempt is counted");
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);

    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for message in broker.read("json") {
        let json: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let alert = json["labels"]["alertname"].as_str().unwrap().to_owned();
        let headers: BTreeMap<_, _> = kafka::headers(&message).into_iter().collect();
        assert_eq!(
            (headers["forewarn-alert"].as_str(), headers["content-type"].as_str()),
            (&*alert, "application/json")
        );
        assert_eq!(json["to"].as_str(), Some(headers["forewarn-state"].as_str()));
        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        assert_eq!(keys.entry(alert.clone()).or_insert(key.clone()), &key, "one key an alert");
        states.entry(alert).or_default().push(headers["forewarn-state"].clone());
    }
    assert_eq!(states.len(), 10);
    assert!(states.values().all(|s| s == &["firing", "inactive"]), "each once and in order: {states:?}");
    let protos: Vec<_> =
        broker.read("proto").iter().map(|m| AlertTransition::decode(m.payload().unwrap()).unwrap()).collect();
    let ids: std::collections::BTreeSet<_> = protos.iter().map(|p| p.id.clone()).collect();
    assert_eq!((protos.len(), ids.len()), (20, 20));
    assert!(protos.iter().all(|p| keys.contains_key(&p.alert) && p.labels["severity"] == "page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_reads_records_alerts_and_ends_in_time_when_the_broker_is_gone() {
    let Some(mut broker) = Kafka::own().await else { return };
    for topic in ["metrics", "alerts", "recorded", "lines"] {
        broker.topic(topic, 1).await;
    }
    let config = format!(
        "global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
sources: {{kafka: [{{name: k, brokers: ['{0}'], topics: [{{name: metrics, decoder: remote_write}}], lateness: 0s,
  idle_timeout: 2s}}]}}
sinks:
  - kafka: {{name: out, brokers: ['{0}'], topic: alerts, send_pending: true, recorded: {{topic: recorded}}}}
  - kafka: {{name: lines, brokers: ['{0}'], recorded: {{topic: lines, format: json_lines}}}}
",
        broker.plain
    );
    let rules = "groups: [{name: g, rules: [{record: 'seq:sum', expr: sum(seq)}, {alert: Seen, expr: 'seq:sum > 41', for: 1s}]}]";
    let mut forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    let producer = broker.producer("none");
    let writer = tokio::spawn(async move {
        loop {
            kafka::write(&producer, "metrics", 0, &[message(42, now())]).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    let states = || {
        let of = |m: &rdkafka::message::OwnedMessage| {
            serde_json::from_slice::<serde_json::Value>(m.payload().unwrap()).unwrap()
        };
        broker.read("alerts").iter().map(|m| of(m)["to"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let seen = eventually("both states", SOON, async || Some(states()).filter(|s| s.len() >= 2)).await;
    assert_eq!(seen, ["pending", "firing"]);
    let limits = Limits::default();
    let sums = |topic: &str| -> Vec<f64> {
        let batch = |m: &rdkafka::message::OwnedMessage| match topic {
            "lines" => prometheus_kafka_adapter::decode(m.payload().unwrap(), &limits).unwrap().batch,
            _ => remote_write::decode(m.payload().unwrap(), &limits, &mut Vec::new()).unwrap().batch,
        };
        let messages: Vec<_> = broker.read(topic).into_iter().filter(|m| m.key() == Some(b"seq:sum")).collect();
        messages.iter().flat_map(|m| batch(m).all_samples().iter().map(|s| s.v).collect::<Vec<_>>()).collect()
    };
    for topic in ["recorded", "lines"] {
        let sums = eventually("recorded sums", SOON, async || Some(sums(topic)).filter(|s| s.len() >= 2)).await;
        assert!(sums.iter().all(|v| *v == 42.0), "{topic}: {sums:?}");
    }
    let committed = async || broker.committed("forewarn", "metrics", 0).filter(|at| *at > 0);
    eventually("a commit while running", SOON, committed).await;
    assert_eq!(forewarn.metric(r#"forewarn_kafka_partitions{source="k"}"#).await, Some(1.0));

    writer.abort();
    broker.kill();
    eventually("trouble on the status page", SOON, async || {
        let (_, page) = support::http::get(&forewarn.address, "/").await?;
        (page.contains("brokers are down") || page.contains("Connection refused")).then_some(())
    })
    .await;
    let started = Instant::now();
    assert_eq!(forewarn.end_by("TERM", SOON).await.code(), Some(0), "{}", forewarn.stderr());
    println!("ended after {:?} with the broker gone", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(25));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_in_the_topic_and_read_again() {
    let Some(broker) = Kafka::own().await else { return };
    const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
    const ALERTS: usize = 200;
    let mut config = String::new();
    for codec in CODECS {
        broker.topic(codec, 1).await;
        // Gathered for a while, so that there is something to be compressed.
        let options = "options: {linger.ms: '200'}";
        config += &format!(
            "- kafka: {{name: {codec}, brokers: ['{}'], topic: {codec}, compression: {codec}, {options}}}\n",
            broker.plain
        );
    }
    let sinks = Sinks::start(&config);
    let names: Vec<String> = (0..ALERTS).map(|n| format!("Alert{n}")).collect();
    sinks.send(names.iter().map(|name| alerts::firing(name, now())));
    for codec in CODECS {
        let kept = eventually(codec, SOON, async || Some(broker.read(codec)).filter(|m| m.len() == ALERTS)).await;
        let alert = |m: &rdkafka::message::OwnedMessage| {
            let json: serde_json::Value = serde_json::from_slice(m.payload().unwrap()).unwrap();
            json["labels"]["alertname"].as_str().unwrap().to_owned()
        };
        assert_eq!(kept.iter().map(alert).collect::<Vec<_>>(), names, "{codec}");
        let batches = broker.codecs(codec, 0);
        assert!(!batches.is_empty() && batches.iter().all(|batch| *batch == codec), "{codec}: {batches:?}");
    }
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
}
