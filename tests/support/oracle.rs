//! The same samples and expressions in forewarn's engine and in a real Prometheus, and what each says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forewarn::base::{BatchBuilder, Labels, Limits, Millis, parse_value};
use forewarn::engine::{Engine, EngineOptions, EvalError, Inline, Output, Profiles, QuerySpec, RuleValue};
use forewarn::promql::{Span, parse, reach};
use forewarn::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};
use serde_json::Value;

use super::peer::Peer;
use super::series::World;
use super::{eventually, http};

/// Series with values by instant.
pub type Matrix = BTreeMap<Labels, BTreeMap<Millis, f64>>;

/// What an expression gives; Err if it fails at any instant.
pub type Answer = Result<Matrix, String>;

/// Instants at which expressions are evaluated.
#[derive(Clone, Copy)]
pub struct Grid {
    /// A multiple of the interval, less the query offset of rules that have one.
    pub start: Millis,
    pub end: Millis,
    pub interval: Millis,
}

/// What expressions are in forewarn.
#[derive(Clone, Copy)]
pub enum Way {
    /// Rules of one group, which is evaluated `query_offset` late.
    Rules { query_offset: Millis },
    /// Queries over a known span, for which one waits until all they ask for has come.
    Queries,
}

/// A Prometheus that holds a world.
pub struct Prometheus {
    peer: Peer,
    /// As `3.5.0`.
    pub version: String,
}

impl Prometheus {
    /// None where it is not installed.
    pub async fn start() -> Option<Self> {
        Self::start_with("{}", &[]).await
    }

    /// With a configuration and further flags.
    pub async fn start_with(config: &str, further: &[&str]) -> Option<Self> {
        let receiver = ["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=50y"];
        let peer = Peer::prometheus(config, &[&receiver, further].concat()).await?;
        let build = http::get_json(&peer.address, "/api/v1/status/buildinfo").await.unwrap();
        let version = build["data"]["version"].as_str().unwrap().to_owned();
        Some(Self { peer, version })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.peer.address
    }

    /// The server itself.
    pub fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// Sends all samples by remote write 1.0.
    pub async fn fill(&self, world: &World) {
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
        let sent = http::post(&self.peer.address, "/api/v1/write", &headers, &body).await;
        assert!(matches!(sent, Some((200..=299, _))), "{sent:?}");
        let last = world.events.last().unwrap().sample.t;
        let newest = Grid { start: last, end: last, interval: 1000 };
        eventually("the samples", Duration::from_secs(10), async || {
            self.ask(newest, r#"{__name__=~".+"}"#).await.ok().filter(|a| !a.is_empty())
        })
        .await;
    }

    /// Sends one request of remote write 2.0, not compressed yet.
    pub async fn write_v2(&self, request: &[u8]) {
        let headers = [
            ("Content-Encoding", "snappy"),
            ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
            ("X-Prometheus-Remote-Write-Version", "2.0.0"),
        ];
        let body = snap::raw::Encoder::new().compress_vec(request).unwrap();
        let sent = http::post(&self.peer.address, "/api/v1/write", &headers, &body).await;
        assert!(matches!(sent, Some((200..=299, _))), "{sent:?}");
    }

    /// The samples themselves of what a range selector matches at an instant.
    pub async fn samples(&self, at: Millis, range: &str) -> Answer {
        let parameters = format!("query={}&time={:.3}", url_encoded(range), at as f64 / 1e3);
        let mut series = BTreeMap::new();
        read(&self.query("/api/v1/query", &parameters).await?, &mut series);
        Ok(series)
    }

    /// What it says. A range query refuses a result in which series have equal labels, even at different instants; then it
    /// is asked for each instant.
    pub async fn ask(&self, grid: Grid, expr: &str) -> Answer {
        let encoded = url_encoded(expr);
        let seconds = |t: Millis| format!("{:.3}", t as f64 / 1e3);
        let (start, end, step) = (seconds(grid.start), seconds(grid.end), seconds(grid.interval));
        let mut series = BTreeMap::new();
        let parameters = format!("query={encoded}&start={start}&end={end}&step={step}");
        let data = match self.query("/api/v1/query_range", &parameters).await {
            Err(error) if error.contains("same labelset") => {
                let encoded = url_encoded(&expr.replace("start()", &start).replace("end()", &end));
                for t in (grid.start..=grid.end).step_by(grid.interval as usize) {
                    let parameters = format!("query={encoded}&time={}", seconds(t));
                    read(&self.query("/api/v1/query", &parameters).await?, &mut series);
                }
                return Ok(series);
            }
            other => other?,
        };
        read(&data, &mut series);
        Ok(series)
    }

    async fn query(&self, path: &str, parameters: &str) -> Result<Value, String> {
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let (_, answer) = http::post(&self.peer.address, path, &form, parameters.as_bytes()).await.unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["data"]["result"].take()),
        }
    }
}

