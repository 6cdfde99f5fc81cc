//! A real OpenTelemetry Collector before forewarn: this machine's metrics over OTLP/gRPC, OTLP/HTTP and Prometheus remote
//! write, and spans that become rates, errors and durations. An alert fires from each. And its metrics through a real Kafka.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use forewarn::source::Positions;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::Value;
use support::eventually;
use support::kafka::Kafka;
use support::kafka_source::Reading;
use support::peer::{Peer, free_address};
use support::process::Forewarn;
use support::receiver::Receiver;

const HOST_RULES: &str = "
groups:
  - name: host
    interval: 1s
    rules:
      - {alert: MemoryUsed, expr: 'sum by (state) (system_memory_usage_bytes{state=\"used\"}) > 0'}
      - {alert: CpuWorks, expr: 'sum(rate(system_cpu_time_seconds_total[10s])) > 0'}
";

const GENEROUS: Duration = Duration::from_secs(60);

async fn forewarn(sources: &str, rules: &str, rest: &str) -> Forewarn {
    let rules = rules.to_owned();
    let config = format!("rule_files: [rules.yml]\nsources: {sources}\n{rest}");
    Forewarn::start(&config, move |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await
}

async fn firing(forewarn: &Forewarn, name: &str) -> Value {
    eventually(name, GENEROUS, async || {
        let alerts = forewarn.alerts().await;
        alerts.into_iter().find(|alert| alert["labels"]["alertname"] == name && alert["state"] == "firing")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_this_machine_come_by_three_ways() {
    let (grpc, http) = (free_address(), free_address());
    let live = "lateness: 2s, idle_timeout: 10s";
    let by_grpc =
        forewarn(&format!("{{otlp: {{grpc_address: '{grpc}', http_address: '', {live}}}}}"), HOST_RULES, "").await;
    let by_http =
        forewarn(&format!("{{otlp: {{grpc_address: '', http_address: '{http}', {live}}}}}"), HOST_RULES, "").await;
    let written = forewarn(&format!("{{remote_write: {{{live}}}}}"), HOST_RULES, "").await;
    let config = format!(
        "receivers:
  hostmetrics:
    collection_interval: 1s
    scrapers: {{cpu: {{}}, memory: {{}}, load: {{}}, network: {{}}}}
exporters:
  otlp: {{endpoint: '{grpc}', tls: {{insecure: true}}}}
  otlphttp: {{endpoint: 'http://{http}'}}
  prometheusremotewrite: {{endpoint: 'http://{}/api/v1/write'}}
service:
  pipelines:
    metrics: {{receivers: [hostmetrics], exporters: [otlp, otlphttp, prometheusremotewrite]}}
",
        written.address
    );
    let Some(_collector) = Peer::collector(&config).await else { return };
    for (forewarn, source) in [(&by_grpc, "otlp"), (&by_http, "otlp"), (&written, "remote_write")] {
        let memory = firing(forewarn, "MemoryUsed").await;
        assert_eq!(memory["labels"]["state"], "used");
        firing(forewarn, "CpuWorks").await;
        let samples = forewarn.metric(&format!("forewarn_source_samples_total{{source=\"{source}\"}}")).await;
        println!("{source}: {} samples", samples.unwrap());
        let (_, text) = support::http::get(&forewarn.address, "/metrics").await.unwrap();
        let dropped: Vec<&str> =
            text.lines().filter(|l| l.starts_with("forewarn_source_dropped") && !l.ends_with(" 0")).collect();
        assert!(dropped.is_empty(), "{dropped:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_through_kafka_are_the_same_in_both_encodings() {
    let Some(broker) = Kafka::own().await else { return };
    // Encoding, and the codec of its batches.
    let ways = [("otlp_proto", "gzip"), ("otlp_json", "zstd")];
    for (encoding, _) in ways {
        broker.topic(encoding, 1).await;
    }
    let exporter = |(encoding, codec): (&str, &str)| {
        let metrics = format!("metrics: {{topic: {encoding}, encoding: {encoding}}}");
        format!(
            "  kafka/{encoding}: {{brokers: ['{}'], {metrics}, producer: {{compression: {codec}}}}}\n",
            broker.plain
        )
    };
    let config = format!(
        "receivers:
  hostmetrics:
    collection_interval: 1s
    scrapers: {{cpu: {{}}, memory: {{}}, load: {{}}, network: {{}}}}
exporters:
{}service:
  pipelines:
    metrics: {{receivers: [hostmetrics], exporters: [kafka/otlp_proto, kafka/otlp_json]}}
",
        ways.map(exporter).concat()
    );
    let Some(_collector) = Peer::collector(&config).await else { return };
    let mut read = Vec::new();
    for (encoding, codec) in ways {
        let config = format!(
            "{{brokers: ['{}'], group_id: {encoding}, topics: [{{name: {encoding}, decoder: {encoding}}}]}}",
            broker.plain
        );
        let mut reading = Reading::start(&config, Positions::new());
        reading.until("several readings", GENEROUS, |r| times(r).len() >= 5).await;
        let text = reading.metrics.encode().unwrap();
        assert!(!text.contains("forewarn_kafka_decode_errors_total{"), "{text}");
        let batches = broker.codecs(encoding, 0);
        assert!(!batches.is_empty() && batches.iter().all(|batch| *batch == codec), "{encoding}: {batches:?}");
        read.push(reading);
    }
    // Both were given the same: what both have read of one instant has the same series and values.
    let both: Vec<i64> = times(&read[0]).intersection(&times(&read[1])).copied().collect();
    assert!(both.len() >= 3, "{both:?}");
    let of = |reading: &Reading| -> BTreeSet<(i64, String, u64)> {
        let samples = reading.samples.iter().filter(|(_, t, _)| both.contains(t));
        samples.map(|(series, t, v)| (*t, series.clone(), v.to_bits())).collect()
    };
    let (of_proto, of_json) = (of(&read[0]), of(&read[1]));
    assert!(of_proto.len() > 30, "{of_proto:?}");
    assert_eq!(of_proto, of_json);
    for reading in read {
        reading.end(GENEROUS).await;
    }
}

/// Instants of whole readings: those before the newest.
fn times(reading: &Reading) -> BTreeSet<i64> {
    let mut times: BTreeSet<i64> = reading.samples.iter().map(|(_, t, _)| *t).collect();
    times.pop_last();
    times
}

/// A failing span of this trace.
fn failing(trace: u8) -> ExportTraceServiceRequest {
    let now = forewarn::source::clock::now() as u64 * 1_000_000;
    let span = Span {
        trace_id: vec![trace; 16],
        span_id: vec![1; 8],
        name: "POST /pay".to_owned(),
        kind: 2,
        start_time_unix_nano: now - 700_000_000,
        end_time_unix_nano: now,
        status: Some(Status { code: 2, ..Status::default() }),
        ..Span::default()
    };
    let name = AnyValue { value: Some(any_value::Value::StringValue("shop".to_owned())) };
    let attributes = vec![KeyValue { key: "service.name".to_owned(), value: Some(name), ..KeyValue::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_spans_page_with_a_link_to_their_trace() {
    let pager = Receiver::start().await;
    let (grpc, entrance) = (free_address(), free_address());
    let sources = format!(
        "{{otlp: {{grpc_address: '{grpc}', http_address: '', spans: {{interval: 1s}}}}, \
         trace_link: 'http://jaeger.example/trace/{{trace_id}}'}}"
    );
    let rules = "
groups:
  - name: red
    interval: 1s
    rules:
      - alert: Failing
        expr: sum by (service_name, span_name) (increase(traces_span_metrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}[10s])) > 0
";
    let sinks = format!("sinks: [webhook: {{url: 'http://{}/'}}]", pager.address);
    let forewarn = forewarn(&sources, rules, &sinks).await;
    let config = format!(
        "receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '{entrance}'}}}}}}
exporters:
  otlp: {{endpoint: '{grpc}', tls: {{insecure: true}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp]}}
"
    );
    let Some(_collector) = Peer::collector(&config).await else { return };
    let mut client = TraceServiceClient::connect(format!("http://{entrance}")).await.unwrap();
    let sending = tokio::spawn(async move {
        loop {
            client.export(failing(0xab)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let alert = firing(&forewarn, "Failing").await;
    let trace = "ab".repeat(16);
    assert_eq!(alert["labels"]["span_name"], "POST /pay");
    assert_eq!(alert["annotations"]["trace_id"], trace.as_str());
    assert_eq!(alert["annotations"]["trace_url"], format!("http://jaeger.example/trace/{trace}"));
    let page = eventually("a page", GENEROUS, async || pager.bodies().first().cloned()).await;
    assert_eq!(page["alerts"][0]["annotations"]["trace_id"], trace.as_str());
    sending.abort();
}
