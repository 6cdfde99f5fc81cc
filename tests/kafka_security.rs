//! Kafka's listeners with SASL and TLS, for each kind of client: the source, its dead letters and the sink.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::path::Path;
use std::time::Duration;

use forewarn::source::Positions;
use support::alerts::{self, Sinks};
use support::eventually;
use support::kafka::{self, Kafka};
use support::kafka_source::{Reading, message, now};

const SOON: Duration = Duration::from_secs(40);

/// Settings of a client, in the shape of both sources and sinks.
struct Settings<'a> {
    broker: &'a Kafka,
    password_file: &'a Path,
}

impl Settings<'_> {
    fn sasl(&self, mechanism: &str) -> String {
        let (user, file) = (kafka::USER.0, self.password_file.display());
        format!("sasl: {{mechanism: {mechanism}, username: {user}, password_file: '{file}'}}")
    }

    fn tls(&self, more: &str) -> String {
        format!("tls: {{ca_file: '{}'{more}}}", self.broker.ca().display())
    }

    fn identity(&self) -> String {
        let (cert, key) = self.broker.identity();
        self.tls(&format!(", cert_file: '{}', key_file: '{}'", cert.display(), key.display()))
    }
}

fn source(address: &str, settings: &str, n: usize) -> String {
    let topics = format!("topics: [{{name: in-{n}, decoder: remote_write}}], dead_letter: {{topic: dead-{n}}}");
    format!("{{brokers: ['{address}'], group_id: group-{n}, {topics}, {settings}}}")
}

