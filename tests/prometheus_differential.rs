//! Random expressions over random series, in forewarn and in a real Prometheus 3: equal at every instant.
//!
//! `FOREWARN_SEED` and `FOREWARN_CASES` choose another or a longer run.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use forewarn::base::{BatchBuilder, Labels, Limits, Millis, parse_value};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles, QuerySpec, RuleValue};
use forewarn::promql::{Span, parse, reach};
use forewarn::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};
use serde_json::Value;
use support::peer::Peer;
use support::series::{World, world};
use support::{expressions, http};

/// A multiple of the interval.
const START: Millis = 1_699_999_980_000;
const INTERVAL: Millis = 60_000;
const STEPS: i64 = 240;
const END: Millis = START + STEPS * 15_000 + 600_000;

/// Relative difference that is accepted. Where values nearly cancel out Prometheus itself is off by this much.
const ACCEPTED: f64 = 1e-6;

/// Below this the difference counts as it is: what is left where values cancel out.
const NEXT_TO_NOTHING: f64 = 1e-6;

/// Values by series and instant; Err if the expression fails at any instant.
type Answer = Result<BTreeMap<Labels, BTreeMap<Millis, f64>>, String>;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn random_expressions_have_the_values_prometheus_gives() {
    let receiver = ["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=50y"];
    let Some(prometheus) = Peer::prometheus("{}", &receiver).await else { return };
    let build = http::get_json(&prometheus.address, "/api/v1/status/buildinfo").await.unwrap();
    let version = build["data"]["version"].as_str().unwrap().to_owned();
    if version.starts_with("2.") {
        println!("SKIPPED: Prometheus {version} has other ranges than 3.x (put a newer one first in PATH)");
        return;
    }
    let (seed, cases) = (setting("FOREWARN_SEED", 1), setting("FOREWARN_CASES", 200));
    println!("Prometheus {version}");
    let world = world(seed, START, STEPS);
    fill(&prometheus, &world).await;
    let mut rng = Rng::with_seed(seed);
    let exprs: Vec<String> = (0..cases).map(|_| expressions::expression(&mut rng)).collect();
    let ours = ours(&world, &exprs);
    compare(&prometheus, "rules", &exprs, &ours).await;
    let exprs: Vec<String> =
        (0..cases).map(|_| expressions::looking_about(&mut rng, START / 1000..END / 1000)).collect();
    let asked = asked(&world, &exprs);
    compare(&prometheus, "queries with @, negative offsets and parameters from series", &exprs, &asked).await;
}

