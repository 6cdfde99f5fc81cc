//! Why an alert fires: in its annotations, by `forewarn explain` over a history and of a running forewarn, and over HTTP.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use forewarn::backtest::{Backtest, Period, Slice};
use forewarn::base::{BatchBuilder, Labels, Limits, Millis};
use forewarn::engine::{EngineOptions, Inline, builtin_profiles};
use forewarn::rules::{RuleSet, load_file};
use forewarn::source::clock;
use serde_json::Value;
use support::http;
use support::process::Forewarn;

const RULES: &str = r#"
groups:
  - name: g
    interval: 1m
    rules:
      - alert: Unusual
        expr: predict_anomaly(temperature, "quick") > 1
        labels: {severity: page}
      - alert: HottestUnusual
        expr: max by (site) (predict_anomaly(temperature, "quick")) > 1
      - alert: Mine
        expr: predict_anomaly(temperature, "quick") > 1
        annotations: {explanation: my own}
      - alert: FullSoon
        expr: time_until(free, 0) < 2 * 3600
        for: 5m
      - alert: Resized
        expr: changed_at(replicas, "quick") > time() - 3600
      - alert: Plain
        expr: temperature > 100
"#;

/// Two days at one a minute that end at `end`: a temperature with a daily season that jumps by 40 for the last five minutes,
/// another that does not, a disk that loses a unit a minute and has 60 left, and three replicas that are five for the last half
/// hour.
fn files(dir: &Path, end: Millis) {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut text = String::new();
    let minutes = 2 * 24 * 60;
    for minute in 0..minutes {
        let t = (end - (minutes - 1 - minute) * 60_000) as f64 / 1000.0;
        let season = 60.0 + 5.0 * (minute as f64 / 1440.0 * std::f64::consts::TAU).sin();
        let jump = if minute >= minutes - 5 { 40.0 } else { 0.0 };
        text += &format!("temperature{{site=\"s\",x=\"a\"}} {:.2} {t}\n", season + rng.f64() + jump);
        text += &format!("temperature{{site=\"s\",x=\"b\"}} {:.2} {t}\n", season + rng.f64());
        text += &format!("free {} {t}\n", 60 + minutes - minute);
        text += &format!("replicas {} {t}\n", if minute >= minutes - 30 { 5 } else { 3 });
    }
    std::fs::write(dir.join("days.om"), text + "# EOF\n").unwrap();
    std::fs::write(dir.join("rules.yml"), RULES).unwrap();
    std::fs::create_dir(dir.join("models")).unwrap();
    std::fs::write(dir.join("models/quick.yaml"), "name: quick\nwarm_up: 12h\n").unwrap();
}

fn forewarn(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewarn")).args(args).current_dir(dir).output().unwrap()
}

