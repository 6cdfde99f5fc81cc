//! Tests of `pending.rs`, apart for their length.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::sink::testing;

const POLICY: Policy = Policy {
    capacity: 100,
    batch: 4,
    one_rule: false,
    repeats: true,
    resolved: true,
    points: false,
    order: Order::Newest,
};

impl Pending {
    /// As one without an outbox does.
    fn offer(&mut self, transition: &Arc<Transition>, now: Millis) -> Offer {
        self.put(0, transition, now)
    }
}

fn firing(alert: &str, at: Millis) -> Arc<Transition> {
    Arc::new(testing::firing(alert, at))
}

fn resolved(alert: &str, at: Millis) -> Arc<Transition> {
    Arc::new(testing::resolved(alert, at - 1_000, at))
}

fn resent(alert: &str, at: Millis) -> Arc<Transition> {
    Arc::new(Transition { reason: Reason::Resent, ..testing::firing(alert, at) })
}

fn names(batch: &[Outgoing]) -> Vec<String> {
    batch.iter().map(|o| format!("{} {:?} {}", o.transition.rule.alert, o.transition.to, o.transition.at)).collect()
}

fn drain(pending: &mut Pending) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let (batch, _) = pending.take(0);
        if batch.is_empty() {
            return all;
        }
        all.extend(names(&batch));
        pending.delivered(&batch);
    }
}

#[test]
fn the_newest_state_wins_and_keeps_its_turn() {
    let mut pending = Pending::new(POLICY);
    assert_eq!(pending.offer(&firing("a", 1), 0), Offer::Queued);
    assert_eq!(pending.offer(&firing("b", 1), 0), Offer::Queued);
    assert_eq!(pending.offer(&resent("a", 5), 0), Offer::Superseded);
    assert_eq!(pending.offer(&firing("a", 4), 0), Offer::Stale);
    assert_eq!(drain(&mut pending), ["a Firing 5", "b Firing 1"]);
    assert!(pending.is_empty());
}

#[test]
fn an_alert_that_was_never_attempted_resolves_in_silence() {
    let mut pending = Pending::new(POLICY);
    pending.offer(&firing("a", 1), 0);
    assert_eq!(pending.offer(&resolved("a", 2), 0), Offer::Unneeded);
    assert!(pending.is_empty());
    assert!(pending.take(0).0.is_empty());
}

#[test]
fn an_alert_that_was_attempted_is_resolved_aloud() {
    let mut pending = Pending::new(POLICY);
    pending.offer(&firing("a", 1), 0);
    let (batch, _) = pending.take(0);
    pending.failed(&batch);
    assert_eq!(pending.offer(&resolved("a", 2), 0), Offer::Superseded);
    assert_eq!(drain(&mut pending), ["a Inactive 2"]);
}

#[test]
fn a_resolved_alert_whose_firing_was_delivered_long_ago_is_sent() {
    let mut pending = Pending::new(POLICY);
    assert_eq!(pending.offer(&resolved("a", 2), 0), Offer::Queued);
    // Still undelivered, it fires and resolves again: the receiver believes the first episode.
    pending.offer(&firing("a", 3), 0);
    assert_eq!(pending.offer(&resolved("a", 4), 0), Offer::Superseded);
    assert_eq!(drain(&mut pending), ["a Inactive 4"]);
}

#[test]
fn what_changes_under_way_is_sent_after_the_acknowledgement() {
    let mut pending = Pending::new(POLICY);
    pending.offer(&firing("a", 1), 0);
    let (batch, _) = pending.take(0);
    pending.offer(&resolved("a", 2), 0);
    assert!(pending.take(0).0.is_empty(), "one delivery of an alert at a time");
    pending.delivered(&batch);
    assert_eq!(drain(&mut pending), ["a Inactive 2"]);
    // And back: resolved under way, firing and resolved again come in; the receiver believes nothing, so nothing is sent.
    pending.offer(&resolved("a", 3), 0);
    let (batch, _) = pending.take(0);
    pending.offer(&firing("a", 4), 0);
    pending.offer(&resolved("a", 5), 0);
    pending.delivered(&batch);
    assert!(pending.is_empty());
}

