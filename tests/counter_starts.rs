//! What `increase` sees of OTLP's counters: from a sender's first increment, over its restarts, and of deltas over restarts of
//! forewarn, whether the messages come again (Kafka, from an offset) or those that were not acknowledged do (OTLP). With and
//! without samples that wait for the watermark, and where what is read or sent again was in the checkpoint already.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use fastrand::Rng;
use forewarn::base::{BatchBuilder, CounterStart, Labels, Limits, Millis, Sample, TimeSpan, stale_nan};
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
    engine_of(1)
}

fn engine_of(shards: usize) -> Engine {
    let mut engine = Engine::new(EngineOptions { shards, ..EngineOptions::default() });
    let queries = ["increase(x_total[30m])", "x_total[30m]"].map(|expr| QuerySpec::from(expr.to_owned()));
    engine.load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut Output::default()).unwrap();
    engine.advance(START - 1, &Inline, &mut Output::default());
    engine
}

/// Takes a message in, and time on to its newest sample.
fn feed(engine: &mut Engine, taken: &TakenMetrics) {
    feed_behind(engine, taken, 0);
}

/// The same with the watermark so far behind.
fn feed_behind(engine: &mut Engine, taken: &TakenMetrics, lateness: Millis) {
    engine.ingest(&taken.decoded.batch);
    if let Some(newest) = taken.decoded.batch.newest() {
        engine.advance(newest - lateness, &Inline, &mut Output::default());
    }
}

/// Takes time on to the end of some points.
fn finish(engine: &mut Engine, points: &[Point]) {
    engine.advance(START + (points[points.len() - 1].1 * 1e3) as Millis, &Inline, &mut Output::default());
}

/// How far the watermark is behind: not at all, less than a step, some steps.
const LATENESS: [Millis; 3] = [0, 10_000, 40_000];

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

/// Of a host whose clock says so, and who does not take what is further ahead than two steps.
fn accepted(now: Millis) -> TimeSpan {
    TimeSpan::around(now, &Limits { future_seconds: 30, ..Limits::default() })
}

/// Reads all points as a process does that is killed now and then, and goes on from a checkpoint that may have more than its
/// offset says, by so many messages at the most; gives what the engine then has.
fn read_again(points: &[Point], seed: u64, lateness: Millis, created: CreatedTimestamps, behind_max: usize) -> Engine {
    let mut rng = Rng::with_seed(seed);
    let start = || MetricsDecoder::resuming(Default::default(), created, &Limits::default());
    let (mut engine, mut decoding, mut now) = (engine(), start(), START);
    let (mut checkpoint, mut offset) = (restored(&engine), 0);
    let mut next = 0;
    while next < points.len() {
        now = now.max(START + (points[next].1 * 1e3) as Millis) + rng.i64(1..5_000);
        let bytes = request(true, points[next]).encode_to_vec();
        feed_behind(&mut engine, &decoding.decode(&bytes, OtlpEncoding::Protobuf, accepted(now)).unwrap(), lateness);
        next += 1;
        match rng.u8(..6) {
            0 => (checkpoint, offset) = (restored(&engine), next - rng.usize(0..=behind_max.min(next))),
            // Killed: what was read since the checkpoint is read again, by a decoder that knows nothing.
            1 => (engine, decoding, next) = (restored(&checkpoint), start(), offset),
            _ => {}
        }
    }
    finish(&mut engine, points);
    engine
}

#[test]
fn deltas_read_again_from_an_offset_are_counted_once() {
    for round in 0..20 {
        let points = deltas(&mut Rng::with_seed(round));
        let total: f64 = points.iter().map(|p| p.2).sum();
        for (lateness, behind_max) in LATENESS.into_iter().flat_map(|lateness| [(lateness, 0), (lateness, 4)]) {
            let read = |created| read_again(&points, round, lateness, created, behind_max);
            let what = format!("round {round}, {lateness} late, at most {behind_max} behind");
            // The first value of a new counter is no increase.
            assert_eq!(growth(&mut read(CreatedTimestamps::Ignore)), total - points[0].2, "{what}");
            let mut engine = read(CreatedTimestamps::ZeroSample);
            assert_eq!(growth(&mut engine), total, "{what}");
            assert!((increase(&mut engine) - total).abs() < 1e-9, "{what}");
        }
    }
}

