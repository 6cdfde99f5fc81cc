//! What our own script of exact semantics expects is what a real Prometheus 3 says.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;

use forewarn::base::{Millis, Sample};
use forewarn::rules::promql_script::{Command, Expected, Points, Script};
use support::hard_series::Edition;
use support::oracle::{Grid, Matrix, Prometheus};
use support::series::{Event, World};

/// Where the script's time begins: a multiple of every step in it.
const ORIGIN: Millis = 1_699_920_000_000;

#[tokio::test]
async fn the_script_of_exact_semantics_is_right() {
    let Some(prometheus) = Prometheus::start().await else { return };
    if !Edition::of(&prometheus.version).is_new() {
        return println!("Prometheus {} has other ranges than 3", prometheus.version);
    }
    let (mut evaluations, mut wrong) = (0, Vec::new());
    for command in Script::parse(include_str!("fixtures/promql/exact_semantics.test")).unwrap().commands {
        match command {
            Command::Load(load) => {
                let mut world = World { series: Vec::new(), events: Vec::new() };
                for (at, series) in load.series.into_iter().enumerate() {
                    world.series.push(series.labels);
                    let Points::Numbers(values) = series.points else { panic!("line {}", series.line) };
                    let times = (ORIGIN..).step_by(load.step as usize);
                    let samples = times.zip(values.iter()).filter_map(|(t, v)| Some(Sample { t, v: v? }));
                    world.events.extend(samples.map(|sample| Event { series: at, sample }));
                }
                // The last is looked for.
                world.events.sort_by_key(|e| e.sample.t);
                prometheus.fill(&world).await;
            }
            Command::Eval(eval) => {
                evaluations += 1;
                let at = ORIGIN + eval.instants.start;
                let got = prometheus.ask(Grid { start: at, end: at, interval: 1000 }, &eval.expr).await.unwrap();
                let Expected::Series(series) = eval.expected else { panic!("line {}", eval.line) };
                let expected: Matrix = series
                    .into_iter()
                    .map(|s| (s.labels, BTreeMap::from([(at, s.values.unwrap()[0].unwrap())])))
                    .collect();
                if !alike(&got, &expected) {
                    wrong.push(format!("line {}: {}: {got:?}", eval.line, eval.expr));
                }
            }
            Command::Clear => panic!("one world is enough"),
        }
    }
    println!("Prometheus {}: {evaluations} evaluations as expected", prometheus.version);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(evaluations > 40);
}

fn alike(a: &Matrix, b: &Matrix) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((a, x), (b, y))| {
            let same = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-14 * x.abs();
            a == b && x.values().zip(y.values()).all(|(x, y)| same(*x, *y))
        })
}
