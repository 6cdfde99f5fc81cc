//! Transitions for the tests of this module.

use std::cell::Cell;
use std::sync::Arc;

use tokio::time::Instant;

use crate::alert::{AlertState, Reason, RuleRef, Transition};
use crate::base::{Labels, Millis};

thread_local! {
    static CLOCK: Cell<Option<(Millis, Instant)>> = const { Cell::new(None) };
}

/// Lets the wall clock of this thread follow tokio's, from `now` on.
pub fn simulate_clock(now: Millis) {
    CLOCK.set(Some((now, Instant::now())));
}

/// The wall clock, if it is simulated on this thread.
pub fn simulated_clock() -> Option<Millis> {
    CLOCK.get().map(|(then, since)| then + since.elapsed().as_millis() as Millis)
}

/// Begins to fire at `at`, lives for four minutes.
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

/// Fired at `fired_at`, resolved at `at`.
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
