//! History from a real Prometheus, filled by remote write: a backtest over it finds what one over the same samples in a file
//! finds, byte for byte; a running forewarn warms up with it; what is too much for one query is asked for in parts.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use forewarn::base::encode::encode_write_request;
use forewarn::base::{BatchBuilder, Labels, Limits, Millis, format_rfc3339};
use forewarn::source::clock;
use serde_json::Value;
use support::eventually;
use support::http;
use support::peer::Peer;
use support::process::Forewarn;

const STEP: Millis = 15_000;
const STEPS: i64 = 4 * 360;
const RECEIVER: &str = "--web.enable-remote-write-receiver";

const RULES: &str = r#"
groups:
  - name: g
    interval: 15s
    rules:
      - record: host:load:avg5m
        expr: avg by (host) (avg_over_time(load{kind=~"a|b"}[5m]))
      - alert: Unusual
        expr: predict_anomaly(host:load:avg5m, "quick") > 1
      - alert: High
        expr: load{kind="a"} > 9.5 and on(host) requests_total > 0
        for: 30s
      - alert: Busy
        expr: rate(requests_total[2m]) > 12
"#;

/// Six hours of three series up to `end`, each with times of its own; some samples are missing.
fn history(end: Millis) -> Vec<(Labels, Vec<(Millis, f64)>)> {
    let mut rng = fastrand::Rng::with_seed(7);
    let start = end - STEPS * STEP;
    let mut series = Vec::new();
    for (at, (name, host, kind)) in
        [("load", "x", "a"), ("load", "x", "b"), ("load", "y\"\\", "a"), ("requests_total", "x", "")]
            .into_iter()
            .enumerate()
    {
        let labels = Labels::from_pairs([("__name__", name), ("host", host), ("kind", kind)]);
        let mut total = 0.0;
        let mut samples = Vec::new();
        for step in 0..STEPS {
            total += 10.0 * rng.f64() * 15.0 * if (700..720).contains(&step) { 3.0 } else { 1.0 };
            let spike = if (1_000..1_012).contains(&step) { 50.0 } else { 0.0 };
            let v = if name == "load" { 5.0 + 5.0 * rng.f64() + spike } else { total };
            if rng.u32(0..20) > 0 {
                samples.push((start + step * STEP + 1_000 * at as Millis + 7, v));
            }
        }
        series.push((labels, samples));
    }
    series
}

/// Writes hour by hour, as the order of time wants it.
async fn fill(prometheus: &Peer, series: &[(Labels, Vec<(Millis, f64)>)]) {
    for part in 0..(STEPS as usize).div_ceil(240) {
        let mut batch = BatchBuilder::new(&Limits::default());
        for (labels, samples) in series {
            batch.series(labels.as_ref());
            samples.chunks(240).nth(part).into_iter().flatten().for_each(|(t, v)| batch.sample(*t, *v));
        }
        let body = snap::raw::Encoder::new().compress_vec(&encode_write_request(&batch.finish())).unwrap();
        let headers = [("Content-Encoding", "snappy"), ("Content-Type", "application/x-protobuf")];
        let (status, text) = http::post(&prometheus.address, "/api/v1/write", &headers, &body).await.unwrap();
        assert!((200..300).contains(&status), "{text}");
    }
}

fn files(dir: &Path, series: &[(Labels, Vec<(Millis, f64)>)]) {
    let mut lines = String::new();
    for (labels, samples) in series {
        let metric: serde_json::Map<String, Value> =
            labels.as_ref().iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.to_owned(), v.into())).collect();
        let (times, values): (Vec<Millis>, Vec<f64>) = samples.iter().copied().unzip();
        let line = serde_json::json!({"metric": metric, "values": values, "timestamps": times});
        writeln!(lines, "{line}").unwrap();
    }
    std::fs::write(dir.join("history.jsonl"), lines).unwrap();
    std::fs::write(dir.join("rules.yml"), RULES).unwrap();
    std::fs::create_dir(dir.join("profiles")).unwrap();
    std::fs::write(dir.join("profiles/quick.yaml"), "name: quick\nwarm_up: 20m\n").unwrap();
}

