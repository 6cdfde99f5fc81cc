//! What one sink still has to deliver: the newest state of each alert, oldest first. Pure: time is an argument. For sinks
//! that need every transition there is `journal.rs`.
//!
//! - **The newest state wins.** A newer transition of an alert takes the place of the one that waits and keeps its turn.
//! - **A resolved alert nobody heard of is forgotten.** Firing that was never attempted, then resolved: nothing is sent.
//!   Once an attempt was made the receiver may believe the alert firing, whatever became of the attempt, and is told.
//! - **Firing waits for as long as the alert lives**: from `at` to `ends_at`, counted from when it came in, so that event
//!   time that lags the wall clock shortens nothing. The engine's repetitions renew it. A receiver that gets no repetitions
//!   would never hear of an alert that outlived that (a restart after a long stop): for it the alert is kept aside, unsent,
//!   until the engine's next word.
//! - **Resolved waits until acknowledged**, for as long as [`LONGEST`].
//! - **Bounded.** Past the capacity the oldest resolved alert goes, and the oldest firing one only when none is resolved.
//! - **Everything has a number in the outbox** (0: none); numbers that are needed no longer are given back by
//!   [`Pending::take_released`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;

use super::AlertKey;
use super::aside::Aside;
use super::point::{is_news, point};

/// How long a resolved alert, or one kept aside, waits: a week.
pub const LONGEST: Millis = 7 * 86_400_000;

/// Which transitions a sink needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest state of each alert.
    Newest,
    /// Every one, in order, whatever its age; pending alerts and those that were cleared while pending as well if `pending`.
    Every {
        /// Those of which [`Transition::is_notified`] says no.
        pending: bool,
    },
}

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
    /// Whether the receiver shows alerts that mark an instant as what they are: it is told of each instant once, and not of
    /// the alert's end.
    pub points: bool,
    /// Which transitions it needs.
    pub order: Order,
}

impl Policy {
    /// Whether the receiver is owed this transition.
    #[must_use]
    pub fn wants(&self, transition: &Transition) -> bool {
        let told = match self.order {
            Order::Newest => transition.is_notified(),
            Order::Every { pending } => pending || transition.is_notified(),
        };
        if self.points
            && let Some(point) = point(transition)
        {
            return told && is_news(transition, point);
        }
        told && (self.repeats || transition.reason != Reason::Resent)
            && (self.resolved || transition.to != AlertState::Inactive)
    }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    pub(super) key: AlertKey,
    /// Its number in the outbox.
    pub(super) seq: u64,
    /// The transition.
    pub transition: Arc<Transition>,
    /// Wall-clock time at which it came in.
    pub received: Millis,
}

impl Outgoing {
    /// A transition that came in at `received`.
    #[cfg(test)]
    pub fn new(transition: Arc<Transition>, received: Millis) -> Self {
        Self { key: AlertKey::of(&transition), seq: 0, transition, received }
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
    aside: Aside,
    released: Vec<u64>,
    heirs: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Entry {
    newest: Arc<Transition>,
    /// Number of the newest transition that the receiver is owed.
    seq: u64,
    received: Millis,
    turn: u64,
    /// Number of what is being delivered.
    under_way: Option<u64>,
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
        Self {
            policy,
            entries: HashMap::new(),
            firing: BTreeMap::new(),
            resolved: BTreeMap::new(),
            next_turn: 0,
            aside: Aside::default(),
            released: Vec::new(),
            heirs: Vec::new(),
        }
    }

    /// Alerts that wait or are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether something of the alert waits, is under way, or is kept aside.
    #[must_use]
    pub fn holds(&self, key: AlertKey) -> bool {
        self.entries.contains_key(&key) || self.aside.holds(key)
    }

    /// Lets go of what this sink has no use for.
    pub fn release(&mut self, seq: u64) {
        self.released.push(seq);
    }

    /// Whether nothing waits and nothing is under way.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a transition in at wall-clock time `now`. Call [`Self::shed`] afterwards.
    pub fn put(&mut self, seq: u64, transition: &Arc<Transition>, now: Millis) -> Offer {
        let key = AlertKey::of(transition);
        let repetition = transition.reason == Reason::Resent;
        let Some(entry) = self.entries.get_mut(&key) else {
            let aside = self.aside.take(key);
            let unwanted = repetition && !self.policy.repeats && aside.is_none();
            if unwanted || !is_firing(transition) && !self.policy.resolved {
                self.released.extend(aside.into_iter().chain([seq]));
                return Offer::Unneeded;
            }
            // A first "firing" is news; a repetition or an end may follow what was delivered before.
            let believed = repetition || !is_firing(transition) || aside.is_some();
            let mut number = seq;
            if let Some(aside) = aside {
                number = if seq == 0 { aside } else { seq };
                self.released.extend((seq != 0).then_some(aside));
                self.heirs.extend((seq != 0).then_some((aside, seq)));
            }
            self.insert(key, number, transition, now, believed);
            return Offer::Queued;
        };
        if transition.at < entry.newest.at {
            self.released.push(seq);
            return Offer::Stale;
        }
        let was_firing = is_firing(&entry.newest);
        entry.newest = Arc::clone(transition);
        entry.received = now;
        // What only refreshes has no number of its own: the older state stays in the outbox for it.
        if seq != 0 {
            let older = std::mem::replace(&mut entry.seq, seq);
            // That of a delivery under way is given back at its end.
            if entry.under_way != Some(older) {
                self.released.push(older);
                self.heirs.push((older, seq));
            }
        }
        if entry.under_way.is_some() {
            entry.changed |= self.policy.repeats || !repetition;
            return Offer::Superseded;
        }
        let turn = entry.turn;
        if entry.is_unneeded(&self.policy) {
            self.remove(key);
            self.queue(was_firing).remove(&turn);
            return Offer::Unneeded;
        }
        self.queue(was_firing).remove(&turn);
        self.queue(is_firing(transition)).insert(turn, key);
        Offer::Superseded
    }

    /// Takes in what waited in the outbox when the process started and came in at `received`, oldest first. The receiver may
    /// have heard of it.
    pub fn restore(&mut self, seq: u64, transition: &Arc<Transition>, received: Millis) {
        self.put(seq, transition, received);
        if let Some(entry) = self.entries.get_mut(&AlertKey::of(transition)) {
            entry.believed = true;
        }
    }

    /// Numbers that are needed no longer.
    pub fn take_released(&mut self) -> Vec<u64> {
        let mut released = std::mem::take(&mut self.released);
        released.retain(|seq| *seq != 0);
        released
    }

    /// Numbers that were not delivered, and those that have taken their place: the receiver waits for these for as long.
    pub fn take_heirs(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.heirs)
    }

