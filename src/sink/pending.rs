//! What one sink still has to deliver: the newest state of each alert, oldest first. Pure: time is an argument.
//!
//! - **The newest state wins.** A newer transition of an alert takes the place of the one that waits and keeps its turn.
//! - **A resolved alert nobody heard of is forgotten.** Firing that was never attempted, then resolved: nothing is sent.
//!   Once an attempt was made the receiver may believe the alert firing, whatever became of the attempt, and is told.
//! - **Firing waits for as long as the alert lives**: from `at` to `ends_at`, counted from when it came in, so that event
//!   time that lags the wall clock shortens nothing. The engine's repetitions renew it.
//! - **Resolved waits until acknowledged**, without a limit of time.
//! - **Bounded.** Past the capacity the oldest resolved alert goes, and the oldest firing one only when none is resolved.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;

use super::AlertKey;

/// How a sink wants its alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Alerts that may wait.
    pub capacity: usize,
    /// Alerts in one delivery, at most.
    pub batch: usize,
    /// Whether a delivery holds alerts of one rule only.
    pub one_rule: bool,
    /// Whether the engine's repetitions are sent on; without them they only refresh what still waits.
    pub repeats: bool,
    /// Whether the receiver is told of resolved alerts.
    pub resolved: bool,
}

/// What became of an offered transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It waits.
    Queued,
    /// It took the place of an older state of the same alert.
    Superseded,
    /// A newer state of the same alert is here already.
    Stale,
    /// The receiver need not know: a repetition it does not want, or the end of what it never heard of.
    Unneeded,
}

/// A transition on its way to the receiver.
#[derive(Clone, Debug)]
pub struct Outgoing {
    key: AlertKey,
    /// The transition.
    pub transition: Arc<Transition>,
    /// Wall-clock time at which it came in.
    pub received: Millis,
}

impl Outgoing {
    /// A transition that came in at `received`.
    #[cfg(test)]
    pub fn new(transition: Arc<Transition>, received: Millis) -> Self {
        Self { key: AlertKey::of(&transition), transition, received }
    }

    /// Whether it says that the alert fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        is_firing(&self.transition)
    }
}

/// The alerts that wait for one sink.
#[derive(Debug)]
pub struct Pending {
    policy: Policy,
    entries: HashMap<AlertKey, Entry>,
    /// Turn of those that wait and are not under way.
    firing: BTreeMap<u64, AlertKey>,
    resolved: BTreeMap<u64, AlertKey>,
    next_turn: u64,
}

#[derive(Debug)]
struct Entry {
    newest: Arc<Transition>,
    received: Millis,
    turn: u64,
    under_way: bool,
    /// A newer state came in while an older one was under way.
    changed: bool,
    /// The receiver may believe that the alert fires.
    believed: bool,
    /// Largest delivery it may be part of; shrinks when a delivery is refused, to find the alert at fault.
    company: usize,
}

impl Entry {
    fn is_unneeded(&self, policy: &Policy) -> bool {
        !(is_firing(&self.newest) || self.believed && policy.resolved)
    }
}

