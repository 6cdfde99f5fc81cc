//! The receiver of transitions over librdkafka's own mock of a cluster, which keeps whatever it is sent.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::super::failure::Verdict;
use super::super::testing::firing;
use super::*;
use crate::alert::Transition;

const TOPIC: &str = "alerts";

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    cluster
}

fn sink(cluster: &MockCluster<'_, DefaultProducerContext>, more: &str) -> Kafka {
    let yaml = format!("{{brokers: ['{}'], topic: {TOPIC}, {more}}}", cluster.bootstrap_servers());
    Kafka::new(&serde_saphyr::from_str(&yaml).unwrap()).unwrap().unwrap()
}

fn outgoing(transitions: impl IntoIterator<Item = Transition>) -> Vec<Outgoing> {
    transitions.into_iter().map(|transition| Outgoing::new(Arc::new(transition), 0)).collect()
}

/// Names of the alerts in the topic, in order.
fn kept(cluster: &MockCluster<'_, DefaultProducerContext>) -> Vec<String> {
    let name = |message: &OwnedMessage| {
        let header = message.headers().unwrap().iter().find(|h| h.key == "forewarn-alert").unwrap();
        String::from_utf8(header.value.unwrap().to_vec()).unwrap()
    };
    all(cluster).iter().map(name).collect()
}

/// The messages of the topic, in order.
fn all(cluster: &MockCluster<'_, DefaultProducerContext>) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let mut messages = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(20)).expect("an answer") {
            Ok(message) => messages.push(message.detach()),
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => return messages,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_doubles_none_of_its_company() {
    let cluster = cluster();
    let kafka = sink(&cluster, "options: {message.max.bytes: '5000'}");
    let large = Transition { annotations: vec![("summary".into(), "x".repeat(9_000))], ..firing("large", 3) };
    let all = outgoing([firing("a", 1), firing("b", 2), large, firing("c", 4), firing("d", 5), firing("e", 6)]);
    let split = |outcome: Result<(), Failure>| matches!(outcome, Err(Failure { verdict: Verdict::Split, .. }));
    // As the journal has it: in halves, and after a success with all that waits.
    assert!(split(kafka.deliver(&all, 0).await));
    assert!(split(kafka.deliver(&all[..3], 0).await));
    kafka.deliver(&all[..1], 0).await.unwrap();
    assert!(split(kafka.deliver(&all[1..], 0).await));
    kafka.deliver(&all[1..2], 0).await.unwrap();
    assert!(split(kafka.deliver(&all[2..], 0).await));
    assert!(split(kafka.deliver(&all[2..3], 0).await), "given up");
    kafka.deliver(&all[3..], 0).await.unwrap();
    assert_eq!(kept(&cluster), ["a", "b", "c", "d", "e"]);
    // Nothing is remembered of what is done with: a day later it is news.
    kafka.deliver(&all[..1], 0).await.unwrap();
    assert_eq!(kept(&cluster).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_takes_longer_than_many_attempts_comes_once() {
    let cluster = cluster();
    let kafka = sink(&cluster, "timeout: 300ms");
    let all = outgoing([firing("a", 1), firing("b", 2), firing("c", 3)]);
    while kafka.deliver(&all[..1], 0).await.is_err() {}
    cluster.broker_round_trip_time(1, Duration::from_millis(1_500)).unwrap();
    let mut late = 0;
    while let Err(failure) = kafka.deliver(&all[1..], 0).await {
        assert_eq!((failure.reason, failure.verdict), ("timeout", Verdict::Retry(None)));
        late += 1;
        assert!(late < 100);
    }
    assert!(late >= 2, "{late}");
    cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    assert_eq!(kept(&cluster), ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_key_stay_in_order_where_answers_take_longer_than_the_timeout() {
    let cluster = cluster();
    let yaml =
        format!("{{brokers: ['{}'], recorded: {{topic: {TOPIC}}}, timeout: 300ms}}", cluster.bootstrap_servers());
    let producer = producer::Producer::new(&serde_saphyr::from_str(&yaml).unwrap());
    // As recorded series are sent: what has failed again, until nothing has.
    let send = async |numbers: std::ops::Range<u8>| {
        let mut left: Vec<u8> = numbers.collect();
        while !left.is_empty() {
            let message = |n: &u8| Outbound { key: "up".to_owned(), payload: vec![*n], headers: vec![] };
            let outcomes = producer.send(TOPIC, left.iter().map(message).collect()).await;
            assert_eq!(outcomes.len(), left.len());
            left = left.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_err()).map(|(n, _)| n).collect();
        }
    };
    send(0..1).await;
    cluster.broker_round_trip_time(1, Duration::from_millis(1_500)).unwrap();
    let slow = async {
        send(1..4).await;
        send(4..7).await;
    };
    let recovery = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
    };
    tokio::join!(slow, recovery);
    let payloads: Vec<u8> = all(&cluster).iter().flat_map(|m| m.payload().unwrap().to_vec()).collect();
    assert_eq!(payloads, [0, 1, 2, 3, 4, 5, 6]);
}