/// Compares our answers with Prometheus'.
async fn compare(prometheus: &Peer, what: &str, exprs: &[String], ours: &[Answer]) {
    let nothing = String::new();
    let (mut worst, mut values, mut failing, mut stricter, mut wrong) = ((0.0f64, &nothing), 0, 0, 0, Vec::new());
    for (expr, ours) in exprs.iter().zip(ours) {
        let theirs = ask(prometheus, expr).await;
        match (ours, &theirs) {
            (Err(_), Err(_)) => failing += 1,
            // Newer than 3.5: a match is ambiguous even where the comparison leaves one element.
            (Err(e), Ok(_)) if e.contains("many-to-one matching must be explicit") => stricter += 1,
            (Ok(a), Ok(b)) => match difference(a, b) {
                Ok(d) => {
                    worst = if d > worst.0 { (d, expr) } else { worst };
                    values += b.values().map(BTreeMap::len).sum::<usize>();
                }
                Err(what) => wrong.push(format!("{expr}\n    {what}")),
            },
            (a, b) => wrong.push(format!("{expr}\n    ours {:?}, theirs {:?}", a.as_ref().err(), b.as_ref().err())),
        }
    }
    println!(
        "{} {what}: {values} values, both fail {failing}; ours alone, ambiguous matches, {stricter}; wrong {}; worst relative \
         difference {:e} in {}",
        exprs.len(),
        wrong.len(),
        worst.0,
        worst.1
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(values > 20 * exprs.len(), "{values}");
}

/// Largest relative difference.
fn difference(
    a: &BTreeMap<Labels, BTreeMap<Millis, f64>>,
    b: &BTreeMap<Labels, BTreeMap<Millis, f64>>,
) -> Result<f64, String> {
    let keys = |m: &BTreeMap<Labels, BTreeMap<Millis, f64>>| {
        m.iter().flat_map(|(l, v)| v.keys().map(move |t| format!("{l} at {}", (t - START) / 1000))).collect::<Vec<_>>()
    };
    let (ours, theirs) = (keys(a), keys(b));
    if ours != theirs {
        let only =
            |x: &[String], y: &[String]| x.iter().filter(|k| !y.contains(k)).take(3).cloned().collect::<Vec<_>>();
        return Err(format!("only ours: {:?}; only theirs: {:?}", only(&ours, &theirs), only(&theirs, &ours)));
    }
    let mut worst = 0.0f64;
    for ((labels, a), b) in a.iter().zip(b.values()) {
        for ((t, &a), &b) in a.iter().zip(b.values()) {
            if a == b || (a.is_nan() && b.is_nan()) {
                continue;
            }
            let d = (a - b).abs() / a.abs().max(b.abs()).max(NEXT_TO_NOTHING);
            if !d.is_finite() || d > ACCEPTED {
                return Err(format!("{labels} at {}: ours {a}, theirs {b}", (t - START) / 1000));
            }
            worst = worst.max(d);
        }
    }
    Ok(worst)
}

fn ours(world: &World, exprs: &[String]) -> Vec<Answer> {
    let rule = |(i, expr): (usize, &String)| Rule {
        name: format!("expr:{i}"),
        expr: expr.clone(),
        labels: vec![],
        kind: RuleKind::Record,
        position: Position { line: 1, column: 1 },
    };
    let rules = exprs.iter().enumerate().map(rule).collect();
    let (file, name) = ("f".into(), "g".into());
    let group = RuleGroup { file, name, interval: Some(INTERVAL), query_offset: None, limit: 0, rules };
    let mut engine = Engine::new(EngineOptions { shards: 3, collect_results: true, ..EngineOptions::default() });
    let rules = RuleSet { groups: vec![Arc::new(group)] };
    engine.load(&rules, &Profiles::default(), &mut Output::default()).unwrap_or_else(|e| panic!("{}", e[0]));
    begin(&mut engine, world);
    let mut out = Output::default();
    engine.advance(END, &Inline, &mut out);
    let mut answers: Vec<Answer> = exprs.iter().map(|_| Ok(BTreeMap::new())).collect();
    for result in out.results.into_iter().filter(|r| r.t >= START) {
        let elements = match result.value {
            Ok(RuleValue::Vector(elements)) => elements,
            Ok(RuleValue::Scalar(v)) => vec![(Labels::default(), v)],
            Err(e) => {
                answers[result.rule] = Err(e.to_string());
                continue;
            }
        };
        if let Ok(answer) = &mut answers[result.rule] {
            for (labels, v) in elements {
                answer.entry(labels).or_default().insert(result.t, v);
            }
        }
    }
    answers
}

/// Hands the samples in.
fn begin(engine: &mut Engine, world: &World) {
    // Early enough for the first steps of subqueries of subqueries.
    engine.advance(START - 3_600_000, &Inline, &mut Output::default());
    let mut batch = BatchBuilder::new(&Limits::default());
    for event in &world.events {
        batch.series(world.series[event.series].as_ref());
        batch.sample(event.sample.t, event.sample.v);
    }
    engine.ingest(&batch.finish());
}

/// Asks for expressions rather than evaluating them as rules.
fn asked(world: &World, exprs: &[String]) -> Vec<Answer> {
    let span = Span { first: START, last: END };
    let ahead = |expr: &String| reach(&parse(expr).unwrap(), Some(span)).unwrap().ahead;
    let query_offset = exprs.iter().map(ahead).max().unwrap();
    let query = |expr: &String| QuerySpec { expr: expr.clone(), query_offset, span: Some(span) };
    let queries: Vec<QuerySpec> = exprs.iter().map(query).collect();
    let mut engine = Engine::new(EngineOptions { shards: 3, ..EngineOptions::default() });
    engine
        .load_with_queries(&RuleSet::default(), &queries, &Profiles::default(), &mut Output::default())
        .unwrap_or_else(|e| panic!("{}", e[0]));
    begin(&mut engine, world);
    let mut answers: Vec<Answer> = exprs.iter().map(|_| Ok(BTreeMap::new())).collect();
    for t in (START..=END).step_by(INTERVAL as usize) {
        engine.advance(t + query_offset, &Inline, &mut Output::default());
        for (index, answer) in answers.iter_mut().enumerate() {
            match (engine.query(index, &Inline), answer) {
                (_, Err(_)) => {}
                (Err(e), answer) => *answer = Err(e.to_string()),
                (Ok(value), Ok(answer)) => {
                    for (labels, v) in value.unwrap().into_elements() {
                        answer.entry(labels).or_default().insert(t, v);
                    }
                }
            }
        }
    }
    answers
}

/// What Prometheus says. A range query refuses a result in which series have equal labels, even at different instants; then
/// it is asked for each instant.
async fn ask(prometheus: &Peer, expr: &str) -> Answer {
    let encoded: String = expr.bytes().map(|b| format!("%{b:02X}")).collect();
    let (start, end) = (START / 1000, END / 1000);
    let parameters = format!("query={encoded}&start={start}&end={end}&step={}", INTERVAL / 1000);
    let mut series = BTreeMap::new();
    let data = match query(prometheus, "/api/v1/query_range", &parameters).await {
        Err(error) if error.contains("same labelset") => {
            for t in (START..=END).step_by(INTERVAL as usize) {
                let parameters = format!("query={encoded}&time={}", t / 1000);
                read(&query(prometheus, "/api/v1/query", &parameters).await?, &mut series);
            }
            return Ok(series);
        }
        other => other?,
    };
    read(&data, &mut series);
    Ok(series)
}

async fn query(prometheus: &Peer, path: &str, parameters: &str) -> Result<Value, String> {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let (_, answer) = http::post(&prometheus.address, path, &form, parameters.as_bytes()).await.unwrap();
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer["data"]["result"].take()),
    }
}

