//! The servers that other tests start: they start, and see each other.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use support::peer::Peer;
use support::{eventually, http};

#[tokio::test]
async fn prometheus_scrapes_node_exporter() {
    let Some(node) = Peer::node_exporter(&["--collector.disable-defaults", "--collector.loadavg"]).await else {
        return;
    };
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: node, static_configs: [{{targets: ['{}']}}]}}]\n",
        node.address
    );
    let Some(prometheus) = Peer::prometheus(&config, &[]).await else { return };
    eventually("a scraped sample", Duration::from_secs(20), async || {
        let answer = http::get_json(&prometheus.address, "/api/v1/query?query=node_load1").await?;
        (!answer["data"]["result"].as_array()?.is_empty()).then_some(())
    })
    .await;
}
