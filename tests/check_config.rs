//! What `forewarn check config` says before the first alert would, and `forewarn run` at its start.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::process::Command;
use std::time::Duration;

use support::eventually;
use support::process::Forewarn;

const SECURED: &str = "
sources:
  kafka: [{brokers: ['127.0.0.1:1'], topics: [{name: m, decoder: remote_write}], tls: {ca_file: ca.pem}}]
sinks:
  - grafana: {url: 'http://127.0.0.1:1', http_config: {authorization: {credentials_file: token}}}
  - webhook: {url: 'http://127.0.0.1:1', http_config: {tls_config: {ca_file: empty.pem}}}
";

/// What is written about a configuration, and the exit code.
fn check(config: &str, args: &[&str]) -> (String, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("forewarn.yml"), config).unwrap();
    std::fs::write(dir.path().join("empty.pem"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    command.args(["check", "config", "forewarn.yml"]).args(args).current_dir(dir.path());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code())
}

#[test]
fn files_that_are_missing_are_told_with_their_settings() {
    let (text, code) = check(SECURED, &[]);
    for (setting, file, why) in [
        ("sources.kafka[\"kafka\"].tls.ca_file", "ca.pem", "No such file"),
        ("sinks[0].grafana.http_config.authorization.credentials_file", "token", "No such file"),
        ("sinks[1].webhook.http_config.tls_config.ca_file", "empty.pem", "empty"),
    ] {
        let line = text.lines().find(|line| line.contains(setting)).unwrap_or_else(|| panic!("{setting}:\n{text}"));
        assert!(line.contains(file) && line.contains(why), "{line}");
    }
    assert_eq!(code, Some(0), "secrets may come with the machine that it will run on: {text}");
    assert_eq!(check(SECURED, &["--deny-warnings"]).1, Some(1));
}

#[test]
fn options_that_would_be_overridden_and_loops_are_refused() {
    let source = "sources: {kafka: [{brokers: ['k:9092'], topics: [{pattern: 'm.*', decoder: remote_write}]";
    let options = "options: {security.protocol: sasl_ssl, group.id: x, enable.auto.commit: 'true'}";
    let (text, code) = check(&format!("{source}, {options}}}]}}"), &[]);
    assert!(text.contains("enable.auto.commit cannot be given here: forewarn commits"), "{text}");
    assert_eq!(code, Some(1));
    let (text, code) =
        check(&format!("{source}}}]}}\nsinks: [kafka: {{brokers: ['k:9092'], recorded: {{topic: made}}}}]"), &[]);
    assert!(text.contains("recorded.topic \"made\" is read by the pattern \"m.*\""), "{text}");
    assert_eq!(code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_warns_at_its_start_and_not_at_every_attempt() {
    let forewarn = Forewarn::start(SECURED, |dir| std::fs::write(dir.join("empty.pem"), "").unwrap()).await;
    // A second and a third attempt at the Kafka client.
    let attempts = r#"forewarn_kafka_faults_total{client="kafka",reason="client_setup"}"#;
    let many = async || forewarn.metric(attempts).await.filter(|n| *n >= 3.0);
    eventually("attempts", Duration::from_secs(60), many).await;
    let log = forewarn.stderr();
    for setting in
        ["sources.kafka[\"kafka\"].tls.ca_file", "sinks[0].grafana.http_config.authorization.credentials_file"]
    {
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(setting)), "{setting}:\n{log}");
    }
    let of_kafka: Vec<&str> = log.lines().filter(|line| line.contains("no Kafka consumer can be set up")).collect();
    assert_eq!(of_kafka.len(), 1, "{log}");
    assert!(of_kafka[0].contains("tls.ca_file") && of_kafka[0].contains("ca.pem: No such file"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}
