//! What waits for one sink, in the form that its policy asks for.

use std::sync::Arc;

use crate::alert::Transition;
use crate::base::Millis;

use super::AlertKey;
use super::journal::Journal;
use super::pending::{Order, Outgoing, Pending, Policy};

/// See [`Pending`] and [`Journal`].
#[derive(Debug)]
pub(super) enum Waiting {
    Newest(Pending),
    Every(Journal),
}

impl Waiting {
    pub(super) fn new(policy: Policy) -> Self {
        match policy.order {
            Order::Newest => Self::Newest(Pending::new(policy)),
            Order::Every { .. } => Self::Every(Journal::new(policy)),
        }
    }

    /// Takes a transition in.
    pub(super) fn put(&mut self, seq: u64, transition: &Arc<Transition>, now: Millis) {
        match self {
            // Nobody is told of the others.
            Self::Newest(pending) if transition.is_notified() => drop(pending.put(seq, transition, now)),
            Self::Newest(_) => {}
            Self::Every(journal) => drop(journal.put(seq, transition, now)),
        }
    }

    /// Takes in what waited in the outbox when the process started.
    pub(super) fn restore(&mut self, seq: u64, transition: &Arc<Transition>, received: Millis) {
        match self {
            Self::Newest(pending) if transition.is_notified() => pending.restore(seq, transition, received),
            // A sink of this name wanted it that is another kind now.
            Self::Newest(pending) => pending.release(seq),
            Self::Every(journal) => drop(journal.put(seq, transition, received)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Newest(pending) => pending.len(),
            Self::Every(journal) => journal.len(),
        }
    }

    /// Whether something of the alert waits that a repetition keeps from expiring.
    pub(super) fn refreshes(&self, key: AlertKey) -> bool {
        match self {
            Self::Newest(pending) => pending.holds(key),
            Self::Every(_) => false,
        }
    }

    pub(super) fn shed(&mut self) -> usize {
        match self {
            Self::Newest(pending) => pending.shed(),
            Self::Every(journal) => journal.shed(),
        }
    }

    /// The next delivery, and how many alerts were given up because their life was over.
    pub(super) fn take(&mut self, now: Millis) -> (Vec<Outgoing>, usize) {
        match self {
            Self::Newest(pending) => pending.take(now),
            Self::Every(journal) => (journal.take(), 0),
        }
    }

    pub(super) fn delivered(&mut self, batch: &[Outgoing]) {
        match self {
            Self::Newest(pending) => pending.delivered(batch),
            Self::Every(journal) => journal.delivered(),
        }
    }

    pub(super) fn failed(&mut self, batch: &[Outgoing]) {
        match self {
            Self::Newest(pending) => pending.failed(batch),
            Self::Every(journal) => journal.failed(),
        }
    }

    /// It is to be tried again after the others.
    pub(super) fn deferred(&mut self, batch: &[Outgoing]) {
        match self {
            Self::Newest(pending) => pending.failed(batch),
            Self::Every(journal) => journal.deferred(),
        }
    }

    pub(super) fn refused(&mut self, batch: &[Outgoing], split: bool) -> usize {
        match self {
            Self::Newest(pending) => pending.refused(batch, split),
            Self::Every(journal) => journal.refused(split),
        }
    }

    /// Puts back what a dead task was delivering.
    pub(super) fn recover(&mut self) {
        match self {
            Self::Newest(pending) => pending.recover(),
            Self::Every(journal) => journal.failed(),
        }
    }

    /// Numbers of the outbox that were not delivered, and those that have taken their place.
    pub(super) fn take_heirs(&mut self) -> Vec<(u64, u64)> {
        match self {
            Self::Newest(pending) => pending.take_heirs(),
            Self::Every(_) => Vec::new(),
        }
    }

    /// Numbers of the outbox that are needed no longer.
    pub(super) fn take_released(&mut self) -> Vec<u64> {
        match self {
            Self::Newest(pending) => pending.take_released(),
            Self::Every(journal) => journal.take_released(),
        }
    }
}