fn stdout(dir: &Path, args: &[&str]) -> String {
    let output = forewarn(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const HISTORY: [&str; 6] = ["--rules", "rules.yml", "--data", "days.om", "--profile-dir", "models"];
/// 2026-01-03T00:00:00Z
const END: Millis = 1_767_398_400_000;

#[test]
fn an_alert_says_why_in_its_annotations() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path(), END);
    stdout(dir.path(), &[&["backtest", "--json", "r.json"], &HISTORY[..]].concat());
    let report: Value = serde_json::from_str(&std::fs::read_to_string(dir.path().join("r.json")).unwrap()).unwrap();
    let last = |alert: &str| {
        let rules = report["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["alert"] == alert).unwrap();
        rule["alerts"].as_array().unwrap().last().cloned()
    };
    let of = |alert: &str| last(alert).unwrap()["annotations"]["explanation"].as_str().unwrap_or_default().to_owned();
    let unusual = of("Unusual");
    assert_eq!(last("Unusual").unwrap()["labels"]["x"], "a");
    assert!(unusual.starts_with("value 10") && unusual.contains("; expected 6"), "{unusual}");
    assert!(unusual.contains("spreads above recent level") && unusual.contains("(budget: 1 a week)"), "{unusual}");
    assert!(unusual.ends_with("points over 1d23h"), "{unusual}");
    assert_eq!(of("HottestUnusual"), unusual, "of the element with the highest score");
    assert_eq!(of("Mine"), "my own");
    let soon = of("FullSoon");
    assert!(soon.contains("; crosses 0 in 1h54m (90%: 1h5"), "{soon}");
    assert!(unusual.len() < 500 && soon.len() < 500);
    assert!(
        of("Resized").starts_with("value 5; level 5 (scatter ")
            && of("Resized").contains("; level rose from 3 to 5 at 2026-01-02T23:31:00.000Z, found 9m later; learnt"),
        "{}",
        of("Resized")
    );
    assert_eq!(last("Plain").unwrap()["annotations"], serde_json::json!({}), "nothing is learnt, nothing to explain");
}

#[test]
fn the_number_of_shards_does_not_show_in_explanations() {
    let rules = RULES.replace(", \"quick\"", "");
    let (groups, faults) = load_file("r.yml", &rules);
    assert!(faults.is_empty(), "{faults:?}");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let run = |shards: usize| {
        let options = EngineOptions { shards, explain_alerts: true, ..EngineOptions::default() };
        let mut backtest = Backtest::new(options, &rules, &builtin_profiles(), Period::default(), false).unwrap();
        let mut batch = BatchBuilder::new(&Limits::default());
        for x in 0..20 {
            let (site, x) = (format!("s{}", x % 2), x.to_string());
            let labels = [("__name__", "temperature"), ("site", site.as_str()), ("x", x.as_str())];
            batch.series(Labels::from_pairs(labels).as_ref());
            let mut rng = fastrand::Rng::with_seed(x.parse().unwrap());
            (0..2_000).for_each(|i| batch.sample(i * 60_000, 50.0 + rng.f64() + if i > 1_990 { 30.0 } else { 0.0 }));
        }
        backtest.take(&Slice { batch: batch.finish(), complete_until: 2_000 * 60_000 }, &Inline);
        let pages = backtest.finish(&Inline).rules.into_iter().flat_map(|rule| rule.pages);
        pages.map(|page| (page.labels.to_string(), page.annotations)).collect::<Vec<_>>()
    };
    let one = run(1);
    assert!(one.iter().filter(|(_, annotations)| !annotations.is_empty()).count() > 20, "{one:?}");
    assert_eq!(one, run(3));
    assert_eq!(one, run(8));
}

#[test]
fn a_history_is_explained_at_any_instant() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path(), END);
    let explain = |further: &[&str]| stdout(dir.path(), &[&["explain"], further, &HISTORY[..]].concat());
    let text = explain(&["Unusual{severity=\"page\", x=\"a\"}", "--at", "2026-01-02T23:57:00Z"]);
    assert!(
        text.starts_with("Unusual {site=\"s\", x=\"a\"} at 2026-01-02T23:57:00.000Z, profile quick:\n  value 10"),
        "{text}"
    );
    assert_eq!(text.matches("profile").count(), 1);
    let before = explain(&["Unusual{x=\"a\"}", "--at", "2026-01-02T23:00:00Z"]);
    assert!(before.contains("\n  value 59.") && before.contains("recent level normal"), "{before}");
    let young = explain(&["Unusual{x=\"a\"}", "--at", "2026-01-01T00:10:00Z"]);
    assert!(young.contains("no score yet, still learning"), "{young}");
    let series = explain(&["temperature{x=\"b\"}"]);
    assert!(
        series.contains("predict_anomaly(temperature{x=\"b\"}) {site=\"s\", x=\"b\"}") && series.contains("95% band"),
        "{series}"
    );
    let asked = explain(&["predict_quantile(0.9, free, 4h)"]);
    assert!(asked.contains("in 4h -1"), "{asked}");
    for (what, want) in
        [("Plain", "only predictive functions have models"), ("Unusual{x=\"c\"}", "no model"), ("a +", "an expression")]
    {
        let output = forewarn(dir.path(), &[&["explain", what], &HISTORY[..]].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(want), "{what}: {text}");
    }
}

#[tokio::test]
async fn a_running_forewarn_explains_itself() {
    let config = "rule_files: [rules.yml]\nmodel_files: [models/*.yaml]\nsources: {replay: [{files: days.om}]}\n";
    let forewarn = Forewarn::start(config, |dir| files(dir, clock::now() / 60_000 * 60_000 - 60_000)).await;
    forewarn.ready(Duration::from_secs(60)).await;
    let alerts = forewarn.alerts().await;
    let unusual = alerts.iter().find(|alert| alert["labels"]["alertname"] == "Unusual").unwrap();
    let annotation = unusual["annotations"]["explanation"].as_str().unwrap();
    let path = "/api/v1/explain?alert=Unusual%7Bx%3D%22a%22%7D";
    let answer = http::get_json(&forewarn.address, path).await.unwrap();
    let explained = &answer["data"]["explanations"][0];
    assert_eq!((&explained["profile"], &explained["labels"]["x"]), (&"quick".into(), &"a".into()));
    assert!(explained["anomaly"]["score"].as_f64().unwrap() > 1.0);
    assert!(annotation.starts_with("value 10") && explained["text"].as_str().unwrap().starts_with("value 10"));
    let url = format!("http://{}", forewarn.address);
    let dir = forewarn.dir().to_owned();
    let text = tokio::task::spawn_blocking(move || stdout(&dir, &["explain", "--url", &url, "Unusual{x=\"a\"}"]))
        .await
        .unwrap();
    assert!(text.starts_with("Unusual {site=\"s\", x=\"a\"} at ") && text.contains("\n  expected 6"), "{text}");
    let (status, body) = http::get(&forewarn.address, "/api/v1/explain?alert=a%7Bb").await.unwrap();
    assert!(status == 400 && body.contains("bad_data"), "{body}");
    assert_eq!(http::get(&forewarn.address, "/api/v1/explain").await.unwrap().0, 400);
}
