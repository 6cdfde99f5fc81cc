//! The OTLP receiver over real sockets: gRPC with OpenTelemetry's generated client, HTTP by hand.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use forewarn::base::{Batch, CounterStart, Labels, Limits};
use forewarn::server::http::{Patience, Protocol, serve_with};
use forewarn::source::decode::otlp::MetricsReader;
use forewarn::source::durable::{Intake, SourceLog};
use forewarn::source::exemplars::Exemplars;
use forewarn::source::otlp::{OtlpReceiver, SpanCounter, SpansConfig, grpc, http as otlp_http, spans};
use forewarn::source::{Inlet, SourceEvent, SourceId, clock};
use forewarn::state::log::{Log, Options};
use forewarn::state::{Faults, StateDir};
use forewarn::telemetry::Metrics;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use support::http;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::codec::CompressionEncoding;

struct Receiver {
    grpc: String,
    http: String,
    events: mpsc::Receiver<SourceEvent>,
    metrics: Metrics,
    counter: SpanCounter,
    exemplars: Exemplars,
}

async fn receiver(limits: Limits, queue: usize) -> Receiver {
    receiver_with(limits, queue, None).await
}

async fn receiver_with(limits: Limits, queue: usize, log: Option<SourceLog>) -> Receiver {
    let (queue, events) = mpsc::channel(queue);
    let (metrics, patience) = (Metrics::new().unwrap(), Duration::from_millis(50));
    let intake = Intake { inlet: Inlet { id: SourceId(5), queue }, source: "otlp".to_owned(), log };
    let source = metrics.source.of("otlp");
    let shared = Arc::new(limits.clone());
    let exemplars = Exemplars::default();
    let counter = SpanCounter::new(Arc::clone(&shared), exemplars.clone(), metrics.source.of("spans"));
    let reader = MetricsReader::new(Default::default(), Default::default(), &limits);
    let receiver = OtlpReceiver::new(intake, reader, shared, source, patience, counter.clone());
    let mut addresses = Vec::new();
    let routers = [(grpc::router(receiver.clone()), Protocol::Http2), (otlp_http::router(receiver), Protocol::Http1)];
    for (router, protocol) in routers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let limits = limits.clone();
        let never = std::future::pending::<()>();
        tokio::spawn(async move { serve_with(listener, router, &limits, Patience::default(), protocol, never).await });
    }
    let http = addresses.pop().unwrap();
    Receiver { grpc: format!("http://{}", addresses.pop().unwrap()), http, events, metrics, counter, exemplars }
}

impl Receiver {
    async fn batch(&mut self) -> Batch {
        let event = tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await.unwrap();
        let Some(SourceEvent::Batch(SourceId(5), batch)) = event else { panic!("no batch") };
        batch
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        http::post(&self.http, path, headers, body).await.unwrap()
    }
}

/// A gauge and, with `refused`, a point of a type that is not taken.
fn request(name: &str, refused: bool) -> ExportMetricsServiceRequest {
    let now = clock::now() as u64 * 1_000_000;
    let point = NumberDataPoint { time_unix_nano: now, value: Some(Value::AsDouble(7.0)), ..Default::default() };
    let data = Some(Data::Gauge(Gauge { data_points: vec![point] }));
    let mut metrics = vec![Metric { name: name.to_owned(), data, ..Metric::default() }];
    if refused {
        let point = ExponentialHistogramDataPoint { time_unix_nano: now, ..Default::default() };
        let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
        let data = Some(Data::ExponentialHistogram(data));
        metrics.push(Metric { name: "exponential".to_owned(), data, ..Metric::default() });
    }
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }] }
}

/// A delta of 3, of now.
fn delta() -> ExportMetricsServiceRequest {
    let mut request = request("requests", false);
    let metric = &mut request.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::Gauge(Gauge { mut data_points })) = metric.data.take() else { panic!("a gauge") };
    data_points[0].value = Some(Value::AsInt(3));
    metric.data = Some(Data::Sum(Sum { data_points, aggregation_temporality: 1, is_monotonic: true }));
    request
}

fn name(batch: &Batch) -> String {
    batch.labels(&batch.runs()[0]).to_string()
}

