//! What waits for what, and what becomes of a message whose sender hangs up. Real sockets; the answers themselves are for
//! `tests/otlp_receiver.rs`.

use std::sync::mpsc as std_mpsc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::source::exemplars::Exemplars;
use crate::source::{Inlet, SourceEvent, SourceId};
use crate::telemetry::Metrics;

fn receiver() -> (OtlpReceiver, mpsc::Receiver<SourceEvent>) {
    let (queue, events) = mpsc::channel(4);
    let (metrics, limits) = (Metrics::new().unwrap(), Arc::new(Limits::default()));
    let intake = Intake { inlet: Inlet { id: SourceId(1), queue }, source: "otlp".to_owned(), log: None };
    let spans = SpanCounter::new(Arc::clone(&limits), Exemplars::default(), metrics.source.of("spans"));
    let reader = MetricsReader::new(Default::default(), Default::default(), &limits);
    let patience = Duration::from_secs(1);
    (OtlpReceiver::new(intake, reader, limits, metrics.source.of("otlp"), patience, spans), events)
}

/// So many counters, with points of now.
fn message(counters: usize, temporality: AggregationTemporality) -> Bytes {
    let time_unix_nano = clock::now() as u64 * 1_000_000;
    let point = NumberDataPoint { time_unix_nano, value: Some(Value::AsInt(3)), ..Default::default() };
    let metric = |i| {
        let aggregation_temporality = temporality as i32;
        let sum = Sum { data_points: vec![point.clone()], aggregation_temporality, is_monotonic: true };
        Metric { name: format!("counter.{i}"), data: Some(Data::Sum(sum)), ..Metric::default() }
    };
    let scope_metrics = vec![ScopeMetrics { metrics: (0..counters).map(metric).collect(), ..Default::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..Default::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

/// Holds the totals' lock, on a thread of its own, until what is returned is dropped.
fn hold(receiver: &OtlpReceiver) -> std_mpsc::Sender<()> {
    let deltas = Arc::clone(&receiver.deltas);
    let ((holding, held), (release, released)) = (std_mpsc::channel(), std_mpsc::channel::<()>());
    std::thread::spawn(move || {
        let _guard = deltas.lock().unwrap();
        holding.send(()).unwrap();
        let _ = released.recv();
    });
    held.recv().unwrap();
    release
}

const MOMENT: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn only_deltas_wait_for_the_totals() {
    let (receiver, mut events) = receiver();
    let take = |bytes| receiver.take(Signal::Metrics, OtlpEncoding::Protobuf, bytes);
    for counters in [1, 5_000] {
        let release = hold(&receiver);
        let cumulative = message(counters, AggregationTemporality::Cumulative);
        assert_eq!(cumulative.len() > INLINE_BYTES, counters > 1);
        let taken = tokio::time::timeout(SOON, take(cumulative)).await.unwrap();
        assert_eq!(taken.unwrap(), Taken::default());
        let deltas = take(message(counters, AggregationTemporality::Delta));
        tokio::pin!(deltas);
        assert!(tokio::time::timeout(MOMENT, &mut deltas).await.is_err(), "it waits");
        drop(release);
        assert_eq!(tokio::time::timeout(SOON, deltas).await.unwrap().unwrap(), Taken::default());
        for _ in 0..2 {
            let Some(SourceEvent::Batch(_, batch)) = events.recv().await else { panic!("no batch") };
            assert_eq!(batch.measured(), counters as u64);
        }
    }
}

/// Sends a request of `body`, of which only so many bytes go out; gives the connection.
async fn post(address: &str, body: &[u8], sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..sent]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_message_is_taken_whole_or_not_at_all_though_its_sender_hangs_up() {
    let (receiver, mut events) = receiver();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = http::router(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let body = message(3, AggregationTemporality::Delta);
    // In the middle of the body: nothing is taken, and no place in the queue.
    drop(post(&address, &body, body.len() / 2).await);
    // While it is decoded: it is kept.
    let release = hold(&receiver);
    let stream = post(&address, &body, body.len()).await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(receiver.intake.inlet.queue.capacity(), 3, "it has a place and waits for the totals");
    drop(stream);
    tokio::time::sleep(MOMENT).await;
    drop(release);
    let event = tokio::time::timeout(SOON, events.recv()).await.unwrap();
    let Some(SourceEvent::Batch(_, batch)) = event else { panic!("no batch") };
    assert_eq!(batch.measured(), 3);
    assert_eq!(receiver.intake.inlet.queue.capacity(), 4);
    // Its sender does not know, and comes again: it is known, and not counted twice.
    let mut answer = Vec::new();
    post(&address, &body, body.len()).await.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("delta_out_of_order: 3"), "{answer}");
    assert!(events.try_recv().is_err(), "there was nothing else");
}
