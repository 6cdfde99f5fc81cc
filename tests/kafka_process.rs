//! The program with a topic as its source, while the broker crashes and while another member of its group is killed: what it
//! tells is what a program tells that got the same samples by remote write and that nothing has disturbed.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forewarn::base::{Batch, BatchBuilder, Labels, Limits, Millis, parse_rfc3339};
use forewarn::source::encode::{compress, encode_write_request};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use support::eventually;
use support::input::{Input, RULES};
use support::kafka::Kafka;
use support::receiver::Receiver;
use support::victim::{Victim, now};

const SOON: Duration = Duration::from_secs(90);
const PARTITIONS: usize = 3;
const STATE: &str = "dir: state, checkpoint_interval: 1s, keep: 2";
const READ: &str = "forewarn_kafka_messages_total{source=\"kafka\",topic=\"metrics\"}";
const OURS: &str = "forewarn_kafka_partitions{source=\"kafka\"}";

/// A program that reads the topic, or that is written to; and its receiver.
async fn program(sources: &str, rules: &str) -> (Victim, Receiver) {
    let receiver = Receiver::start().await;
    let config = format!(
        "global: {{evaluation_interval: 200ms}}\nrule_files: [rules.yml]\nsources: {{{sources}}}\nsinks:\n\
         - stdout: {{format: json}}\n- webhook: {{url: 'http://{}/', every_transition: true}}",
        receiver.address
    );
    let mut victim = Victim::new(&config, rules, STATE);
    victim.launch(None);
    victim.answers().await;
    victim.ready(SOON).await;
    (victim, receiver)
}

async fn reader(broker: &Kafka, rules: &str) -> (Victim, Receiver) {
    let kafka = format!(
        "{{brokers: ['{}'], topics: [{{name: metrics, decoder: remote_write}}], lateness: 0s, \
         options: {{session.timeout.ms: '6000', heartbeat.interval.ms: '500'}}}}",
        broker.plain
    );
    program(&format!("kafka: [{kafka}]"), rules).await
}

async fn written_to(rules: &str) -> (Victim, Receiver) {
    program("remote_write: {lateness: 0s, idle_timeout: 1h}", rules).await
}

/// Writes into the topic, each series into a partition of its own choice, and goes on while the broker is away.
struct Writer {
    producer: FutureProducer,
    sent: Vec<DeliveryFuture>,
}

impl Writer {
    fn new(broker: &Kafka) -> Self {
        let mut client = broker.client();
        client.set("enable.idempotence", "true").set("linger.ms", "0").set("reconnect.backoff.max.ms", "1000");
        Self { producer: client.create().unwrap(), sent: Vec::new() }
    }

    /// Puts a batch on its way: a message for each partition.
    fn write(&mut self, batch: &Batch) {
        let mut builders: Vec<BatchBuilder> = (0..PARTITIONS).map(|_| BatchBuilder::new(&Limits::default())).collect();
        for run in batch.runs() {
            let labels = batch.labels(run);
            let i: usize = labels.get("i").unwrap().parse().unwrap();
            let builder = &mut builders[i % PARTITIONS];
            builder.series(labels);
            batch.samples(run).iter().for_each(|sample| builder.sample(sample.t, sample.v));
        }
        for (partition, builder) in builders.into_iter().enumerate() {
            let payload = compress(&encode_write_request(&builder.finish()));
            let record: FutureRecord<'_, [u8], [u8]> =
                FutureRecord::to("metrics").partition(partition as i32).payload(&payload);
            self.sent.push(self.producer.send_result(record).unwrap_or_else(|(e, _)| panic!("{e}")));
        }
    }

    /// Waits until all is in the topic; gives how many messages there are.
    async fn settle(self) -> usize {
        let n = self.sent.len();
        for delivery in self.sent {
            delivery.await.unwrap().unwrap_or_else(|(e, _)| panic!("{e}"));
        }
        n
    }
}