#[test]
fn firing_alerts_expire_by_their_own_life_whatever_the_lag_of_event_time() {
    let mut pending = Pending::new(POLICY);
    // Event time an hour behind the wall clock; a life of four minutes.
    let now = 3_600_000;
    pending.offer(&firing("a", 0), now);
    let (batch, expired) = pending.take(now + 239_000);
    assert_eq!((batch.len(), expired), (1, 0));
    pending.failed(&batch);
    let (batch, expired) = pending.take(now + 241_000);
    assert_eq!((batch.len(), expired), (0, 1));
    assert!(pending.is_empty());
}

#[test]
fn resolved_alerts_wait_for_as_long_as_it_takes() {
    let mut pending = Pending::new(POLICY);
    pending.offer(&resolved("a", 2), 0);
    assert_eq!(pending.take(86_400_000).0.len(), 1);
}

#[test]
fn past_the_capacity_the_oldest_resolved_goes_first() {
    let mut pending = Pending::new(Policy { capacity: 3, ..POLICY });
    for offer in [firing("a", 1), resolved("b", 1), resolved("c", 1), firing("d", 1)] {
        pending.offer(&offer, 0);
    }
    assert_eq!(pending.shed(), 1);
    pending.offer(&firing("e", 1), 0);
    pending.offer(&firing("f", 1), 0);
    assert_eq!(pending.shed(), 2);
    assert_eq!(drain(&mut pending), ["d Firing 1", "e Firing 1", "f Firing 1"]);
}

#[test]
fn a_refused_delivery_is_halved_until_the_alert_at_fault_stands_alone() {
    let mut pending = Pending::new(POLICY);
    for name in ["a", "b", "bad", "d"] {
        pending.offer(&firing(name, 1), 0);
    }
    let (mut accepted, mut dropped) = (Vec::new(), 0);
    for _ in 0..10 {
        let (batch, _) = pending.take(0);
        if batch.iter().any(|o| o.transition.rule.alert == "bad") {
            dropped += pending.refused(&batch, true);
        } else {
            accepted.extend(names(&batch));
            pending.delivered(&batch);
        }
    }
    assert_eq!(accepted, ["a Firing 1", "b Firing 1", "d Firing 1"]);
    assert_eq!(dropped, 1);
    assert!(pending.is_empty());
}

#[test]
fn receivers_without_repeats_or_resolved_do_not_get_them() {
    let mut pending = Pending::new(Policy { repeats: false, resolved: false, ..POLICY });
    assert_eq!(pending.offer(&resent("a", 1), 0), Offer::Unneeded);
    assert_eq!(pending.offer(&resolved("a", 2), 0), Offer::Unneeded);
    pending.offer(&firing("a", 3), 0);
    let (batch, _) = pending.take(0);
    pending.offer(&resent("a", 4), 0);
    pending.delivered(&batch);
    assert!(pending.is_empty(), "a repetition under way is not a change");
    // It refreshes what still waits, though.
    pending.offer(&firing("a", 5), 0);
    pending.offer(&resent("a", 6), 0);
    assert_eq!(drain(&mut pending), ["a Firing 6"]);
    pending.offer(&firing("a", 7), 0);
    let (batch, _) = pending.take(0);
    pending.offer(&resolved("a", 8), 0);
    pending.failed(&batch);
    assert!(pending.is_empty());
}

#[test]
fn one_rule_a_delivery() {
    let mut pending = Pending::new(Policy { one_rule: true, ..POLICY });
    for name in ["a", "b", "c"] {
        pending.offer(&firing(name, 1), 0);
    }
    assert_eq!(pending.take(0).0.len(), 1);
}

#[test]
fn a_dead_workers_delivery_is_taken_up_again() {
    let mut pending = Pending::new(POLICY);
    pending.offer(&firing("a", 1), 0);
    drop(pending.take(0));
    pending.recover();
    assert_eq!(drain(&mut pending), ["a Firing 1"]);
}