const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn grpc_takes_metrics_and_tells_what_was_left_out() {
    let mut receiver = receiver(Limits::default(), 4).await;
    let client = MetricsServiceClient::connect(receiver.grpc.clone()).await.unwrap();
    let answer = client.clone().export(request("plain", false)).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
    assert_eq!(name(&receiver.batch().await), "plain");
    let mut packed = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let partial = packed.export(request("packed", true)).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    assert!(partial.error_message.contains("native_histogram: 1"), "{}", partial.error_message);
    assert_eq!(name(&receiver.batch().await), "packed");
    let text = receiver.metrics.encode().unwrap();
    assert!(text.contains(r#"forewarn_source_requests_total{code="200",source="otlp"} 2"#), "{text}");
    assert!(text.contains(r#"forewarn_source_dropped_samples_total{reason="native_histogram",source="otlp"} 1"#));
}

#[tokio::test]
async fn grpc_refusals_say_who_may_come_again() {
    let mut receiver = receiver(Limits { otlp_bytes: 1_000, ..Limits::default() }, 1).await;
    let plain = MetricsServiceClient::connect(receiver.grpc.clone()).await.unwrap();
    let mut client = plain.clone().send_compressed(CompressionEncoding::Gzip);
    // Larger on the wire, and only when unpacked.
    for mut client in [plain, client.clone()] {
        let too_large = client.export(request(&"x".repeat(2_000), false)).await.unwrap_err();
        assert_eq!(too_large.code(), Code::ResourceExhausted, "{too_large}");
    }
    let text = receiver.metrics.encode().unwrap();
    assert!(text.contains(r#"forewarn_source_requests_total{code="413",source="otlp"} 2"#), "{text}");
    client.export(request("first", false)).await.unwrap();
    let busy = client.export(request("second", false)).await.unwrap_err();
    assert_eq!(busy.code(), Code::Unavailable);
    // A google.rpc.Status with a RetryInfo of five seconds.
    let details = String::from_utf8_lossy(busy.details()).into_owned();
    assert!(details.contains("type.googleapis.com/google.rpc.RetryInfo"), "{details:?}");
    assert!(busy.details().ends_with(&[0x12, 0x04, 0x0a, 0x02, 0x08, 0x05]), "{:?}", busy.details());
    receiver.batch().await;
    client.export(request("second", false)).await.unwrap();
    assert_eq!(name(&receiver.batch().await), "second", "nothing was lost");
    receiver.events.close();
    assert_eq!(client.export(request("third", false)).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_delta_that_the_log_refused_is_taken_when_it_comes_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = StateDir::new(root.path());
    drop(dir.lock().unwrap());
    let options = Options { segment_bytes: 1 << 20, max_bytes: 8 << 20, created: 1, next: 0 };
    let faults = Faults::parse("log.write:1:eio").unwrap();
    let (log, _) = Log::open(&dir, options, faults, Box::new(|_| ())).unwrap();
    let mut receiver = receiver_with(Limits::default(), 4, Some(SourceLog::new(log))).await;
    let mut client = MetricsServiceClient::connect(receiver.grpc.clone()).await.unwrap();
    let request = delta();
    let refused = client.export(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    // The log gives the disk a moment.
    let taken = support::eventually("an acknowledgement", Duration::from_secs(10), async || {
        client.clone().export(request.clone()).await.ok()
    });
    assert_eq!(taken.await.into_inner().partial_success, None, "nothing is left out");
    let event = tokio::time::timeout(Duration::from_secs(10), receiver.events.recv()).await.unwrap();
    let Some(SourceEvent::Logged(SourceId(5), batch, _)) = event else { panic!("no batch") };
    assert_eq!((name(&batch), batch.measured()), ("requests_total".to_owned(), 1));
    // An earlier process may have counted it: only the engine can tell.
    let samples: Vec<_> = batch.all_samples().iter().map(|s| (s.t, CounterStart::of(s.v))).collect();
    assert_eq!(samples, [(samples[1].0, Some(CounterStart::Increment)), (samples[1].0, None)]);
    assert_eq!(batch.all_samples()[1].v, 3.0);
    let again = client.export(request).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(again.rejected_data_points, 1, "this time it is known");
}

#[tokio::test]
async fn grpc_of_other_services_is_unimplemented() {
    let receiver = receiver(Limits::default(), 4).await;
    let channel = tonic::transport::Endpoint::new(receiver.grpc.clone()).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    );
    let codec = tonic_prost::ProstCodec::<ExportMetricsServiceRequest, ExportMetricsServiceResponse>::default();
    let refused = client.unary(tonic::Request::new(request("a", false)), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn http_takes_both_encodings_plain_and_packed() {
    let mut receiver = receiver(Limits::default(), 8).await;
    let bytes = request("over.http", true).encode_to_vec();
    for (path, headers, body) in [
        ("/v1/metrics", vec![PROTOBUF], bytes.clone()),
        ("/v1/metrics", vec![PROTOBUF, GZIP], gzip(&bytes)),
        ("/api/v1/otlp/v1/metrics", vec![PROTOBUF], bytes),
    ] {
        let (status, answer) = receiver.post(path, &headers, &body).await;
        let answer = ExportMetricsServiceResponse::decode(answer.as_bytes()).unwrap();
        assert_eq!((status, answer.partial_success.unwrap().rejected_data_points), (200, 1));
        assert_eq!(name(&receiver.batch().await), "over_http");
    }
    let now = clock::now();
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"j","gauge":{{"dataPoints":[
           {{"timeUnixNano":"{now}000000","asInt":"1"}},{{"timeUnixNano":"1","asInt":"1"}}]}}}}]}}]}}]}}"#
    );
    let (status, answer) = receiver.post("/v1/metrics", &[JSON, GZIP], &gzip(text.as_bytes())).await;
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "1");
    assert_eq!(answer["partialSuccess"]["errorMessage"], "left out, by reason: too_old: 1");
    assert_eq!(name(&receiver.batch().await), "j");
}

