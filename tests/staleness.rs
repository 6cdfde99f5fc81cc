//! A target dies, is taken out, and comes back: through remote write the alerts come and go as in Prometheus itself.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::peer::Peer;
use support::process::Forewarn;
use support::{eventually, http};

/// Far less than the look-back of five minutes: only staleness markers end a series so soon.
const SOON: Duration = Duration::from_secs(40);

const RULES: &str = r#"
groups:
  - name: g
    interval: 1s
    rules:
      - alert: Down
        expr: up == 0
      - alert: Seen
        expr: node_load1 >= 0
      - alert: Gone
        expr: absent(node_load1)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn alerts_end_as_in_prometheus_when_a_target_dies_or_is_taken_out() {
    let Some(mut node) = Peer::node_exporter(&["--collector.disable-defaults", "--collector.loadavg"]).await else {
        return;
    };
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n\
         sources: {remote_write: {lateness: 2s, idle_timeout: 20s}}\n";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), RULES).unwrap()).await;
    let rules = forewarn.dir().join("rules.yml");
    // A second target keeps samples coming when the first has been taken out.
    let config = |targets: &str| {
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs:\n  - {{job_name: node, static_configs: [{{targets: [{targets}]}}]}}\n  \
             - {{job_name: self, static_configs: [{{targets: ['{}']}}]}}\n\
             remote_write: [{{url: 'http://{}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}}}]\n",
            rules.display(),
            forewarn.address,
            forewarn.address
        )
    };
    let target = format!("'{}'", node.address);
    let Some(prometheus) = Peer::prometheus(&config(&target), &["--web.enable-lifecycle"]).await else { return };

    let both_have = async |want: &[&str]| {
        let want: BTreeSet<String> = want.iter().map(ToString::to_string).collect();
        for (who, address) in [("Prometheus", &prometheus.address), ("forewarn", &forewarn.address)] {
            eventually(&format!("{want:?} in {who}"), SOON, async || (alerts(address).await? == want).then_some(()))
                .await;
        }
    };
    both_have(&["Seen"]).await;
    node.kill();
    both_have(&["Down", "Gone"]).await;
    node.revive().await;
    both_have(&["Seen"]).await;

    node.kill();
    both_have(&["Down", "Gone"]).await;
    std::fs::write(prometheus.dir().join("config.yml"), config("")).unwrap();
    assert_eq!(http::post(&prometheus.address, "/-/reload", &[], b"").await.unwrap().0, 200);
    both_have(&["Gone"]).await;
}

/// Firing alerts by name.
async fn alerts(address: &str) -> Option<BTreeSet<String>> {
    let answer = http::get_json(address, "/api/v1/alerts").await?;
    let firing = answer["data"]["alerts"].as_array()?.iter().filter(|a| a["state"] == "firing");
    firing.map(|a| a["labels"]["alertname"].as_str().map(str::to_owned)).collect()
}