/// Has a sample in every partition, and in what is to be compared: an empty partition would hold nobody back.
async fn prime(writer: &mut Writer, subject: &Victim, undisturbed: &Victim) {
    eventually("partitions", SOON, async || subject.metric(OURS).await.filter(|n| *n == PARTITIONS as f64)).await;
    let mut builder = BatchBuilder::new(&Limits::default());
    for i in 0..PARTITIONS {
        builder.series(Labels::from_pairs([("__name__", "prime".to_owned()), ("i", i.to_string())]).as_ref());
        builder.sample(now(), 0.0);
    }
    let batch = builder.finish();
    writer.write(&batch);
    post(&undisturbed.address, &batch).await;
    eventually("the first messages", SOON, async || subject.metric(READ).await.filter(|n| *n == PARTITIONS as f64))
        .await;
}

async fn post(address: &str, batch: &Batch) {
    let body = compress(&encode_write_request(batch));
    let (status, text) = support::http::post(address, "/api/v1/write", &[], &body).await.unwrap();
    assert_eq!(status, 204, "{text}");
}

/// What was printed, and how often: whole lines, of instants before `end`.
fn printed(victim: &Victim, end: Millis) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in victim.lines().into_iter().filter(|line| line["at"].as_i64().unwrap() < end) {
        *lines.entry(line.to_string()).or_default() += 1;
    }
    lines
}

/// What a receiver was told of before `end`, and how often: alert, status, and when that came to be.
fn told(receiver: &Receiver, end: Millis) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for alert in receiver.bodies().iter().flat_map(|body| body["alerts"].as_array().unwrap()) {
        let since = if alert["status"] == "firing" { &alert["startsAt"] } else { &alert["endsAt"] };
        if parse_rfc3339(since.as_str().unwrap()).unwrap() < end {
            *told.entry(format!("{} {} {since}", alert["labels"], alert["status"])).or_default() += 1;
        }
    }
    told
}

/// Both have told the same, each once.
fn compare(subject: &(Victim, Receiver), undisturbed: &(Victim, Receiver), end: Millis) -> usize {
    let (expected, got) = (printed(&undisturbed.0, end), printed(&subject.0, end));
    let without = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
        a.keys().filter(|line| !b.contains_key(*line)).cloned().collect::<Vec<_>>()
    };
    let (lost, new) = (without(&expected, &got), without(&got, &expected));
    assert!(lost.is_empty() && new.is_empty(), "lost {lost:#?}\nmade up {new:#?}\n{}", subject.0.stderr());
    assert!(got.values().chain(expected.values()).all(|n| *n == 1), "{got:#?}");
    let (expected, got) = (told(&undisturbed.1, end), told(&subject.1, end));
    assert_eq!(got, expected, "the receivers' journals");
    assert!(got.values().all(|n| *n == 1) && !got.is_empty(), "{got:#?}");
    printed(&undisturbed.0, end).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_changes_nothing_of_what_is_told() {
    let Some(mut broker) = Kafka::own().await else { return };
    broker.topic("metrics", PARTITIONS as i32).await;
    let (mut subject, mut undisturbed) = (reader(&broker, RULES).await, written_to(RULES).await);
    let mut writer = Writer::new(&broker);
    prime(&mut writer, &subject.0, &undisturbed.0).await;
    let input = Input::new((now() / 1000 + 2) * 1000, 300);
    let writes = async {
        for step in 0..input.steps() {
            let wait = input.time(step) - now();
            tokio::time::sleep(Duration::from_millis(wait.max(0).unsigned_abs())).await;
            writer.write(&input.batch(step));
        }
    };
    let crash = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        broker.kill();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = subject.0.metric(READ).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(subject.0.metric(READ).await, Some(before), "the crash came in the middle");
        broker.revive().await;
        before
    };
    let feed = undisturbed.0.feed(&input, Instant::now() + SOON);
    let ((), before, ()) = tokio::join!(writes, crash, feed);
    assert_eq!(undisturbed.0.sent, input.steps());
    let messages = writer.settle().await as f64;
    assert!(before > 0.0 && before < messages, "{before} of {messages}");
    eventually("all messages", SOON, async || subject.0.metric(READ).await.filter(|n| *n >= messages)).await;
    assert_eq!(subject.0.metric(READ).await, Some(messages), "none twice");
    subject.0.end(SOON).await;
    undisturbed.0.end(SOON).await;
    let transitions = compare(&subject, &undisturbed, input.time(input.steps()) - 1_000);
    assert!(transitions > 150, "only {transitions}");
    println!("{transitions} transitions; {before} of {messages} messages were read before the crash");
}

