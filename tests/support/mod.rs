//! What tests share: real peers (Prometheus, Alertmanager, node_exporter, Kafka, a Collector), an HTTP receiver that records,
//! and alerts.
//!
//! Peers are Debian's programs, or what the scripts have fetched. Where one is missing a test says `SKIPPED` on standard error and passes, unless `CI=true` or
//! `FOREWARN_REQUIRE_PEERS=1` is set: then it fails.

// Every test binary uses its own part of this module; where it cannot go on, the test has failed.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod alerts;
pub mod authority;
pub mod collector;
pub mod disk;
pub mod engine;
pub mod exact;
pub mod expressions;
pub mod grafana;
pub mod hard_series;
pub mod http;
pub mod input;
pub mod judgement;
pub mod kafka;
pub mod kafka_source;
pub mod metrics;
pub mod oracle;
pub mod otlp;
pub mod peer;
pub mod process;
pub mod receiver;
pub mod sample;
pub mod series;
pub mod server;
pub mod skip;
pub mod tmpfs;
pub mod told;
pub mod victim;
pub mod write_receiver;

use std::time::{Duration, Instant};

/// Waits until `condition` gives a value; panics with `what` after `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
