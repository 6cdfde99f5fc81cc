//! How the sinks are, for the status page: pure.

use crate::base::{Millis, format_duration};
use crate::sink::{LaneState, SinkState};

use super::http::{Health, SinkStatus};

/// How long attempts may fail before it is more than a hiccup.
const HICCUP: Millis = 60_000;

/// The status of each sink, as the page shows it.
pub(super) fn statuses(states: Vec<SinkState>, lanes: Vec<LaneState>, now: Millis) -> Vec<SinkStatus> {
    let lanes = lanes.into_iter().map(|lane| of_lane(lane, now));
    states.into_iter().map(|state| status(state, now)).chain(lanes).collect()
}

/// A sink of recorded samples.
fn of_lane(lane: LaneState, now: Millis) -> SinkStatus {
    let (health, mut detail) = trouble(lane.trouble.as_ref(), now);
    if lane.samples > 0 {
        let oldest = Millis::try_from(lane.oldest.unwrap_or_default().as_millis()).unwrap_or(Millis::MAX);
        let (bytes, age) = (lane.bytes.div_ceil(1024), format_duration(oldest / 1000 * 1000));
        detail.push(format!("{} recorded samples wait ({bytes} KiB), the oldest for {age}", lane.samples));
    }
    let (kind, detail) = (format!("{} of recorded series", lane.kind), detail.join("; "));
    SinkStatus { name: lane.name, kind, health, detail, waiting: lane.samples }
}

/// How a sink is whose attempts fail, or do not, and the same in words.
fn trouble(trouble: Option<&(Millis, String)>, now: Millis) -> (Health, Vec<String>) {
    let Some((since, why)) = trouble else { return (Health::Good, Vec::new()) };
    let health = if now.saturating_sub(*since) < HICCUP { Health::Degraded } else { Health::Failed };
    (health, vec![format!("failing for {}: {why}", age(*since, now))])
}

fn age(since: Millis, now: Millis) -> String {
    format_duration(now.saturating_sub(since).max(0) / 1000 * 1000)
}

fn status(state: SinkState, now: Millis) -> SinkStatus {
    let (health, mut detail) = trouble(state.trouble.as_ref(), now);
    if let Some(kept) = state.kept.filter(|kept| kept.entries > 0) {
        let oldest = kept.oldest.map_or_else(String::new, |oldest| format!(", the oldest for {}", age(oldest, now)));
        detail.push(format!("{} in the outbox ({} KiB){oldest}", kept.entries, kept.bytes.div_ceil(1024)));
    }
    let (kind, detail) = (state.kind.to_owned(), detail.join("; "));
    SinkStatus { name: state.name, kind, health, detail, waiting: state.waiting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::RecordedBound as Bound;
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
        let bound = Bound { samples: 10, bytes: 10 };
        let lane = LaneState {
            name: "p".to_owned(),
            kind: "remote write",
            samples: 7,
            bytes: 1500,
            bound,
            oldest: Some(std::time::Duration::from_millis(61_900)),
            trouble: Some((80_500, "timeout".to_owned())),
        };
        let idle = LaneState { samples: 0, trouble: None, ..lane.clone() };
        let shown = statuses(states, vec![lane, idle], 90_500);
        let text = |s: &SinkStatus| format!("{} {} {:?} {} {}", s.name, s.kind, s.health, s.detail, s.waiting);
        assert_eq!(
            shown.iter().map(text).collect::<Vec<_>>(),
            [
                "webhook webhook Good  0",
                "am/a webhook Degraded failing for 20s: connection refused; 2 in the outbox (3 KiB), the oldest for 1m30s 2",
                "am/b webhook Failed failing for 1m29s: connection refused; 1 in the outbox (2 KiB), the oldest for 1m30s 1",
                "p remote write of recorded series Degraded failing for 10s: timeout; 7 recorded samples wait (2 KiB), the oldest for 1m1s 7",
                "p remote write of recorded series Good  0",
            ]
        );
    }
}
