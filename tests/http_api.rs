//! Rules and alerts over HTTP: what the API gives is what a real Prometheus gives for the same rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use forewarn::base::Millis;
use forewarn::server::EngineHandle;
use forewarn::source::clock;
use serde_json::{Value, json};
use support::engine::engine;
use support::peer::Peer;
use support::server::{Server, Setup};
use support::{eventually, http};

/// Firing, pending, inactive and recording rules that need no samples, spelt as Prometheus prints them.
const RULES: &str = r#"
groups:
- name: states
  interval: 1s
  limit: 10
  rules:
  - alert: Firing
    expr: label_replace(vector(42), "instance", "a", "", "") > 1.5
    keep_firing_for: 5m
    labels: {severity: page, alpha: beta}
    annotations: {summary: "value {{ $value }} on {{ $labels.instance }}", note: fixed}
  - alert: Pending
    expr: vector(0.25)
    for: 1h30m
  - alert: Quiet
    expr: vector(1) > 2
  - record: job:up:sum
    expr: vector(0.1)
    labels: {a: b}
- name: broken
  interval: 1s
  rules:
  - record: broken
    expr: label_replace(vector(1), "a", "1", "", "") + on (zz) (label_replace(vector(2), "b", "1", "", "") or vector(3))
"#;

fn started_engine(watermark: Millis) -> EngineHandle {
    engine("rules.yml", RULES, &[], watermark)
}

async fn server() -> Server {
    Server::start(started_engine(clock::now()), Setup::default()).await
}

/// Where a value differs from run to run its type and form stand for it.
fn comparable(path: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, v)| (name.clone(), comparable(name, v)));
            Value::Object(fields.collect::<BTreeMap<_, _>>().into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|v| comparable(path, v)).collect()),
        Value::String(text) => match path {
            "lastEvaluation" | "activeAt" => {
                let instant = forewarn::base::parse_rfc3339(text).expect(text);
                assert!((clock::now() - instant).abs() < 120_000, "{path}: {text}");
                json!("a recent instant")
            }
            "lastError" => json!("text"),
            "file" => json!(text.rsplit('/').next().unwrap()),
            _ => value.clone(),
        },
        Value::Number(_) if path == "evaluationTime" => json!("number"),
        other => other.clone(),
    }
}

#[tokio::test]
async fn equal_to_a_real_prometheus_field_by_field() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, RULES).unwrap();
    let config = format!("global: {{evaluation_interval: 1s}}\nrule_files: ['{}']\n", file.display());
    let Some(prometheus) = Peer::prometheus(&config, &[]).await else { return };
    let evaluated = |rules: &Value| {
        let groups = rules["data"]["groups"].as_array().unwrap();
        groups.iter().flat_map(|g| g["rules"].as_array().unwrap()).all(|rule| rule["health"] != "unknown")
    };
    let theirs = eventually("all rules evaluated", Duration::from_secs(30), async || {
        http::get_json(&prometheus.address, "/api/v1/rules").await.filter(evaluated)
    })
    .await;
    let server = server().await;
    let ours = server.json("/api/v1/rules").await.1;
    assert!(ours.to_string().contains("firing") && ours.to_string().contains("lastError"));
    assert_eq!(comparable("", &ours), comparable("", &theirs));

    for path in ["/api/v1/alerts", "/api/v1/rules?type=record"] {
        let theirs = http::get_json(&prometheus.address, path).await.unwrap();
        let ours = server.json(path).await.1;
        assert_eq!(keys("", &ours), keys("", &theirs), "{path}");
    }
    let theirs = http::get_json(&prometheus.address, "/api/v1/alerts").await.unwrap();
    assert_eq!(comparable("", &server.json("/api/v1/alerts").await.1), comparable("", &theirs));
    let theirs = http::get_json(&prometheus.address, "/api/v1/status/buildinfo").await.unwrap();
    assert_eq!(keys("", &server.json("/api/v1/status/buildinfo").await.1), keys("", &theirs));
    let theirs = http::get(&prometheus.address, "/api/v1/rules?type=x").await.unwrap();
    let ours = server.get("/api/v1/rules?type=x").await;
    assert_eq!((ours.status, ours.body), theirs);
}

/// Paths of all fields with their JSON types.
fn keys(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(n, v)| keys(&format!("{path}.{n}"), v)).collect(),
        Value::Array(items) => items.iter().flat_map(|v| keys(&format!("{path}[]"), v)).collect(),
        Value::String(_) => vec![format!("{path}: string")],
        Value::Number(_) => vec![format!("{path}: number")],
        other => vec![format!("{path}: {other}")],
    }
}

#[tokio::test]
async fn rules_can_be_asked_for_by_name_kind_file_and_labels() {
    let server = server().await;
    let names = async |query: &str| {
        let (status, rules) = server.json(&format!("/api/v1/rules?{query}")).await;
        assert_eq!(status, 200, "{rules}");
        let groups = rules["data"]["groups"].as_array().unwrap().clone();
        let rules = groups.iter().flat_map(|g| g["rules"].as_array().unwrap().clone());
        rules.map(|r| r["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("type=alert").await, "Firing Pending Quiet");
    assert_eq!(names("rule_group[]=broken").await, "broken");
    assert_eq!(names("rule_name[]=Quiet&rule_name%5B%5D=broken").await, "broken Quiet");
    assert_eq!(names("file[]=other.yml").await, "");
    assert_eq!(names("match[]=%7Balpha%3D%22beta%22%7D").await, "Firing");
    let (_, rules) = server.json("/api/v1/rules?rule_name[]=Firing&exclude_alerts=true").await;
    assert_eq!(rules["data"]["groups"][0]["rules"][0]["alerts"], Value::Null);
    assert_eq!(rules["data"]["groups"][0]["rules"][0]["state"], "firing");
}

#[tokio::test]
async fn faults_come_in_the_envelope() {
    let server = server().await;
    for path in ["/api/v1/labels", "/api/v1/query?query=up", "/api/nope", "/api"] {
        let (status, answer) = server.json(path).await;
        assert_eq!((status, &answer["status"], &answer["errorType"]), (404, &json!("error"), &json!("not_found")));
    }
    let answer = server.request("POST", "/api/v1/rules", &["content-length: 0"]).await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get") && answer.body.contains(r#""status":"error""#), "{answer:?}");
    let answer = server.get("/nope").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "there is no /nope\n"));
}

#[tokio::test]
async fn an_engine_that_has_ended_is_unavailable_and_the_page_stands() {
    let (engine, commands) = EngineHandle::new();
    drop(commands);
    let server = Server::start(engine, Setup::default()).await;
    let (status, answer) = server.json("/api/v1/alerts").await;
    assert_eq!((status, &answer["errorType"]), (503, &json!("unavailable")));
    let page = server.get("/").await;
    assert!(page.status == 200 && page.body.contains("the engine has shut down"), "{page:?}");
}
