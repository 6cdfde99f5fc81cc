//! The life of alerts in a real Prometheus and in forewarn: the same rules at the same instants, and the same
//! notifications. Prometheus works in real time, forewarn's engine repeats what it did; fifteen seconds.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forewarn::alert::{Reason, Transition};
use forewarn::base::Millis;
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles};
use forewarn::rules::{RuleSet, load_file};
use support::eventually;
use support::hard_series::Edition;
use support::oracle::Prometheus;
use support::peer::{Peer, skip};
use support::receiver::Receiver;

const SECOND: Millis = 1000;

/// Not sent again until more than this has passed.
const RESEND_DELAY: Millis = 2 * SECOND;

/// How often `Always` is sent again while we watch.
const RESENDS: usize = 3;

/// Rules that look at no series but at the second of the clock, so that both see the same whatever their phase. `Always` comes
/// last: when it has been sent, so has everything of that evaluation.
const RULES: &str = r#"
groups:
  - name: lives
    interval: 1s
    limit: 1
    rules:
      - { alert: Blinks, expr: "floor(vector(time())) % 5 < 2" }
      - { alert: Holds, expr: "floor(vector(time())) % 6 < 4", for: 2s }
      - { alert: IsKept, expr: "floor(vector(time())) % 6 < 2", keep_firing_for: 2s }
      - { alert: NeverFires, expr: "floor(vector(time())) % 4 < 2", for: 3s }
      # Three seconds of six it fails, since one side then has two elements; it stays as it is meanwhile.
      - alert: Fails
        expr: "vector(1) + on () (label_replace(vector(1), 'a', 'b', '', '') or (vector(2) and on () floor(vector(time())) % 6 >= 3))"
      # Three seconds of six it gives one more than the limit and is cleared; what comes then is new.
      - alert: TooMany
        expr: "label_replace(vector(1), 'i', 'a', '', '') or (label_replace(vector(1), 'i', 'b', '', '') and on () floor(vector(time())) % 6 >= 3)"
      - { alert: Always, expr: "vector(1)" }
  - name: limited
    interval: 1s
    limit: 1
    rules:
      - { alert: AlwaysTooMany, expr: "label_replace(vector(1), 'i', 'a', '', '') or label_replace(vector(1), 'i', 'b', '', '')" }
  - name: ordered
    interval: 1s
    rules:
      - { record: first, expr: "vector(time())" }
      - { record: second, expr: "first" }
"#;

/// A notification: when the alert began to fire and when it ends, or ended, in milliseconds.
type Sent = (Millis, Millis);

/// Notifications by alert, in the order in which they were sent.
type Lives = BTreeMap<String, Vec<Sent>>;

#[tokio::test]
async fn alerts_are_sent_when_prometheus_sends_them() {
    // Where the machine stalls, Prometheus leaves evaluations out.
    for _ in 0..3 {
        let receiver = Receiver::start().await;
        let Some(prometheus) = prometheus(RULES, &receiver).await else { return };
        let theirs = eventually("notifications", Duration::from_secs(40), async || {
            let sent = sent(&receiver);
            (sent.iter().filter(|(name, _)| name == "Always").count() > RESENDS).then_some(sent)
        })
        .await;
        let (_, metrics) = support::http::get(&prometheus.address, "/metrics").await.unwrap();
        let missed =
            |line: &&str| line.starts_with("prometheus_rule_group_iterations_missed_total{") && !line.ends_with(" 0");
        if metrics.lines().any(|line| missed(&line)) {
            println!("Prometheus has left evaluations out; once more");
            continue;
        }
        compare(&theirs);
        let rules = support::http::get_json(&prometheus.address, "/api/v1/rules").await.unwrap();
        let groups = rules["data"]["groups"].as_array().unwrap();
        let limited = groups.iter().find(|g| g["name"] == "limited").unwrap();
        assert_eq!(limited["rules"][0]["lastError"], "exceeded limit of 1 with 2 alerts");
        assert_eq!(limited["rules"][0]["alerts"].as_array().unwrap().len(), 0);
        assert!(theirs.iter().all(|(name, _)| name != "AlwaysTooMany"));
        return;
    }
    skip("this machine is too slow for a Prometheus that evaluates every second");
}