#[test]
fn each_number_is_given_back_once_and_when_its_state_is_settled() {
    let mut pending = Pending::new(POLICY);
    pending.put(1, &firing("a", 1), 0);
    pending.put(2, &resent("a", 2), 0);
    assert_eq!(pending.take_released(), [1], "superseded");
    let (batch, _) = pending.take(0);
    pending.put(3, &resent("a", 3), 0);
    pending.put(4, &resolved("a", 4), 0);
    assert_eq!(pending.take_released(), [3], "2 is on its way and 4 is next");
    pending.failed(&batch);
    assert_eq!(pending.take_released(), [2]);
    let (batch, _) = pending.take(0);
    pending.delivered(&batch);
    assert_eq!(pending.take_released(), [4]);
    pending.put(5, &firing("b", 5), 0);
    pending.put(6, &resolved("b", 6), 0);
    assert_eq!(pending.take_released(), [5, 6], "nobody heard of it");
    pending.put(7, &firing("c", 9), 0);
    pending.put(8, &firing("c", 8), 0);
    assert_eq!(pending.take_released(), [8], "older than what is there");
    assert_eq!(pending.take(300_000), (vec![], 1));
    assert_eq!(pending.take_released(), [7], "expired");
    for seq in 10..112 {
        pending.put(seq, &firing(&seq.to_string(), 10), 0);
    }
    assert_eq!(pending.shed(), 2);
    assert_eq!(pending.take_released(), [10, 11]);
    let (batch, _) = pending.take(0);
    pending.refused(&batch, false);
    assert_eq!(pending.take_released(), [12, 13, 14, 15]);
}

#[test]
fn what_takes_the_place_of_the_undelivered_has_waited_as_long() {
    let mut pending = Pending::new(POLICY);
    pending.put(1, &firing("a", 1), 0);
    pending.put(2, &resent("a", 2), 0);
    assert_eq!(pending.take_heirs(), [(1, 2)]);
    let (batch, _) = pending.take(0);
    pending.put(3, &resent("a", 3), 0);
    assert_eq!(pending.take_heirs(), [], "2 may yet arrive");
    pending.failed(&batch);
    assert_eq!(pending.take_heirs(), [(2, 3)]);
    let (batch, _) = pending.take(0);
    pending.put(4, &resolved("a", 4), 0);
    pending.delivered(&batch);
    assert_eq!(pending.take_heirs(), [], "3 has arrived");
    let mut pending = Pending::new(Policy { repeats: false, ..POLICY });
    pending.put(1, &firing("a", 0), 0);
    assert_eq!(pending.take(300_000).0, [], "its life is over");
    pending.put(2, &resolved("a", 300_000), 300_000);
    assert_eq!(pending.take_heirs(), [(1, 2)]);
}

#[test]
fn after_a_long_stop_receivers_without_repetitions_hear_what_still_fires() {
    let hour = 3_600_000;
    let mut pending = Pending::new(Policy { repeats: false, ..POLICY });
    for (seq, name) in [(1, "fires"), (2, "ended"), (3, "gone")] {
        pending.restore(seq, &firing(name, 0), 0);
    }
    assert_eq!(pending.take(hour), (vec![], 0), "out of date, and not lost");
    assert_eq!(pending.take_released(), Vec::<u64>::new());
    pending.put(0, &resent("fires", hour), hour);
    pending.put(4, &resolved("ended", hour), hour);
    assert_eq!(pending.take_released(), [2]);
    assert_eq!(drain(&mut pending), [format!("fires Firing {hour}"), format!("ended Inactive {hour}")]);
    assert_eq!(pending.take_released(), [1, 4]);
    let week = 7 * 24 * hour;
    assert_eq!(pending.take(hour + week).1, 0);
    assert_eq!(pending.take(2 * hour + week).1, 1, "of this one nobody says anything any more");
    assert_eq!(pending.take_released(), [3]);
    // One that is told again and again simply expires.
    let mut pending = Pending::new(POLICY);
    pending.restore(1, &firing("a", 0), 0);
    assert_eq!(pending.take(hour), (vec![], 1));
}

