//! The main job on real input: Prometheus scrapes node_exporter and remote-writes to forewarn while a real file system
//! fills up; the page arrives at a webhook behind Alertmanager before it is full, and ends after it was emptied.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::disk::Disk;
use support::peer::Peer;
use support::process::Forewarn;
use support::receiver::Receiver;
use support::{eventually, http};

const MIB: u64 = 1 << 20;
/// Filled at [`RATE`], it is full after 80s.
const SIZE: u64 = 40 * MIB;
const RATE: u64 = MIB / 2;
/// How far ahead the rules look.
const HORIZON: Duration = Duration::from_secs(40);
/// From a sample until its page has gone through Prometheus, forewarn's lateness and Alertmanager; generous.
const PATH: Duration = Duration::from_secs(15);
/// Long enough that the forecaster has made up its mind about the quiet disk before it begins to fill.
const QUIET: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_before_the_file_system_is_full_and_ends_after_it_was_emptied() {
    let pager = Receiver::start().await;
    let Some(disk) = Disk::new(SIZE).await else { return };
    let Some(alertmanager) = Peer::alertmanager(&alertmanager_config(&pager.address)).await else { return };
    let forewarn = Forewarn::start(&forewarn_config(&alertmanager.address), |dir| {
        std::fs::write(dir.join("rules.yml"), rules(&disk.mountpoint)).unwrap();
    })
    .await;
    let config = prometheus_config(&disk.exporter.address, &forewarn.address);
    let Some(prometheus) = Peer::prometheus(&config, &[]).await else { return };

    eventually("samples of Prometheus", Duration::from_secs(30), async || {
        forewarn.metric("forewarn_source_samples_total{source=\"remote_write\"}").await.filter(|n| *n > 0.0)
    })
    .await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(pager.bodies(), Vec::<Value>::new(), "nothing happens, and nobody is paged");

    let started = Instant::now();
    let filling = disk.fill(RATE);
    let page = async |alert: &'static str| {
        let at = eventually(alert, Duration::from_secs(120), async || first(&pager, alert, "firing")).await;
        (alert, at, disk.used())
    };
    let paged: [_; 2] = tokio::join!(page("DiskFullSoon"), page("DiskTimeLeft")).into();
    let full = filling.full().await;
    println!("full {:.1?} after it began to fill", full - started);
    for (alert, at, used) in paged {
        let left = full.checked_duration_since(at).expect("the page comes before the file system is full");
        println!("{alert}: paged after {:.1?}, {:.1?} ahead, {:.0} % used", at - started, left, 100.0 * used);
        assert!(left + PATH > HORIZON, "{alert}: late");
        assert!(left < 2 * HORIZON, "{alert}: no sooner than the rule asks for");
        assert!((0.2..0.9).contains(&used), "{alert}");
    }
    assert_eq!(first(&pager, "DiskFullSoon", "resolved"), None, "it fires until the end");
    assert!(disk.used() > 0.99);

    disk.empty();
    let emptied = Instant::now();
    for alert in ["DiskFullSoon", "DiskTimeLeft"] {
        let at = eventually(alert, Duration::from_secs(60), async || first(&pager, alert, "resolved")).await;
        println!("{alert}: resolved {:.1?} after it was emptied", at - emptied);
    }
    assert!(forewarn.alerts().await.is_empty());

    // Prometheus counts what a receiver refused for good.
    let (_, metrics) = http::get(&prometheus.address, "/metrics").await.unwrap();
    let failed: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("prometheus_remote_storage_samples_failed_total")).collect();
    assert!(failed.len() == 1 && failed[0].ends_with(" 0"), "{failed:?}");
}

/// When the pager was first told that this alert has this status.
fn first(pager: &Receiver, alert: &str, status: &str) -> Option<Instant> {
    let told = |body: &Value| {
        let mut alerts = body["alerts"].as_array().unwrap().iter();
        alerts.any(|a| a["labels"]["alertname"] == alert && a["status"] == status)
    };
    pager.received().iter().find(|message| told(&message.body)).map(|message| message.at)
}

fn rules(mountpoint: &str) -> String {
    let avail = format!("node_filesystem_avail_bytes{{mountpoint=\"{mountpoint}\"}}");
    let horizon = HORIZON.as_secs();
    format!(
        r#"
groups:
  - name: disk
    interval: 1s
    rules:
      - alert: DiskFullSoon
        expr: {avail} and predict_quantile(0.95, {avail}, {horizon}) < 0
        for: 2s
        labels: {{severity: page}}
        annotations: {{summary: "full within {horizon}s, {{{{ $value | humanize1024 }}}}B are left"}}
      - alert: DiskTimeLeft
        expr: time_until({avail}, 0, 0.5) < {horizon}
        for: 2s
        labels: {{severity: page}}
        annotations: {{summary: "full in {{{{ $value | humanizeDuration }}}}"}}
"#
    )
}

fn forewarn_config(alertmanager: &str) -> String {
    format!(
        r#"
global: {{evaluation_interval: 1s}}
rule_files: [rules.yml]
sources: {{remote_write: {{lateness: 2s, idle_timeout: 10s}}}}
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
"#
    )
}

fn prometheus_config(exporter: &str, forewarn: &str) -> String {
    format!(
        r#"
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{exporter}']}}]}}]
remote_write: [{{url: 'http://{forewarn}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}]
"#
    )
}

fn alertmanager_config(pager: &str) -> String {
    format!(
        r#"
route: {{receiver: pager, group_by: [alertname], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: pager, webhook_configs: [{{url: 'http://{pager}/', send_resolved: true}}]}}]
"#
    )
}
