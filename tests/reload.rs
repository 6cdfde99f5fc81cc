//! Rules change under a running forewarn: by SIGHUP, by `POST /-/reload`, by files that change; and a broken file does not.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use support::process::Forewarn;
use support::{eventually, http};

const SOON: Duration = Duration::from_secs(30);
const GOOD: &str = "forewarn_config_last_reload_successful";
/// So rarely that no test sees it.
const NEVER: &str = "1h";

/// Without samples time follows the clock, a second behind.
fn config(rule_watch_interval: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
rule_files: ["rules/*.yml"]
engine: {{rule_watch_interval: {rule_watch_interval}}}
sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}}}
"#
    )
}

/// One group with alerts that fire at once.
fn rules(alerts: &[&str]) -> String {
    let rules: String = alerts.iter().map(|a| format!("      - alert: {a}\n        expr: vector(1) > 0\n")).collect();
    format!("groups:\n  - name: g\n    rules:\n{rules}")
}

fn write(dir: &Path, text: &str) {
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    std::fs::write(dir.join("rules/a.yml"), text).unwrap();
}

/// The rules in force by name.
async fn in_force(forewarn: &Forewarn) -> Vec<String> {
    let answer = http::get_json(&forewarn.address, "/api/v1/rules").await.unwrap();
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|g| g["rules"].as_array().unwrap());
    rules.map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

async fn comes_in_force(forewarn: &Forewarn, want: &[&str]) {
    eventually(&format!("{want:?} in force"), SOON, async || (in_force(forewarn).await == want).then_some(())).await;
}

#[tokio::test]
async fn a_post_and_a_hangup_reload() {
    let forewarn = Forewarn::start(&config(NEVER), |dir| write(dir, &rules(&["First"]))).await;
    assert_eq!(in_force(&forewarn).await, ["First"]);

    write(forewarn.dir(), &rules(&["First", "Posted"]));
    let (status, answer) = http::post(&forewarn.address, "/-/reload", &[], b"").await.unwrap();
    assert_eq!((status, answer.trim()), (200, "2 rules in 1 groups are in force"));
    assert_eq!(in_force(&forewarn).await, ["First", "Posted"], "the answer comes when they are");

    write(forewarn.dir(), &rules(&["HungUp"]));
    forewarn.signal("HUP");
    comes_in_force(&forewarn, &["HungUp"]).await;
    assert_eq!(forewarn.metric(GOOD).await, Some(1.0));
    let (status, _) = http::get(&forewarn.address, "/-/reload").await.unwrap();
    assert_eq!(status, 405, "a GET, as a crawler sends it, reloads nothing");
}

#[tokio::test]
async fn a_changed_configuration_is_said_to_need_a_restart() {
    let forewarn = Forewarn::start(&config(NEVER), |dir| write(dir, &rules(&["First"]))).await;
    let file = forewarn.dir().join("forewarn.yml");
    let at_start = std::fs::read_to_string(&file).unwrap();
    let reload = async || http::post(&forewarn.address, "/-/reload", &[], b"").await.unwrap();
    let warned = || forewarn.stderr().matches("forewarn.yml has changed").count();

    std::fs::write(&file, format!("# a word\n{at_start}")).unwrap();
    let unchanged = (200, "1 rules in 1 groups are in force\n".to_owned());
    assert_eq!(reload().await, unchanged, "a comment is no change");
    std::fs::write(&file, at_start.replace("rules/*.yml", "other/*.yml")).unwrap();
    let changed = "1 rules in 1 groups are in force; forewarn.yml has changed; its changes need a restart\n";
    for _ in 0..2 {
        assert_eq!(reload().await, (200, changed.to_owned()), "each who asks is told");
    }
    assert_eq!(warned(), 1, "{}", forewarn.stderr());

    std::fs::write(&file, at_start.replace("global:", "gobal:")).unwrap();
    forewarn.signal("HUP");
    eventually("a warning", SOON, async || (warned() == 2).then_some(())).await;
    assert!(forewarn.stderr().contains("which would fail: forewarn check config"), "{}", forewarn.stderr());
    let (_, page) = http::get(&forewarn.address, "/").await.unwrap();
    assert!(page.contains("its changes need a restart"), "the status page shows it");
    assert_eq!(in_force(&forewarn).await, ["First"]);

    std::fs::write(&file, at_start).unwrap();
    assert_eq!(reload().await, unchanged);
    assert_eq!(warned(), 2);
}

