//! The Grafana dashboards and the rule pack for forewarn itself ask for metrics that forewarn has, in PromQL that parses.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;

use forewarn::promql::parse;
use forewarn::rules::load_file;
use serde_json::Value;
use support::metrics::{asked, documented, family, grouped_by};

fn dashboards() -> Vec<(String, Value)> {
    let read = |path: std::path::PathBuf| {
        let dashboard = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        (path.display().to_string(), dashboard)
    };
    glob::glob("deploy/grafana/*.json").unwrap().map(|path| read(path.unwrap())).collect()
}

/// Every value of the key `expr`, at any depth.
fn expressions(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            out.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| expressions(field, out));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, out)),
        _ => {}
    }
}

/// Labels that whoever scrapes adds, and that of a histogram's buckets.
const OF_TARGETS: [&str; 3] = ["instance", "job", "le"];

/// What expressions ask for that is not in `docs/metrics.md`, which `tests/metrics.rs` holds against the program; and how many
/// metrics they ask for.
fn unknown(exprs: &[String]) -> (Vec<String>, usize) {
    let documented = documented();
    let (mut faults, mut names) = (Vec::new(), BTreeSet::new());
    for expr in exprs {
        let mut labels: BTreeSet<String> = OF_TARGETS.map(str::to_owned).into();
        let asked = asked(expr);
        for selector in &asked {
            let Some((name, metric)) = family(&documented, &selector.name) else {
                faults.push(format!("{}: {expr}", selector.name));
                continue;
            };
            let has = |label: &String| metric.labels.contains(label) || OF_TARGETS.contains(&label.as_str());
            let wrong = selector.matchers.iter().filter(|m| !has(&m.label));
            faults.extend(wrong.map(|m| format!("{name} has no label {}: {expr}", m.label)));
            labels.extend(metric.labels.iter().cloned());
            names.insert(name.clone());
        }
        // Metrics of others have labels of their own.
        if !asked.is_empty() {
            let wrong = grouped_by(expr).into_iter().filter(|label| !labels.contains(label));
            faults.extend(wrong.map(|label| format!("none of its metrics has a label {label}: {expr}")));
        }
    }
    (faults, names.len())
}

#[test]
fn panels_ask_for_what_there_is() {
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 2);
    let mut all = Vec::new();
    for (file, dashboard) in &dashboards {
        let mut exprs = Vec::new();
        expressions(dashboard, &mut exprs);
        assert!(exprs.len() >= 5, "{file}");
        for expr in exprs {
            let filled = expr.replace("$__rate_interval", "5m");
            assert!(parse(&filled).is_ok(), "{file}: {expr}: {:?}", parse(&filled).err());
            all.push(filled);
        }
    }
    let (faults, metrics) = unknown(&all);
    assert_eq!(faults, Vec::<String>::new());
    assert!(metrics > 25, "{metrics}");
}

#[test]
fn panels_have_room_and_an_identity_each() {
    for (file, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{file}");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let of = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(of("x") + of("w") <= 24, "{file}: {}", panel["title"]);
            for (x, y) in (of("x")..of("x") + of("w")).flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y))) {
                assert!(taken.insert((x, y)), "{file}: {} lies on another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn the_rule_pack_asks_for_what_there_is() {
    let (groups, _) = load_file("forewarn.yml", &std::fs::read_to_string("rules/forewarn.yml").unwrap());
    let exprs: Vec<String> = groups.iter().flat_map(|group| &group.rules).map(|rule| rule.expr.to_string()).collect();
    let (faults, metrics) = unknown(&exprs);
    assert_eq!(faults, Vec::<String>::new());
    assert!(metrics > 10, "{metrics}");
}

/// Such a label becomes `exported_job` where it is scraped, and a panel that asks for `job` gets something else.
#[test]
fn no_metric_has_a_label_of_its_own_that_whoever_scrapes_adds() {
    let of_targets = |(name, metric): (String, support::metrics::Metric)| {
        OF_TARGETS.iter().filter(|label| metric.labels.contains(**label)).map(|label| format!("{name}: {label}")).next()
    };
    assert_eq!(documented().into_iter().filter_map(of_targets).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn what_there_is_not_is_found() {
    let faults = |expr: &str| unknown(&[expr.to_owned()]).0.len();
    assert_eq!(faults("sum by (sink) (rate(forewarn_sink_dropped_total{reason=\"refused\"}[5m]))"), 0);
    assert_eq!(faults("rate(forewarn_sink_latency_seconds_bucket{le=\"1\"}[5m])"), 0);
    assert_eq!(faults("forewarn_sink_no_such_thing"), 1);
    assert_eq!(faults("forewarn_sink_dropped_total{why=\"refused\"}"), 1);
    assert_eq!(faults("sum by (sauce) (forewarn_sink_dropped_total)"), 1);
}