impl Pending {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let policy = Policy { batch: policy.batch.max(1), capacity: policy.capacity.max(1), ..policy };
        Self { policy, entries: HashMap::new(), firing: BTreeMap::new(), resolved: BTreeMap::new(), next_turn: 0 }
    }

    /// Alerts that wait or are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits and nothing is under way.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a transition in at wall-clock time `now`. Call [`Self::shed`] afterwards.
    pub fn offer(&mut self, transition: &Arc<Transition>, now: Millis) -> Offer {
        let key = AlertKey::of(transition);
        let repetition = transition.reason == Reason::Resent;
        let Some(entry) = self.entries.get_mut(&key) else {
            let unwanted = repetition && !self.policy.repeats || !is_firing(transition) && !self.policy.resolved;
            if unwanted {
                return Offer::Unneeded;
            }
            // A first "firing" is news; a repetition or an end may follow what was delivered before.
            let believed = repetition || !is_firing(transition);
            self.insert(key, transition, now, believed);
            return Offer::Queued;
        };
        if transition.at < entry.newest.at {
            return Offer::Stale;
        }
        let was_firing = is_firing(&entry.newest);
        entry.newest = Arc::clone(transition);
        entry.received = now;
        if entry.under_way {
            entry.changed |= self.policy.repeats || !repetition;
            return Offer::Superseded;
        }
        let turn = entry.turn;
        if entry.is_unneeded(&self.policy) {
            self.entries.remove(&key);
            self.queue(was_firing).remove(&turn);
            return Offer::Unneeded;
        }
        self.queue(was_firing).remove(&turn);
        self.queue(is_firing(transition)).insert(turn, key);
        Offer::Superseded
    }

    /// Gives up what is beyond the capacity and says how many alerts that were.
    pub fn shed(&mut self) -> usize {
        let mut shed = 0;
        while self.entries.len() > self.policy.capacity {
            let Some((_, key)) = self.resolved.pop_first().or_else(|| self.firing.pop_first()) else { break };
            self.entries.remove(&key);
            shed += 1;
        }
        shed
    }

    /// The next delivery, oldest first, and how many firing alerts were given up because their life was over by `now`.
    pub fn take(&mut self, now: Millis) -> (Vec<Outgoing>, usize) {
        let (mut batch, mut expired, mut most) = (Vec::<Outgoing>::new(), 0, self.policy.batch);
        while batch.len() < most {
            let Some((turn, key, firing)) = self.oldest() else { break };
            let Some(entry) = self.entries.get_mut(&key) else { break };
            if firing && is_over(entry, now) {
                self.entries.remove(&key);
                self.queue(firing).remove(&turn);
                expired += 1;
                continue;
            }
            let fits = batch.len() < entry.company
                && (!self.policy.one_rule || batch.first().is_none_or(|b| b.transition.rule == entry.newest.rule));
            if !fits {
                break;
            }
            most = most.min(entry.company);
            entry.under_way = true;
            entry.changed = false;
            entry.believed |= firing;
            batch.push(Outgoing { key, transition: Arc::clone(&entry.newest), received: entry.received });
            self.queue(firing).remove(&turn);
        }
        (batch, expired)
    }

    /// The receiver has acknowledged a delivery.
    pub fn delivered(&mut self, batch: &[Outgoing]) {
        for sent in batch {
            if let Some(entry) = self.entries.get_mut(&sent.key) {
                entry.believed = sent.is_firing();
                entry.company = self.policy.batch;
                let done = !entry.changed;
                self.settle(sent.key, done);
            }
        }
    }

    /// A delivery failed and is to be tried again; newer states that came in meanwhile are tried in its stead.
    pub fn failed(&mut self, batch: &[Outgoing]) {
        for sent in batch {
            self.settle(sent.key, false);
        }
    }

    /// The receiver refused a delivery for good. With `split`, the fault may be that of one alert, and they are tried again in
    /// halves until it stands alone. Says how many alerts were given up.
    pub fn refused(&mut self, batch: &[Outgoing], split: bool) -> usize {
        let mut dropped = 0;
        for sent in batch {
            let Some(entry) = self.entries.get_mut(&sent.key) else { continue };
            if split && batch.len() > 1 {
                entry.company = batch.len() / 2;
                self.settle(sent.key, false);
            } else {
                let done = !entry.changed;
                dropped += usize::from(done);
                self.settle(sent.key, done);
            }
        }
        dropped
    }

    /// Puts all that is under way back into the queue, after the task that delivered it has died.
    pub fn recover(&mut self) {
        let lost: Vec<_> = self.entries.iter().filter(|(_, e)| e.under_way).map(|(k, _)| *k).collect();
        for key in lost {
            self.settle(key, false);
        }
    }

    /// Ends a delivery of one alert: forgets it when `done` or when what came in meanwhile need not be sent.
    fn settle(&mut self, key: AlertKey, done: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if done || entry.is_unneeded(&self.policy) {
            self.entries.remove(&key);
            return;
        }
        entry.under_way = false;
        let (turn, firing) = (entry.turn, is_firing(&entry.newest));
        self.queue(firing).insert(turn, key);
    }

    fn insert(&mut self, key: AlertKey, transition: &Arc<Transition>, received: Millis, believed: bool) {
        let turn = self.next_turn;
        self.next_turn += 1;
        let newest = Arc::clone(transition);
        let company = self.policy.batch;
        self.entries.insert(key, Entry { newest, received, turn, under_way: false, changed: false, believed, company });
        self.queue(is_firing(transition)).insert(turn, key);
    }

    fn oldest(&self) -> Option<(u64, AlertKey, bool)> {
        let firing = self.firing.first_key_value().map(|(turn, key)| (*turn, *key, true));
        let resolved = self.resolved.first_key_value().map(|(turn, key)| (*turn, *key, false));
        match (firing, resolved) {
            (Some(f), Some(r)) => Some(if f.0 < r.0 { f } else { r }),
            (one, other) => one.or(other),
        }
    }

    fn queue(&mut self, firing: bool) -> &mut BTreeMap<u64, AlertKey> {
        if firing { &mut self.firing } else { &mut self.resolved }
    }
}

fn is_firing(transition: &Transition) -> bool {
    transition.to == AlertState::Firing
}

fn is_over(entry: &Entry, now: Millis) -> bool {
    let life = entry.newest.ends_at.saturating_sub(entry.newest.at).max(0);
    now > entry.received.saturating_add(life)
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