#[tokio::test]
async fn a_changed_file_and_kubernetes_switched_link_are_seen() {
    let forewarn = Forewarn::start(&config("1s"), |dir| {
        let mount = dir.join("rules");
        for (version, alert) in [("..2026_01", "Old"), ("..2026_02", "New")] {
            std::fs::create_dir_all(mount.join(version)).unwrap();
            std::fs::write(mount.join(version).join("mounted.yml"), rules(&[alert])).unwrap();
        }
        symlink("..2026_01", mount.join("..data")).unwrap();
        symlink("..data/mounted.yml", mount.join("mounted.yml")).unwrap();
    })
    .await;
    assert_eq!(in_force(&forewarn).await, ["Old"], "each rule once, by the link and not by what is behind it");

    // As the kubelet does it: a new link beside the old one, then a rename over it.
    let mount = forewarn.dir().join("rules");
    symlink("..2026_02", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    comes_in_force(&forewarn, &["New"]).await;

    write(forewarn.dir(), &rules(&["Added"]));
    comes_in_force(&forewarn, &["Added", "New"]).await;
    std::fs::remove_file(mount.join("a.yml")).unwrap();
    comes_in_force(&forewarn, &["New"]).await;
    assert_eq!(forewarn.metric(GOOD).await, Some(1.0));
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_rules_running_and_is_reported() {
    let forewarn = Forewarn::start(&config("1s"), |dir| write(dir, &rules(&["Kept"]))).await;
    let broken =
        rules(&["Kept", "Broken"]).replacen("vector(1) > 0\n      - alert: B", "sum by (\n      - alert: B", 1);
    write(forewarn.dir(), &broken);
    eventually("a report", SOON, async || forewarn.metric(GOOD).await.filter(|good| *good == 0.0)).await;

    let (status, answer) = http::post(&forewarn.address, "/-/reload", &[], b"").await.unwrap();
    assert_eq!(status, 500);
    assert!(answer.contains("rules/a.yml:5:22"), "{answer}");
    assert_eq!(in_force(&forewarn).await, ["Kept"]);
    let still = async || {
        let ticks = forewarn.metric("forewarn_rule_evaluations_total").await.unwrap();
        eventually("evaluations", SOON, async || {
            forewarn.metric("forewarn_rule_evaluations_total").await.filter(|n| *n > ticks + 2.0)
        })
        .await;
        forewarn.alerts().await
    };
    assert_eq!(still().await[0]["labels"]["alertname"], "Kept", "it is evaluated on");
    let log = forewarn.stderr();
    assert!(log.contains("rules/a.yml:5:22") && log.contains("stay in force"), "{log}");
    let reports = log.matches("stay in force").count();
    assert!(reports <= 2, "once for the watcher, once for the POST, not every second: {log}");
    let (_, page) = http::get(&forewarn.address, "/").await.unwrap();
    assert!(page.contains("rules/a.yml:5:22"), "the status page shows it");

    write(forewarn.dir(), &rules(&["Mended"]));
    comes_in_force(&forewarn, &["Mended"]).await;
    assert_eq!(forewarn.metric(GOOD).await, Some(1.0));
}

#[tokio::test]
async fn the_watcher_takes_no_half_done_change_and_never_all_rules_away() {
    let forewarn = Forewarn::start(&config("1s"), |dir| write(dir, &rules(&["Kept"]))).await;
    // A writer that is not done for seconds: each look finds something else.
    for n in 0..30 {
        write(forewarn.dir(), &rules(&["Kept", &format!("Half{n}")]));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(in_force(&forewarn).await, ["Kept"]);
    }
    comes_in_force(&forewarn, &["Kept", "Half29"]).await;
    assert_eq!(forewarn.metric(GOOD).await, Some(1.0));

    std::fs::remove_file(forewarn.dir().join("rules/a.yml")).unwrap();
    eventually("a report", SOON, async || forewarn.metric(GOOD).await.filter(|good| *good == 0.0)).await;
    assert_eq!(in_force(&forewarn).await, ["Kept", "Half29"]);
    assert!(forewarn.stderr().contains("no rules are left"), "{}", forewarn.stderr());
    // Who asks for it gets it.
    let (status, answer) = http::post(&forewarn.address, "/-/reload", &[], b"").await.unwrap();
    assert_eq!((status, answer.trim()), (200, "0 rules in 0 groups are in force"));

    write(forewarn.dir(), &rules(&["Back"]));
    comes_in_force(&forewarn, &["Back"]).await;
    assert_eq!(forewarn.metric(GOOD).await, Some(1.0));
}

#[tokio::test]
async fn a_for_timer_and_a_firing_alert_survive_a_reload() {
    let slow = "      - alert: Slow\n        expr: vector(1) > 0\n        for: 8s\n";
    let with_slow = |alerts: &[&str]| format!("{}{slow}", rules(alerts));
    let forewarn = Forewarn::start(&config(NEVER), |dir| write(dir, &with_slow(&["Quick"]))).await;
    let state = async |name: &str| {
        let alerts = forewarn.alerts().await;
        let alert = alerts.iter().find(|a| a["labels"]["alertname"] == name)?;
        Some((alert["state"].as_str()?.to_owned(), alert["activeAt"].as_str()?.to_owned()))
    };
    let (pending, since) = eventually("the timer", SOON, async || state("Slow").await).await;
    assert_eq!(pending, "pending");
    let quick = eventually("Quick", SOON, async || state("Quick").await).await;
    assert_eq!(quick.0, "firing");

    for alerts in [["Other", "Quick"], ["Quick", "Another"]] {
        write(forewarn.dir(), &with_slow(&alerts));
        let (status, answer) = http::post(&forewarn.address, "/-/reload", &[], b"").await.unwrap();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(state("Slow").await.unwrap().1, since, "it began when it began");
        assert_eq!(state("Quick").await, Some(quick.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    eventually("Slow to fire", SOON, async || state("Slow").await.filter(|(state, _)| state == "firing")).await;
    let late = support::alerts::now() - forewarn::base::parse_rfc3339(&since).unwrap();
    // Eight seconds, the second that time is behind, and what a busy machine needs.
    assert!((8_000..15_000).contains(&late), "{late} ms");
}