#[test]
fn what_waited_on_disk_may_have_been_heard_of() {
    let mut pending = Pending::new(POLICY);
    pending.restore(1, &firing("a", 1), 0);
    pending.put(2, &resolved("a", 2), 0);
    assert_eq!(drain(&mut pending), ["a Inactive 2"]);
    assert_eq!(pending.take_released(), [1, 2]);
}

/// What may happen to a sink, on a handful of alerts.
#[derive(Clone, Debug)]
enum Step {
    Fire(u8),
    Resolve(u8),
    Resend(u8),
    Take,
    /// The attempt fails; the receiver may have got it all the same.
    Fail {
        received: bool,
    },
    Deliver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..4).prop_map(Step::Fire),
        (0u8..4).prop_map(Step::Resolve),
        (0u8..4).prop_map(Step::Resend),
        Just(Step::Take),
        any::<bool>().prop_map(|received| Step::Fail { received }),
        Just(Step::Deliver),
    ]
}

/// Marks the firing alerts of a delivery; a resolved one must have been marked before.
fn attempt(batch: &[Outgoing], attempted: &mut HashSet<String>) {
    for sent in batch {
        let name = &sent.transition.rule.alert;
        assert!(sent.is_firing() || attempted.contains(name), "the end of {name}, of which nothing was said");
        attempted.insert(name.clone());
    }
}

fn hear(batch: &[Outgoing], believed: &mut HashMap<String, bool>) {
    for sent in batch {
        believed.insert(sent.transition.rule.alert.clone(), sent.is_firing());
    }
}

proptest! {
    /// Whatever fails, once all is delivered the receiver believes of every alert what the engine said last, and never hears
    /// the end of an alert that it cannot have heard of.
    #[test]
    fn the_receiver_ends_up_with_the_truth(steps in proptest::collection::vec(step(), 0..60), repeats: bool) {
        let mut pending = Pending::new(Policy { repeats, batch: 2, ..POLICY });
        let (mut truth, mut believed) = (HashMap::<String, bool>::new(), HashMap::<String, bool>::new());
        let mut attempted = HashSet::<String>::new();
        let mut under_way: Vec<Outgoing> = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            let at = at as Millis;
            let fires = |n: &u8| truth.get(&n.to_string()) == Some(&true);
            match step {
                Step::Fire(n) if !fires(&n) => {
                    truth.insert(n.to_string(), true);
                    pending.offer(&firing(&n.to_string(), at), 0);
                }
                Step::Resolve(n) if fires(&n) => {
                    truth.insert(n.to_string(), false);
                    pending.offer(&resolved(&n.to_string(), at), 0);
                }
                Step::Resend(n) if fires(&n) => {
                    pending.offer(&resent(&n.to_string(), at), 0);
                }
                Step::Take if under_way.is_empty() => {
                    under_way = pending.take(0).0;
                    attempt(&under_way, &mut attempted);
                }
                Step::Fail { received } => {
                    let batch = std::mem::take(&mut under_way);
                    if received {
                        hear(&batch, &mut believed);
                    }
                    pending.failed(&batch);
                }
                Step::Deliver => {
                    let batch = std::mem::take(&mut under_way);
                    hear(&batch, &mut believed);
                    pending.delivered(&batch);
                }
                _ => {}
            }
        }
        pending.failed(&under_way);
        loop {
            let (batch, _) = pending.take(0);
            if batch.is_empty() {
                break;
            }
            attempt(&batch, &mut attempted);
            hear(&batch, &mut believed);
            pending.delivered(&batch);
        }
        prop_assert!(pending.is_empty());
        for (name, fires) in truth {
            prop_assert_eq!(believed.get(&name).copied().unwrap_or(false), fires, "{}", name);
        }
    }
}
