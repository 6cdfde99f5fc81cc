//! Metrics of what is kept on disk: checkpoints, and the segment log. A process that keeps nothing does not show them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry, Result};

use super::Register;

/// Metrics of saved state.
#[derive(Clone, Debug)]
pub struct StateMetrics {
    /// Checkpoints by outcome: written, failed.
    pub checkpoints: IntCounterVec,
    /// Seconds for which the engine stood still to be copied.
    pub snapshot_seconds: Histogram,
    /// Seconds that writing a checkpoint took, in the background.
    pub write_seconds: Histogram,
    /// Bytes of the newest checkpoint.
    pub checkpoint_bytes: IntGauge,
    /// When the newest checkpoint was written, seconds since the epoch; until there is one, when one could first be missed.
    pub checkpoint_time: IntGauge,
    /// 1 while a checkpoint is being written for so long that its disk must be taken to hang.
    pub checkpoint_hanging: IntGauge,
    /// Checkpoints that were passed over at the start because they were not whole.
    pub passed_over: IntCounter,
    /// Entries of the log that were read at the start, by outcome: replayed, lost, unreadable.
    pub replayed: IntCounterVec,
    /// Entries that are durable in the log.
    pub log_entries: IntCounter,
    /// Bytes of these.
    pub log_written: IntCounter,
    /// Entries that the log refused, by reason.
    pub log_refused: IntCounterVec,
    /// Writes and fsyncs of the log that failed.
    pub log_failures: IntCounter,
    /// Times that the disk of the log did not answer for so long that all was refused.
    pub log_stalls: IntCounter,
    /// 1 from a failure of the log until something is durable again, and while its disk hangs.
    pub log_failing: IntGauge,
    /// Batches that nobody would send again which the engine got without their being in the log, by source.
    pub log_unlogged: IntCounterVec,
    /// Seconds from the first write of a group to the end of its fsync.
    pub log_sync_seconds: Histogram,
    /// Entries that wait for the log's disk.
    pub log_queued: IntGauge,
    /// Bytes of the log.
    pub log_bytes: IntGauge,
    /// Segments of the log.
    pub log_segments: IntGauge,
    registry: Registry,
    shown: Arc<AtomicBool>,
}

const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

impl StateMetrics {
    /// Makes them. They are shown from [`Self::begin`] on.
    ///
    /// # Errors
    /// See [`super::Metrics::new`].
    pub fn new() -> Result<Self> {
        let registry = Registry::new();
        let area = Register::new(&registry);
        let histogram = |name: &str, help: &str| area.histogram(name, help, &SECONDS);
        Ok(Self {
            checkpoints: area.counters("forewarn_checkpoints_total", "Checkpoints, by outcome.", &["outcome"])?,
            snapshot_seconds: histogram(
                "forewarn_checkpoint_snapshot_duration_seconds",
                "Seconds for which the engine stood still to be copied.",
            )?,
            write_seconds: histogram(
                "forewarn_checkpoint_write_duration_seconds",
                "Seconds that writing a checkpoint took, in the background.",
            )?,
            checkpoint_bytes: area.gauge("forewarn_checkpoint_bytes", "Bytes of the newest checkpoint.")?,
            checkpoint_time: area.gauge(
                "forewarn_checkpoint_last_success_timestamp_seconds",
                "When the newest checkpoint was written, seconds since the epoch; until there is one, when the process began or its warm-up ended.",
            )?,
            checkpoint_hanging: area.gauge(
                "forewarn_checkpoint_hanging",
                "1 while a checkpoint is being written for so long that its disk must be taken to hang.",
            )?,
            passed_over: area
                .counter("forewarn_checkpoints_passed_over_total", "Checkpoints that were not whole at the start.")?,
            replayed: area.counters(
                "forewarn_log_replayed_entries_total",
                "Entries of the log read at the start, by outcome.",
                &["outcome"],
            )?,
            log_entries: area.counter("forewarn_log_entries_total", "Entries that became durable in the log.")?,
            log_written: area.counter("forewarn_log_written_bytes_total", "Bytes that became durable in the log.")?,
            log_refused: area.counters(
                "forewarn_log_refused_entries_total",
                "Entries that the log refused, by reason.",
                &["reason"],
            )?,
            log_failures: area.counter("forewarn_log_failures_total", "Writes and fsyncs of the log that failed.")?,
            log_stalls: area.counter(
                "forewarn_log_stalls_total",
                "Times that the disk of the log did not answer for so long that all was refused until it did.",
            )?,
            log_failing: area.gauge(
                "forewarn_log_failing",
                "1 from a failure of the log until something is durable in it again, and while its disk hangs.",
            )?,
            log_unlogged: area.counters(
                "forewarn_log_unlogged_batches_total",
                "Batches of sources that nobody repeats which were evaluated without being in the log, by source.",
                &["source"],
            )?,
            log_sync_seconds: histogram(
                "forewarn_log_sync_duration_seconds",
                "Seconds that writing a group of entries and their fsync took.",
            )?,
            log_queued: area.gauge("forewarn_log_queued_entries", "Entries that wait for the log's disk.")?,
            log_bytes: area.gauge("forewarn_log_bytes", "Bytes of the log.")?,
            log_segments: area.gauge("forewarn_log_segments", "Segments of the log.")?,
            shown: Arc::default(),
            registry,
        })
    }

    /// State is kept from `seconds` since the epoch on. Outcomes and reasons are there before they happen: of a counter that
    /// begins at its first event `increase()` sees nothing.
    pub fn begin(&self, seconds: i64) {
        self.checkpoint_time.set(seconds);
        for (counter, values) in [
            (&self.checkpoints, &["written", "failed"][..]),
            (&self.replayed, &["replayed", "lost", "unreadable"]),
            (&self.log_refused, &["full", "failed", "busy", "stalled"]),
        ] {
            values.iter().for_each(|value| counter.with_label_values(&[value]).inc_by(0));
        }
        self.shown.store(true, Ordering::Relaxed);
    }

    /// What there is to show.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        if self.shown.load(Ordering::Relaxed) { self.registry.gather() } else { vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn a_process_that_keeps_nothing_shows_nothing_of_it() {
        let metrics = Metrics::new().unwrap();
        assert!(!metrics.encode().unwrap().contains("_checkpoint_"), "0 would be a checkpoint of 1970");
        metrics.state.begin(1_700_000_000);
        let text = metrics.encode().unwrap();
        assert!(text.contains("forewarn_checkpoint_last_success_timestamp_seconds 1700000000\n"), "{text}");
        assert!(text.contains("forewarn_log_refused_entries_total{reason=\"full\"} 0\n"), "{text}");
    }
}
