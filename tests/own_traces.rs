//! forewarn's own spans arrive where `tracing:` says, by OTLP over HTTP, with what they are about; at a real Collector too.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode as SpanStatus};
use prost::Message;
use support::eventually;
use support::http;
use support::peer::{Peer, free_address};
use support::process::Forewarn;
use support::receiver::{Answer, Receiver};

const SOON: Duration = Duration::from_secs(30);

/// Requests as they came: each is refused as busy once before it is taken.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<(usize, Vec<ExportTraceServiceRequest>)>>);

async fn take(State(spans): State<Spans>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut spans = spans.0.lock().unwrap();
    spans.0 += 1;
    if spans.0 == 1 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    spans.1.push(ExportTraceServiceRequest::decode(body).unwrap());
    StatusCode::OK
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|a| a.key == key)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

#[tokio::test]
async fn ticks_deliveries_and_checkpoints_are_traced() {
    let spans = Spans::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let pager = Receiver::answering(|n, _| Answer::Status([500, 200][n.min(1)])).await;
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}}}\n\
         state: {{dir: state}}\n\
         sinks: [webhook: {{name: pager, url: 'http://{}/'}}]\n\
         tracing: {{endpoint: 'http://{address}/v1/traces', service_name: watcher}}\n",
        pager.address
    );
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1) > 0}]}]";
    let mut forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    eventually("a delivery", SOON, async || (pager.received().len() >= 2).then_some(())).await;
    assert_eq!(forewarn.end_by("TERM", SOON).await.code(), Some(0), "{}", forewarn.stderr());
    server.abort();

    let requests = spans.0.lock().unwrap().1.clone();
    let mut all: Vec<Span> = Vec::new();
    for resource_spans in requests.into_iter().flat_map(|r| r.resource_spans) {
        let resource = resource_spans.resource.unwrap();
        assert_eq!(text(&resource.attributes, "service.name").as_deref(), Some("watcher"));
        assert_eq!(text(&resource.attributes, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        all.extend(resource_spans.scope_spans.into_iter().flat_map(|s| s.spans));
    }
    let named = |name: &str| all.iter().filter(|s| s.name == name).collect::<Vec<_>>();
    let ticks = named("tick");
    assert!(ticks.iter().any(|s| text(&s.attributes, "transitions").as_deref() == Some("1")), "{ticks:#?}");
    assert!(ticks.iter().all(|s| s.end_time_unix_nano >= s.start_time_unix_nano && s.trace_id.len() == 16));
    // The first attempt fails, a later one does not.
    let deliveries = named("delivery");
    assert!(deliveries.iter().all(|s| text(&s.attributes, "sink").as_deref() == Some("pager")), "{deliveries:#?}");
    let failed = |s: &&&Span| s.status.as_ref().is_some_and(|status| status.code == SpanStatus::Error as i32);
    let first = deliveries.iter().find(failed).unwrap();
    assert_eq!(text(&first.attributes, "failure").as_deref(), Some("server_error"));
    assert!(deliveries.iter().any(|s| !failed(&s)));
    // One at the start, one at the end.
    let checkpoints = named("checkpoint");
    let written = |s: &&Span| {
        let bytes = text(&s.attributes, "bytes").and_then(|bytes| bytes.parse::<u64>().ok());
        text(&s.attributes, "outcome").as_deref() == Some("written") && bytes > Some(0)
    };
    assert!(checkpoints.len() >= 2 && checkpoints.iter().all(written), "{checkpoints:#?}");
    // Spans are no part of the log.
    assert!(!forewarn.stderr().contains("delivery{"), "{}", forewarn.stderr());
}

/// What the Collector has understood, since it writes it anew for whoever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_takes_them_and_passes_them_on() {
    let spans = Spans::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (behind, entrance) = (listener.local_addr().unwrap(), free_address());
    let router = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let config = format!(
        "receivers:
  otlp: {{protocols: {{http: {{endpoint: '{entrance}'}}}}}}
exporters:
  otlphttp: {{endpoint: 'http://{behind}', compression: none}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlphttp]}}
"
    );
    let Some(collector) = Peer::collector(&config).await else { return };
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nstate: {{dir: state, checkpoint_interval: 2s}}\n\
         sources: {{host: {{interval: 1s}}}}\nsinks: [webhook: {{name: pager, url: 'http://127.0.0.1:1/'}}]\n\
         tracing: {{endpoint: 'http://{entrance}/v1/traces', service_name: watcher}}\n"
    );
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1) > 0}]}]";
    let mut forewarn = Forewarn::start(&config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    let names = || -> Vec<String> {
        let requests = spans.0.lock().unwrap().1.clone();
        let all = requests.into_iter().flat_map(|r| r.resource_spans).filter(|r| {
            let resource = r.resource.as_ref().unwrap();
            text(&resource.attributes, "service.name").as_deref() == Some("watcher")
        });
        all.flat_map(|r| r.scope_spans).flat_map(|s| s.spans).map(|s| s.name).collect()
    };
    eventually("all three kinds of spans behind the Collector", SOON * 2, async || {
        let names = names();
        ["tick", "delivery", "checkpoint"].iter().all(|name| names.iter().any(|n| n == name)).then_some(())
    })
    .await;
    let sent = forewarn.metric("forewarn_tracing_spans_total{outcome=\"sent\"}").await.unwrap();
    assert!(sent > 2.0, "{sent}");
    for outcome in ["dropped", "overflow"] {
        let series = format!("forewarn_tracing_spans_total{{outcome=\"{outcome}\"}}");
        assert_eq!(forewarn.metric(&series).await, Some(0.0), "{outcome}");
    }
    assert!(forewarn.metric("forewarn_tracing_queued_spans").await.unwrap() < 4_096.0);
    // By the Collector's own count.
    let (_, text) = http::get(&collector.address, "/metrics").await.unwrap();
    let counted = |name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert!(counted("otelcol_receiver_accepted_spans") >= sent, "{text}");
    assert_eq!(counted("otelcol_receiver_refused_spans"), 0.0, "{text}");
    assert_eq!(forewarn.end_by("TERM", SOON).await.code(), Some(0), "{}", forewarn.stderr());
    server.abort();
}
