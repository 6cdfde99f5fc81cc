//! A process that reads Kafka and is written to at once, killed and started again: both go on where they were, and what it tells
//! is what one tells that was left alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use forewarn::base::encode::{compress, encode_write_request};
use forewarn::base::{Batch, BatchBuilder, Labels, Limits, Millis};
use support::input::{Input, RULES};
use support::kafka::{self, Kafka};
use support::kafka_source::message;
use support::victim::{Victim, now};
use support::{eventually, http, peer};

const SOON: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 2;

/// Rules over what comes by Kafka, alone and beside what is pushed.
const MORE_RULES: &str = r#"
  - name: both
    interval: 200ms
    rules:
      - {record: "streamed:rate", expr: "rate(streamed_total[2s])"}
      - {alert: Streamed, expr: "streamed > 0.5", for: 400ms}
      - {alert: Fast, expr: "streamed:rate > 60", for: 200ms}
      - {alert: Together, expr: "streamed + on(i) square > 1.5"}
      - {alert: Often, expr: "count_over_time(streamed[3s]) > 29"}
"#;

fn config(broker: &Kafka, group: &str) -> String {
    format!(
        "global: {{evaluation_interval: 200ms}}\nrule_files: [rules.yml]\nlimits: {{request_bytes: 1048576}}\n\
         sinks: [stdout: {{format: json}}]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1h}}, kafka: [{{name: k, brokers: ['{}'], \
         group_id: {group}, start: earliest, topics: [{{name: {TOPIC}, decoder: remote_write}}], lateness: 0s, \
         idle_timeout: 1h, patience: 10m, \
         options: {{session.timeout.ms: '6000', heartbeat.interval.ms: '1000'}}}}]}}",
        broker.plain
    )
}

const TOPIC: &str = "beside";

/// What a partition gets at a step.
fn streamed(partition: i32, step: usize, t: Millis) -> Batch {
    let mut builder = BatchBuilder::new(&Limits::default());
    for i in (0..6).filter(|i| i % PARTITIONS == partition) {
        let mut put = |name: &str, value: f64| {
            let labels = Labels::from_pairs([("__name__", name.to_owned()), ("i", i.to_string())]);
            builder.series(labels.as_ref());
            builder.sample(t, value);
        };
        put("streamed", f64::from(u8::from((step / (7 + 3 * i as usize)) % 2 == 1)));
        put("streamed_total", (step * 8 + if (step / 20).is_multiple_of(2) { step } else { 0 }) as f64);
    }
    builder.finish()
}

/// Writes the topic as time goes on.
async fn produce(broker: &Kafka, input: Input) {
    let producer = broker.producer("lz4");
    for step in 0..input.steps() {
        let wait = input.time(step) - now();
        tokio::time::sleep(Duration::from_millis(wait.max(0).unsigned_abs())).await;
        for partition in 0..PARTITIONS {
            let body = compress(&encode_write_request(&streamed(partition, step, input.time(step))));
            kafka::write(&producer, TOPIC, partition, &[body]).await;
        }
    }
}

