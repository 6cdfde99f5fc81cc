//! What the engine did: ticks, evaluations, and how much it holds.

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::Register;

/// Metrics of the engine.
#[derive(Clone, Debug)]
pub struct EngineMetrics {
    /// Instants at which something was evaluated.
    pub ticks: IntCounter,
    /// Rules evaluated.
    pub evaluations: IntCounter,
    /// Of these, those that failed.
    pub failures: IntCounter,
    /// Changes of alerts, by the state they led to; repetitions not counted.
    pub transitions: IntCounterVec,
    /// Seconds that one advance of the watermark took.
    pub advance_seconds: Histogram,
    /// Seconds that one batch took to be taken in.
    pub ingest_seconds: Histogram,
    /// Samples that went to series that no rule asks for.
    pub unwanted_samples: IntCounter,
    /// Samples refused by the engine, by reason.
    pub dropped: IntCounterVec,
    /// How far event time has come, seconds since the epoch.
    pub watermark: IntGauge,
    /// How far event time is behind the clock, in seconds.
    pub lag_seconds: Gauge,
    /// What is held, by kind: series, models, waiting samples, unwanted series.
    pub held: IntGaugeVec,
    /// Bytes of the samples of series held.
    pub series_bytes: IntGauge,
    /// Batches waiting for the engine.
    pub queued: IntGauge,
    /// Whether the last reload of rules worked.
    pub reload_successful: IntGauge,
    /// When rules were last loaded, seconds since the epoch.
    pub reload_time: IntGauge,
    /// Rules in force.
    pub rules: IntGauge,
}

const SECONDS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

impl EngineMetrics {
    /// Why the engine refuses samples it has taken.
    pub const DROPPED: [&str; 4] = ["duplicate", "conflict", "out_of_order", "model_limit"];

    /// Registers them.
    ///
    /// # Errors
    /// See [`super::Metrics::new`].
    pub fn register(area: &Register<'_>) -> Result<Self> {
        let dropped = area.counters(
            "forewarn_engine_dropped_samples_total",
            "Samples refused by the engine, by reason.",
            &["reason"],
        )?;
        let transitions =
            area.counters("forewarn_alert_transitions_total", "Changes of alerts, by new state.", &["state"])?;
        // Of a series that begins at its first event `increase()` sees nothing.
        for reason in Self::DROPPED {
            dropped.with_label_values(&[reason]);
        }
        for state in ["inactive", "pending", "firing"] {
            transitions.with_label_values(&[state]);
        }
        Ok(Self {
            ticks: area.counter("forewarn_engine_ticks_total", "Instants at which something was evaluated.")?,
            evaluations: area.counter("forewarn_rule_evaluations_total", "Rules evaluated.")?,
            failures: area.counter("forewarn_rule_evaluation_failures_total", "Evaluations of rules that failed.")?,
            transitions,
            advance_seconds: area.histogram(
                "forewarn_engine_advance_duration_seconds",
                "Seconds that one advance of the watermark took.",
                &SECONDS,
            )?,
            ingest_seconds: area.histogram(
                "forewarn_engine_ingest_duration_seconds",
                "Seconds that one batch took to be taken in.",
                &SECONDS,
            )?,
            unwanted_samples: area
                .counter("forewarn_engine_unwanted_samples_total", "Samples of series that no rule asks for.")?,
            dropped,
            watermark: area.gauge("forewarn_engine_watermark_timestamp_seconds", "How far event time has come.")?,
            lag_seconds: area
                .float_gauge("forewarn_engine_lag_seconds", "How far event time is behind the clock, in seconds.")?,
            held: area.gauges("forewarn_engine_held", "What the engine holds, by kind.", &["kind"])?,
            series_bytes: area.gauge("forewarn_engine_series_bytes", "Bytes of the samples of series held.")?,
            queued: area.gauge("forewarn_engine_queued_batches", "Batches waiting for the engine.")?,
            reload_successful: area
                .gauge("forewarn_config_last_reload_successful", "Whether the last reload of rules worked.")?,
            reload_time: area.gauge(
                "forewarn_config_last_reload_success_timestamp_seconds",
                "When rules were last loaded, seconds since the epoch.",
            )?,
            rules: area.gauge("forewarn_rules", "Rules in force.")?,
        })
    }
}
