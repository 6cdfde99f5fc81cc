//! An Alertmanager that is down for an hour, in simulated time: what it has when it is back, and how soon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::pending::{Order, Pending, Policy};
use super::{Backoff, Origin, testing};
use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// Longest time of an attempt that hangs: the default of the sink.
const HANGS: Millis = 10_000;

/// 400 alerts of which each fires and rests in turns of its own, told as the engine does: changes, and repetitions by the minute.
fn engine(now: Millis, pending: &mut Pending, truth: &mut BTreeMap<usize, Option<Millis>>) {
    for n in 0..400 {
        let period = MINUTE * (7 + n as Millis % 41);
        let fires = (now / period + n as Millis) % 3 == 0;
        let since = truth.entry(n).or_default();
        let name = format!("Alert{n:03}");
        let transition = match (*since, fires) {
            (None, true) => testing::firing(&name, now),
            (Some(start), true) => Transition {
                at: now,
                ends_at: now + 4 * MINUTE,
                reason: Reason::Resent,
                ..testing::firing(&name, start)
            },
            (Some(start), false) => testing::resolved(&name, start, now),
            (None, false) => continue,
        };
        *since = fires.then(|| since.unwrap_or(now));
        pending.put(0, &Arc::new(transition), now);
    }
}

/// Runs until all is delivered after the end of the outage; gives how long that took. `hangs`: attempts run into their time-out
/// while it is down, instead of failing at once.
fn recovers_within(hangs: bool, jitter: f64) -> Millis {
    let policy = Policy {
        capacity: 100_000,
        batch: 64,
        one_rule: false,
        repeats: true,
        resolved: true,
        points: false,
        order: Order::Newest,
    };
    let (mut pending, mut truth, mut believed) = (Pending::new(policy), BTreeMap::new(), BTreeMap::new());
    let origin = Origin::default();
    let (down, back) = (MINUTE, MINUTE + HOUR);
    let (mut now, mut next_tick, mut failures) = (0, 0, 0);
    loop {
        while next_tick <= now {
            engine(next_tick, &mut pending, &mut truth);
            next_tick += MINUTE;
        }
        let (batch, _) = pending.take(now);
        if batch.is_empty() {
            if now >= back {
                break;
            }
            now = next_tick;
            continue;
        }
        if (down..back).contains(&now) {
            // It came back in the middle of this attempt, and hears of it no more than before.
            now += if hangs { HANGS } else { 1 };
            pending.failed(&batch);
            failures += 1;
            now += Backoff::default().wait(failures, jitter, None).as_millis() as Millis;
            continue;
        }
        failures = 0;
        let body: serde_json::Value =
            serde_json::from_slice(&super::alertmanager_payload::payload(&batch, &origin, now)).unwrap();
        for (sent, alert) in batch.iter().zip(body.as_array().unwrap()) {
            let ends = crate::base::parse_rfc3339(alert["endsAt"].as_str().unwrap()).unwrap();
            let fires = sent.transition.to == AlertState::Firing;
            assert_eq!(ends > now, fires, "what Alertmanager makes of it at {now}: {alert}");
            believed.insert(sent.transition.rule.alert.clone(), fires);
        }
        // Generous for 64 alerts on a local network.
        now += Duration::from_millis(100).as_millis() as Millis;
        pending.delivered(&batch);
    }
    for (n, since) in truth {
        let believes = believed.get(&format!("Alert{n:03}")).copied().unwrap_or(false);
        assert_eq!(believes, since.is_some(), "Alert{n:03}");
    }
    now - back
}

#[test]
fn after_an_hour_of_outage_all_current_states_are_there_within_30_seconds() {
    for hangs in [false, true] {
        for jitter in [0.05, 0.5, 1.0] {
            let took = recovers_within(hangs, jitter);
            assert!(took <= 30_000, "{took} ms with jitter {jitter}, attempts that hang: {hangs}");
        }
    }
}
