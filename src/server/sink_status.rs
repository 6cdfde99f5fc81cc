//! How the sinks are, for the status page: pure.

use crate::base::{Millis, format_duration};
use crate::sink::SinkState;

use super::http::{Health, SinkStatus};

/// How long attempts may fail before it is more than a hiccup.
const HICCUP: Millis = 60_000;

/// The status of each sink, as the page shows it.
pub(super) fn statuses(states: Vec<SinkState>, now: Millis) -> Vec<SinkStatus> {
    states.into_iter().map(|state| status(state, now)).collect()
}

fn status(state: SinkState, now: Millis) -> SinkStatus {
    let age = |since: Millis| format_duration(now.saturating_sub(since).max(0) / 1000 * 1000);
    let mut detail = Vec::new();
    let mut health = Health::Good;
    if let Some((since, why)) = &state.trouble {
        health = if now.saturating_sub(*since) < HICCUP { Health::Degraded } else { Health::Failed };
        detail.push(format!("failing for {}: {why}", age(*since)));
    }
    if let Some(kept) = state.kept.filter(|kept| kept.entries > 0) {
        let oldest = kept.oldest.map_or_else(String::new, |oldest| format!(", the oldest for {}", age(oldest)));
        detail.push(format!("{} in the outbox ({} KiB){oldest}", kept.entries, kept.bytes.div_ceil(1024)));
    }
    let (kind, detail) = (state.kind.to_owned(), detail.join("; "));
    SinkStatus { name: state.name, kind, health, detail, waiting: state.waiting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::outbox::SinkBacklog;

    #[test]
    fn people_see_what_waits_and_what_fails() {
        let state = |name: &str, trouble: Option<Millis>, entries: usize| SinkState {
            name: name.to_owned(),
            kind: "webhook",
            waiting: entries,
            trouble: trouble.map(|since| (since, "connection refused".to_owned())),
            kept: Some(SinkBacklog {
                entries,
                bytes: 1500 * entries,
                oldest: (entries > 0).then_some(0),
                ..Default::default()
            }),
        };
        let states = vec![state("webhook", None, 0), state("am/a", Some(70_000), 2), state("am/b", Some(1_000), 1)];
        let shown = statuses(states, 90_500);
        let text = |s: &SinkStatus| format!("{} {} {:?} {} {}", s.name, s.kind, s.health, s.detail, s.waiting);
        assert_eq!(
            shown.iter().map(text).collect::<Vec<_>>(),
            [
                "webhook webhook Good  0",
                "am/a webhook Degraded failing for 20s: connection refused; 2 in the outbox (3 KiB), the oldest for 1m30s 2",
                "am/b webhook Failed failing for 1m29s: connection refused; 1 in the outbox (2 KiB), the oldest for 1m30s 1",
            ]
        );
    }
}