#[tokio::test]
async fn http_refusals_have_the_status_that_senders_understand() {
    let limits = Limits { otlp_bytes: 1_000, request_bytes: 3_000, ..Limits::default() };
    let mut receiver = receiver(limits, 1).await;
    let status = async |headers: &[(&str, &str)], body: &[u8]| receiver.post("/v1/metrics", headers, body).await.0;
    let good = request("a", false).encode_to_vec();
    assert_eq!(status(&[], &good).await, 415);
    assert_eq!(status(&[("Content-Type", "text/plain")], &good).await, 415);
    assert_eq!(status(&[PROTOBUF, ("Content-Encoding", "zstd")], &good).await, 415);
    assert_eq!(status(&[PROTOBUF, GZIP], &good).await, 400, "not gzip");
    assert_eq!(status(&[PROTOBUF], b"\xff").await, 400);
    assert_eq!(status(&[JSON], b"{").await, 400);
    assert_eq!(status(&[PROTOBUF], &vec![0; 4_000]).await, 413);
    assert_eq!(status(&[PROTOBUF], &vec![0; 2_000]).await, 413);
    assert_eq!(status(&[PROTOBUF, GZIP], &gzip(&vec![0; 100_000])).await, 413);
    assert_eq!(status(&[PROTOBUF], &good).await, 200);
    let (busy, told) = receiver.post("/v1/metrics", &[JSON], b"{}").await;
    assert_eq!((busy, told.as_str()), (429, r#"{"code":14,"message":"the engine is busy: try again"}"#));
    receiver.batch().await;
    assert_eq!(receiver.post("/v1/metrics", &[JSON], b"{}").await, (200, "{}".to_owned()));
}

fn spans_request(failed: bool, trace: u8) -> ExportTraceServiceRequest {
    let now = clock::now() as u64 * 1_000_000;
    let span = Span {
        trace_id: vec![trace; 16],
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: now - 300_000_000,
        end_time_unix_nano: now,
        status: Some(Status { code: if failed { 2 } else { 0 }, ..Status::default() }),
        ..Span::default()
    };
    let too_old = Span { end_time_unix_nano: 1, ..span.clone() };
    let name = AnyValue { value: Some(any_value::Value::StringValue("shop".to_owned())) };
    let attributes = vec![KeyValue { key: "service.name".to_owned(), value: Some(name), ..KeyValue::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans: vec![span, too_old], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] }
}

#[tokio::test]
async fn spans_become_series_and_failing_ones_are_remembered() {
    let receiver = receiver(Limits::default(), 4).await;
    let mut client = TraceServiceClient::connect(receiver.grpc.clone()).await.unwrap();
    let partial = client.export(spans_request(false, 1)).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    let (status, answer) = receiver.post("/v1/traces", &[PROTOBUF], &spans_request(true, 0xab).encode_to_vec()).await;
    let answer = ExportTraceServiceResponse::decode(answer.as_bytes()).unwrap();
    assert_eq!((status, answer.partial_success.unwrap().rejected_spans), (200, 1));
    assert_eq!(receiver.post("/v1/traces", &[JSON], b"{}").await, (200, "{}".to_owned()));

    let (queue, mut events) = mpsc::channel(16);
    let second = forewarn::source::config::Span(Duration::from_secs(1));
    let config = SpansConfig { interval: second, ..SpansConfig::default() };
    let inlet = Inlet { id: SourceId(6), queue };
    let running = tokio::spawn(spans::run(receiver.counter.clone(), config, inlet));
    let mut batches = Vec::new();
    while batches.len() < 2 {
        match tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap().unwrap() {
            SourceEvent::Batch(_, batch) => batches.push(batch),
            event => assert!(matches!(event, SourceEvent::Quiet(..))),
        }
    }
    running.abort();
    let calls = |batch: &Batch, status: &str| {
        let of = |run| batch.labels(run);
        let mut runs = batch.runs().iter().filter(|run| of(run).metric_name() == "traces_span_metrics_calls_total");
        let run = runs.find(|run| of(run).get("status_code") == Some(status)).unwrap();
        (of(run).get("service_name").unwrap().to_owned(), batch.samples(run)[0].v)
    };
    for status in ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"] {
        assert_eq!(calls(&batches[0], status), ("shop".to_owned(), 0.0));
        assert_eq!(calls(&batches[1], status), ("shop".to_owned(), 1.0));
    }
    let alert = Labels::from_pairs([("alertname", "Errors"), ("service_name", "shop")]);
    assert_eq!(receiver.exemplars.find(alert.as_ref()), Some("ab".repeat(16)));
    let text = receiver.metrics.encode().unwrap();
    assert!(text.contains(r#"forewarn_source_spans_total{outcome="counted",source="spans"} 2"#), "{text}");
    assert!(text.contains(r#"forewarn_source_spans_total{outcome="out_of_time",source="spans"} 2"#));
}
