//! A group that waits (`query_offset`) and looks ahead (`offset -…`), in a real Prometheus and in forewarn: the same samples are
//! recorded, and templates ask at the same instant. Prometheus works in real time, on samples that it has been given
//! beforehand; forewarn's engine repeats what it did.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use forewarn::base::{BatchBuilder, Labels, Limits, METRIC_NAME, Millis, Sample};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles};
use forewarn::rules::{RuleSet, load_file};
use support::alerts::now;
use support::eventually;
use support::hard_series::Edition;
use support::oracle::{Matrix, Prometheus};
use support::receiver::Receiver;
use support::series::{Event, World};

const SECOND: Millis = 1000;

/// How long the group waits.
const WAIT: Millis = 2 * SECOND;

/// Samples recorded by each rule that are compared.
const COMPARED: usize = 5;

fn rules(pin: Millis) -> String {
    format!(
        r#"
groups:
  - name: waits
    interval: 1s
    query_offset: 2s
    rules:
      - {{ record: "r:now", expr: x }}
      - {{ record: "r:ahead", expr: x offset -2s }}
      - {{ record: "r:rate", expr: "rate(x[3s] offset -2s)" }}
      - {{ record: "r:aggregated", expr: "sum(x offset -1500ms) - sum(x)" }}
      - {{ record: "r:steps", expr: "sum_over_time((x offset -1s)[3s:1s] offset -1s)" }}
      - {{ record: "r:inner", expr: "max_over_time(sum(x offset -2s)[4s:500ms])" }}
      - {{ record: "r:pinned", expr: "x @ {pin} + x @ end() offset -1s" }}
      # What has just been recorded for the instant, and at most that.
      - {{ record: "r:read", expr: "r:ahead - on (i) x offset -2s" }}
      - {{ record: "r:newest", expr: "r:ahead offset -2s" }}
      - alert: Asks
        expr: vector(1)
        annotations:
          told: '{{{{ query "sum(x)" | first | value }}}} {{{{ query "sum(r:ahead)" | first | value }}}} {{{{ query "sum(rate(x[3s]))" | first | value }}}}'
"#,
        pin = pin / SECOND
    )
}

/// Annotations by the instant of the evaluation that sent them.
type Told = BTreeMap<Millis, String>;

#[tokio::test]
async fn a_group_that_waits_records_and_tells_what_it_does_in_prometheus() {
    let began = now();
    let receiver = Receiver::start().await;
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    let text = rules(began - 20 * SECOND);
    std::fs::write(file.path(), &text).unwrap();
    let config = format!(
        "rule_files: ['{}']\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n",
        file.path().display(),
        receiver.address
    );
    let installed = Prometheus::start().await.map(|prometheus| prometheus.version);
    let Some(version) = installed else { return };
    if !Edition::of(&version).is_new() {
        return println!("Prometheus {version} does not know query_offset");
    }
    let Some(prometheus) = Prometheus::start_with(&config, &["--rules.alert.resend-delay=0s"]).await else { return };
    let world = world(began);
    prometheus.fill(&world).await;
    // What is evaluated from here on has found all samples.
    let filled = now() + SECOND;
    let (told, recorded) = eventually("evaluations", Duration::from_secs(30), async || {
        let told: Told = told(&receiver).into_iter().filter(|(t, _)| *t > filled).collect();
        let mut recorded = prometheus.samples(now(), r#"{__name__=~"r:.*"}[5m]"#).await.unwrap();
        recorded.values_mut().for_each(|samples| samples.retain(|t, _| t + WAIT > filled));
        let has_all = recorded.get(&newest()).is_some_and(|samples| samples.len() > COMPARED);
        (told.len() > COMPARED && has_all).then_some((told, recorded))
    })
    .await;
    // The last evaluation may have been half done.
    let last = *recorded[&newest()].keys().next_back().unwrap() - 1;
    let (ours_told, ours) = ours(&text, &world, last);
    let mut compared = BTreeMap::<&str, usize>::new();
    for (labels, samples) in &recorded {
        let samples: Vec<_> = samples.iter().filter(|(t, _)| **t <= last).collect();
        for (t, v) in &samples {
            let ours = ours.get(labels).and_then(|ours| ours.get(t));
            assert_eq!(ours, Some(*v), "{labels} at {t}");
        }
        *compared.entry(labels.as_ref().metric_name()).or_default() += samples.len();
    }
    println!("Prometheus {version}: equal samples {compared:?}, equal texts {}", told.len());
    assert!(compared.len() == 9 && compared.values().all(|n| *n >= COMPARED), "{compared:?}");
    for (t, told) in told.iter().filter(|(t, _)| **t <= last + WAIT) {
        assert_eq!(ours_told.get(t), Some(told), "at {t}");
    }
}

/// Four samples a second, for a minute and a half, some of them of times to come.
fn world(began: Millis) -> World {
    let mut rng = Rng::with_seed(1);
    let mut world = World { series: Vec::new(), events: Vec::new() };
    for i in 0..3 {
        world.series.push(Labels::from_pairs([(METRIC_NAME, "x"), ("i", &i.to_string())]));
        for k in -120..240 {
            let t = began + k * 250 + rng.i64(-100..100);
            world.events.push(Event { series: i, sample: Sample { t, v: f64::from(rng.u32(..1000)) } });
        }
    }
    world.events.sort_by_key(|e| (e.sample.t, e.series));
    world
}

/// The series that the group records last.
fn newest() -> Labels {
    Labels::from_pairs([(METRIC_NAME, "r:newest"), ("i", "2")])
}

/// What our engine tells and records if its group is due when Prometheus' was: when it looked at `last`.
fn ours(rules: &str, world: &World, last: Millis) -> (Told, Matrix) {
    let (groups, faults) = load_file("rules.yml", rules);
    assert!(faults.is_empty(), "{faults:?}");
    let epoch = (last + 1).rem_euclid(SECOND);
    let options =
        EngineOptions { shards: 2, epoch, resend_delay: 0, collect_recorded: true, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let mut out = Output::default();
    engine.load(&rules, &Profiles::default(), &mut out).unwrap();
    let mut batch = BatchBuilder::new(&Limits::default());
    for event in &world.events {
        batch.series(world.series[event.series].as_ref());
        batch.sample(event.sample.t, event.sample.v);
    }
    engine.ingest(&batch.finish());
    engine.advance(last + WAIT + SECOND, &Inline, &mut out);
    let mut recorded = Matrix::new();
    for r in out.recorded {
        recorded.entry(r.labels).or_default().insert(r.t, r.v);
    }
    (out.transitions.into_iter().map(|t| (t.at, t.annotations[0].1.clone())).collect(), recorded)
}

/// What the receiver has been told.
fn told(receiver: &Receiver) -> Told {
    let mut told = Told::new();
    for request in receiver.received().iter().filter(|r| r.path == "/api/v2/alerts") {
        for alert in request.body.as_array().unwrap() {
            let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
            let text = alert["annotations"]["told"].as_str().unwrap().to_owned();
            told.insert(ends.as_millisecond() - 4 * SECOND, text);
        }
    }
    told
}