/// Adds the samples of a vector or matrix.
fn read(result: &Value, series: &mut BTreeMap<Labels, BTreeMap<Millis, f64>>) {
    for one in result.as_array().unwrap() {
        let pairs = one["metric"].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap()));
        let samples = series.entry(Labels::from_pairs(pairs)).or_default();
        let instant = one["value"].is_array().then(|| &one["value"]);
        for pair in one["values"].as_array().into_iter().flatten().chain(instant) {
            let t = (pair[0].as_f64().unwrap() * 1000.0).round() as Millis;
            samples.insert(t, parse_value(pair[1].as_str().unwrap()).unwrap());
        }
    }
}

/// Sends all samples by remote write 1.0.
async fn fill(prometheus: &Peer, world: &World) {
    let mut request = Vec::new();
    for (at, labels) in world.series.iter().enumerate() {
        let mut series = Vec::new();
        for (name, value) in labels.as_ref().iter() {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        for event in world.events.iter().filter(|e| e.series == at) {
            let mut sample = vec![0x09];
            sample.extend(event.sample.v.to_le_bytes());
            sample.push(0x10);
            varint(&mut sample, event.sample.t as u64);
            field(&mut series, 2, &sample);
        }
        field(&mut request, 1, &series);
    }
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let headers = [
        ("Content-Encoding", "snappy"),
        ("Content-Type", "application/x-protobuf"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let sent = http::post(&prometheus.address, "/api/v1/write", &headers, &body).await;
    assert!(matches!(sent, Some((200..=299, _))), "{sent:?}");
    support::eventually("the samples", Duration::from_secs(10), async || {
        ask(prometheus, "up").await.ok().filter(|a| !a.is_empty())
    })
    .await;
}

/// A length-delimited protobuf field.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
