//! What can happen to a state folder and its machine, short of losing both: a full disk, flipped bytes, a missing file, a torn end,
//! a clock set back by days. After each forewarn tells of the same as one to which nothing happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use serde_json::Value;
use support::input::{Input, RULES};
use support::receiver::{Answer, Receiver};
use support::tmpfs::Tmpfs;
use support::victim::{Victim, now};
use support::{eventually, peer};

const SOON: Duration = Duration::from_secs(60);
const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\nlimits: {request_bytes: 1048576}\n\
    sources: {remote_write: {lateness: 0s, idle_timeout: 1h}}\nsinks: [stdout: {format: json}]";
const STATE: &str = "checkpoint_interval: 400ms, keep: 2, log_max_bytes: 4194304";

fn victim() -> Victim {
    Victim::new(CONFIG, RULES, &format!("dir: state, {STATE}"))
}

/// Files of the newest checkpoint.
fn newest_checkpoint(victim: &Victim) -> PathBuf {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(victim.state().join("checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().len() == 20);
    found.sort();
    found.pop().expect("a checkpoint")
}

fn inspect(victim: &Victim) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(["state", "inspect", "--json"])
        .arg(victim.state())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), report)
}

async fn flipped(mut victim: Victim, file: &str, input: Input) -> BTreeSet<String> {
    victim.feed_to(&input, 60).await;
    // At least two, so that there is one to go back to.
    eventually("a checkpoint", SOON, async || {
        victim.metric(r#"forewarn_checkpoints_total{outcome="written"}"#).await.filter(|n| *n >= 2.0)
    })
    .await;
    victim.kill();
    let path = newest_checkpoint(&victim).join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let (whole, report) = inspect(&victim);
    assert!(!whole);
    let checkpoints = report["checkpoints"].as_array().unwrap();
    assert!(checkpoints[0]["fault"].as_str().unwrap().contains("checksum"), "{report}");
    assert!(checkpoints[1]["fault"].is_null() && checkpoints[1]["engine"]["series"].as_u64() > Some(0), "{report}");
    victim.launch(None);
    victim.answers().await;
    assert_eq!(victim.metric("forewarn_checkpoints_passed_over_total").await, Some(1.0));
    victim.live_out(&input).await
}

async fn torn(mut victim: Victim, input: Input) -> BTreeSet<String> {
    victim.feed_to(&input, 60).await;
    victim.kill();
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(victim.state().join("log")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    // As if the crash had come in the middle of a write: half a frame that looks like the ones before.
    let path = segments.iter().rev().find(|path| std::fs::metadata(path).unwrap().len() > 200).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let half = bytes[35..135].to_vec();
    bytes.extend(half);
    std::fs::write(path, bytes).unwrap();
    victim.launch(None);
    victim.answers().await;
    victim.ready(SOON).await;
    assert_eq!(victim.metric(r#"forewarn_log_replayed_entries_total{outcome="lost"}"#).await.unwrap_or(0.0), 0.0);
    victim.live_out(&input).await
}

async fn set_back(mut victim: Victim, input: Input) -> BTreeSet<String> {
    victim.feed_to(&input, 60).await;
    victim.kill();
    victim.launch_at("-3d");
    victim.answers().await;
    victim.ready(SOON).await;
    // What seems to lie in the future is not taken: it would have to be dropped.
    let before = victim.sent;
    victim.feed(&input, Instant::now() + Duration::from_secs(2)).await;
    assert_eq!(victim.sent, before, "{}", victim.stderr());
    let refused = victim.metric(r#"forewarn_source_requests_total{code="503",source="remote_write"}"#).await;
    assert!(refused > Some(0.0));
    victim.kill();
    victim.launch(None);
    victim.live_out(&input).await
}

async fn full_disk(mut victim: Victim, disk: Tmpfs, input: Input) -> BTreeSet<String> {
    victim.feed_to(&input, 50).await;
    disk.fill();
    victim.feed(&input, Instant::now() + Duration::from_secs(2)).await;
    let stuck = victim.sent;
    assert!(stuck < input.steps() - 20, "the disk is not full");
    assert_eq!(victim.metric("forewarn_log_failing").await, Some(1.0));
    eventually("a failed checkpoint", SOON, async || {
        victim.metric(r#"forewarn_checkpoints_total{outcome="failed"}"#).await.filter(|n| *n > 0.0)
    })
    .await;
    disk.empty();
    victim.feed_to(&input, stuck + 10).await;
    assert_eq!(victim.metric("forewarn_log_failing").await, Some(0.0));
    // What was acknowledged around all that is there after the worst end, too.
    victim.kill();
    victim.launch(None);
    victim.live_out(&input).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_is_survived() {
    let mut through = victim().started().await;
    let (records, manifest, tail) = (victim().started().await, victim().started().await, victim().started().await);
    let clock = match peer::require("faketime") {
        Some(_) => Some(victim().started().await),
        None => None,
    };
    let disk = match Tmpfs::new(24 << 20) {
        Some(disk) => {
            let state = disk.path.join("state");
            let victim = Victim::new(CONFIG, RULES, &format!("dir: '{}', {STATE}", state.display()));
            Some((victim.started().await, disk))
        }
        None => None,
    };
    // All have started: nothing is history to any of them.
    let input = Input::new((now() / 1000 + 2) * 1000, 150);
    let mut lives: Vec<(&str, LocalBoxFuture<'_, BTreeSet<String>>)> = vec![
        ("flipped records", flipped(records, "records", input).boxed_local()),
        ("flipped manifest", flipped(manifest, "manifest", input).boxed_local()),
        ("torn", torn(tail, input).boxed_local()),
    ];
    lives.extend(clock.map(|victim| ("clock set back", set_back(victim, input).boxed_local())));
    lives.extend(disk.map(|(victim, disk)| ("full disk", full_disk(victim, disk, input).boxed_local())));
    let undisturbed = async {
        through.feed_to(&input, 40).await;
        another_process_is_turned_away(&through);
        through.live_out(&input).await
    };
    let (names, lives): (Vec<_>, Vec<_>) = lives.into_iter().unzip();
    let (told, expected) = futures_util::future::join(join_all(lives), undisturbed).await;
    assert!(expected.len() > 100, "only {} transitions", expected.len());
    for (what, told) in names.into_iter().zip(told) {
        let (lost, new): (Vec<_>, Vec<_>) =
            (expected.difference(&told).collect(), told.difference(&expected).collect());
        assert!(lost.is_empty() && new.is_empty(), "{what}: lost {lost:#?}\nmade up {new:#?}");
        println!("{what}: {} transitions, all as expected", told.len());
    }
}

/// A folder on a disk of its own, with an alert that always fires and goes to a receiver.
fn on_disk(disk: &Tmpfs, receiver: &Receiver) -> Victim {
    let rules = "groups: [{name: g, rules: [{alert: Always, expr: vector(1) > 0}]}]";
    let config = format!(
        "global: {{evaluation_interval: 200ms}}\nrule_files: [rules.yml]\nlimits: {{request_bytes: 1048576}}\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}}}\nsinks: [webhook: {{name: pager, url: 'http://{}/'}}]",
        receiver.address
    );
    Victim::new(&config, rules, &format!("dir: '{}', {STATE}", disk.path.join("state").display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_is_full_at_the_first_start_keeps_no_alert_back() {
    let Some(disk) = Tmpfs::new(24 << 20) else { return };
    disk.fill();
    let pager = Receiver::start().await;
    let mut victim = on_disk(&disk, &pager).started().await;
    let input = Input::new(now(), 3);
    victim.feed(&input, Instant::now() + Duration::from_secs(1)).await;
    assert_eq!(victim.sent, 0, "nothing is acknowledged that could be lost");
    assert_eq!(victim.metric("forewarn_log_failing").await, Some(1.0));
    assert_eq!(victim.metric("forewarn_outbox_durable").await, Some(0.0));
    eventually("an alert", SOON, async || pager.bodies().first().cloned()).await;
    disk.empty();
    victim.feed_to(&input, 3).await;
    for (metric, value) in [("forewarn_log_failing", 0.0), ("forewarn_outbox_durable", 1.0)] {
        eventually(metric, SOON, async || victim.metric(metric).await.filter(|now| *now == value)).await;
    }
    victim.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_is_full_at_a_restart_costs_no_alert_that_waits() {
    let Some(disk) = Tmpfs::new(24 << 20) else { return };
    let pager = Receiver::answering(|_, _| Answer::Status(503)).await;
    let mut victim = on_disk(&disk, &pager).started().await;
    eventually("an alert that waits", SOON, async || pager.bodies().first().cloned()).await;
    victim.kill();
    disk.fill();
    let before = victim.stderr().len();
    victim.launch(None);
    let end = Instant::now() + Duration::from_secs(10);
    while !victim.is_dead() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The repair after a crash may need room or not; it says what is wrong if it does.
    if victim.is_dead() {
        let log = victim.stderr()[before..].to_owned();
        assert!(log.contains("outbox.redb") && log.contains("Mend the cause"), "{log}");
    }
    println!("on a full disk {}", if victim.is_dead() { "it says what to mend" } else { "it runs" });
    victim.kill();
    disk.empty();
    let received = pager.bodies().len();
    let victim = victim.started().await;
    eventually("the alert that waited", SOON, async || pager.bodies().get(received).cloned()).await;
    assert!(victim.metric(r#"forewarn_outbox_restored{sink="pager"}"#).await >= Some(1.0), "{}", victim.stderr());
    assert!(!victim.state().join("outbox.redb.damaged-0").exists());
}

fn another_process_is_turned_away(victim: &Victim) {
    let config = format!("web: {{listen_address: '127.0.0.1:0'}}\nstate: {{dir: '{}'}}\n", victim.state().display());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("forewarn.yml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn")).arg("run").current_dir(dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("used by another forewarn"), "{text}");
    // One that only looks is not.
    let (whole, report) = inspect(victim);
    assert!(whole && report["log"].as_array().is_some_and(|segments| !segments.is_empty()), "{report}");
}