fn sink(address: &str, settings: &str, n: usize) -> Sinks {
    Sinks::start(&format!("[kafka: {{brokers: ['{address}'], topic: alerts-{n}, timeout: 3s, {settings}}}]"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_through_every_listener() {
    let Some(broker) = Kafka::shared().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, format!("{}\n", kafka::USER.1)).unwrap();
    let settings = Settings { broker, password_file: &password_file };
    let ways = [
        (&broker.sasl, settings.sasl("PLAIN")),
        (&broker.sasl, settings.sasl("SCRAM-SHA-256")),
        (&broker.sasl, settings.sasl("SCRAM-SHA-512")),
        (&broker.tls, settings.tls("")),
        (&broker.sasl_tls, format!("{}, {}", settings.sasl("SCRAM-SHA-512"), settings.tls(""))),
        (&broker.mutual_tls, settings.identity()),
        // Whoever asks for it gets no check of the name.
        (&broker.misnamed_tls, "tls: {insecure_skip_verify: true}".to_owned()),
    ];
    for (n, (address, settings)) in ways.iter().enumerate() {
        for topic in ["in", "dead", "alerts"] {
            broker.topic(&format!("{topic}-{n}"), 1).await;
        }
        broker.write("none", &format!("in-{n}"), 0, &[b"garbage".to_vec(), message(7, now())]).await;
        let mut reading = Reading::start(&source(address, settings, n), Positions::new());
        reading.samples(1, SOON).await;
        assert_eq!(reading.samples[0].2, 7.0, "{settings}");
        reading.end(SOON).await;
        assert_eq!(broker.read(&format!("dead-{n}")).len(), 1, "{settings}");

        let sinks = sink(address, settings, n);
        sinks.send([alerts::firing("Any", now())]);
        let topic = format!("alerts-{n}");
        eventually(settings, SOON, async || (broker.read(&topic).len() == 1).then_some(())).await;
        assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_to_be_believed_gets_nothing_and_the_reason_is_told() {
    let Some(broker) = Kafka::shared().await else { return };
    let settings = Settings { broker, password_file: Path::new("") };
    let wrong = format!("sasl: {{mechanism: PLAIN, username: {}, password: wrong}}", kafka::USER.0);
    let ways = [
        (&broker.sasl, wrong, "authentication"),
        // The system does not know who has signed it.
        (&broker.tls, "tls: {}".to_owned(), "tls"),
        // Signed by the right one, for another host.
        (&broker.misnamed_tls, settings.tls(""), "tls"),
        // The broker asks for a certificate.
        (&broker.mutual_tls, settings.tls(""), "tls"),
    ];
    for (n, (address, settings, reason)) in ways.iter().enumerate().map(|(n, way)| (n + 100, way)) {
        for topic in ["in", "dead", "alerts"] {
            broker.topic(&format!("{topic}-{n}"), 1).await;
        }
        broker.write("none", &format!("in-{n}"), 0, &[message(7, now())]).await;
        let sinks = sink(address, settings, n);
        sinks.send([alerts::firing("Any", now())]);
        let mut reading = Reading::start(&source(address, settings, n), Positions::new());
        let series = format!("forewarn_kafka_faults_total{{client=\"kafka\",reason=\"{reason}\"}}");
        reading.until(&format!("{reason}: {settings}"), SOON, |r| r.metric(&series) >= Some(1.0)).await;
        reading.until("a word", SOON, |r| r.told.iter().any(|t| t.starts_with("trouble: Some"))).await;
        assert!(!reading.told.join(" ").contains("wrong"), "{:?}", reading.told);
        eventually("the sink's reason", SOON, async || {
            (sinks.metric("forewarn_sink_errors_total", &[reason]) >= 1.0).then_some(())
        })
        .await;
        assert_eq!((reading.samples.len(), broker.read(&format!("alerts-{n}")).len()), (0, 0), "{settings}");
        assert!(reading.end(SOON).await < Duration::from_secs(10));
        sinks.dispatcher.shutdown(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_comes_later_is_named_until_then() {
    let Some(broker) = Kafka::shared().await else { return };
    for topic in ["in-200", "dead-200"] {
        broker.topic(topic, 1).await;
    }
    broker.write("none", "in-200", 0, &[message(7, now())]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let config = source(&broker.tls, &format!("tls: {{ca_file: '{}'}}", file.display()), 200);
    let mut reading = Reading::start(&config, Positions::new());
    let named = format!("tls.ca_file {}: No such file", file.display());
    reading.until("the file's name", SOON, |r| r.told.iter().any(|t| t.contains(&named))).await;
    std::fs::write(&file, "no certificate").unwrap();
    let useless = format!("tls.ca_file {} is of no use: ", file.display());
    reading.until("why it is of no use", SOON, |r| r.told.iter().any(|t| t.contains(&useless))).await;
    std::fs::copy(broker.ca(), &file).unwrap();
    reading.samples(1, SOON).await;
    reading.until("no trouble", SOON, |r| r.told.iter().any(|t| t == "trouble: None")).await;
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_password_is_taken_up_by_all_clients_that_have_trouble() {
    let Some(broker) = Kafka::shared().await else { return };
    for topic in ["in-300", "dead-300", "alerts-300"] {
        broker.topic(topic, 1).await;
    }
    broker.write("none", "in-300", 0, &[message(7, now()), b"poison".to_vec()]).await;
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, "that of another day").unwrap();
    let settings = Settings { broker, password_file: &password_file }.sasl("SCRAM-SHA-512");
    let sinks = sink(&broker.sasl, &settings, 300);
    sinks.send([alerts::firing("Any", now())]);
    let mut reading = Reading::start(&source(&broker.sasl, &settings, 300), Positions::new());
    reading.until("trouble", SOON, |r| r.told.iter().any(|t| t.starts_with("trouble: Some"))).await;
    eventually("the sink's trouble", SOON, async || {
        (sinks.metric("forewarn_sink_errors_total", &["authentication"]) >= 1.0).then_some(())
    })
    .await;
    std::fs::write(&password_file, kafka::USER.1).unwrap();
    reading.samples(1, SOON).await;
    reading.until("no trouble", SOON, |r| r.told.iter().any(|t| t == "trouble: None")).await;
    reading
        .until("the dead letter", SOON, |r| {
            r.metric(r#"forewarn_kafka_dead_letters_total{outcome="written",source="kafka"}"#) == Some(1.0)
        })
        .await;
    eventually("the alert", SOON, async || (broker.read("alerts-300").len() == 1).then_some(())).await;
    reading.end(SOON).await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
}
