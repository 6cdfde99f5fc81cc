//! Counters of processes that end and begin, by remote write 2.0 with created timestamps, in a real Prometheus 3.5 with
//! `created-timestamp-zero-ingestion` and in forewarn with `created_timestamps: zero_sample`: the same bytes to both, the same
//! values from both. And without the flag and the setting.
//!
//! `FOREWARN_SEED` chooses other counters.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;

use fastrand::Rng;
use forewarn::base::encode::encode_write_request_v2;
use forewarn::base::{Batch, BatchBuilder, CounterStart, Labels, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles, QuerySpec};
use forewarn::rules::RuleSet;
use forewarn::source::decode::{CreatedTimestamps, remote_write_v2};
use support::oracle::{Grid, Matrix, Prometheus};
use support::skip::skipped;

/// A multiple of the interval.
const START: Millis = 1_700_000_040_000;
const STEP: Millis = 15_000;
const STEPS: i64 = 160;
const GRID: Grid = Grid { start: START + 300_000, end: START + STEPS * STEP, interval: 10_000 };

const EXPRS: [&str; 8] = [
    "x_total",
    "increase(x_total[5m])",
    "rate(x_total[1m])",
    "resets(x_total[20m])",
    "count_over_time(x_total[3m])",
    "irate(x_total[5m])",
    "sum by (job) (increase(x_total[30m]))",
    "x_total offset 2m",
];

/// A point of a counter whose process began at `created`.
#[derive(Clone, Copy, Debug)]
struct Point {
    series: usize,
    created: Millis,
    t: Millis,
    v: f64,
}

fn labels(series: usize) -> Labels {
    let job = if series.is_multiple_of(2) { "even" } else { "odd" };
    Labels::from_pairs([("__name__", "x_total"), ("job", job), ("instance", &series.to_string())])
}

/// Points in the order of time. After a restart a process often has counted further by its first point than the one before.
fn points() -> Vec<Point> {
    let seed = std::env::var("FOREWARN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let mut rng = Rng::with_seed(seed);
    let mut points = Vec::new();
    for series in 0..20 {
        let phase = rng.i64(1..STEP);
        let mut total = rng.f64() * 100.0;
        // The first processes have run for up to three hours, of which an hour counts.
        let mut created = START - rng.i64(0..3 * 3_600_000);
        let mut step = rng.i64(0..STEPS / 2);
        while step < STEPS {
            let t = START + step * STEP + phase;
            total += (rng.f64() * 20.0).floor();
            points.push(Point { series, created, t, v: total });
            step += 1;
            if rng.u8(..12) == 0 {
                created = t + rng.i64(1..30_000);
                total = rng.f64() * 300.0;
                step += rng.i64(3..30);
            }
        }
    }
    points.sort_by_key(|p| (p.t, p.series));
    points
}

/// A request for each step.
fn requests(points: &[Point]) -> Vec<Vec<u8>> {
    let mut by_step: BTreeMap<Millis, Vec<Point>> = BTreeMap::new();
    points.iter().for_each(|p| by_step.entry((p.t - START) / STEP).or_default().push(*p));
    let request = |points: &Vec<Point>| {
        let mut builder = BatchBuilder::new(&Limits::default());
        for p in points {
            builder.series(labels(p.series).as_ref());
            builder.counter_start(p.created, CounterStart::Created);
            builder.sample(p.t, p.v);
        }
        encode_write_request_v2(&builder.finish())
    };
    by_step.values().map(request).collect()
}

fn decoded(request: &[u8], created: CreatedTimestamps) -> Batch {
    remote_write_v2::decode_message(request, &Limits::default(), created).unwrap().batch
}

/// How samples come and time goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    /// All of them before the first evaluation.
    AtOnce,
    /// As they are sent; what is evaluated between a process' begin and its first point does not know of it yet.
    Live,
}

/// What forewarn says at the instants of the grid, from what the decoder makes of the requests.
fn ours(requests: &[Vec<u8>], created: CreatedTimestamps, pace: Pace, shards: usize) -> Vec<Matrix> {
    let mut engine = Engine::new(EngineOptions { shards, ..EngineOptions::default() });
    let queries = EXPRS.map(|expr| QuerySpec::from(expr.to_owned()));
    engine.load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut Output::default()).unwrap();
    engine.advance(START - 2 * 3_600_000, &Inline, &mut Output::default());
    let mut batches = requests.iter().map(|r| decoded(r, created)).peekable();
    let mut answers: Vec<Matrix> = EXPRS.iter().map(|_| Matrix::new()).collect();
    let mut refused = 0;
    for t in (GRID.start..=GRID.end).step_by(GRID.interval as usize) {
        // A step is complete a step later; late are only beginnings, which is no fault.
        while let Some(batch) = batches.next_if(|b| pace == Pace::AtOnce || b.newest().unwrap() - STEP < t) {
            let taken = engine.ingest(&batch);
            assert_eq!((taken.late, taken.out_of_time, taken.accepted), (0, 0, batch.measured()), "at {t}");
        }
        engine.advance(t, &Inline, &mut Output::default());
        for (index, answer) in answers.iter_mut().enumerate() {
            for (labels, v) in engine.query(index, &Inline).unwrap().unwrap().into_elements() {
                answer.entry(labels).or_default().insert(t, v);
            }
        }
        let held = engine.holdings();
        refused += held.duplicate + held.conflict + held.out_of_order;
    }
    assert_eq!(refused, 0, "a beginning that says nothing new is no fault");
    answers
}

