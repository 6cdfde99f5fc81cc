//! The JSON Schemas of `forewarn check schema` say what the parsers take: files that are read are valid, and mistakes that a
//! schema can know are none.
//!
//! The judge is a walk over the few keywords that the schemas use; it fails on any other.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

#[path = "support/corpus.rs"]
mod corpus;

use std::path::Path;

use forewarn::cli::schema::{Kind, schema};
use forewarn::rules::unit_test::TestFile;
use forewarn::rules::{Severity, load_file};
use forewarn::server::Config;
use regex::Regex;
use serde_json::{Value, json};

/// What a schema has against a value, each with its place; empty if nothing.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(keywords) = schema.as_object() else {
        return if schema == &json!(false) { vec![format!("{at}: not allowed")] } else { vec![] };
    };
    let fault = |what: &str| vec![format!("{at}: {what} {value}")];
    let any = |schemas: &Value| schemas.as_array().unwrap().iter().any(|s| faults(root, s, value, at).is_empty());
    let mut out = Vec::new();
    for (keyword, wanted) in keywords {
        out.extend(match keyword.as_str() {
            "$ref" => faults(root, root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap(), value, at),
            "anyOf" | "oneOf" if any(wanted) => vec![],
            "anyOf" | "oneOf" => {
                let of = |s: &Value| faults(root, s, value, at).join("; ");
                vec![wanted.as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(" | ")]
            }
            "allOf" => wanted.as_array().unwrap().iter().flat_map(|s| faults(root, s, value, at)).collect(),
            "not" if faults(root, wanted, value, at).is_empty() => fault("must not be"),
            "const" if wanted != value => fault("is not the one value:"),
            "enum" if !wanted.as_array().unwrap().contains(value) => fault("is none of the values:"),
            "type" => {
                let types = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                if types.iter().any(|t| is_of(t.as_str().unwrap(), value)) { vec![] } else { fault("of another type:") }
            }
            "pattern" => match value.as_str() {
                Some(text) if !Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text) => fault("does not match:"),
                _ => vec![],
            },
            "minLength" if value.as_str().is_some_and(|s| (s.chars().count() as u64) < wanted.as_u64().unwrap()) => {
                fault("is too short:")
            }
            "minimum" if value.as_f64().is_some_and(|n| n < wanted.as_f64().unwrap()) => fault("is too small:"),
            "maximum" if value.as_f64().is_some_and(|n| n > wanted.as_f64().unwrap()) => fault("is too great:"),
            "required" => {
                let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                let keys = wanted.as_array().unwrap();
                if value.is_object() {
                    keys.iter().filter(|k| !has(k)).map(|k| format!("{at}: lacks {k}")).collect()
                } else {
                    vec![]
                }
            }
            "items" => match value.as_array() {
                Some(items) => {
                    items.iter().enumerate().flat_map(|(i, v)| faults(root, wanted, v, &format!("{at}/{i}"))).collect()
                }
                None => vec![],
            },
            "properties" => of_properties(root, wanted, value, at),
            "additionalProperties" => {
                let known = |key: &str| keywords.get("properties").is_some_and(|p| p.get(key).is_some());
                let entries = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
                entries.flat_map(|(key, v)| faults(root, wanted, v, &format!("{at}/{key}"))).collect()
            }
            "propertyNames" => {
                let keys = value.as_object().into_iter().flatten().map(|(key, _)| json!(key));
                keys.flat_map(|key| faults(root, wanted, &key, at)).collect()
            }
            "not" | "const" | "enum" | "minLength" | "minimum" | "maximum" | "$schema" | "title" | "description"
            | "definitions" | "default" | "examples" | "format" => vec![],
            other => panic!("the judge does not know {other}"),
        });
    }
    out
}

fn of_properties(root: &Value, properties: &Value, value: &Value, at: &str) -> Vec<String> {
    let of = |(key, v): (&String, &Value)| {
        properties.get(key).map_or(vec![], |schema| faults(root, schema, v, &format!("{at}/{key}")))
    };
    value.as_object().into_iter().flatten().flat_map(of).collect()
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("no type: {other}"),
    }
}