/// Rules that tell of single series and of all of them.
const LEVELS: &str = "
groups:
  - name: levels
    interval: 200ms
    rules:
      - {alert: High, expr: 'level > 0.5', for: 1s}
      - {alert: All, expr: 'sum(level) > 2.5', for: 600ms}
      - {alert: Missing, expr: 'count(level) < 3'}
";

/// Rules of the other member: without any it would keep nothing, and have nothing to commit.
const OTHERS: &str = "groups: [{name: others, interval: 200ms, rules: [{record: other, expr: level}]}]";

/// One sample of each series; the series are high one after the other as `phase` goes on from 0, and low again.
fn levels(t: Millis, phase: usize) -> Batch {
    let mut builder = BatchBuilder::new(&Limits::default());
    for i in 0..PARTITIONS {
        builder.series(Labels::from_pairs([("__name__", "level".to_owned()), ("i", i.to_string())]).as_ref());
        let is_high = phase > i && phase <= PARTITIONS + i;
        builder.sample(t, f64::from(u8::from(is_high)));
    }
    builder.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_killed_gives_its_partitions_back_and_nothing_is_told_twice() {
    let Some(broker) = Kafka::own().await else { return };
    broker.topic("metrics", PARTITIONS as i32).await;
    let (mut subject, mut undisturbed) = (reader(&broker, LEVELS).await, written_to(LEVELS).await);
    let mut writer = Writer::new(&broker);
    prime(&mut writer, &subject.0, &undisturbed.0).await;
    let (phase, last) = (AtomicUsize::new(0), AtomicI64::new(now()));
    let address = undisturbed.0.address.clone();
    let writes = async {
        // Until all phases are over, and some steps more: those must not be waited for by anybody.
        let mut over = 0;
        while over < 10 {
            let t = now() / 200 * 200 + 200;
            tokio::time::sleep(Duration::from_millis((t - now()).max(0).unsigned_abs())).await;
            let batch = levels(t, phase.load(SeqCst));
            over += usize::from(phase.load(SeqCst) > 2 * PARTITIONS);
            writer.write(&batch);
            post(&address, &batch).await;
            last.store(t, SeqCst);
        }
    };
    let ours = async |n: f64| {
        eventually(&format!("{n} partitions"), SOON, async || subject.0.metric(OURS).await.filter(|ours| *ours == n))
            .await
    };
    let events = async {
        for next in 1..=PARTITIONS {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            phase.store(next, SeqCst);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        // All alerts fire. Another member comes, reads, commits what it has a checkpoint of, and is killed.
        let (other, _) = reader(&broker, OTHERS).await;
        eventually("a partition of the other's", SOON, async || other.metric(OURS).await.filter(|n| *n >= 1.0)).await;
        let committed =
            || -> Vec<_> { (0..PARTITIONS).map(|p| broker.committed("forewarn", "metrics", p as i32)).collect() };
        let before = committed();
        eventually("commits of all partitions", SOON, async || {
            committed().iter().zip(&before).all(|(now, before)| now > before).then_some(())
        })
        .await;
        let theirs = other.metric(OURS).await.unwrap();
        ours(PARTITIONS as f64 - theirs).await;
        let killed = Instant::now();
        other.kill();
        ours(PARTITIONS as f64).await;
        println!("{theirs} partitions came back {:.1?} after the kill", killed.elapsed());
        assert!(killed.elapsed() > Duration::from_secs(2), "it has left in order");
        eventually("no lag", SOON, async || {
            let (_, text) = support::http::get(&subject.0.address, "/metrics").await?;
            let mut lags = text.lines().filter(|line| line.starts_with("forewarn_kafka_lag_messages{"));
            (lags.clone().count() == PARTITIONS && lags.all(|line| line.ends_with(" 0"))).then_some(())
        })
        .await;
        for next in PARTITIONS + 1..=2 * PARTITIONS + 1 {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            phase.store(next, SeqCst);
        }
    };
    tokio::join!(writes, events);
    writer.settle().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    subject.0.end(SOON).await;
    undisturbed.0.end(SOON).await;
    let transitions = compare(&subject, &undisturbed, last.load(SeqCst) - 500);
    // Each alert is pending, fires, and ends, but for the one without `for`.
    assert!(transitions >= 3 * (PARTITIONS + 1), "only {transitions}");
}