/// Values within rounding; the instants compared.
fn compare(expr: &str, ours: &Matrix, theirs: &Matrix, is_compared: impl Fn(&Labels, Millis) -> bool) -> usize {
    let close = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    let mut compared = 0;
    let all: std::collections::BTreeSet<&Labels> = ours.keys().chain(theirs.keys()).collect();
    for labels in all {
        for t in (GRID.start..=GRID.end).step_by(GRID.interval as usize).filter(|t| is_compared(labels, *t)) {
            let value = |matrix: &Matrix| matrix.get(labels).and_then(|values| values.get(&t)).copied();
            let (a, b) = (value(ours), value(theirs));
            let is_equal = match (a, b) {
                (Some(a), Some(b)) => close(a, b),
                (None, None) => continue,
                _ => false,
            };
            assert!(is_equal, "{expr} of {labels} at {t}: {a:?}, in Prometheus {b:?}");
            compared += 1;
        }
    }
    compared
}

async fn with_prometheus(
    further: &[&str],
    created: CreatedTimestamps,
) -> Option<(Prometheus, Vec<Vec<u8>>, Vec<Point>)> {
    let prometheus = Prometheus::start_with("{}", further).await?;
    if !prometheus.version.starts_with("3.") {
        skipped(&format!("Prometheus {} does not know remote write 2.0", prometheus.version));
        return None;
    }
    let points = points();
    let requests = requests(&points);
    for request in &requests {
        prometheus.write_v2(request).await;
    }
    let starts: usize = requests.iter().map(|r| decoded(r, created).all_samples().len()).sum();
    println!(
        "Prometheus {}: {} points, {} of them say when they began",
        prometheus.version,
        points.len(),
        starts - points.len()
    );
    Some((prometheus, requests, points))
}

#[tokio::test]
async fn zero_samples_are_those_of_prometheus() {
    let created = CreatedTimestamps::ZeroSample;
    let flag = ["--enable-feature=created-timestamp-zero-ingestion"];
    let Some((prometheus, requests, points)) = with_prometheus(&flag, created).await else { return };
    // Between a begin and the point that tells of it, as far as an expression looks.
    let mut first: BTreeMap<(usize, Millis), Millis> = BTreeMap::new();
    points.iter().rev().for_each(|p| _ = first.insert((p.series, p.created), p.t));
    let at_once = ours(&requests, created, Pace::AtOnce, 3);
    let live = ours(&requests, created, Pace::Live, 3);
    let mut compared = [0, 0];
    for (index, expr) in EXPRS.iter().enumerate() {
        let theirs = prometheus.ask(GRID, expr).await.unwrap();
        compared[0] += compare(expr, &at_once[index], &theirs, |_, _| true);
        let offset = if expr.contains("offset") { 120_000 } else { 0 };
        let is_known = |labels: &Labels, t: Millis| {
            let instance = labels.as_ref().get("instance");
            let mut of = first.iter().filter(|((series, _), _)| instance.is_none_or(|i| i == series.to_string()));
            !of.any(|((_, begin), point)| *begin <= t - offset && t < *point)
        };
        compared[1] += compare(expr, &live[index], &theirs, is_known);
    }
    println!("{compared:?} values compared");
    assert!(compared.iter().all(|n| *n > 1_000));
    for pace in [Pace::AtOnce, Pace::Live] {
        let others = [1, 8].map(|shards| ours(&requests, created, pace, shards));
        assert!(others.iter().all(|answers| answers == if pace == Pace::Live { &live } else { &at_once }), "{pace:?}");
    }
}

#[tokio::test]
async fn what_is_ignored_changes_nothing() {
    let created = CreatedTimestamps::Ignore;
    let Some((prometheus, requests, _)) = with_prometheus(&[], created).await else { return };
    let ours = ours(&requests, created, Pace::Live, 3);
    for (expr, ours) in EXPRS.iter().zip(&ours) {
        compare(expr, ours, &prometheus.ask(GRID, expr).await.unwrap(), |_, _| true);
    }
}