/// What the schema has against a file's documents; those that are none of its kind are left out.
fn judged(kind: Kind, text: &str) -> Vec<String> {
    let root = schema(kind);
    // JSON has no such numbers; as texts they are taken as well.
    let text = text.replace(".nan", "NaN").replace(".inf", "Inf").replace(".Inf", "Inf");
    let documents: Vec<Value> = match serde_saphyr::from_multiple(&text) {
        Ok(documents) => documents,
        Err(error) => return vec![error.to_string()],
    };
    let ours = |d: &&Value| !d.is_null() && d.get("kind").is_none_or(|kind| kind == "PrometheusRule");
    documents.iter().filter(ours).flat_map(|d| faults(&root, &root, d, "")).collect()
}

fn yaml_files(folder: &Path) -> Vec<(String, String)> {
    let pattern = format!("{}/**/*.y*ml", folder.display());
    let paths = glob::glob(&pattern).unwrap().map(Result::unwrap);
    paths.filter_map(|path| Some((path.display().to_string(), std::fs::read_to_string(&path).ok()?))).collect()
}

fn reads_as_rules(name: &str, text: &str) -> bool {
    load_file(name, text).1.iter().all(|d| d.severity == Severity::Warning)
}

#[test]
fn rule_files_that_are_read_are_valid() {
    let Some(root) = corpus::corpus("") else { return };
    let mut files = yaml_files(Path::new("rules"));
    for folder in ["rules_yaml", "unit_tests", "rules_fixtures", "promtool"] {
        files.extend(yaml_files(&root.join(folder)));
    }
    let mut judged_files = 0;
    for (name, text) in files.iter().filter(|(name, text)| reads_as_rules(name, text)) {
        assert_eq!(judged(Kind::Rules, text), [""; 0], "{name}");
        judged_files += 1;
    }
    println!("{judged_files} rule files are valid");
    assert!(judged_files > 150, "{judged_files}");
}

#[test]
fn test_files_that_are_read_are_valid() {
    let Some(root) = corpus::corpus("") else { return };
    let mut files = yaml_files(Path::new("rules/tests"));
    files.extend(yaml_files(Path::new("tests/fixtures/unit_test")));
    for folder in ["unit_tests", "promtool"] {
        files.extend(yaml_files(&root.join(folder)));
    }
    let (mut valid, mut refused) = (0, 0);
    for (name, text) in files {
        if TestFile::parse(&text).is_ok() {
            assert_eq!(judged(Kind::Tests, &text), [""; 0], "{name}");
            valid += 1;
        } else {
            refused += usize::from(!judged(Kind::Tests, &text).is_empty());
        }
    }
    println!("{valid} test files are valid, {refused} files that are none are refused");
    assert!(valid > 10 && refused > 5, "{valid} {refused}");
}

/// What goes beyond promtool: generated and recorded series, windows, tolerances.
#[test]
fn mistakes_in_test_files_are_refused() {
    let text = std::fs::read_to_string("tests/fixtures/unit_test/beyond/traffic.yml").unwrap()
        + "      - {expr: x, exp_samples: [{min: -1, max: .inf}, {value: 1, tolerance: 0.5}]}
      - {expr: x, exp_samples: [{value: '+Inf', tolerance: 5%}]}
  - input_series:
      - {series: x, file: x.csv}
      - series: y
        generate:
          sum:
            - ramp: {add: 1e3, per: 1h, from: 1d, until: 2d}
            - sawtooth: {amplitude: -3, period: 1h}
            - steps: {values: [1, 2.5], every: 1h}
          min: 0
          from: 0
          until: 9d
          anomalies: [shift: {at: 0, add: 3}, dropout: {at: 1h, for: 5m}]
";
    let valid = |text: &str| (TestFile::parse(text).is_ok(), judged(Kind::Tests, text).is_empty());
    assert_eq!(valid(&text), (true, true), "{:?} {:?}", TestFile::parse(&text).err(), judged(Kind::Tests, &text));
    for (from, to) in [
        ("alert_window_test", "alert_windows"),
        ("fires: never", "fires: often"),
        ("from: 7d", "from: 7"),
        ("tolerance: 3%", "tolerence: 3%"),
        ("seasonal:", "season:"),
        ("amplitude: 60, ", ""),
        ("period: 1d", "period: 0s"),
        ("tail: 3", "tails: 3"),
        ("missing: 0.5%", "missing: 2"),
        ("counter: true", "counter: 7"),
        ("seed: 3", "seed: -3"),
        ("spike: {at", "spike: {when"),
        ("reset: {at: 5d}", "reset: 5d"),
        ("per: 1h", "per: hour"),
        ("values: [1, 2.5]", "values: 1"),
        ("dropout: {at: 1h, for: 5m}", "dropout: {at: 1h}"),
        ("file: x.csv", "files: x.csv"),
        ("min: -1", "least: -1"),
    ] {
        assert!(text.contains(from), "{from}");
        assert_eq!(valid(&text.replacen(from, to, 1)), (false, false), "{to}");
    }
}

