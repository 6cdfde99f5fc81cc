//! `sources.otlp` of `forewarn.yml`. How names are translated stands under `otlp:`, as in prometheus.yml, for this and for
//! Kafka. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::config::Span;

/// The OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Where to listen for OTLP/gRPC; nowhere if empty. Loopback unless told otherwise; TLS and users are those of `web`.
    pub grpc_address: String,
    /// Where to listen for OTLP/HTTP; nowhere if empty. The paths are served at `web.listen_address` as well.
    pub http_address: String,
    /// How far out of order points may come; a Collector sends in parallel and retries for a while.
    pub lateness: Span,
    /// Silence after which the senders no longer hold other sources back.
    pub idle_timeout: Span,
    /// What becomes of spans.
    pub spans: SpansConfig,
}

/// `sources.otlp.spans`: spans are counted as series, not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpansConfig {
    /// How often the series have a sample; 1s or more.
    pub interval: Span,
    /// Silence after which a series ends.
    pub expiry: Span,
}

impl Default for SpansConfig {
    fn default() -> Self {
        Self { interval: Span(Duration::from_secs(15)), expiry: Span(Duration::from_secs(15 * 60)) }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            grpc_address: "127.0.0.1:4317".to_owned(),
            http_address: "127.0.0.1:4318".to_owned(),
            lateness: Span(Duration::from_secs(10)),
            idle_timeout: Span(Duration::from_secs(60)),
            spans: SpansConfig::default(),
        }
    }
}

/// More often than this a sample of every series would be work for nobody.
const SPANS_INTERVAL_LEAST: Duration = Duration::from_secs(1);

impl OtlpConfig {
    /// Whether it can work.
    ///
    /// # Errors
    /// What is wrong, and how to mend it; begins with the setting's name.
    pub fn validate(&self) -> Result<(), String> {
        let fault = |text: &str| Err(text.to_owned());
        if self.idle_timeout.0.is_zero() {
            return fault("idle_timeout must be above zero, or senders would never be waited for");
        }
        if self.spans.interval.0 < SPANS_INTERVAL_LEAST {
            return fault("spans.interval must be 1s or more: so often every series of spans gets a sample");
        }
        if self.spans.expiry.0 < self.spans.interval.0 {
            return fault("spans.expiry must be spans.interval or more, or series would end before they are written");
        }
        for (name, address) in [("grpc_address", &self.grpc_address), ("http_address", &self.http_address)] {
            if !address.is_empty() && !address.contains(':') {
                return Err(format!("{name}: {address:?} is not host:port; empty means that nobody listens there"));
            }
        }
        if !self.grpc_address.is_empty() && self.grpc_address == self.http_address && !has_any_port(&self.grpc_address)
        {
            return fault("grpc_address and http_address must differ: each protocol has a port of its own");
        }
        Ok(())
    }

    /// One line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let addresses = [("gRPC", &self.grpc_address), ("HTTP", &self.http_address)];
        let shown = addresses.into_iter().filter(|(_, address)| !address.is_empty());
        shown.map(|(protocol, address)| format!("{protocol} at {address}")).collect::<Vec<_>>().join(", ")
    }
}

/// Whether the system chooses the port.
fn has_any_port(address: &str) -> bool {
    address.ends_with(":0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_faults_name_their_setting() {
        let span = |seconds: u64| Span(Duration::from_secs(seconds));
        let good = OtlpConfig::default();
        assert_eq!(good.validate(), Ok(()));
        let nowhere = OtlpConfig { grpc_address: String::new(), http_address: String::new(), ..good.clone() };
        assert_eq!(nowhere.validate(), Ok(()), "OTLP over HTTP is taken at web.listen_address all the same");
        let any = "127.0.0.1:0".to_owned();
        assert_eq!(OtlpConfig { grpc_address: any.clone(), http_address: any, ..good.clone() }.validate(), Ok(()));
        let spans = |interval, expiry| {
            let spans = SpansConfig { interval: span(interval), expiry: span(expiry) };
            OtlpConfig { spans, ..good.clone() }
        };
        assert_eq!(spans(1, 1).validate(), Ok(()));
        for (bad, name) in [
            (OtlpConfig { idle_timeout: span(0), ..good.clone() }, "idle_timeout"),
            (spans(0, 900), "spans.interval"),
            (spans(15, 0), "spans.expiry"),
            (OtlpConfig { grpc_address: "4317".to_owned(), ..good.clone() }, "grpc_address"),
            (OtlpConfig { http_address: good.grpc_address.clone(), ..good.clone() }, "grpc_address and http_address"),
        ] {
            let told = bad.validate().unwrap_err();
            assert!(told.starts_with(name), "{told}");
        }
    }
}
