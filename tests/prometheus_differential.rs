//! Random expressions over random series, in forewarn and in a real Prometheus: equal at every instant.
//!
//! Three sets: rules; queries that look anywhere (`@`, negative offsets); and rules that look ahead, in a group that waits for
//! it. With Prometheus 2 everything is left out in which that differs from 3: see [`Edition`] and docs/promql.md.
//!
//! `FOREWARN_SEED` and `FOREWARN_CASES` choose another or a longer run; `FOREWARN_EXPR`, with `FOREWARN_AT` in seconds, shows what
//! both say of one expression in the world of the seed.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;

use forewarn::base::Millis;
use support::expressions::noise::plain;
use support::expressions::{Looks, Writer};
use support::hard_series::{Edition, hard_series};
use support::judgement::{Judgement, judge};
use support::oracle::{Grid, Prometheus, Way, ours};
use support::series::World;

const START: Millis = 1_699_999_980_000;
const LENGTH: Millis = 3_600_000;
const GRID: Grid = Grid { start: START, end: START + LENGTH + 600_000, interval: 60_000 };

/// How long the rules that look ahead wait.
const WAIT: Millis = 440_000;

/// When rules that wait are evaluated: at minutes less that wait.
const WAITING: Grid = Grid { start: START + 2_400_000 - WAIT % 60_000, ..GRID };

/// They name instants of the first quarter of an hour only, so that at their evaluations, and at the steps of their subqueries,
/// everything has come that is asked of these.
const NAMED: Millis = 900_000;

/// What is compared.
struct Set {
    name: &'static str,
    way: Way,
    grid: Grid,
    looks: Looks,
    cases: usize,
}

fn sets(cases: usize) -> [Set; 3] {
    let from = START / 1000;
    let rules = Set { name: "rules", way: Way::Rules { query_offset: 0 }, grid: GRID, looks: Looks::Back, cases };
    let (name, looks) = ("queries that look about", Looks::About { instants: (from, from + LENGTH / 1000) });
    let grid = Grid { end: START + LENGTH, ..GRID };
    let queries = Set { name, way: Way::Queries, grid, looks, cases: cases / 2 };
    let (back, instants) = (WAITING.start - START - NAMED, (from, from + NAMED / 1000));
    let (name, looks) = ("rules that wait", Looks::AheadOrAt { ahead: WAIT, back, instants });
    let way = Way::Rules { query_offset: WAIT };
    [rules, queries, Set { name, way, grid: WAITING, looks, cases: cases / 2 }]
}

/// Expressions that one engine is given; memory grows with it.
const TOGETHER: usize = 500;

/// Of the values only so many may be judged by noise, or the run says little.
const CANCELLING_MAX: f64 = 0.03;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What was found, in all and for each outermost function or operator.
#[derive(Default)]
struct Tally {
    cases: usize,
    both_fail: usize,
    stricter: usize,
    classes: BTreeMap<String, Judgement>,
    wrong: Vec<String>,
}