#[test]
fn configurations_that_are_read_are_valid() {
    let whole = serde_json::to_value(Config::default()).unwrap();
    let root = schema(Kind::Config);
    assert_eq!(faults(&root, &root, &whole, ""), [""; 0]);
    let shipped = std::fs::read_to_string("forewarn.yml").unwrap();
    assert_eq!(judged(Kind::Config, &shipped), [""; 0]);
    let text = "
scrape_configs:
  - job_name: node
    scrape_interval: 1m30s
    static_configs: [{targets: ['a:1'], labels: {a: b}}]
    tls_config: {insecure_skip_verify: true}
sources: {replay: [{files: '*.csv', redate: end_now}], host: {interval: 5s}}
sinks: [{stdout: {format: json}}, {webhook: {url: 'http://x', timeout: 5s}}]
alerting: {alertmanagers: [{static_configs: [{targets: ['a:9093']}], basic_auth: {username: u}}]}
";
    assert!(Config::parse(text, Path::new("")).is_ok());
    assert_eq!(judged(Kind::Config, text), [""; 0]);
    for (from, to) in [
        ("job_name", "jobname"),
        ("1m30s", "90"),
        ("end_now", "now"),
        ("format: json", "format: xml"),
        ("webhook", "web_hook"),
        ("insecure_skip_verify", "insecure"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert!(Config::parse(&broken, Path::new("")).is_err(), "{to}");
        assert_ne!(judged(Kind::Config, &broken), [""; 0], "{to}");
    }
}

/// Objects that take any key would let every typing error through.
#[test]
fn every_object_of_a_configuration_knows_its_keys() {
    fn walk(schema: &Value, at: &str) {
        let Some(object) = schema.as_object() else { return };
        if object.contains_key("properties") {
            assert_eq!(object.get("additionalProperties"), Some(&json!(false)), "{at}");
            let described = |(_, property): (&String, &Value)| {
                property.get("description").is_some()
                    || property.get("$ref").is_some()
                    || property.get("allOf").is_some()
            };
            assert!(object["properties"].as_object().unwrap().iter().all(described), "{at}: without a description");
        }
        object.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}")));
    }
    walk(&schema(Kind::Config), "config");
    walk(&schema(Kind::Tests), "tests");
}

#[test]
fn mistakes_that_a_schema_can_know_are_refused() {
    let text = std::fs::read_to_string("tests/fixtures/broken/files.txt").unwrap();
    // These are known to whoever reads expressions, templates or names only.
    let beyond = [
        "dupgroup",
        "dup rule",
        "dup rec",
        "two docs",
        "anchor",
        "forbig",
        "forhuge",
        "rulenull",
        "groupnull",
        "exprnum",
        "glabels tmpl",
        "unquoted template",
        "noexpr",
    ];
    let (mut valid, mut refused, mut wrong) = (0, 0, Vec::new());
    for case in text.split("=== ").skip(1) {
        let (name, file) = case.split_once('\n').unwrap();
        let reads = reads_as_rules("f.yml", file);
        let found = judged(Kind::Rules, file);
        if reads {
            // A recording rule may say `for: 0s`, and any scalar is a text; no editor need suggest it.
            let lenient = ["rec for0", "rec annot empty", "exprbool", "rec name digit", "norules", "for empty"];
            valid += 1;
            if !found.is_empty() && !lenient.contains(&name) {
                wrong.push(format!("{name}: {found:?}"));
            }
        } else if !beyond.contains(&name) {
            refused += 1;
            if found.is_empty() {
                wrong.push(format!("{name} passes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{valid} are valid, {refused} refused");
    assert!(valid > 30 && refused > 40, "{valid} {refused}");
}
