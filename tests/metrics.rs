//! forewarn's own metrics: what a process with everything configured shows is what `docs/metrics.md` lists and what the source
//! registers; and every counter that the rule pack takes a rate of is there before it counts.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use forewarn::kafka_client::REASONS;
use regex::Regex;
use support::metrics::{Asked, Series, asked, documented, exposed, family};
use support::process::Forewarn;
use support::{eventually, http};

const SOON: Duration = Duration::from_secs(30);

/// Names in the source that are passed on as names of metrics, tests included.
fn registered() -> BTreeSet<String> {
    let name = Regex::new(r#""(forewarn_\w+)""#).unwrap();
    let sources = glob::glob("src/**/*.rs").unwrap().map(|path| std::fs::read_to_string(path.unwrap()).unwrap());
    let names = sources.flat_map(|text| name.captures_iter(&text).map(|m| m[1].to_owned()).collect::<Vec<_>>());
    // What stands for a value in a template that is checked.
    names.filter(|name| name != "forewarn_hole_in_a_query").collect()
}

/// Everything there is, with receivers and brokers where nobody listens.
async fn with_everything() -> Forewarn {
    let config = "\
global: {evaluation_interval: 1s}
rule_files: [rules.yml]
state: {dir: state}
tracing: {endpoint: 'http://127.0.0.1:1/v1/traces'}
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:1']}]}]}
scrape_configs: [{job_name: self, scrape_interval: 1s, static_configs: [{targets: ['127.0.0.1:1']}]}]
sources:
  host: {interval: 1s}
  remote_write: {}
  otlp: {grpc_address: '127.0.0.1:0', http_address: '127.0.0.1:0'}
  kafka: [{name: bus, brokers: ['127.0.0.1:1'], topics: [{name: metrics, decoder: remote_write}], patience: 2s, idle_timeout: 1s}]
sinks:
  - stdout: {}
  - webhook: {name: hook, url: 'http://127.0.0.1:1/'}
  - grafana: {name: panels, url: 'http://127.0.0.1:1'}
  - kafka: {name: out, brokers: ['127.0.0.1:1'], topic: alerts, recorded: {topic: recorded}}
remote_write: [{url: 'http://127.0.0.1:1/'}]
";
    let rules = "groups: [{name: g, rules: [{record: load, expr: node_load1}, {alert: Never, expr: vector(1) < 0}]}]";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    forewarn.ready(SOON).await;
    eventually("ticks", SOON, async || {
        let ticks = forewarn.metric("forewarn_engine_ticks_total").await?;
        let outbox = forewarn.metric("forewarn_outbox_entries{sink=\"hook\"}").await?;
        (ticks > 2.0 && outbox == 0.0).then_some(())
    })
    .await;
    forewarn
}

async fn shown(forewarn: &Forewarn) -> (BTreeMap<String, String>, Vec<Series>) {
    exposed(&http::get(&forewarn.address, "/metrics").await.unwrap().1)
}

#[test]
fn the_list_names_what_the_source_registers() {
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert!(documented.len() > 60, "{documented:?}");
    let registered = registered();
    assert_eq!(documented.difference(&registered).collect::<Vec<_>>(), Vec::<&String>::new(), "is no more");
    assert_eq!(registered.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "is not in the list");
}

#[tokio::test]
async fn a_process_shows_what_the_list_says() {
    let (kinds, series) = shown(&with_everything().await).await;
    let documented = documented();
    for (name, kind) in &kinds {
        let metric = documented.get(name).unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(&metric.kind, kind, "{name}");
    }
    for Series { name, labels, .. } in &series {
        let (name, metric) = family(&documented, name).unwrap();
        let labels: BTreeSet<String> = labels.keys().filter(|label| *label != "le").cloned().collect();
        assert_eq!(labels, metric.labels, "{name}");
    }
    let absent = documented.iter().filter(|(name, metric)| !metric.comes_later && !kinds.contains_key(*name));
    assert_eq!(absent.map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new(), "not there from the start");
}

/// Those of `names` whose series do not include what is asked for.
fn missing(asked: &Asked, label: &str, names: &BTreeSet<String>, series: &[Series]) -> Vec<String> {
    let of = |name: &&String| {
        let is_mine = |s: &&Series| s.name == asked.name && s.labels.get(label) == Some(*name);
        let mine: Vec<&Series> = series.iter().filter(is_mine).collect();
        let is_taken = |s: &&Series| asked.matchers.iter().all(|m| m.takes(s.labels.get(&m.label)));
        // Every alternative that is written out, also of those that are not wanted.
        let all = asked.matchers.iter().flat_map(|m| m.value.split('|').map(move |value| (&m.label, value)));
        let all_there = |(label, value): (&String, &str)| mine.iter().any(|s| s.labels[label] == value);
        !mine.iter().any(is_taken) || !all.into_iter().all(all_there)
    };
    names.iter().filter(of).cloned().collect()
}

#[tokio::test]
async fn every_counter_that_the_rule_pack_takes_a_rate_of_is_there_before_it_counts() {
    let forewarn = with_everything().await;
    let (_, series) = shown(&forewarn).await;
    let values = |name: &str, label: &str| -> BTreeSet<String> {
        series.iter().filter(|s| s.name == name).map(|s| s.labels[label].clone()).collect()
    };
    let sinks = values("forewarn_sink_queue_capacity", "sink");
    assert_eq!(
        sinks.iter().map(String::as_str).collect::<Vec<_>>(),
        ["alertmanager/127.0.0.1:1", "hook", "out", "panels", "stdout"]
    );
    let sources = values("forewarn_source_samples_total", "source");
    assert_eq!(sources.len(), 6, "{sources:?}");
    let kafka = BTreeSet::from(["bus".to_owned()]);

    let pack = std::fs::read_to_string("rules/forewarn.yml").unwrap();
    let rated = asked(&pack).into_iter().filter(|asked| ["rate", "increase"].contains(&asked.function.as_str()));
    let (mut checked, mut faults) = (BTreeSet::new(), Vec::new());
    for asked in rated {
        let absent = match asked.name.as_str() {
            name if name.starts_with("forewarn_sink_") => missing(&asked, "sink", &sinks, &series),
            name if name.starts_with("forewarn_source_") => missing(&asked, "source", &sources, &series),
            "forewarn_kafka_faults_total" => missing(&asked, "client", &kafka, &series),
            "forewarn_http_refused_total" => {
                let gone = |reason: &&str| !values("forewarn_http_refused_total", "reason").contains(*reason);
                asked.matchers.iter().flat_map(|m| m.value.split('|')).filter(gone).map(str::to_owned).collect()
            }
            name if name.starts_with("forewarn_kafka_") => missing(&asked, "source", &kafka, &series),
            // Without a label that says whose it is.
            name => {
                let there = series
                    .iter()
                    .any(|s| s.name == name && asked.matchers.iter().all(|m| m.takes(s.labels.get(&m.label))));
                if there { vec![] } else { vec!["anything".to_owned()] }
            }
        };
        faults.extend(absent.into_iter().map(|of| format!("{asked:?} of {of}")));
        checked.insert(asked.name);
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(checked.len() >= 8, "{checked:?}");
    let reasons = values("forewarn_kafka_faults_total", "reason");
    assert_eq!(reasons, BTreeSet::from(REASONS.map(str::to_owned)), "all of them, and none besides");
    // And they count nothing yet.
    let lost = ["forewarn_sink_dropped_total", "forewarn_kafka_dead_letters_total"];
    assert!(series.iter().filter(|s| lost.contains(&s.name.as_str())).all(|s| s.value == 0.0));
    let last = forewarn.metric("forewarn_checkpoint_last_success_timestamp_seconds").await.unwrap();
    assert!((support::alerts::now() as f64 / 1e3 - last).abs() < 300.0, "{last}");
}

#[tokio::test]
async fn a_process_without_state_says_nothing_of_checkpoints() {
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\nsources: {host: {interval: 1s}}\n";
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    forewarn.ready(SOON).await;
    let (kinds, _) = shown(&forewarn).await;
    let of_state: Vec<_> = kinds.keys().filter(|name| name.contains("checkpoint") || name.contains("_log_")).collect();
    assert_eq!(of_state, Vec::<&String>::new(), "a time of 0 is one of 1970, and pages");
}
