//! Event time that stays behind the clock is measured, and the log names the source that holds it back.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use forewarn::base::encode::{compress, encode_write_request};
use forewarn::base::{BatchBuilder, Limits};
use support::process::Forewarn;
use support::{eventually, http};

const SOON: Duration = Duration::from_secs(30);
const LAG: &str = "forewarn_engine_lag_seconds";

#[tokio::test]
async fn a_sender_that_stays_behind_is_named() {
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n\
         sources: {host: {interval: 1s}, remote_write: {lateness: 0s, idle_timeout: 1h}}\n";
    let rules = "groups: [{name: g, rules: [{alert: Slow, expr: behind > 0}]}]";
    let forewarn = Forewarn::start(config, |dir| std::fs::write(dir.join("rules.yml"), rules).unwrap()).await;
    let version = format!("forewarn_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(forewarn.metric(&version).await, Some(1.0));
    eventually("time beside the clock", SOON, async || {
        // Ticks at which nothing can come of anything are passed over, so they tell nothing of time.
        let watermark = forewarn.metric("forewarn_engine_watermark_timestamp_seconds").await?;
        forewarn.metric(LAG).await.filter(|lag| watermark > 0.0 && *lag < 5.0)
    })
    .await;

    // Time does not go back, so the sender must hold it for over a minute: a sample of now, then silence short of idle.
    let mut builder = BatchBuilder::new(&Limits::default());
    builder.label("__name__", "behind");
    builder.end_labels().unwrap();
    builder.sample(support::alerts::now(), 1.0);
    let body = compress(&encode_write_request(&builder.finish()));
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let (status, answer) = http::post(&forewarn.address, "/api/v1/write", &headers, &body).await.unwrap();
    assert_eq!(status / 100, 2, "{answer}");
    let lag = eventually("a lag", SOON * 4, async || forewarn.metric(LAG).await.filter(|lag| *lag > 62.0)).await;
    let log = forewarn.stderr();
    let warning = log.lines().find(|line| line.contains("evaluated late")).unwrap_or_else(|| panic!("{lag}: {log}"));
    assert!(warning.contains("remote_write"), "{warning}");
    let held = forewarn.metric("forewarn_source_watermark_seconds{source=\"remote_write\"}").await.unwrap();
    let host = forewarn.metric("forewarn_source_watermark_seconds{source=\"host\"}").await.unwrap();
    assert!(host - held > 55.0, "{host} {held}");
}
