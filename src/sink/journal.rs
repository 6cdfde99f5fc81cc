//! What a sink that needs every transition still has to deliver: all of them, in order. Pure.
//!
//! - **In order.** What failed is tried again before anything that came after it; what is put off, before what came after
//!   it of the same alert.
//! - **Nothing expires**: a journal is read later.
//! - **Bounded.** Past the capacity the oldest goes: an end without its beginning says more than a beginning without its end.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::alert::Transition;
use crate::base::Millis;

use super::AlertKey;
use super::pending::{Offer, Outgoing, Policy};

/// The transitions that wait for one sink.
#[derive(Debug)]
pub struct Journal {
    policy: Policy,
    waiting: VecDeque<Outgoing>,
    /// So many at the front are being delivered.
    under_way: usize,
    /// Largest delivery; shrinks when one is refused, to find the transition at fault.
    company: usize,
    released: Vec<u64>,
}

impl Journal {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let policy = Policy { batch: policy.batch.max(1), capacity: policy.capacity.max(1), ..policy };
        Self { policy, waiting: VecDeque::new(), under_way: 0, company: policy.batch, released: Vec::new() }
    }

    /// Transitions that wait or are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a transition in. Call [`Self::shed`] afterwards.
    pub fn put(&mut self, seq: u64, transition: &Arc<Transition>, now: Millis) -> Offer {
        if !self.policy.wants(transition) {
            self.released.push(seq);
            return Offer::Unneeded;
        }
        let transition = Arc::clone(transition);
        self.waiting.push_back(Outgoing { key: AlertKey::of(&transition), seq, transition, received: now });
        Offer::Queued
    }

    /// Gives up the oldest beyond the capacity and says how many that were.
    pub fn shed(&mut self) -> usize {
        let mut shed = 0;
        while self.waiting.len() > self.policy.capacity
            && let Some(oldest) = self.waiting.remove(self.under_way)
        {
            self.released.push(oldest.seq);
            shed += 1;
        }
        shed
    }

    /// The next delivery.
    pub fn take(&mut self) -> Vec<Outgoing> {
        let first = self.waiting.front().map(|o| Arc::clone(&o.transition.rule));
        let together =
            |o: &&Outgoing| !self.policy.one_rule || first.as_ref().is_none_or(|rule| *rule == o.transition.rule);
        let batch: Vec<_> = self.waiting.iter().take(self.company).take_while(together).cloned().collect();
        self.under_way = batch.len();
        batch
    }

    /// The receiver has acknowledged the delivery under way.
    pub fn delivered(&mut self) {
        let done = std::mem::take(&mut self.under_way);
        self.released.extend(self.waiting.drain(..done).map(|o| o.seq));
        self.company = self.policy.batch;
    }

    /// The delivery under way failed, or its task died: it is tried again.
    pub fn failed(&mut self) {
        self.under_way = 0;
    }

    /// The delivery under way is tried again after what else waits. The transitions of one alert stay in order.
    pub fn deferred(&mut self) {
        let count = std::mem::take(&mut self.under_way);
        let alerts: HashSet<AlertKey> = self.waiting.iter().take(count).map(|o| o.key).collect();
        let (last, first): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|o| alerts.contains(&o.key));
        self.waiting = first;
        self.waiting.extend(last);
    }

    /// The delivery under way was refused for good; with `split` it is tried again in halves, until the transition at fault
    /// stands alone. Says how many were given up.
    pub fn refused(&mut self, split: bool) -> usize {
        if split && self.under_way > 1 {
            self.company = self.under_way / 2;
            self.under_way = 0;
            return 0;
        }
        let dropped = self.under_way;
        self.delivered();
        dropped
    }

    /// Numbers that are needed no longer.
    pub fn take_released(&mut self) -> Vec<u64> {
        let mut released = std::mem::take(&mut self.released);
        released.retain(|seq| *seq != 0);
        released
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending::Order;
    use super::super::testing;
    use super::*;
    use crate::alert::{AlertState, Reason};

    const POLICY: Policy = Policy {
        capacity: 5,
        batch: 4,
        one_rule: false,
        repeats: false,
        resolved: true,
        points: false,
        order: Order::Every { pending: true },
    };

    fn put(journal: &mut Journal, transitions: impl IntoIterator<Item = Transition>) {
        for (seq, transition) in (1..).zip(transitions) {
            journal.put(seq, &Arc::new(transition), 0);
        }
    }

    fn seqs(batch: &[Outgoing]) -> Vec<u64> {
        batch.iter().map(|o| o.seq).collect()
    }

    #[test]
    fn every_transition_leaves_in_order_however_often_it_fails() {
        let mut journal = Journal::new(POLICY);
        let pending = Transition { to: AlertState::Pending, fired_at: None, ..testing::firing("a", 1) };
        let resent = Transition { reason: Reason::Resent, ..testing::firing("a", 3) };
        put(&mut journal, [pending, testing::firing("a", 2), resent, testing::resolved("a", 2, 4)]);
        assert_eq!(journal.take_released(), [3], "a repetition is no news");
        assert_eq!(seqs(&journal.take()), [1, 2, 4]);
        journal.put(5, &Arc::new(testing::firing("b", 5)), 0);
        journal.failed();
        assert_eq!(seqs(&journal.take()), [1, 2, 4, 5]);
        journal.delivered();
        assert_eq!((journal.len(), journal.take_released()), (0, vec![1, 2, 4, 5]));
        // Not even after a year.
        put(&mut journal, [testing::firing("a", 0)]);
        assert_eq!(journal.take().len(), 1);
    }

    #[test]
    fn what_is_put_off_lets_other_alerts_pass_but_not_its_own() {
        let mut journal = Journal::new(Policy { batch: 1, ..POLICY });
        put(
            &mut journal,
            [testing::firing("a", 1), testing::firing("b", 1), testing::resolved("a", 1, 2), testing::firing("c", 2)],
        );
        let mut order = Vec::new();
        for _ in 0..5 {
            let batch = journal.take();
            if order.is_empty() && batch[0].seq == 1 {
                order.push(0);
                journal.deferred();
            } else {
                order.extend(seqs(&batch));
                journal.delivered();
            }
        }
        assert_eq!(order, [0, 2, 4, 1, 3]);
    }

    #[test]
    fn past_the_capacity_the_oldest_goes_but_none_under_way() {
        let mut journal = Journal::new(Policy { batch: 1, ..POLICY });
        put(&mut journal, [testing::firing("a", 1)]);
        let under_way = journal.take();
        put(&mut journal, (0..7).map(|n| testing::firing(&format!("b{n}"), 2)));
        assert_eq!(journal.shed(), 3);
        assert_eq!(seqs(&under_way), [1]);
        journal.delivered();
        assert_eq!(journal.take_released(), [1, 2, 3, 1]);
        assert_eq!(seqs(&journal.take()), [4]);
    }

    #[test]
    fn a_refused_delivery_is_halved_until_the_one_at_fault_stands_alone() {
        let mut journal = Journal::new(POLICY);
        put(&mut journal, ["a", "b", "bad", "d"].map(|name| testing::firing(name, 1)));
        let (mut accepted, mut dropped) = (Vec::new(), 0);
        for _ in 0..10 {
            let batch = journal.take();
            if batch.iter().any(|o| o.transition.rule.alert == "bad") {
                dropped += journal.refused(true);
            } else {
                accepted.extend(seqs(&batch));
                journal.delivered();
            }
        }
        assert_eq!((accepted, dropped), (vec![1, 2, 4], 1));
    }
}
