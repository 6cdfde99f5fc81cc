//! The collectors on this very machine, and their names against the real node_exporter.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::*;
use crate::base::METRIC_NAME;
use crate::source::decode::text::{Format, TextOptions, decode};
use crate::source::testing::{Running, free_port};

type Names = BTreeMap<String, BTreeSet<Vec<String>>>;

/// Label names by metric name.
fn names(batch: &Batch, without: &[&str]) -> Names {
    let mut names = Names::new();
    for run in batch.runs() {
        let labels = batch.labels(run);
        let others = labels.iter().map(|(n, _)| n).filter(|n| *n != METRIC_NAME && !without.contains(n));
        names.entry(labels.metric_name().to_owned()).or_default().insert(others.map(str::to_owned).collect());
    }
    names
}

fn value(batch: &Batch, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits =
        |l: crate::base::LabelsRef<'_>| l.metric_name() == name && labels.iter().all(|(n, v)| l.get(n) == Some(*v));
    batch.runs().iter().find(|run| fits(batch.labels(run))).map(|run| batch.samples(run)[0].v)
}

async fn collect() -> Batch {
    let config: HostConfig = serde_saphyr::from_str("labels: {zone: a}\nnetwork_devices_exclude: ^lo$").unwrap();
    Host::new(&config, &Limits::default()).unwrap().collect(1_000).await
}

#[tokio::test]
async fn reads_this_machine() {
    let batch = collect().await;
    let instance = uname::host_name();
    let target = [("job", "node"), ("instance", instance.as_str()), ("zone", "a")];
    assert_eq!(value(&batch, "up", &target), Some(1.0));
    for collector in
        ["cpu", "meminfo", "filesystem", "diskstats", "netclass", "netdev", "loadavg", "stat", "uname", "vmstat"]
    {
        assert_eq!(
            value(&batch, "node_scrape_collector_success", &[("collector", collector)]),
            Some(1.0),
            "{collector}"
        );
    }
    assert!(value(&batch, "node_cpu_seconds_total", &[("cpu", "0"), ("mode", "user")]).unwrap() > 0.0);
    assert!(value(&batch, "node_memory_MemTotal_bytes", &target).unwrap() > 1e7);
    assert!(value(&batch, "node_boot_time_seconds", &[]).unwrap() > 1e9);
    assert_eq!(value(&batch, "node_time_seconds", &[]), Some(1.0));
    assert_eq!(value(&batch, "node_network_receive_bytes_total", &[("device", "lo")]), None);
    assert!(batch.all_samples().iter().all(|s| s.t == 1_000));
}

#[test]
fn a_bad_filter_is_refused() {
    let config = HostConfig { disks_exclude: "(".to_owned(), ..HostConfig::default() };
    assert!(Host::new(&config, &Limits::default()).is_err());
}

#[tokio::test]
async fn names_and_label_names_are_those_of_node_exporter() {
    let port = free_port();
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let Some(_running) = Running::start(Command::new("prometheus-node-exporter").arg(listen)) else { return };
    let client = crate::source::plain_client();
    let mut text = String::new();
    for _ in 0..100 {
        if let Ok(response) = client.get(format!("http://127.0.0.1:{port}/metrics")).send().await {
            text = response.text().await.unwrap();
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let target = TargetLabels::default();
    let options = TextOptions { format: Format::Prometheus, default_time: 0, honor_timestamps: true, target: &target };
    let theirs = decode(text.as_bytes(), &options, &Limits::default()).unwrap().batch;
    let ours = collect().await;
    let cpu = [("cpu", "0"), ("mode", "idle")];
    for (name, labels, tolerance) in [
        ("node_memory_MemTotal_bytes", &[][..], 0.0),
        ("node_boot_time_seconds", &[], 1.0),
        ("node_filefd_maximum", &[], 0.0),
        ("node_network_mtu_bytes", &[("device", "lo")], 0.0),
        ("node_filesystem_size_bytes", &[("mountpoint", "/")], 0.0),
        ("node_filesystem_avail_bytes", &[("mountpoint", "/")], 1e10),
        ("node_cpu_seconds_total", &cpu, 10.0),
        ("node_pressure_io_waiting_seconds_total", &[], 10.0),
        ("node_vmstat_pgfault", &[], 1e8),
    ] {
        let (Some(a), Some(b)) = (value(&ours, name, labels), value(&theirs, name, labels)) else { continue };
        assert!((a - b).abs() <= tolerance, "{name}: {a} and not {b}");
    }
    let real = names(&theirs, &[]);
    let ours = names(&ours, &["job", "instance", "zone"]);
    assert!(ours.len() > 90, "{}", ours.len());
    for (name, labels) in ours.iter().filter(|(n, _)| *n != "up") {
        let Some(expected) = real.get(name) else { panic!("node_exporter has no {name}") };
        assert!(labels.is_subset(expected), "{name}: {labels:?} and not {expected:?}");
    }
}
