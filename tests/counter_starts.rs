//! What `increase` sees of OTLP's counters: from a sender's first increment, over its restarts, and of deltas over restarts of
//! forewarn, whether the messages come again (Kafka, from an offset) or those that were not acknowledged do (OTLP).

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use fastrand::Rng;
use forewarn::base::{Limits, Millis, TimeSpan};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles, QuerySpec, QueryValue};
use forewarn::rules::RuleSet;
use forewarn::source::decode::CreatedTimestamps;
use forewarn::source::decode::otlp::{DeltaTotals, MetricsDecoder, MetricsReader, OtlpEncoding, TakenMetrics};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum};
use prost::Message as _;

const START: Millis = 1_700_000_040_000;
const STEP: Millis = 15_000;

/// A point: seconds after the start at which it begins and at which it is, and its value.
type Point = (f64, f64, f64);

fn request(delta: bool, (start, time, v): Point) -> ExportMetricsServiceRequest {
    let nanos = |seconds: f64| (START as u64 * 1_000_000) + (seconds * 1e9) as u64;
    let point = NumberDataPoint {
        start_time_unix_nano: nanos(start),
        time_unix_nano: nanos(time),
        value: Some(Value::AsDouble(v)),
        ..Default::default()
    };
    let aggregation_temporality = if delta { 1 } else { 2 };
    let data = Some(Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic: true }));
    let metrics = vec![Metric { name: "x".to_owned(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }] }
}

fn decoder(created: CreatedTimestamps) -> MetricsDecoder {
    MetricsDecoder::new(Default::default(), created, &Limits::default())
}

fn decode(decoder: &mut MetricsDecoder, request: &ExportMetricsServiceRequest) -> TakenMetrics {
    decoder.decode(&request.encode_to_vec(), OtlpEncoding::Protobuf, TimeSpan::ALL).unwrap()
}

/// The queries: what the window grew by, and its samples.
fn engine() -> Engine {
    let mut engine = Engine::new(EngineOptions::default());
    let queries = ["increase(x_total[30m])", "x_total[30m]"].map(|expr| QuerySpec::from(expr.to_owned()));
    engine.load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut Output::default()).unwrap();
    engine.advance(START - 1, &Inline, &mut Output::default());
    engine
}

/// Takes a message in, and time on to its newest sample.
fn feed(engine: &mut Engine, taken: &TakenMetrics) {
    engine.ingest(&taken.decoded.batch);
    if let Some(newest) = taken.decoded.batch.newest() {
        engine.advance(newest, &Inline, &mut Output::default());
    }
}

fn increase(engine: &mut Engine) -> f64 {
    engine.query(0, &Inline).unwrap().unwrap().into_elements()[0].1
}

/// What all samples grow by, resets counted as `increase` does, but without its extrapolation.
fn growth(engine: &mut Engine) -> f64 {
    let Some(QueryValue::Matrix(series)) = engine.query(1, &Inline).unwrap() else { panic!("samples") };
    let samples = &series[0].1;
    samples.windows(2).map(|pair| if pair[1].v < pair[0].v { pair[1].v } else { pair[1].v - pair[0].v }).sum()
}

/// What a process with checkpoints goes on with.
fn restored(engine: &Engine) -> Engine {
    let mut restored = Engine::restore(EngineOptions::default(), &engine.snapshot()).unwrap().engine;
    let queries = ["increase(x_total[30m])", "x_total[30m]"].map(|expr| QuerySpec::from(expr.to_owned()));
    restored.load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut Output::default()).unwrap();
    restored
}

#[test]
fn a_sender_that_begins_anew_is_seen_though_it_has_counted_further() {
    // 40 in the first process, 70 in the second, whose first point is above the first process' last.
    let points = [(0.5, 15.0, 10.0), (0.5, 30.0, 25.0), (0.5, 45.0, 40.0), (50.0, 60.0, 55.0), (50.0, 75.0, 70.0)];
    let run = |created| {
        let (mut engine, mut decoder) = (engine(), decoder(created));
        points.iter().for_each(|point| feed(&mut engine, &decode(&mut decoder, &request(false, *point))));
        (increase(&mut engine), growth(&mut engine))
    };
    // Nothing is extrapolated before a zero, nor behind the window's last instant.
    assert_eq!(run(CreatedTimestamps::ZeroSample), (110.0, 110.0));
    assert_eq!(run(CreatedTimestamps::Ignore).1, 60.0, "as in Prometheus by default");
}

/// Points of processes that begin within the last minute before their first point, by the step at which each arrives.
fn arriving(rng: &mut Rng, delay_max: usize) -> Vec<Vec<Point>> {
    let mut arriving = vec![Vec::new(); 120];
    let (mut start, mut total) = (0.001, 0.0);
    for step in 1..100usize {
        let time = step as f64 * STEP as f64 / 1e3;
        if rng.u8(..6) == 0 {
            // Sometimes at the very instant of the last point.
            (start, total) = (time - [STEP as f64 / 1e3, 14.0, 3.0][rng.usize(..3)], rng.i64(0..300) as f64);
        }
        total += rng.i64(0..20) as f64;
        arriving[step + delays(step, delay_max)].push((start, time, total));
    }
    arriving
}

