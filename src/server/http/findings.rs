//! The last changes of alerts, for the status page: a bounded ring, forgotten at restart.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::alert::{AlertState, Reason, Transition};
use crate::base::{Labels, Millis};

/// How many are kept.
const KEPT: usize = 50;

/// A change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The tick.
    pub at: Millis,
    /// State before.
    pub from: AlertState,
    /// State after.
    pub to: AlertState,
    /// Why.
    pub reason: Reason,
    /// The alert's name.
    pub name: String,
    /// Its labels, `alertname` not among them.
    pub labels: Labels,
    /// The `summary` annotation, or the `description`, or nothing.
    pub summary: String,
}

/// The ring. Clones share it: the host pushes, the page reads.
#[derive(Clone, Debug, Default)]
pub struct RecentFindings {
    ring: Arc<Mutex<VecDeque<Finding>>>,
}

impl RecentFindings {
    /// Keeps a change; repetitions are none.
    pub fn push(&self, transition: &Transition) {
        if transition.from == transition.to {
            return;
        }
        let finding = Finding {
            at: transition.at,
            from: transition.from,
            to: transition.to,
            reason: transition.reason,
            name: transition.rule.alert.clone(),
            labels: transition.labels.as_ref().filter(|name| name != "alertname"),
            summary: summary(&transition.annotations).to_owned(),
        };
        let mut ring = self.lock();
        ring.truncate(KEPT - 1);
        ring.push_front(finding);
    }

    /// The newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Finding> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Finding>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an alert says of itself in a line: `summary`, or `description` where there is none.
pub(super) fn summary(annotations: &[(String, String)]) -> &str {
    let note = |name: &str| annotations.iter().find(|(n, _)| n == name).map(|(_, text)| text.trim());
    note("summary").or_else(|| note("description")).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::RuleRef;

    #[test]
    fn the_last_fifty_changes_without_repetitions() {
        let findings = RecentFindings::default();
        for at in 0..120 {
            let transition = transition(at, AlertState::Inactive);
            findings.push(&transition);
            findings.push(&Transition { from: AlertState::Firing, reason: Reason::Resent, ..transition });
        }
        let list = findings.list();
        assert_eq!(list.len(), KEPT);
        assert_eq!((list[0].at, list[KEPT - 1].at), (119, 70));
        assert_eq!(list[0].labels.to_string(), r#"{device="sda"}"#);
        assert_eq!(list[0].summary, "full soon");
    }

    fn transition(at: Millis, from: AlertState) -> Transition {
        let rule = RuleRef { file: "f".into(), group: "g".into(), alert: "Full".into(), expr: "up".into() };
        Transition {
            at,
            rule: Arc::new(rule),
            labels: Labels::from_pairs([("alertname", "Full"), ("device", "sda")]),
            annotations: vec![("description".into(), "long".into()), ("summary".into(), " full soon\n".into())],
            from,
            to: AlertState::Firing,
            reason: Reason::HeldLongEnough,
            value: 1.0,
            active_at: at,
            fired_at: Some(at),
            resolved_at: None,
            ends_at: at,
        }
    }
}