/// Sends all points to a process that is killed up to four times, of whose log the last messages are read again though the
/// checkpoint has them, and that is sent again what it could not acknowledge; gives what the engine then has.
fn sent_again(points: &[Point], seed: u64, lateness: Millis) -> (Engine, i32) {
    let (mut rng, limits) = (Rng::with_seed(seed), Limits::default());
    let reader = MetricsReader::new(Default::default(), CreatedTimestamps::ZeroSample, &limits);
    let (mut engine, mut totals, mut log) = (engine(), DeltaTotals::since(&limits, accepted(START)), Vec::new());
    let (mut next, mut crashes, mut now) = (0, 0, START);
    while next < points.len() {
        // Its clock may be ahead of ours.
        let ahead = rng.i64(0..30_000);
        now = now.max(START + (points[next].1 * 1e3) as Millis - ahead) + rng.i64(1..5_000);
        let taken = reader.take(&request(true, points[next]), accepted(now), &mut totals).unwrap();
        feed_behind(&mut engine, &taken, lateness);
        log.push(taken);
        next += 1;
        if rng.u8(..10) == 0 && crashes < 4 {
            (engine, totals) = (restored(&engine), DeltaTotals::since(&limits, accepted(now)));
            let read_again = log.len() - rng.usize(0..=log.len().min(3));
            log[read_again..].iter().for_each(|taken| _ = engine.ingest(&taken.decoded.batch));
            // The engine has all that came; of the last few the sender does not know.
            next -= rng.usize(0..=next.min(3));
            crashes += 1;
        }
    }
    finish(&mut engine, points);
    (engine, crashes)
}

#[test]
fn deltas_sent_again_after_a_crash_are_counted_once() {
    for round in 0..40 {
        let points = deltas(&mut Rng::with_seed(round));
        let total: f64 = points.iter().map(|p| p.2).sum();
        for lateness in LATENESS {
            let (mut engine, crashes) = sent_again(&points, round, lateness);
            assert_eq!(growth(&mut engine), total, "round {round}, {lateness} late, {crashes} crashes");
        }
    }
}

/// What stands in a message for a series: a total or an increment, and where a total begins.
#[derive(Clone, Copy, Debug)]
struct Told {
    series: usize,
    start: Option<(Millis, CounterStart)>,
    t: Millis,
    v: f64,
}

impl Told {
    fn total(step: Millis, v: f64) -> Self {
        Self { series: 0, start: None, t: START + step * STEP, v }
    }

    fn anew(self) -> Self {
        Self { start: Some((self.t - 1, CounterStart::Anew)), ..self }
    }

    fn increment(self) -> Self {
        Self { start: Some((self.t, CounterStart::Increment)), ..self }
    }
}

fn ingest(engine: &mut Engine, told: &[Told]) {
    let mut builder = BatchBuilder::new(&Limits::default());
    for Told { series, start, t, v } in told {
        builder.series(Labels::from_pairs([("__name__", "x_total"), ("series", &series.to_string())]).as_ref());
        start.iter().for_each(|(t, start)| builder.counter_start(*t, *start));
        builder.sample(*t, *v);
    }
    let taken = engine.ingest(&builder.finish());
    assert_eq!((taken.accepted, taken.late), (told.len() as u64, 0));
}

/// The samples of all series, by their labels.
fn samples(engine: &mut Engine) -> Vec<(String, Vec<(Millis, f64)>)> {
    let Some(QueryValue::Matrix(series)) = engine.query(1, &Inline).unwrap() else { panic!("samples") };
    let plain = |samples: Vec<Sample>| samples.iter().map(|s| (s.t - START, s.v)).collect();
    let mut all: Vec<_> = series.into_iter().map(|(labels, s)| (labels.to_string(), plain(s))).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn neither_order_nor_shards_nor_a_restart_matter_to_increments() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let (mut told, mut wants) = (Vec::new(), Vec::new());
        for series in 0..6 {
            // An earlier process had some of them, another told one by one what it did not know to be counted, and then adds up.
            let deltas: Vec<f64> = (0..30).map(|_| if rng.bool() { 0.0 } else { rng.i64(1..200) as f64 }).collect();
            let [before, again, anew] = [rng.usize(1..15), rng.usize(0..3), rng.usize(15..30)];
            let (mut total, mut later) = (0.0, 0.0);
            for (step, delta) in deltas.iter().enumerate() {
                // For a minute a total says where it began.
                let of = |begin: usize, v| Told {
                    series,
                    start: (step - begin <= 4)
                        .then_some((START + (begin as Millis + 1) * STEP - 1, CounterStart::Anew)),
                    ..Told::total(step as Millis + 1, v)
                };
                total += delta;
                if step < before {
                    told.push(of(0, total));
                }
                if step >= anew {
                    later += delta;
                    told.push(of(anew, later));
                } else if step + again >= before {
                    told.push(of(0, *delta).increment());
                }
            }
            wants.push(total - deltas[0]);
        }
        let run = |shards: usize, delay_max: Millis, restarts: bool| {
            let mut rng = Rng::with_seed(seed);
            let delay = |rng: &mut Rng| if delay_max == 0 { 0 } else { rng.i64(0..=delay_max) };
            let mut arriving: Vec<(Millis, Told)> = told.iter().map(|told| (told.t + delay(&mut rng), *told)).collect();
            if delay_max > 0 {
                rng.shuffle(&mut arriving);
            }
            arriving.sort_by_key(|(at, _)| *at);
            let mut engine = engine_of(shards);
            for message in arriving.chunks(7) {
                let at = message[0].0;
                engine.advance(at - delay_max - 2, &Inline, &mut Output::default());
                ingest(&mut engine, &message.iter().map(|(_, told)| *told).collect::<Vec<_>>());
                if restarts && rng.bool() {
                    engine = restored(&engine);
                }
            }
            engine.advance(START + 31 * STEP, &Inline, &mut Output::default());
            (samples(&mut engine), engine.holdings().conflict + engine.holdings().out_of_order)
        };
        let plain = run(1, 0, false);
        assert_eq!(plain.1, 0, "what is counted already is a duplicate, and no conflict");
        for (want, (labels, samples)) in wants.iter().zip(&plain.0) {
            let grown = |pair: &[(Millis, f64)]| if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
            assert_eq!(samples.windows(2).map(grown).sum::<f64>(), *want, "seed {seed}, {labels}: {samples:?}");
        }
        for (shards, delay_max, restarts) in [(3, 0, true), (1, 3 * STEP, false), (4, 4 * STEP, true)] {
            assert!(run(shards, delay_max, restarts) == plain, "seed {seed}, {shards} {delay_max} {restarts}");
        }
    }
}

