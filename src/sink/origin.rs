//! What all receivers are told about where an alert comes from, and its times by the wall clock. Pure.

use url::form_urlencoded;

use crate::alert::Transition;
use crate::base::{Labels, Millis};

use super::pending::Outgoing;

/// This forewarn, as its receivers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `global.external_labels`: added to every alert that has no such label of its own.
    pub external_labels: Vec<(String, String)>,
    /// URL under which people reach this forewarn, without a slash at its end; may be empty.
    pub external_url: String,
}

impl Origin {
    /// The alert's labels with the external ones; the alert's own win, as in Prometheus.
    #[must_use]
    pub fn labels(&self, transition: &Transition) -> Labels {
        let mut builder = transition.labels.as_ref().to_builder();
        for (name, value) in &self.external_labels {
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
        builder.build()
    }

    /// Link to the alert's expression in the form of Prometheus' graph page, which other tools take the expression from.
    #[must_use]
    pub fn generator_url(&self, transition: &Transition) -> String {
        if self.external_url.is_empty() {
            return String::new();
        }
        let expr: String = form_urlencoded::byte_serialize(transition.rule.expr.as_bytes()).collect();
        format!("{}/graph?g0.expr={expr}&g0.tab=1", self.external_url.trim_end_matches('/'))
    }
}

/// `startsAt` and `endsAt` by the receiver's clock, taken to be `now`.
///
/// Transitions carry event time, which lags the wall clock by seconds, or by hours while a backlog is read. A firing
/// alert's end is how long the receiver may believe it without a repetition, so it counts from when the transition came in.
/// A resolved alert must have ended by now, even if its event time is ahead of the clock.
#[must_use]
pub fn wall_times(sent: &Outgoing, now: Millis) -> (Millis, Millis) {
    let t = &sent.transition;
    let starts = t.fired_at.unwrap_or(t.active_at);
    let ends = if sent.is_firing() {
        t.ends_at.saturating_add(sent.received.saturating_sub(t.at).max(0))
    } else {
        t.ends_at.min(now)
    };
    (starts.min(ends), ends)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing;
    use super::*;

    #[test]
    fn external_labels_are_added_but_never_win() {
        let origin = Origin {
            external_labels: vec![("cluster".into(), "eu".into()), ("severity".into(), "none".into())],
            external_url: "http://fw:9190/".into(),
        };
        let transition = testing::firing("Down", 1_000);
        assert_eq!(
            origin.labels(&transition).to_string(),
            r#"{alertname="Down", cluster="eu", instance="a:9100", severity="page"}"#
        );
        assert_eq!(origin.generator_url(&transition), "http://fw:9190/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    }

    #[test]
    fn a_lagging_event_time_does_not_end_a_firing_alert_early() {
        let hour = 3_600_000;
        let firing = Outgoing::new(Arc::new(testing::firing("a", 0)), hour);
        assert_eq!(wall_times(&firing, hour), (0, hour + 240_000));
        // No lag, no shift.
        assert_eq!(wall_times(&Outgoing::new(Arc::clone(&firing.transition), 0), 0), (0, 240_000));
    }

    #[test]
    fn a_resolved_alert_has_ended_by_now() {
        let resolved = Outgoing::new(Arc::new(testing::resolved("a", 5_000, 90_000)), 60_000);
        assert_eq!(wall_times(&resolved, 60_000), (5_000, 60_000));
        let early = Outgoing::new(Arc::new(testing::resolved("a", 80_000, 90_000)), 60_000);
        assert_eq!(wall_times(&early, 60_000), (60_000, 60_000), "never ends before it starts");
        assert_eq!(wall_times(&resolved, 600_000), (5_000, 90_000));
    }
}