/// What forewarn says: each expression a rule of one group, or a query, and the samples fed as a stream.
pub fn ours(way: Way, grid: Grid, world: &World, exprs: &[String]) -> Vec<Answer> {
    match way {
        Way::Rules { query_offset } => ruled(query_offset, grid, world, exprs),
        Way::Queries => asked(grid, world, exprs),
    }
}

fn ruled(query_offset: Millis, grid: Grid, world: &World, exprs: &[String]) -> Vec<Answer> {
    let rule = |(i, expr): (usize, &String)| Rule {
        name: format!("expr:{i}"),
        expr: expr.clone(),
        labels: vec![],
        kind: RuleKind::Record,
        position: Position { line: 1, column: 1 },
    };
    let rules = exprs.iter().enumerate().map(rule).collect();
    let (file, name, interval) = ("f".into(), "g".into(), Some(grid.interval));
    let group = RuleGroup { file, name, interval, query_offset: Some(query_offset), limit: 0, rules };
    let rules = RuleSet { groups: vec![Arc::new(group)] };
    let mut engine = engine_with(&rules, &[], grid, world);
    let mut out = Output::default();
    engine.advance(grid.end + query_offset, &Inline, &mut out);
    let mut answers: Vec<Answer> = exprs.iter().map(|_| Ok(BTreeMap::new())).collect();
    for result in out.results.into_iter().filter(|r| r.t >= grid.start) {
        let elements = result.value.map(|value| match value {
            RuleValue::Vector(elements) => elements,
            RuleValue::Scalar(v) => vec![(Labels::default(), v)],
        });
        add(&mut answers[result.rule], result.t, elements);
    }
    answers
}

fn asked(grid: Grid, world: &World, exprs: &[String]) -> Vec<Answer> {
    let span = Span { first: grid.start, last: grid.end };
    let ahead = |expr: &String| reach(&parse(expr).unwrap(), Some(span)).unwrap().ahead;
    let query_offset = exprs.iter().map(ahead).max().unwrap();
    let query = |expr: &String| QuerySpec { expr: expr.clone(), query_offset, span: Some(span) };
    let queries: Vec<QuerySpec> = exprs.iter().map(query).collect();
    let mut engine = engine_with(&RuleSet::default(), &queries, grid, world);
    let mut answers: Vec<Answer> = exprs.iter().map(|_| Ok(BTreeMap::new())).collect();
    for t in (grid.start..=grid.end).step_by(grid.interval as usize) {
        engine.advance(t + query_offset, &Inline, &mut Output::default());
        for (index, answer) in answers.iter_mut().enumerate() {
            add(answer, t, engine.query(index, &Inline).map(|value| value.unwrap().into_elements()));
        }
    }
    answers
}

/// An engine that has begun early enough for the first steps of subqueries of subqueries, and has the samples.
fn engine_with(rules: &RuleSet, queries: &[QuerySpec], grid: Grid, world: &World) -> Engine {
    let mut engine = Engine::new(EngineOptions { shards: 3, collect_results: true, ..EngineOptions::default() });
    engine
        .load_with_queries(rules, queries, &Profiles::default(), &mut Output::default())
        .unwrap_or_else(|e| panic!("{}", e[0]));
    let start = world.events[0].sample.t.min(grid.start);
    engine.advance(start - 2 * 3_600_000, &Inline, &mut Output::default());
    let mut batch = BatchBuilder::new(&Limits::default());
    for event in &world.events {
        batch.series(world.series[event.series].as_ref());
        batch.sample(event.sample.t, event.sample.v);
    }
    engine.ingest(&batch.finish());
    engine
}

fn add(answer: &mut Answer, t: Millis, elements: Result<Vec<(Labels, f64)>, EvalError>) {
    match (answer, elements) {
        (Err(_), _) => {}
        (answer, Err(e)) => *answer = Err(e.to_string()),
        (Ok(answer), Ok(elements)) => {
            for (labels, v) in elements {
                answer.entry(labels).or_default().insert(t, v);
            }
        }
    }
}

/// Adds the samples of a vector, a matrix or a scalar.
fn read(result: &Value, series: &mut Matrix) {
    let mut add = |labels: Labels, pair: &Value| {
        let t = (pair[0].as_f64().unwrap() * 1000.0).round() as Millis;
        series.entry(labels).or_default().insert(t, parse_value(pair[1].as_str().unwrap()).unwrap());
    };
    let list = result.as_array().unwrap();
    if list.first().is_some_and(Value::is_number) {
        return add(Labels::default(), result);
    }
    for one in list {
        let pairs = one["metric"].as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap()));
        let labels = Labels::from_pairs(pairs);
        let instant = one["value"].is_array().then(|| &one["value"]);
        one["values"].as_array().into_iter().flatten().chain(instant).for_each(|pair| add(labels.clone(), pair));
    }
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
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
