//! What a start must not do: take alerts and models with it because the rules are not there yet, or leave anything behind when it
//! fails; and a process that stood still for a while, which is a start of its own kind.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::process::Command;
use std::time::Duration;

use support::process::Forewarn;
use support::victim::{Victim, now};
use support::{eventually, sample};

const SOON: Duration = Duration::from_secs(30);

/// How many lines of standard output say that an alert has become this.
fn said(victim: &Victim, state: &str) -> usize {
    victim.lines().iter().filter(|line| line["to"] == state).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_its_rule_files_ends_and_takes_no_alert_with_it() {
    let config = "global: {evaluation_interval: 200ms}\nrule_files: ['rules.y*l']\n\
                  sources: {host: {interval: 1s}}\nsinks: [stdout: {format: json}]";
    let rules = "groups: [{name: g, rules: [{alert: Stands, expr: vector(1)}]}]";
    let mut victim = Victim::new(config, rules, "dir: state, checkpoint_interval: 400ms").started().await;
    eventually("the alert", SOON, async || (said(&victim, "firing") == 1).then_some(())).await;
    victim.end(SOON).await;

    let (there, away) = (victim.dir().join("rules.yml"), victim.dir().join("elsewhere"));
    std::fs::rename(&there, &away).unwrap();
    victim.launch(None);
    eventually("the end of a start without rules", SOON, async || victim.is_dead().then_some(())).await;
    assert_eq!(victim.ends().last().unwrap().status.code(), Some(1), "{}", victim.stderr());
    assert!(victim.stderr().contains("the checkpoint has 1"), "{}", victim.stderr());

    std::fs::rename(&away, &there).unwrap();
    let mut victim = victim.started().await;
    eventually("ticks", SOON, async || victim.metric("forewarn_engine_ticks_total").await.filter(|n| *n > 5.0)).await;
    victim.end(SOON).await;
    assert_eq!((said(&victim, "firing"), said(&victim, "inactive")), (1, 0), "{:?}", victim.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_on_its_rules_leaves_nothing_behind() {
    let config = "rule_files: [rules.yml]\nsources: {host: {}}\nsinks: [stdout: {format: json}]";
    let mut victim = Victim::new(config, "groups: [{name: g, rules: [{alert: A, expr: 'up =='}]}]", "dir: state");
    victim.launch(None);
    eventually("the end", SOON, async || victim.is_dead().then_some(())).await;
    assert!(victim.stderr().contains("rules.yml:1:"), "{}", victim.stderr());
    assert!(!victim.state().exists(), "history since then would be told to receivers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_start_that_hangs() {
    let config = "rule_files: [hangs.yml]\nsources: {host: {}}";
    let mut victim = Victim::new(config, "", "dir: state");
    // Whoever opens it to read waits for somebody who writes.
    assert!(Command::new("mkfifo").arg(victim.dir().join("hangs.yml")).status().unwrap().success());
    victim.launch(None);
    // It listens, and answers nothing yet.
    let listens = async || tokio::net::TcpStream::connect(&victim.address).await.ok();
    eventually("a port", SOON, listens).await;
    victim.signal("TERM");
    eventually("the end", SOON, async || victim.is_dead().then_some(())).await;
    assert_eq!(victim.ends().last().unwrap().status.code(), Some(130), "{}", victim.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_to_a_process_that_stood_still_is_not_late() {
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n\
                  sources: {remote_write: {lateness: 0s, idle_timeout: 3s}}";
    let rules = "groups: [{name: g, rules: [{alert: Low, expr: level < 0}]}]";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    forewarn.ready(SOON).await;
    let begin = now();
    sample::write(&forewarn.address, "level", begin, 1.0).await;
    forewarn.signal("STOP");
    tokio::time::sleep(Duration::from_secs(12)).await;
    forewarn.signal("CONT");
    // Its own look at the clock comes first.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for t in [begin + 1_000, begin + 6_000, begin + 12_000] {
        sample::write(&forewarn.address, "level", t, 1.0).await;
    }
    let taken = r#"forewarn_source_samples_total{source="remote_write"}"#;
    eventually("all samples", SOON, async || (forewarn.metric(taken).await >= Some(4.0)).then_some(())).await;
    let late = r#"forewarn_source_dropped_samples_total{reason="late",source="remote_write"}"#;
    assert_eq!(forewarn.metric(late).await, Some(0.0));
    // Silence that it has watched lets time go on.
    let watermark = async || forewarn.metric("forewarn_engine_watermark_timestamp_seconds").await;
    let goal = ((begin + 13_000) / 1000) as f64;
    eventually("time to go on", SOON, async || watermark().await.filter(|at| *at >= goal)).await;
}