async fn live(mut victim: Victim, input: Input, kills: &[usize]) -> BTreeSet<String> {
    for kill in kills {
        victim.feed_to(&input, *kill).await;
        victim.kill();
        victim.launch(None);
        victim.answers().await;
    }
    victim.feed_to(&input, input.steps()).await;
    // All of the topic, too: both are evaluated up to the last step.
    let end = input.time(input.steps() - 1) / 1000;
    let watermark = "forewarn_engine_watermark_timestamp_seconds";
    eventually("the end of both", SOON, async || victim.metric(watermark).await.filter(|w| *w >= end as f64)).await;
    victim.live_out(&input).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_go_on_after_a_kill_as_if_nothing_had_been() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic(TOPIC, PARTITIONS).await;
    let rules = format!("{RULES}{MORE_RULES}");
    let victim =
        |group: &str, state: &str| Victim::new(&config(broker, group), &rules, &format!("dir: state, {state}"));
    let mut through = victim("through", "checkpoint_interval: 30s");
    let mut often = victim("often", "checkpoint_interval: 300ms, keep: 2");
    // All of it comes from the log and from the beginning of the topic.
    let mut never = victim("never", "checkpoint_interval: 1h");
    for victim in [&mut through, &mut often, &mut never] {
        victim.launch(None);
    }
    for victim in [&mut through, &mut often, &mut never] {
        victim.answers().await;
        victim.ready(SOON).await;
        let partitions = r#"forewarn_kafka_partitions{source="k"}"#;
        eventually("partitions", SOON, async || victim.metric(partitions).await.filter(|n| *n == 2.0)).await;
        // Who has sent nothing yet holds nobody back, so that the first samples of others could come too late.
        let body = message(9, now());
        let answer = http::post(&victim.address, "/api/v1/write", &[], &body).await;
        assert_eq!(answer.map(|(status, _)| status), Some(204));
    }
    for partition in 0..PARTITIONS {
        broker.write("none", TOPIC, partition, &[message(partition as usize, now())]).await;
    }
    for victim in [&through, &often, &never] {
        let read = format!(r#"forewarn_kafka_messages_total{{source="k",topic="{TOPIC}"}}"#);
        eventually("both partitions", SOON, async || victim.metric(&read).await.filter(|n| *n >= 2.0)).await;
    }
    // The last step is at a whole second, as the metric is that tells how far they are.
    let input = Input::new((now() / 1000 + 2) * 1000, 161);
    let (expected, often, never, ()) = tokio::join!(
        live(through, input, &[]),
        live(often, input, &[40, 90]),
        live(never, input, &[70]),
        produce(broker, input),
    );
    assert!(expected.len() > 150, "only {} transitions", expected.len());
    let of = |alert: &str| expected.iter().filter(|line| line.contains(alert)).count();
    for alert in ["Streamed", "Fast", "Together", "Often"] {
        assert!(of(alert) > 1, "{alert} never fires");
    }
    for (what, told) in [("checkpoints", often), ("the log alone", never)] {
        let (lost, new): (Vec<_>, Vec<_>) =
            (expected.difference(&told).collect(), told.difference(&expected).collect());
        assert!(lost.is_empty() && new.is_empty(), "{what}: lost {lost:#?}\nmade up {new:#?}");
    }
}

/// A clock that is behind at the very first start: nothing of the topic is dropped, and all is read when it is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_clock_that_is_behind_at_the_first_start_loses_nothing() {
    let Some(broker) = Kafka::shared().await else { return };
    if peer::require("faketime").is_none() {
        return;
    }
    broker.topic("early", 1).await;
    let payloads: Vec<Vec<u8>> = (0..20).map(|n| message(n, now())).collect();
    broker.write("none", "early", 0, &payloads).await;
    let config = config(broker, "early").replace(TOPIC, "early").replace("idle_timeout: 1h", "idle_timeout: 1s");
    let rules =
        "groups: [{name: g, interval: 1s, rules: [{alert: All, expr: 'count(last_over_time(seq[1h])) >= 20'}]}]";
    let mut victim = Victim::new(&config, rules, "dir: state, checkpoint_interval: 300ms");
    victim.launch_at("-3d");
    victim.answers().await;
    let waiting = r#"forewarn_kafka_waiting_for_clock{source="k"}"#;
    eventually("a partition that waits", SOON, async || victim.metric(waiting).await.filter(|n| *n == 1.0)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let dropped = r#"forewarn_source_dropped_samples_total{reason="future",source="k"}"#;
    assert_eq!(victim.metric(dropped).await.unwrap_or(0.0), 0.0);
    let lag = r#"forewarn_kafka_lag_messages{partition="0",source="k",topic="early"}"#;
    assert_eq!(victim.metric(lag).await, Some(20.0));
    assert!(victim.stderr().contains("clock seems to be behind"), "{}", victim.stderr());
    let asked = Instant::now();
    victim.end(SOON).await;
    println!("ended after {:.1?}", asked.elapsed());
    victim.launch(None);
    victim.answers().await;
    let started = Instant::now();
    while !victim.lines().iter().any(|line| line["labels"]["alertname"] == "All" && line["to"] == "firing") {
        assert!(started.elapsed() < SOON, "{}", victim.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("all read {:.1?} after the start", started.elapsed());
    assert_eq!(victim.metric(waiting).await, Some(0.0));
}
