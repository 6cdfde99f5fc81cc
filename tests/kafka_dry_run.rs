//! Rules tried beside production: a dry run reads the same topics, and production does not notice.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use support::eventually;
use support::kafka::{self, Kafka};
use support::kafka_source::{message, now};
use support::process::Forewarn;
use support::receiver::Receiver;

const SOON: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const READ: &str = r#"forewarn_kafka_messages_total{source="kafka",topic="metrics"}"#;
const OURS: &str = r#"forewarn_kafka_partitions{source="kafka"}"#;

async fn forewarn(broker: &Kafka, args: &[&str], sinks: &str) -> Forewarn {
    let config = format!(
        "global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
sources: {{kafka: [{{brokers: ['{}'], topics: [{{name: metrics, decoder: remote_write}}], lateness: 0s, idle_timeout: 2s,
  dead_letter: {{topic: dead}}, options: {{session.timeout.ms: '6000'}}}}]}}
sinks: {sinks}
",
        broker.plain
    );
    let rules = "groups: [{name: g, rules: [{alert: All, expr: 'count(seq) == 8'}]}]";
    Forewarn::start_with(args, &config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await
}

async fn read(forewarn: &Forewarn, messages: f64) {
    eventually("messages", SOON, async || forewarn.metric(READ).await.filter(|n| *n >= messages)).await;
}

fn groups(broker: &Kafka) -> BTreeSet<String> {
    let client: BaseConsumer = broker.client().create().unwrap();
    client.fetch_group_list(None, SOON).unwrap().groups().iter().map(|group| group.name().to_owned()).collect()
}

async fn rebalances(forewarn: &Forewarn) -> f64 {
    let (_, text) = support::http::get(&forewarn.address, "/metrics").await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("forewarn_kafka_rebalances_total"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_takes_nothing_from_production_and_leaves_nothing_behind() {
    let Some(broker) = Kafka::own().await else { return };
    broker.topic("metrics", PARTITIONS).await;
    broker.topic("dead", 1).await;
    let producer = broker.producer("none");
    let write = async |from: usize| {
        for p in 0..PARTITIONS {
            kafka::write(&producer, "metrics", p, &[message(from + p as usize, now())]).await;
        }
    };
    let pager = Receiver::start().await;
    let page = format!("[webhook: {{url: 'http://{}/'}}]", pager.address);
    let mut production = forewarn(&broker, &[], &page).await;
    eventually("partitions", SOON, async || production.metric(OURS).await.filter(|n| *n == 4.0)).await;
    write(0).await;
    read(&production, 4.0).await;
    let before = rebalances(&production).await;

    // Both ways to ask for one.
    let by_flag = forewarn(&broker, &["--dry-run"], &page).await;
    let by_file = forewarn(&broker, &[], "log only").await;
    for dry in [&by_flag, &by_file] {
        eventually("partitions of a dry run", SOON, async || dry.metric(OURS).await.filter(|n| *n == 4.0)).await;
        read(dry, 4.0).await;
    }
    // What cannot be decoded is production's to put aside.
    kafka::write(&producer, "metrics", 0, &[b"garbage".to_vec()]).await;
    for _ in 0..2 {
        write(4).await;
        // Time goes on with the samples: the ticks before the second ones are evaluated then.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    read(&production, 13.0).await;
    for dry in [&by_flag, &by_file] {
        read(dry, 13.0).await;
        eventually("what would have been sent", SOON, async || {
            (dry.stderr().contains("dry run: not sent") || dry.stdout().contains("All")).then_some(())
        })
        .await;
        assert_eq!(
            dry.metric("forewarn_kafka_dead_letters_total{outcome=\"not_wanted\",source=\"kafka\"}").await,
            Some(1.0)
        );
    }
    assert_eq!(production.metric(OURS).await, Some(4.0));
    assert_eq!(rebalances(&production).await, before, "production was disturbed");
    assert_eq!(broker.read("dead").len(), 1);
    eventually("the page", SOON, async || (!pager.bodies().is_empty()).then_some(())).await;
    assert_eq!(pager.bodies().len(), 1, "production's alone");

    // While production is down a dry run goes on, and production finds all that it has missed.
    assert_eq!(production.end_by("TERM", SOON).await.code(), Some(0), "{}", production.stderr());
    let committed = || (0..PARTITIONS).map(|p| broker.committed("forewarn", "metrics", p).unwrap()).collect::<Vec<_>>();
    let at_its_end = committed();
    assert_eq!(at_its_end.iter().sum::<i64>(), 13);
    write(0).await;
    for mut dry in [by_flag, by_file] {
        read(&dry, 17.0).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(dry.end_by("TERM", SOON).await.code(), Some(0), "{}", dry.stderr());
    }
    assert_eq!(committed(), at_its_end);
    for group in groups(&broker).iter().filter(|group| *group != "forewarn") {
        assert!(group.starts_with("forewarn-dry-run-"), "{group}");
        let left: Vec<_> = (0..PARTITIONS).filter_map(|p| broker.committed(group, "metrics", p)).collect();
        assert_eq!(left, Vec::<i64>::new(), "{group} has committed");
    }
    let production = forewarn(&broker, &[], &page).await;
    read(&production, 4.0).await;
    assert_eq!(production.metric(READ).await, Some(4.0));
}
