//! Metrics of the listening ports.

use prometheus::{IntGauge, IntGaugeVec, Result};

use super::Register;

/// Handles by the setting that names the port.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    open: IntGaugeVec,
    most: IntGaugeVec,
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
        })
    }

    /// The connections of one port, of which there may be `most`.
    #[must_use]
    pub fn connections(&self, listener: &str, most: usize) -> IntGauge {
        self.most.with_label_values(&[listener]).set(i64::try_from(most).unwrap_or(i64::MAX));
        self.open.with_label_values(&[listener])
    }
}
