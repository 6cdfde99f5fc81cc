//! Expressions others have written: public rule files, and Prometheus' own evaluation scripts.
#![allow(clippy::expect_used)]

#[path = "support/corpus.rs"]
mod corpus;

use std::collections::BTreeMap;

use forewarn::promql::{Plan, PlanOptions, Planner, Schedule, parse, parse_parts};
use serde_json::Value;

/// The text of a file of the corpora.
fn corpus(path: &str) -> Option<String> {
    corpus::corpus(path).map(|path| std::fs::read_to_string(path).expect("a file of the corpora"))
}

/// Messages with how often they came and an example of each.
fn print(refused: &BTreeMap<String, Vec<&str>>) {
    for (message, exprs) in refused {
        println!("{:4}  {message}\n          {:?}", exprs.len(), exprs[0]);
    }
}

/// Share of the public expressions that must become a plan.
const PLANNED_MIN: f64 = 0.99;

/// Why the others do not: each reason is named here, and none that is no more.
const REFUSED: &[&str] = &[];

#[test]
fn public_rules_become_a_plan() {
    let Some(text) = corpus("exprs_unique.txt") else { return };
    let exprs: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, '\t').nth(2)).collect();
    let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let (mut parsed, mut plan) = (0, Plan::default());
    let options = PlanOptions { lookback: 300_000, default_step: 60_000 };
    let schedule = Schedule { interval: 60_000, query_offset: 0 };
    for expr in exprs.iter().copied() {
        let tree = match parse_parts(expr) {
            Ok(parsed) => {
                assert!(parsed.locate().is_some(), "no places: {expr}");
                parsed.expr
            }
            Err(error) => {
                refused.entry(error.message).or_default().push(expr);
                continue;
            }
        };
        parsed += 1;
        // As the engine does: all rules in one plan, which shares what is equal.
        if let Err(error) = Planner::new(&mut plan, options, schedule).add(&tree) {
            refused.entry(error.0).or_default().push(expr);
        }
    }
    print(&refused);
    let planned = exprs.len() - refused.values().map(Vec::len).sum::<usize>();
    println!(
        "{} expressions of public rules: {parsed} parse, {planned} plan ({:.2}%); {} nodes, {} leaves and {} subqueries in all",
        exprs.len(),
        planned as f64 * 100.0 / exprs.len() as f64,
        plan.nodes.len(),
        plan.leaves.len(),
        plan.feeds.len()
    );
    assert!(exprs.len() > 5_000 && planned as f64 >= PLANNED_MIN * exprs.len() as f64);
    assert_eq!(refused.keys().map(String::as_str).collect::<Vec<_>>(), REFUSED);
}

#[test]
fn prometheus_own_scripts_parse_unless_refused_by_design() {
    let Some(text) = corpus("promqltest/cases.json") else { return };
    let cases: Vec<Value> = serde_json::from_str(&text).expect("cases.json is JSON");
    let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let expr = case["expr"].as_str().unwrap();
        let fails = case["expects"].to_string().contains("fail");
        match parse(expr) {
            Ok(_) => {}
            Err(error) if fails || error.message.contains("not supported") => {
                refused.entry(error.message).or_default().push(expr)
            }
            Err(error) => wrong.push(format!("{expr:?}: {error}")),
        }
    }
    print(&refused);
    println!("{} cases; wrongly refused: {}\n{}", cases.len(), wrong.len(), wrong.join("\n"));
    assert!(wrong.is_empty());
}