/// Runs ours from the very instant at which Prometheus began. What Prometheus sent before it had found its Alertmanager is
/// lost; `Always` is the last of an evaluation, so that all after the first of these has come.
fn compare(theirs: &[(String, Sent)]) {
    let from = theirs.iter().position(|(name, _)| name == "Always").unwrap();
    let (began, ends) = theirs[from].1;
    let found_at = ends - 4 * RESEND_DELAY;
    let last = found_at + RESENDS as Millis * (RESEND_DELAY + SECOND);
    // Prometheus evaluates at a phase within the second; what the rules see of the time has none.
    let phase = began.rem_euclid(SECOND);
    let mut engine = engine(RULES);
    let mut out = Output::default();
    engine.advance(began - phase - 1, &Inline, &mut out);
    engine.advance(last - phase, &Inline, &mut out);
    let mut ours = Lives::new();
    // What is cleared because of the limit we send as resolved, where Prometheus lets it expire.
    let is_sent = |t: &&Transition| t.is_notified() && t.at > found_at - phase && t.reason != Reason::OverLimit;
    for t in out.transitions.iter().filter(is_sent) {
        let name = t.labels.as_ref().get("alertname").unwrap().to_owned();
        ours.entry(name).or_default().push((t.fired_at.unwrap() + phase, t.ends_at + phase));
    }
    for (name, sent) in &ours {
        let seconds: Vec<_> = sent.iter().map(|(a, b)| ((a - began) / SECOND, (b - began) / SECOND)).collect();
        println!("{name}: began and ends, in seconds: {seconds:?}");
    }
    let mut lives = Lives::new();
    for (name, sent) in &theirs[from + 1..] {
        lives.entry(name.clone()).or_default().push(*sent);
    }
    for (name, ours) in &ours {
        // Theirs may have gone on by an evaluation meanwhile.
        let theirs = &lives.get(name).map_or(&[][..], |sent| &sent[..sent.len().min(ours.len())]);
        assert_eq!(theirs, ours, "{name}");
    }
    assert_eq!(ours["Always"].len(), RESENDS);
    // In nine seconds each has something to say, at whatever second they begin.
    for (name, least) in [("Blinks", 3), ("Holds", 2), ("IsKept", 2), ("Fails", 1), ("TooMany", 1)] {
        assert!(ours.get(name).is_some_and(|sent| sent.len() >= least), "{name}: {ours:?}");
    }
    assert!(ours["Fails"].iter().all(|(began, _)| *began == ours["Fails"][0].0), "{ours:?}");
    assert!(!ours.contains_key("NeverFires") && !lives.contains_key("NeverFires"));
    let view = engine.groups();
    assert_eq!(view[1].rules[0].last_error.as_deref(), Some("exceeded limit of 1 with 2 alerts"));
    // A rule sees what an earlier one of its group has recorded at the same instant.
    let recorded = |name: &str| -> Vec<(Millis, f64)> {
        out.recorded.iter().filter(|r| r.labels.as_ref().metric_name() == name).map(|r| (r.t, r.v)).collect()
    };
    assert!(recorded("second").len() > 5 && recorded("second") == recorded("first"));
}

#[tokio::test]
async fn a_query_offset_looks_back_and_records_back_but_alerts_are_of_now() {
    let rules = r#"
groups:
  - name: late
    interval: 1s
    query_offset: 1500ms
    rules:
      - { record: "late:time", expr: "vector(time())" }
      - { alert: Late, expr: "vector(1)" }
"#;
    let Some(version) = Prometheus::start().await.map(|prometheus| prometheus.version) else { return };
    if !Edition::of(&version).is_new() {
        return println!("Prometheus {version} does not know query_offset");
    }
    let receiver = Receiver::start().await;
    let Some(prometheus) = prometheus(rules, &receiver).await else { return };
    let first = eventually("a notification", Duration::from_secs(20), async || {
        sent(&receiver).iter().find(|(name, _)| name == "Late").map(|(_, (began, _))| *began)
    })
    .await;
    let raw = async |selector: &str| -> Vec<(Millis, f64)> {
        let path = format!("/api/v1/query?query={selector}%5B1h%5D");
        let answer = support::http::get_json(&prometheus.address, &path).await.unwrap();
        let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
        let sample = |pair: &serde_json::Value| {
            ((pair[0].as_f64().unwrap() * 1e3).round() as Millis, pair[1].as_str().unwrap().parse().unwrap())
        };
        values.iter().map(sample).collect()
    };
    let theirs = eventually("samples", Duration::from_secs(20), async || {
        let samples = raw("late%3Atime").await;
        (samples.len() > 2).then_some(samples)
    })
    .await;
    assert!(theirs.iter().all(|&(t, v)| (v * 1e3).round() as Millis == t), "{theirs:?}");
    let of_alert = raw("ALERTS_FOR_STATE").await;
    // The first evaluations write none, because it might be about to restore them.
    let (t, began) = of_alert[0];
    assert_eq!(((t - (first - 1500)) % SECOND, began), (0, first.div_euclid(SECOND) as f64), "{of_alert:?}");

    let mut engine = engine(rules);
    let mut out = Output::default();
    let start = 1_700_000_000_000;
    engine.advance(start - 1, &Inline, &mut out);
    engine.advance(start + 4 * SECOND, &Inline, &mut out);
    let ours: Vec<_> = out.recorded.iter().map(|r| (r.labels.as_ref().metric_name().to_owned(), r.t, r.v)).collect();
    // The first that lies after the beginning.
    let at = start + 500;
    assert_eq!(ours[0], ("late:time".to_owned(), at, at as f64 / 1e3));
    assert_eq!(ours[2], ("ALERTS_FOR_STATE".to_owned(), at, ((at + 1500) / SECOND) as f64));
    assert_eq!(ours[3].1, at + SECOND);
    assert_eq!((out.transitions[0].at, out.transitions[0].fired_at), (at + 1500, Some(at + 1500)));
}

fn engine(rules: &str) -> Engine {
    let (groups, faults) = load_file("rules.yml", rules);
    assert!(faults.is_empty(), "{faults:?}");
    let options = EngineOptions { resend_delay: RESEND_DELAY, collect_recorded: true, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    engine.load(&rules, &Profiles::default(), &mut Output::default()).unwrap();
    engine
}

async fn prometheus(rules: &str, receiver: &Receiver) -> Option<Peer> {
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let config = format!(
        "rule_files: ['{}']\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
        file.path().display(),
        receiver.address
    );
    let peer = Peer::prometheus(&config, &["--rules.alert.resend-delay=2s"]).await;
    // Read by then.
    drop(file);
    peer
}

/// What the receiver has been sent, in order: alert and notification.
fn sent(receiver: &Receiver) -> Vec<(String, Sent)> {
    let mut sent = Vec::new();
    for request in receiver.received().iter().filter(|r| r.path == "/api/v2/alerts") {
        for alert in request.body.as_array().unwrap() {
            let time = |field: &str| {
                let time: jiff::Timestamp = alert[field].as_str().unwrap().parse().unwrap();
                time.as_millisecond()
            };
            let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
            sent.push((name, (time("startsAt"), time("endsAt"))));
        }
    }
    sent
}
