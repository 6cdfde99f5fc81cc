//! Scrapes and readings of the host over a kill: what was read before it is in the windows after it, once, and timers go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use serde_json::Value;
use support::victim::Victim;
use support::{eventually, http};

const SOON: Duration = Duration::from_secs(60);

/// Each rule's value is what a window holds: of the exporter, whose counter counts its own scrapes, and of the host.
const RULES: &str = r#"
groups:
  - name: g
    interval: 500ms
    rules:
      - {alert: Scrapes, expr: "count_over_time(scrapes_total[10m])"}
      - {alert: First, expr: "min_over_time(scrapes_total[10m])"}
      - {alert: Last, expr: "max_over_time(scrapes_total[10m])"}
      - {alert: Readings, expr: "count_over_time(node_load1[10m])"}
      - {alert: Gaps, expr: "resets(scrapes_total[10m]) > 0"}
      - {alert: Held, expr: "up == 1", for: 3s}
"#;

/// Counts how often it is scraped, and says so.
async fn exporter() -> (String, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let scrapes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&scrapes);
    let answer = async move || format!("scrapes_total {}\n", counted.fetch_add(1, SeqCst) + 1);
    let router = Router::new().route("/metrics", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, scrapes)
}

/// An alert that is active: when it began to be, and its value.
async fn alert(victim: &Victim, name: &str) -> Option<(String, f64)> {
    let answer = http::get_json(&victim.address, "/api/v1/alerts").await?;
    let alerts = answer["data"]["alerts"].as_array()?.clone();
    let alert: Value = alerts.into_iter().find(|alert| alert["labels"]["alertname"] == name)?;
    Some((alert["activeAt"].as_str()?.to_owned(), alert["value"].as_str()?.parse().ok()?))
}

async fn value(victim: &Victim, name: &str) -> f64 {
    eventually(name, SOON, async || alert(victim, name).await).await.1
}

async fn survives(checkpoints: &str) {
    let (target, scrapes) = exporter().await;
    let config = format!(
        "global: {{evaluation_interval: 500ms}}\nrule_files: [rules.yml]\nsinks: []\nsources: {{host: {{interval: 1s}}}}\n\
         scrape_configs: [{{job_name: own, scrape_interval: 1s, scrape_timeout: 900ms, static_configs: [{{targets: ['{target}']}}]}}]"
    );
    let mut victim = Victim::new(&config, RULES, &format!("dir: state, {checkpoints}")).started().await;
    let begun = Instant::now();
    const KILLS: u64 = 2;
    for _ in 0..KILLS {
        let before = scrapes.load(SeqCst);
        eventually("some scrapes", SOON, async || (scrapes.load(SeqCst) >= before + 5).then_some(())).await;
        let held = eventually("an alert that holds", SOON, async || alert(&victim, "Held").await).await;
        let at_kill = scrapes.load(SeqCst);
        victim.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(scrapes.load(SeqCst), at_kill);
        victim.launch(None);
        victim.answers().await;
        victim.ready(SOON).await;
        // The timer goes on, with what the log has told.
        assert_eq!(alert(&victim, "Held").await.map(|(active_at, _)| active_at), Some(held.0));
    }
    let after = scrapes.load(SeqCst);
    eventually("scrapes after it", SOON, async || (value(&victim, "Last").await >= after as f64 + 2.0).then_some(()))
        .await;
    let (first, last, count) =
        (value(&victim, "First").await, value(&victim, "Last").await, value(&victim, "Scrapes").await);
    // What was on its way at a kill is gone with it; a tick may come between two of the three questions.
    println!("{checkpoints}: scrapes {first} to {last}, {count} of them in the window");
    assert_eq!(first, 1.0, "the first is still there");
    assert!(count <= last + 1.0, "none is double: {count} of {last}");
    assert!(count >= last - KILLS as f64, "none is missing but at the kills: {count} of {last}");
    assert_eq!(alert(&victim, "Gaps").await, None);
    let (readings, seconds) = (value(&victim, "Readings").await, begun.elapsed().as_secs_f64());
    assert!(readings <= seconds + 2.0 && readings >= last - 3.0, "{readings} readings in {seconds} s, {last} scrapes");
    victim.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn windows_and_timers_of_scrapes_go_on() {
    // All of it from the log, or from a checkpoint of half a second ago.
    tokio::join!(survives("checkpoint_interval: 1h"), survives("checkpoint_interval: 500ms, keep: 2"));
}
