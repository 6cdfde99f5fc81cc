//! Transitions as the engine would give them now, and sinks to send them to.

use std::sync::Arc;
use std::time::Duration;

use forewarn::alert::{AlertState, Reason, RuleRef, Transition};
use forewarn::base::{Labels, Millis};
use forewarn::sink::{Backoff, Dispatcher, Origin, SinkConfig, SinkContext, SinkMetrics};
use prometheus::Registry;

/// Wall-clock time.
pub fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

/// An alert that has begun to fire at `at`; it lives for four minutes.
pub fn firing(alert: &str, at: Millis) -> Transition {
    Transition {
        at,
        rule: Arc::new(RuleRef {
            file: "rules/host.yaml".into(),
            group: "host".into(),
            alert: alert.into(),
            expr: "up == 0".into(),
        }),
        labels: Labels::from_pairs([("alertname", alert), ("instance", "a:9100"), ("severity", "page")]),
        annotations: vec![("summary".into(), format!("{alert} is down"))],
        from: AlertState::Pending,
        to: AlertState::Firing,
        reason: Reason::HeldLongEnough,
        value: 0.5,
        active_at: at - 60_000,
        fired_at: Some(at),
        resolved_at: None,
        ends_at: at + 240_000,
    }
}

/// Its repetition at `at`.
pub fn resent(alert: &str, fired_at: Millis, at: Millis) -> Transition {
    let from = AlertState::Firing;
    Transition { at, from, reason: Reason::Resent, ends_at: at + 240_000, ..firing(alert, fired_at) }
}

/// Its end at `at`.
pub fn resolved(alert: &str, fired_at: Millis, at: Millis) -> Transition {
    Transition {
        at,
        from: AlertState::Firing,
        to: AlertState::Inactive,
        reason: Reason::Cleared,
        resolved_at: Some(at),
        ends_at: at,
        ..firing(alert, fired_at)
    }
}

/// Running sinks whose back-off is short, and their metrics.
pub struct Sinks {
    pub dispatcher: Dispatcher,
    registry: Registry,
}

impl Sinks {
    /// Starts the sinks of a YAML list.
    pub fn start(yaml: &str) -> Self {
        Self::start_with(yaml, |_| {})
    }

    /// As [`Self::start`], with changes to what the sinks share.
    pub fn start_with(yaml: &str, change: impl FnOnce(&mut SinkContext)) -> Self {
        let configs: Vec<SinkConfig> = serde_saphyr::from_str(yaml).unwrap();
        let registry = Registry::new();
        let mut context = SinkContext {
            origin: Origin {
                external_labels: vec![("cluster".into(), "test".into())],
                external_url: "http://forewarn.test:9190".into(),
            },
            queued_alerts: 1_000,
            backoff: Backoff {
                base: Duration::from_millis(20),
                cap: Duration::from_millis(200),
                retry_after_cap: Duration::from_secs(5),
            },
            dry_run: false,
            metrics: SinkMetrics::register(&registry).unwrap(),
            outbox: None,
        };
        change(&mut context);
        Self { dispatcher: Dispatcher::start(&configs, &context).unwrap(), registry }
    }

    /// Sends transitions.
    pub fn send(&self, transitions: impl IntoIterator<Item = Transition>) {
        self.dispatcher.send(&transitions.into_iter().collect());
    }

    /// Sum of a metric's series that hold all of these label values.
    pub fn metric(&self, name: &str, values: &[&str]) -> f64 {
        let families = self.registry.gather();
        let metrics = families.iter().filter(|f| f.name() == name).flat_map(|f| f.get_metric());
        metrics
            .filter(|m| values.iter().all(|v| m.get_label().iter().any(|l| l.value() == *v)))
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
            .sum()
    }
}
