//! From OTLP over HTTP to an alert, in a process of its own: counters that begin, and exemplars of points; and those of remote
//! write where nobody sends OTLP.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use forewarn::base::encode::compress;
use forewarn::source::clock;
use prost::Message;
use serde_json::Value;
use support::process::Forewarn;
use support::receiver::Receiver;
use support::{eventually, http, peer};

const GENEROUS: Duration = Duration::from_secs(60);

const RULES: &str = "
groups:
  - name: errors
    interval: 1s
    rules:
      - {alert: Errors, expr: 'sum by (job) (increase(errors_total[1m])) > 4.9'}
      - {alert: Seen, expr: 'errors_total > 0'}
";

/// A counter of five errors in a process that has run for some seconds, and a trace of one of them.
fn five_errors(trace: &str) -> String {
    let now = clock::now();
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeMetrics":[{{"metrics":[{{"name":"errors","sum":{{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[
        {{"startTimeUnixNano":"{start}000000","timeUnixNano":"{now}000000","asInt":"5","exemplars":[
          {{"timeUnixNano":"{now}000000","asInt":"1","traceId":"{trace}","spanId":"eee19b7ec3c1b174"}}]}}]}}}}]}}]}}]}}"#,
        start = now - 20_000,
    )
}

async fn start(created: &str, sinks: &str) -> (Forewarn, String) {
    let address = peer::free_address();
    let config = format!(
        "global: {{created_timestamps: {created}}}
rule_files: [rules.yml]
sources: {{otlp: {{grpc_address: '', http_address: '{address}', lateness: 1s, idle_timeout: 2s}},
           trace_link: 'http://jaeger.example/trace/{{trace_id}}'}}
{sinks}"
    );
    let forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), RULES).unwrap()).await;
    (forewarn, address)
}

async fn firing(forewarn: &Forewarn, name: &str) -> Value {
    eventually(name, GENEROUS, async || {
        let alerts = forewarn.alerts().await;
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == name && alert["state"] == "firing")
    })
    .await
}

async fn post(address: &str, body: &str) {
    let answer = http::post(address, "/v1/metrics", &[("Content-Type", "application/json")], body.as_bytes()).await;
    assert_eq!(answer, Some((200, "{}".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_point_of_a_counter_pages_with_a_link_to_its_trace() {
    let pager = Receiver::start().await;
    let sinks = format!("sinks: [webhook: {{url: 'http://{}/'}}]", pager.address);
    let (forewarn, address) = start("zero_sample", &sinks).await;
    let trace = "5b8efff798038103d269b633813fc60c";
    post(&address, &five_errors(trace)).await;
    let alert = firing(&forewarn, "Errors").await;
    assert_eq!(alert["labels"]["job"], "shop");
    assert_eq!(alert["annotations"]["trace_id"], trace);
    assert_eq!(alert["annotations"]["trace_url"], format!("http://jaeger.example/trace/{trace}"));
    let of_errors = |page: &Value| page["alerts"][0]["labels"]["alertname"] == "Errors";
    let page = eventually("a page", GENEROUS, async || pager.bodies().into_iter().find(of_errors)).await;
    assert_eq!(page["alerts"][0]["annotations"]["trace_id"], trace);
    // What tells of the begin is neither a sample of its own nor late.
    let metric = async |name: &str| forewarn.metric(&format!("{name}{{source=\"otlp\"}}")).await;
    assert_eq!(metric("forewarn_source_samples_total").await, Some(1.0));
    let late = "forewarn_source_dropped_samples_total{reason=\"late\",source=\"otlp\"}";
    assert_eq!(forewarn.metric(late).await.unwrap_or_default(), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_a_first_point_is_no_increase() {
    let (forewarn, address) = start("ignore", "").await;
    post(&address, &five_errors("")).await;
    firing(&forewarn, "Seen").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(forewarn.alerts().await.iter().all(|alert| alert["labels"]["alertname"] == "Seen"));
}

/// `io.prometheus.write.v2.Request`, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exemplar_of_remote_write_is_linked_where_nobody_sends_otlp() {
    let config = "rule_files: [rules.yml]
sources:
  remote_write: {lateness: 1s, idle_timeout: 2s}
  trace_link: 'http://jaeger.example/trace/{trace_id}'
";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), RULES).unwrap()).await;
    let (trace, now) = ("5b8efff798038103d269b633813fc60c", clock::now());
    let symbols = ["", "__name__", "errors_total", "job", "shop", "trace_id", trace].map(str::to_owned).into();
    let series = TimeSeries {
        labels: vec![1, 2, 3, 4],
        samples: vec![Sample { value: 5.0, timestamp: now }],
        exemplars: vec![Exemplar { labels: vec![5, 6], value: 1.0, timestamp: now }],
    };
    let body = compress(&Request { symbols, timeseries: vec![series] }.encode_to_vec());
    let headers = [
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("Content-Encoding", "snappy"),
    ];
    let answer = http::post(&forewarn.address, "/api/v1/write", &headers, &body).await;
    assert_eq!(answer.map(|(status, _)| status), Some(204));
    let alert = firing(&forewarn, "Seen").await;
    assert_eq!(alert["annotations"]["trace_url"], format!("http://jaeger.example/trace/{trace}"));
}