fn backtest(dir: &Path, data: &str, series_end: Millis, further: &[&str]) -> Output {
    let start = format_rfc3339(series_end - STEPS * STEP + 3_600_000);
    Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(["backtest", "--rules", "rules.yml", "--profile-dir", "profiles", "--data", data, "--warm-up", "1h"])
        .args(["--start", &start, "--end", &format_rfc3339(series_end), "--json", "report.json"])
        .args(further)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// The alerts of a report, which must be some of each rule.
fn findings(dir: &Path, output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(dir.join("report.json")).unwrap()).unwrap();
    for rule in report["rules"].as_array().unwrap() {
        assert!(!rule["alerts"].as_array().unwrap().is_empty(), "{} has found nothing", rule["alert"]);
    }
    serde_json::to_string_pretty(&report).unwrap()
}

#[tokio::test]
async fn a_backtest_finds_the_same_in_a_prometheus_as_in_a_file() {
    let Some(prometheus) = Peer::prometheus("{}", &[RECEIVER]).await else { return };
    let end = clock::now() - 60_000;
    let series = history(end);
    fill(&prometheus, &series).await;
    let dir = tempfile::tempdir().unwrap();
    files(dir.path(), &series);
    let of_file = findings(dir.path(), &backtest(dir.path(), "history.jsonl", end, &[]));
    let of_server = findings(dir.path(), &backtest(dir.path(), &prometheus.url(""), end, &[]));
    assert!(of_file == of_server, "of the file:\n{of_file}\nof the server:\n{of_server}");
}

#[tokio::test]
async fn what_is_too_much_for_one_query_is_asked_for_in_parts() {
    // 240 samples an hour and series: the first step of an hour is refused, half of it as well.
    let Some(prometheus) = Peer::prometheus("{}", &[RECEIVER, "--query.max-samples=100"]).await else { return };
    let end = clock::now() - 60_000;
    let series: Vec<_> =
        history(end).into_iter().filter(|(labels, _)| labels.as_ref().get("kind") != Some("b")).collect();
    fill(&prometheus, &series).await;
    let dir = tempfile::tempdir().unwrap();
    files(dir.path(), &series);
    let of_file = findings(dir.path(), &backtest(dir.path(), "history.jsonl", end, &[]));
    let of_server = findings(dir.path(), &backtest(dir.path(), &prometheus.url("/"), end, &[]));
    assert!(of_file == of_server, "of the file:\n{of_file}\nof the server:\n{of_server}");
}

#[tokio::test]
async fn a_prometheus_that_cannot_be_asked_is_an_error_that_says_why() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path(), &[]);
    let output = backtest(dir.path(), "ftp://example.org", 1_700_000_000_000, &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no file matches"));
    let Some(alertmanager) = Peer::alertmanager("{route: {receiver: r}, receivers: [{name: r}]}").await else { return };
    let output = backtest(dir.path(), &alertmanager.url(""), 1_700_000_000_000, &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("HTTP 404"), "{text}");
}

#[tokio::test]
async fn a_running_forewarn_learns_from_prometheus_before_it_is_live() {
    let Some(prometheus) = Peer::prometheus("{}", &[RECEIVER]).await else { return };
    let end = clock::now() - 5_000;
    let series = history(end);
    fill(&prometheus, &series).await;
    let config = format!(
        "rule_files: [rules.yml]\nmodel_files: [profiles/*.yaml]\nengine: {{shards: 2}}\n\
         warm_up: {{prometheus: {{url: '{}', range: 6h, labels: {{zone: eu}}}}}}",
        prometheus.url("")
    );
    let forewarn = Forewarn::start(&config, |dir| files(dir, &series)).await;
    forewarn.ready(Duration::from_secs(60)).await;
    // Everything but what lies further back than the range.
    let samples = forewarn.metric("forewarn_source_samples_total{source=\"warm_up\"}").await.unwrap();
    let all: usize = series.iter().map(|(_, samples)| samples.len()).sum();
    assert!(samples > all as f64 * 0.98 && samples <= all as f64, "{samples} of {all}");
    let models = "forewarn_engine_held{kind=\"models\"}";
    eventually("two models", Duration::from_secs(30), async || forewarn.metric(models).await.filter(|n| *n == 2.0))
        .await;
    let found = forewarn.stdout();
    for alert in ["Unusual", "High", "Busy"] {
        assert!(found.contains(&format!("\"alert\":\"{alert}\"")), "{found}");
    }
    assert!(found.contains("\"zone\":\"eu\""), "{found}");
}
