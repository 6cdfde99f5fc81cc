//! The repository's own `forewarn.yml`, run as a newcomer does: no service, findings from the recorded series, then live.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::process::Forewarn;
use support::{eventually, http};

/// The promise of ten seconds is for a release build; this one is not optimised and shares its processors.
const WARM_UP: Duration = Duration::from_secs(120);
const END: Duration = Duration::from_secs(10);

/// The configuration as it is, beside the folders that it names.
async fn quick_start() -> Forewarn {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = std::fs::read_to_string(root.join("forewarn.yml")).unwrap();
    Forewarn::start(&config, |dir| {
        for folder in ["rules", "examples"] {
            std::os::unix::fs::symlink(root.join(folder), dir.join(folder)).unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn it_finds_what_is_in_the_recordings_and_goes_live_on_this_machine() {
    let started = Instant::now();
    let mut forewarn = quick_start().await;
    let (status, answer) = http::get(&forewarn.address, "/-/ready").await.unwrap();
    // A fast machine may be through already.
    assert!(status == 200 || (status == 503 && answer.contains("Warming up")), "{status} {answer}");
    forewarn.ready(WARM_UP).await;
    println!("ready after {:.1?}", started.elapsed());

    let lines: Vec<Value> = forewarn.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: BTreeSet<&str> = lines.iter().filter(|l| l["to"] == "firing").map(alert).collect();
    assert!(found.contains("MachineTemperatureUnusual"), "{found:?}");
    for line in lines.iter().filter(|l| alert(l).ends_with("Unusual")) {
        let at = forewarn::base::parse_rfc3339(line["time"].as_str().unwrap()).unwrap();
        assert!(at <= support::alerts::now(), "recordings end now: {line}");
    }
    let log = forewarn.stderr();
    assert!(log.lines().any(|l| l.contains("live") && l.contains("found_in_history")), "{log}");

    eventually("series of this machine", Duration::from_secs(60), async || {
        forewarn.metric("forewarn_source_samples_total{source=\"host\"}").await.filter(|n| *n > 0.0)
    })
    .await;
    // Measured every 15 seconds.
    eventually("more series than the three recorded", Duration::from_secs(60), async || {
        forewarn.metric("forewarn_engine_held{kind=\"series\"}").await.filter(|n| *n > 3.0)
    })
    .await;
    assert_eq!(forewarn.metric("forewarn_config_last_reload_successful").await, Some(1.0));
    assert_eq!(forewarn.metric("forewarn_rule_evaluation_failures_total").await, Some(0.0));

    let rules = http::get_json(&forewarn.address, "/api/v1/rules").await.unwrap();
    let groups: Vec<&str> =
        rules["data"]["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert!(groups.contains(&"recorded") && groups.contains(&"host-filesystem"), "{groups:?}");
    let (status, page) = http::get(&forewarn.address, "/").await.unwrap();
    assert_eq!(status, 200);
    for part in ["host", "replay_1", "MachineTemperatureUnusual"] {
        assert!(page.contains(part), "{part} on {page}");
    }

    assert_eq!(forewarn.end_by("INT", END).await.code(), Some(0));
    let log = forewarn.stderr();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_in_the_middle_of_the_warm_up() {
    let mut forewarn = quick_start().await;
    assert_eq!(forewarn.end_by("TERM", END).await.code(), Some(0));
    assert!(!forewarn.stderr().contains("panicked"), "{}", forewarn.stderr());
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_when_it_is_live() {
    let mut forewarn = quick_start().await;
    forewarn.ready(WARM_UP).await;
    assert_eq!(forewarn.end_by("TERM", END).await.code(), Some(0));
    assert!(!forewarn.stderr().contains("panicked"), "{}", forewarn.stderr());
}

fn alert(line: &Value) -> &str {
    line["rule"]["alert"].as_str().unwrap()
}

#[test]
fn elsewhere_it_says_how_to_start() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_forewarn")).arg("run").current_dir(elsewhere.path()).output();
    let text = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(text.contains("forewarn.yml") && text.contains("-c FILE"), "{text}");
}
