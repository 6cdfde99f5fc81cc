//! The Grafana dashboards and the rule pack for forewarn itself ask for metrics that forewarn has, in PromQL that parses.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::BTreeSet;

use forewarn::promql::parse;
use serde_json::Value;

/// Suffixes of the series of a histogram.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

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

/// Names that begin with `forewarn_`.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("forewarn_")).map(str::to_owned).collect()
}

/// Metrics that the program's source registers.
fn registered() -> BTreeSet<String> {
    let sources = glob::glob("src/**/*.rs").unwrap().map(|path| std::fs::read_to_string(path.unwrap()).unwrap());
    sources.flat_map(|text| names(&text)).collect()
}

fn unknown(asked: BTreeSet<String>) -> Vec<String> {
    let registered = registered();
    assert!(registered.len() > 30, "{registered:?}");
    let is_known = |name: &String| {
        let of_histogram = OF_HISTOGRAMS.iter().find_map(|suffix| name.strip_suffix(suffix));
        registered.contains(name) || of_histogram.is_some_and(|base| registered.contains(base))
    };
    asked.into_iter().filter(|name| !is_known(name)).collect()
}

#[test]
fn panels_ask_for_what_there_is() {
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 2);
    let mut asked = BTreeSet::new();
    for (file, dashboard) in &dashboards {
        let mut exprs = Vec::new();
        expressions(dashboard, &mut exprs);
        assert!(exprs.len() >= 5, "{file}");
        for expr in exprs {
            let filled = expr.replace("$__rate_interval", "5m");
            assert!(parse(&filled).is_ok(), "{file}: {expr}: {:?}", parse(&filled).err());
            asked.extend(names(&expr));
        }
    }
    assert!(asked.len() > 25, "{asked:?}");
    assert_eq!(unknown(asked), Vec::<String>::new());
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
    let asked = names(&std::fs::read_to_string("rules/forewarn.yml").unwrap());
    assert!(asked.len() > 10, "{asked:?}");
    assert_eq!(unknown(asked), Vec::<String>::new());
}
