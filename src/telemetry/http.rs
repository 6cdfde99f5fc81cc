//! Metrics of the listening ports.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Result};

use super::Register;

/// Handles by the setting that names the port, and those of all ports together.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    open: IntGaugeVec,
    most: IntGaugeVec,
    refused: IntCounterVec,
    bodies: IntGaugeVec,
    bodies_most: IntGaugeVec,
}

impl HttpMetrics {
    /// Makes and registers the metrics.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(area: &Register<'_>) -> Result<Self> {
        Ok(Self {
            open: area.gauges("forewarn_http_connections", "Connections that are open.", &["listener"])?,
            most: area.gauges(
                "forewarn_http_connections_max",
                "Connections that may be open at once (limits.http_connections).",
                &["listener"],
            )?,
            refused: area.counters(
                "forewarn_http_refused_total",
                "Requests refused before anything has seen them, by reason.",
                &["reason"],
            )?,
            bodies: area.gauges(
                "forewarn_http_body_bytes",
                "Room for bodies that requests have, by whether their length is known beforehand.",
                &["length"],
            )?,
            bodies_most: area.gauges(
                "forewarn_http_body_bytes_max",
                "How much of it there is: half of limits.requests_bytes each.",
                &["length"],
            )?,
        })
    }

    /// Has these reasons shown before anything is refused for them: of a series that begins at its first event `increase()`
    /// sees nothing.
    pub fn may_refuse(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            self.refused.with_label_values(&[reason]);
        }
    }

    /// Counts a request that was refused; `reason` must come from a fixed set.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// The bytes of bodies of one kind, of which there may be `most`.
    #[must_use]
    pub fn bodies(&self, length: &'static str, most: usize) -> IntGauge {
        self.bodies_most.with_label_values(&[length]).set(i64::try_from(most).unwrap_or(i64::MAX));
        self.bodies.with_label_values(&[length])
    }

    /// The connections of one port, of which there may be `most`.
    #[must_use]
    pub fn connections(&self, listener: &str, most: usize) -> IntGauge {
        self.most.with_label_values(&[listener]).set(i64::try_from(most).unwrap_or(i64::MAX));
        self.open.with_label_values(&[listener])
    }
}