/// How many steps late a point comes.
fn delays(step: usize, max: usize) -> usize {
    if max == 0 { 0 } else { (step * 7 + step / 3) % (max + 1) }
}

#[test]
fn neither_the_order_of_arrival_nor_a_restart_leaves_a_trace() {
    for seed in 0..10 {
        let run = |delay_max: usize, restarts: bool| {
            let arriving = arriving(&mut Rng::with_seed(seed), delay_max);
            let (mut engine, mut decoding) = (engine(), decoder(CreatedTimestamps::ZeroSample));
            let (mut seen, mut refused) = (Vec::new(), 0);
            for (step, points) in arriving.iter().enumerate() {
                for point in points {
                    let taken = engine.ingest(&decode(&mut decoding, &request(false, *point)).decoded.batch);
                    refused += taken.late + taken.out_of_time;
                }
                // What waits is in the snapshot.
                if restarts && step % 5 == 2 {
                    engine = restored(&engine);
                }
                engine.advance(START + (step as Millis - 4) * STEP, &Inline, &mut Output::default());
                let value = engine.query(1, &Inline).unwrap();
                seen.push(match value {
                    Some(QueryValue::Matrix(series)) => series.into_iter().map(|(_, samples)| samples).collect(),
                    _ => Vec::new(),
                });
            }
            let held = engine.holdings();
            assert_eq!(
                (refused, held.out_of_order, held.duplicate, held.conflict),
                (0, 0, 0, 0),
                "no fault of anybody"
            );
            seen
        };
        let in_order = run(0, false);
        let zeros = in_order.last().unwrap()[0].iter().filter(|s| s.v == 0.0 && s.t % STEP != 0).count();
        assert!(zeros > 3, "{zeros}");
        for (delay_max, restarts) in [(3, false), (2, true), (0, true)] {
            assert!(run(delay_max, restarts) == in_order, "seed {seed}, {delay_max} steps late, {restarts}");
        }
    }
}

/// Deltas of a sender that exports every step; some are large, so that a total of few is above one of many.
fn deltas(rng: &mut Rng) -> Vec<Point> {
    let at = |i: i64| (i * STEP) as f64 / 1e3;
    let size = |rng: &mut Rng| if rng.u8(..4) == 0 { rng.i64(50..500) } else { rng.i64(0..20) };
    (1..40).map(|i| (at(i - 1), at(i), size(rng) as f64)).collect()
}

#[test]
fn deltas_read_again_from_an_offset_are_counted_once() {
    let mut rng = Rng::with_seed(3);
    for round in 0..40 {
        let points = deltas(&mut rng);
        let total: f64 = points.iter().map(|p| p.2).sum();
        let created = if round % 2 == 0 { CreatedTimestamps::ZeroSample } else { CreatedTimestamps::Ignore };
        let (mut engine, mut decoding) = (engine(), decoder(created));
        let (mut checkpoint, mut offset) = (restored(&engine), 0);
        let mut next = 0;
        while next < points.len() {
            feed(&mut engine, &decode(&mut decoding, &request(true, points[next])));
            next += 1;
            match rng.u8(..6) {
                0 => (checkpoint, offset) = (restored(&engine), next),
                // Killed: what was read since the checkpoint is read again, by a decoder that knows nothing.
                1 => (engine, decoding, next) = (restored(&checkpoint), decoder(created), offset),
                _ => {}
            }
        }
        let want = if created == CreatedTimestamps::Ignore { total - points[0].2 } else { total };
        assert_eq!(growth(&mut engine), want, "round {round}");
        if created == CreatedTimestamps::ZeroSample {
            assert!((increase(&mut engine) - total).abs() < 1e-9, "round {round}");
        }
    }
}

#[test]
fn deltas_sent_again_after_a_crash_are_counted_once() {
    let mut rng = Rng::with_seed(4);
    let limits = Limits::default();
    for round in 0..40 {
        let points = deltas(&mut rng);
        let total: f64 = points.iter().map(|p| p.2).sum();
        let reader = MetricsReader::new(Default::default(), CreatedTimestamps::ZeroSample, &limits);
        let (mut engine, mut totals) = (engine(), DeltaTotals::since(&limits, START));
        let (mut next, mut crashes, mut now) = (0, 0, START);
        while next < points.len() {
            let taken = reader.take(&request(true, points[next]), TimeSpan::ALL, &mut totals).unwrap();
            feed(&mut engine, &taken);
            next += 1;
            // The engine has, by the log, all that came; of the last few the sender does not know.
            now = now.max(START + (points[next - 1].1 * 1e3) as Millis + rng.i64(1..STEP));
            if rng.u8(..10) == 0 && crashes < 4 {
                (engine, totals) = (restored(&engine), DeltaTotals::since(&limits, now));
                next -= rng.usize(0..=next.min(3));
                crashes += 1;
            }
        }
        assert_eq!(growth(&mut engine), total, "round {round}, {crashes} crashes");
    }
}