#[tokio::test]
async fn random_expressions_have_the_values_prometheus_gives() {
    let Some(prometheus) = Prometheus::start().await else { return };
    let edition = Edition::of(&prometheus.version);
    let (seed, cases) = (setting("FOREWARN_SEED", 1), setting("FOREWARN_CASES", 300) as usize);
    let world = hard_series(seed, START, LENGTH, edition);
    prometheus.fill(&world).await;
    if let Ok(expr) = std::env::var("FOREWARN_EXPR") {
        return show(&prometheus, &world, &expr).await;
    }
    let mut wrong = Vec::new();
    for set in sets(cases) {
        let mut writer = Writer::new(seed, edition, set.looks);
        let marked: Vec<String> = (0..set.cases).map(|_| writer.expression()).collect();
        let tally = compare(&prometheus, &world, &set, &marked).await;
        tally.print(&format!("Prometheus {}, seed {seed}, {}", prometheus.version, set.name));
        wrong.extend(tally.wrong);
        let (values, cancelling) =
            tally.classes.values().fold((0, 0), |(v, c), j| (v + j.values, c + j.cancelling + j.on_edge));
        assert!(values > 50 * set.cases, "{values}");
        assert!((cancelling as f64) < CANCELLING_MAX * values as f64, "{cancelling}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares our answers to a set's expressions with Prometheus'.
async fn compare(prometheus: &Prometheus, world: &World, set: &Set, marked: &[String]) -> Tally {
    let (way, grid) = (set.way, set.grid);
    let mut tally = Tally::default();
    for marked in marked.chunks(TOGETHER) {
        let exprs: Vec<String> = marked.iter().map(|expr| plain(expr)).collect();
        for (i, answer) in ours(way, grid, world, &exprs).iter().enumerate() {
            let theirs = prometheus.ask(grid, &exprs[i]).await;
            tally.cases += 1;
            match (answer, &theirs) {
                (Err(_), Err(_)) => tally.both_fail += 1,
                // Newer than 3.5: a match is ambiguous even where the comparison leaves one element.
                (Err(e), Ok(_)) if e.contains("many-to-one matching must be explicit") => tally.stricter += 1,
                (Ok(a), Ok(b)) => {
                    let again = |world: &World, expr: &str| ours(way, grid, world, &[expr.to_owned()]).remove(0);
                    tally.add(&exprs[i], judge(a, b, world, &marked[i], &again));
                }
                (a, b) => {
                    let (a, b) = (a.as_ref().err(), b.as_ref().err());
                    tally.wrong.push(format!("{}\n    ours fails: {a:?}, theirs fails: {b:?}", exprs[i]));
                }
            }
        }
    }
    tally
}

/// Prints what both say of one expression at one instant.
async fn show(prometheus: &Prometheus, world: &World, expr: &str) {
    let t = 1000 * setting("FOREWARN_AT", START.unsigned_abs() / 1000) as Millis;
    let grid = Grid { start: t, end: t, ..GRID };
    println!("theirs: {:#?}", prometheus.ask(grid, expr).await);
    println!("ours: {:#?}", ours(Way::Queries, grid, world, &[expr.to_owned()])[0]);
}

impl Tally {
    fn add(&mut self, expr: &str, found: Judgement) {
        if let Some(wrong) = &found.wrong {
            self.wrong.push(format!("{expr}\n    {wrong}"));
        }
        let class = self.classes.entry(outermost(expr)).or_default();
        class.values += found.values;
        class.same += found.same;
        class.cancelling += found.cancelling;
        class.on_edge += found.on_edge;
        class.worst = class.worst.max(found.worst);
        class.worst_cancelling = class.worst_cancelling.max(found.worst_cancelling);
    }

    fn print(&self, run: &str) {
        println!(
            "outermost                values  equal bits  worst relative  cancelling, worst part of noise  on edge"
        );
        let mut all = Judgement::default();
        for (name, one) in &self.classes {
            println!(
                "{name:20} {:>10}  {:>10}  {:>14.1e}  {:>10}  {:>20.1e}  {:>7}",
                one.values, one.same, one.worst, one.cancelling, one.worst_cancelling, one.on_edge
            );
            all.values += one.values;
            all.same += one.same;
            all.cancelling += one.cancelling;
            all.on_edge += one.on_edge;
            all.worst = all.worst.max(one.worst);
            all.worst_cancelling = all.worst_cancelling.max(one.worst_cancelling);
        }
        println!(
            "{run}: {} expressions, {} values, {} equal to the bit; worst relative difference {:.1e}; {} values cancel \
             out, their worst difference is {:.1e} of what noise of 1e-12 does; {} on an edge; both fail {}; ours alone \
             fails, ambiguous matches, {}; wrong {}",
            self.cases,
            all.values,
            all.same,
            all.worst,
            all.cancelling,
            all.worst_cancelling,
            all.on_edge,
            self.both_fail,
            self.stricter,
            self.wrong.len()
        );
    }
}

/// The function, aggregation or kind of operator that gives an expression its value.
fn outermost(expr: &str) -> String {
    let end = expr.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expr.len());
    let (word, rest) = expr.split_at(end);
    let is_call =
        rest.starts_with('(') || rest.starts_with(" by ") || rest.starts_with(" without ") || rest.starts_with(" (");
    let closes = |text: &str| {
        let mut depth = 0;
        let opens = text.find('(').unwrap_or(0);
        let end = text[opens..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        });
        end.is_some_and(|(at, _)| opens + at + 1 == text.len())
    };
    match word {
        "" if expr.starts_with('-') => "-".to_owned(),
        "" | "time" | "sum" | "scalar" | "pi" if !closes(rest) => "operators".to_owned(),
        _ if is_call && !word.is_empty() => word.to_owned(),
        _ if rest.is_empty() || rest.starts_with('{') || rest.starts_with(" offset") || rest.starts_with(" @") => {
            "selectors".to_owned()
        }
        _ => "operators".to_owned(),
    }
}
