//! The receiver of transitions over librdkafka's own mock of a cluster, which keeps whatever it is sent.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::super::failure::Verdict;
use super::super::testing::{firing, resolved};
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

/// Which of the alerts in the topic fire, by its messages in order.
fn states(cluster: &MockCluster<'_, DefaultProducerContext>) -> Vec<String> {
    let state = |message: &OwnedMessage| {
        let body: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        format!("{} {}", body["rule"]["alert"].as_str().unwrap(), body["to"].as_str().unwrap())
    };
    all(cluster).iter().map(state).collect()
}

/// A client that has failed for good refuses the first message of the next attempt; by the second there is a new client.
#[tokio::test(flavor = "multi_thread")]
async fn an_alerts_end_stays_behind_its_beginning_when_the_client_fails_for_good() {
    let cluster = cluster();
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[denied]);
    let kafka = sink(&cluster, "timeout: 10s");
    let all = outgoing([firing("a", 1), resolved("a", 1, 2), firing("b", 3)]);
    let mut reasons = Vec::new();
    while let Err(failure) = kafka.deliver(&all, 0).await {
        assert_eq!(failure.verdict, Verdict::Retry(None), "{failure:?}");
        reasons.push(failure.reason);
        assert!(reasons.len() < 10, "{reasons:?}");
    }
    assert!(reasons.len() >= 2, "the client has failed, and refused: {reasons:?}");
    assert_eq!(states(&cluster), ["a firing", "a inactive", "b firing"]);
}

#[test]
fn what_stands_behind_a_message_that_is_sent_again_is_sent_again() {
    let alert = |n: u32| AlertKey::of(&firing(&n.to_string(), 0));
    let id = |n: u32| TransitionId::from_number(u128::from(n));
    let acknowledged = |n: u32, of: u32| (id(n), Sent { alert: alert(of), progress: Progress::Acknowledged });
    // 5 went with an attempt at more than this batch.
    let mut sent = HashMap::from([acknowledged(0, 7), acknowledged(2, 7), acknowledged(3, 8), acknowledged(5, 7)]);
    forget_behind(&mut sent, alert(7), &[id(0)]);
    let mut left: Vec<_> = sent.into_keys().collect();
    left.sort_unstable();
    assert_eq!(left, [id(0), id(3)]);
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