#[test]
fn an_increment_is_left_out_where_a_total_has_overtaken_it() {
    let step = |step: Millis| step * STEP;
    let run = |told: &[Told]| {
        let mut engine = engine();
        ingest(&mut engine, told);
        finish(&mut engine, &[(0.0, 150.0, 0.0)]);
        (samples(&mut engine).remove(0).1, engine.holdings().out_of_order)
    };
    let increment = Told::total(2, 8.0).increment();
    // The total is of the process before. Whether it has the increment counted cannot be known; above it, it would be a reset.
    let overtaken = run(&[Told::total(1, 100.0), Told::total(3, 107.0), increment]);
    assert_eq!(overtaken, (vec![(step(1), 100.0), (step(3), 107.0)], 1));
    // What comes after it by itself has not overtaken it: a total that begins anew, another increment, an end.
    let anew = run(&[Told::total(1, 100.0), increment, Told::total(3, 7.0).anew()]);
    let (grown, begin) = ((step(2), 108.0), (step(3) - 1, 0.0));
    assert_eq!(anew, (vec![(step(1), 100.0), grown, begin, (step(3), 7.0)], 0));
    let both = run(&[Told::total(1, 100.0), increment, Told::total(3, 7.0).increment()]);
    assert_eq!(both, (vec![(step(1), 100.0), grown, (step(3), 115.0)], 0));
    let end = run(&[Told::total(1, 100.0), increment, Told::total(3, stale_nan())]);
    assert_eq!(end, (vec![(step(1), 100.0), grown], 0));
    // Behind an end there is nothing to add to: what was before it counts all the same.
    let ended = run(&[Told::total(1, 100.0), Told::total(2, stale_nan()), Told::total(3, 107.0).increment()]);
    assert_eq!(ended, (vec![(step(1), 100.0), begin, (step(3), 107.0)], 0));
}

#[test]
fn a_series_goes_on_where_an_increment_says_that_it_began_later() {
    let run = |points: &[Point]| {
        let mut engine = engine();
        let mut totals = decoder(CreatedTimestamps::ZeroSample);
        feed(&mut engine, &decode(&mut totals, &request(true, (1.0, 15.0, 100.0))));
        for point in points {
            let mut resuming =
                MetricsDecoder::resuming(Default::default(), CreatedTimestamps::ZeroSample, &Limits::default());
            engine.ingest(&decode(&mut resuming, &request(true, *point)).decoded.batch);
            engine = restored(&engine);
        }
        finish(&mut engine, points);
        samples(&mut engine).remove(0).1
    };
    // A new one has a zero; one that is there stands where it does, and no zero is between it and what it has grown by.
    let [begin, first] = [(1_000, 0.0), (15_000, 100.0)];
    assert_eq!(run(&[(20.0, 30.0, 8.0)]), [begin, first, (30_000, 108.0)]);
    assert_eq!(run(&[(20.0, 30.0, 8.0), (40.0, 45.0, 5.0)]), [begin, first, (30_000, 108.0), (45_000, 113.0)]);
    let mut engine = engine();
    let mut resuming = MetricsDecoder::resuming(Default::default(), CreatedTimestamps::ZeroSample, &Limits::default());
    feed(&mut engine, &decode(&mut resuming, &request(true, (1.0, 15.0, 100.0))));
    assert_eq!(samples(&mut engine).remove(0).1, [begin, first]);
}

#[test]
fn a_total_begins_anew_though_its_first_delta_is_late_or_was_refused() {
    let mut engine = engine();
    feed(&mut engine, &decode(&mut decoder(CreatedTimestamps::Ignore), &request(true, (1.0, 15.0, 100.0))));
    let mut decoding = decoder(CreatedTimestamps::Ignore);
    let points = [(1.0, 20.0, 40.0), (20.0, 30.0, 80.0), (30.0, 45.0, 5.0)];
    let taken = points.map(|point| decode(&mut decoding, &request(true, point)));
    // The first is refused: it is in no batch; the sum of both is above what the series had.
    taken[1..].iter().for_each(|taken| feed(&mut engine, taken));
    assert_eq!(growth(&mut engine), 125.0);
}
