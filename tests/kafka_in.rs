//! Kafka as a source, against a real broker: what is written arrives, once, whatever happens in between.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use forewarn::source::Positions;
use support::kafka::{self, Kafka};
use support::kafka_source::{Reading, message, now};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn every_decoder_and_every_codec() {
    let Some(broker) = Kafka::shared().await else { return };
    for topic in ["rw", "telegraf.cpu", "adapter"] {
        broker.topic(topic, 2).await;
    }
    let t = now() / 1000 * 1000;
    let mut want = BTreeSet::new();
    for (i, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let (compressed, n) = (message(i, t), i + 100);
        let plain = snap::raw::Decoder::new().decompress_vec(&message(n, t)).unwrap();
        broker.write(codec, "rw", (i % 2) as i32, &[compressed, plain]).await;
        want.extend([i, n].map(|n| format!("seq{{n=\"{n}\"}} {t} {n}")));
        let seconds = t / 1000;
        let telegraf = format!(
            r#"{{"name":"cpu","tags":{{"host":"h{i}"}},"fields":{{"idle":{i}.5,"ok":true}},"timestamp":{seconds}}}"#
        );
        broker.write(codec, "telegraf.cpu", 0, &[telegraf.into_bytes()]).await;
        want.extend([format!("cpu_idle{{host=\"h{i}\"}} {t} {i}.5"), format!("cpu_ok{{host=\"h{i}\"}} {t} 1")]);
        let time = forewarn::base::format_rfc3339(t);
        let adapter =
            format!(r#"{{"timestamp":"{time}","value":"{i}","name":"up","labels":{{"__name__":"up","i":"{i}"}}}}"#);
        broker.write(codec, "adapter", 1, &[adapter.into_bytes()]).await;
        want.insert(format!("up{{i=\"{i}\"}} {t} {i}"));
    }
    let config = format!(
        "{{brokers: ['{}'], group_id: codecs, topics: [{{name: rw, decoder: remote_write}}, \
         {{pattern: 'telegraf\\..*', decoder: telegraf_json}}, {{name: adapter, decoder: prometheus_kafka_adapter}}]}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    reading.samples(want.len(), SOON).await;
    reading.take_for(Duration::from_millis(300)).await;
    let got: Vec<String> = reading.samples.iter().map(|(series, t, v)| format!("{series} {t} {v}")).collect();
    assert_eq!(got.len(), want.len(), "none twice");
    assert_eq!(BTreeSet::from_iter(got), want);
    assert_eq!(reading.told("open"), 6);
    assert_eq!(reading.positions.len(), 4, "{:?}", reading.positions);
    assert_eq!(reading.metric(r#"forewarn_kafka_messages_total{source="kafka",topic="rw"}"#), Some(10.0));
    assert!(reading.end(SOON).await < SOON);
    // What was handed over is committed at the end.
    assert_eq!(broker.committed("codecs", "telegraf.cpu", 0), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_in_the_middle_loses_nothing_and_doubles_nothing() {
    let Some(mut broker) = Kafka::own().await else { return };
    broker.topic("rw", 3).await;
    let config = format!("{{brokers: ['{}'], topics: [{{name: rw, decoder: remote_write}}]}}", broker.plain);
    let mut reading = Reading::start(&config, Positions::new());
    const ALL: usize = 3_000;
    // The producer's own retries bridge the crash.
    let producer = broker.producer("lz4");
    let writer = tokio::spawn(async move {
        for chunk in 0..ALL / 30 {
            let payloads: Vec<Vec<u8>> = (0..30).map(|i| message(chunk * 30 + i, now())).collect();
            kafka::write(&producer, "rw", (chunk % 3) as i32, &payloads).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    reading.samples(ALL / 10, SOON).await;
    broker.kill();
    reading.until("trouble", SOON, |r| r.told.iter().any(|t| t.starts_with("trouble: Some"))).await;
    let before = reading.samples.len();
    broker.revive().await;
    reading.samples(ALL, Duration::from_secs(60)).await;
    writer.await.unwrap();
    reading.take_for(Duration::from_secs(1)).await;
    assert!(before < ALL, "the crash came in the middle");
    let mut numbers: Vec<usize> = reading.samples.iter().map(|(_, _, v)| *v as usize).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..ALL).collect::<Vec<_>>());
    reading.until("the end", SOON, |r| r.told.last().is_some_and(|t| t == "at end")).await;
    assert!(reading.told.iter().any(|t| t == "trouble: None"));
    assert!(reading.metric(r#"forewarn_kafka_faults_total{client="kafka",reason="connection"}"#) >= Some(1.0));
    reading.end(SOON).await;
}