    /// Gives up what is beyond the capacity and says how many alerts that were.
    pub fn shed(&mut self) -> usize {
        let mut shed = 0;
        while self.entries.len() > self.policy.capacity {
            let Some((_, key)) = self.resolved.pop_first().or_else(|| self.firing.pop_first()) else { break };
            self.remove(key);
            shed += 1;
        }
        let aside = self.aside.shed(self.policy.capacity);
        shed += aside.len();
        self.released.extend(aside);
        shed
    }

    /// The next delivery, oldest first, and how many alerts were given up because their life was over by `now`.
    pub fn take(&mut self, now: Millis) -> (Vec<Outgoing>, usize) {
        let (mut batch, mut most) = (Vec::<Outgoing>::new(), self.policy.batch);
        let aside = self.aside.expire(now, LONGEST);
        let mut expired = aside.len();
        self.released.extend(aside);
        while batch.len() < most {
            let Some((turn, key, firing)) = self.oldest() else { break };
            let Some(entry) = self.entries.get_mut(&key) else { break };
            if is_over(entry, now) {
                self.queue(firing).remove(&turn);
                if firing && !self.policy.repeats {
                    let seq = self.entries.remove(&key).map_or(0, |e| e.seq);
                    self.aside.put(key, seq, now);
                } else {
                    self.remove(key);
                    expired += 1;
                }
                continue;
            }
            let fits = batch.len() < entry.company
                && (!self.policy.one_rule || batch.first().is_none_or(|b| b.transition.rule == entry.newest.rule));
            if !fits {
                break;
            }
            most = most.min(entry.company);
            entry.under_way = Some(entry.seq);
            entry.changed = false;
            entry.believed |= firing;
            let transition = Arc::clone(&entry.newest);
            batch.push(Outgoing { key, seq: entry.seq, transition, received: entry.received });
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
            self.again(sent.key);
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
                self.again(sent.key);
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
        let lost: Vec<_> = self.entries.iter().filter(|(_, e)| e.under_way.is_some()).map(|(k, _)| *k).collect();
        for key in lost {
            self.again(key);
        }
    }

    /// Ends a delivery of one alert that is to be tried again, with what came in meanwhile.
    fn again(&mut self, key: AlertKey) {
        if let Some(entry) = self.entries.get(&key) {
            self.heirs.extend(entry.under_way.filter(|sent| *sent != entry.seq).map(|sent| (sent, entry.seq)));
        }
        self.settle(key, false);
    }

    /// Ends a delivery of one alert: forgets it when `done` or when what came in meanwhile need not be sent.
    fn settle(&mut self, key: AlertKey, done: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let sent = entry.under_way.take();
        self.released.extend(sent.filter(|sent| *sent != entry.seq));
        if done || entry.is_unneeded(&self.policy) {
            self.remove(key);
            return;
        }
        let (turn, firing) = (entry.turn, is_firing(&entry.newest));
        self.queue(firing).insert(turn, key);
    }

    fn insert(&mut self, key: AlertKey, seq: u64, transition: &Arc<Transition>, received: Millis, believed: bool) {
        let turn = self.next_turn;
        self.next_turn += 1;
        let newest = Arc::clone(transition);
        let company = self.policy.batch;
        let entry = Entry { newest, seq, received, turn, under_way: None, changed: false, believed, company };
        self.entries.insert(key, entry);
        self.queue(is_firing(transition)).insert(turn, key);
    }

    fn remove(&mut self, key: AlertKey) {
        self.released.extend(self.entries.remove(&key).map(|entry| entry.seq));
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
    let firing = is_firing(&entry.newest);
    let life = if firing { entry.newest.ends_at.saturating_sub(entry.newest.at).max(0) } else { LONGEST };
    now > entry.received.saturating_add(life)
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
