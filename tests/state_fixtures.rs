//! State folders of releases, as they were left by a kill: every later release must go on from them.
//!
//! `tests/fixtures/state/<release>/` has the folder and the rules of its process. A release adds its own with
//! `cargo test --test state_fixtures -- --ignored`, and leaves the others as they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::http;
use support::input::{Input, RULES};
use support::victim::{Victim, now};

const SOON: Duration = Duration::from_secs(60);
const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\n\
    sources: {remote_write: {lateness: 0s, idle_timeout: 1h}}\nsinks: [stdout: {format: json}]";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn inspect(dir: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    let output = command.args(["state", "inspect", "--json"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn this_release_goes_on_from_what_every_release_has_left() {
    let mut releases: Vec<PathBuf> = fs::read_dir(fixtures()).unwrap().map(|e| e.unwrap().path()).collect();
    releases.sort();
    assert!(!releases.is_empty());
    for release in releases {
        let report = inspect(&release.join("state"));
        let newest = &report["checkpoints"][0];
        let rules = fs::read_to_string(release.join("rules.yml")).unwrap();
        let (count, learns) = (rules.matches("expr:").count(), rules.contains("\"quick\""));
        let held = &newest["engine"];
        assert!(held["series"].as_u64() > Some(30) && held["rules"] == count, "{report}");
        assert!(!learns || held["models"].as_u64() >= Some(24), "{report}");
        let upto = newest["positions"]["log"].as_u64().unwrap();
        let last = report["log"].as_array().unwrap().iter().filter_map(|s| s["last"].as_u64()).max().unwrap();
        assert!(last > upto, "nothing is left to be replayed");

        let mut victim = Victim::new(CONFIG, &rules, "dir: state");
        copy(&release.join("state"), &victim.state());
        victim.launch(None);
        victim.answers().await;
        victim.ready(SOON).await;
        assert_eq!(victim.metric("forewarn_checkpoints_passed_over_total").await, Some(0.0));
        let replayed = victim.metric(r#"forewarn_log_replayed_entries_total{outcome="replayed"}"#).await;
        assert_eq!(replayed, Some((last + 1 - upto) as f64));
        let answer = http::get_json(&victim.address, "/api/v1/alerts").await.unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let watermark = newest["watermark"].as_str().unwrap();
        let old = alerts.iter().filter(|alert| alert["activeAt"].as_str().unwrap() < watermark).count();
        assert!(old > 0, "no alert is active since before the checkpoint: {alerts:?}");
    }
}

#[tokio::test]
#[ignore = "writes the fixture of this release"]
async fn write_the_fixture_of_this_release() {
    let mut victim = Victim::new(CONFIG, RULES, "dir: state, checkpoint_interval: 2s, keep: 1");
    victim.launch(None);
    victim.answers().await;
    victim.ready(SOON).await;
    let input = Input::new((now() / 1000 + 1) * 1000, 70);
    victim.feed(&input, Instant::now() + SOON).await;
    victim.kill();
    let to = fixtures().join(env!("CARGO_PKG_VERSION"));
    let _ = fs::remove_dir_all(&to);
    for part in ["checkpoints", "log"] {
        copy(&victim.state().join(part), &to.join("state").join(part));
    }
    fs::write(to.join("rules.yml"), RULES).unwrap();
}
