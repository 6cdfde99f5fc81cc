//! What the outbox holds, in memory: transitions, the sinks each is still due at, and the identities that were accepted.
//!
//! Pure. The database is a copy of this image that may lag behind; [`Changes`] says by what. Things that come and go
//! between two writes leave no trace in it, so a slow disk is never given more than the image itself to write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::Transition;
use crate::base::Millis;

use super::super::key::TransitionId;
use super::record;

/// Identities that are remembered at most; the oldest are forgotten first.
const MOST_REMEMBERED: usize = 500_000;

/// Position of a sink in [`Image::sinks`].
pub(super) type SinkIndex = u16;

/// A tick and an identity.
pub(super) type Accepted = (Millis, TransitionId);

/// The image.
#[derive(Debug, Default)]
pub(super) struct Image {
    entries: BTreeMap<u64, Entry>,
    accepted: BTreeSet<Accepted>,
    sinks: Vec<SinkTally>,
    last: u64,
    changes: Changes,
}

/// A transition that is due somewhere.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) transition: Arc<Transition>,
    pub(super) received: Millis,
    pub(super) bytes: usize,
    pub(super) due: Vec<SinkIndex>,
}

/// A transition as it was found.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub(super) seq: u64,
    pub(super) transition: Arc<Transition>,
    pub(super) received: Millis,
    pub(super) bytes: usize,
    /// Names of the sinks that it is due at.
    pub(super) sinks: Vec<String>,
}

/// What one sink is owed.
#[derive(Clone, Debug, Default)]
pub(super) struct SinkTally {
    pub(super) name: String,
    /// By number, since when the alert has had something undelivered. That is in memory only: the database knows when each
    /// transition came in.
    pub(super) due: BTreeMap<u64, Millis>,
    pub(super) bytes: usize,
    /// How many were due when the process started.
    pub(super) restored: u64,
}

/// What the database lacks.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) put: BTreeMap<u64, Vec<u8>>,
    /// In the place of records that it has.
    pub(super) renewed: BTreeMap<u64, Vec<u8>>,
    pub(super) owed: BTreeSet<(SinkIndex, u64)>,
    pub(super) settled: BTreeSet<(SinkIndex, u64)>,
    pub(super) removed: BTreeSet<u64>,
    pub(super) remember: BTreeSet<Accepted>,
    pub(super) forget_upto: Option<Millis>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty()
            && self.renewed.is_empty()
            && self.owed.is_empty()
            && self.settled.is_empty()
            && self.removed.is_empty()
            && self.remember.is_empty()
            && self.forget_upto.is_none()
    }
}

/// All that the database should hold.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) entries: Vec<(u64, Entry)>,
    pub(super) accepted: Vec<Accepted>,
}

impl Image {
    /// The image of a database.
    pub(super) fn restore(found: Vec<OnDisk>, accepted: BTreeSet<Accepted>) -> Self {
        let mut image = Self { accepted, ..Self::default() };
        for OnDisk { seq, transition, received, bytes, sinks } in found {
            image.last = image.last.max(seq);
            let due: Vec<SinkIndex> = sinks.iter().filter_map(|name| image.sink(name)).collect();
            if due.is_empty() {
                image.changes.removed.insert(seq);
                continue;
            }
            for index in &due {
                let tally = &mut image.sinks[usize::from(*index)];
                tally.due.insert(seq, received);
                tally.bytes += bytes;
                tally.restored += 1;
            }
            image.entries.insert(seq, Entry { transition, received, bytes, due });
        }
        image
    }

    /// The index of a sink, which becomes known by that; none past 65,536 sinks.
    pub(super) fn sink(&mut self, name: &str) -> Option<SinkIndex> {
        let index = self.sinks.iter().position(|s| s.name == name).unwrap_or(self.sinks.len());
        if index == self.sinks.len() {
            self.sinks.push(SinkTally { name: name.to_owned(), ..SinkTally::default() });
        }
        SinkIndex::try_from(index).ok()
    }

    pub(super) fn sinks(&self) -> &[SinkTally] {
        &self.sinks
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.sinks.iter().map(|s| s.name.clone()).collect()
    }

    pub(super) fn remembered(&self) -> usize {
        self.accepted.len()
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    /// Takes a transition in that is due at these sinks and gives it a number; none if it was accepted before.
    pub(super) fn accept(
        &mut self,
        transition: &Arc<Transition>,
        received: Millis,
        due: Vec<SinkIndex>,
    ) -> Option<u64> {
        let identity = (transition.at, TransitionId::of(transition));
        if !self.accepted.insert(identity) {
            return None;
        }
        self.changes.remember.insert(identity);
        if self.accepted.len() > MOST_REMEMBERED
            && let Some((at, _)) = self.accepted.first().copied()
        {
            self.forget_upto(at);
        }
        self.last += 1;
        let seq = self.last;
        if due.is_empty() {
            return Some(seq);
        }
        let record = record::encode(transition, received);
        let bytes = record.len();
        for index in &due {
            self.changes.owed.insert((*index, seq));
            let tally = &mut self.sinks[usize::from(*index)];
            tally.due.insert(seq, received);
            tally.bytes += bytes;
        }
        self.changes.put.insert(seq, record);
        self.entries.insert(seq, Entry { transition: Arc::clone(transition), received, bytes, due });
        Some(seq)
    }

    /// A transition counts as having come in at `received`.
    pub(super) fn renew(&mut self, seq: u64, received: Millis) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        entry.received = received;
        let record = record::encode(&entry.transition, received);
        match self.changes.put.get_mut(&seq) {
            Some(unwritten) => *unwritten = record,
            None => drop(self.changes.renewed.insert(seq, record)),
        }
    }

    /// For a sink one transition takes the place of another, which it has not got: it has waited for as long.
    pub(super) fn inherit(&mut self, index: SinkIndex, seq: u64, heir: u64) {
        let due = &mut self.sinks[usize::from(index)].due;
        if let Some(since) = due.get(&seq).copied()
            && let Some(own) = due.get_mut(&heir)
        {
            *own = since.min(*own);
        }
    }

    /// A sink needs a transition no longer. Says whether it did.
    pub(super) fn settle(&mut self, index: SinkIndex, seq: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&seq) else { return false };
        let before = entry.due.len();
        entry.due.retain(|due| *due != index);
        if entry.due.len() == before {
            return false;
        }
        let (bytes, over) = (entry.bytes, entry.due.is_empty());
        let tally = &mut self.sinks[usize::from(index)];
        tally.due.remove(&seq);
        tally.bytes -= bytes;
        if !self.changes.owed.remove(&(index, seq)) {
            self.changes.settled.insert((index, seq));
        }
        if over {
            self.entries.remove(&seq);
            self.changes.renewed.remove(&seq);
            if self.changes.put.remove(&seq).is_none() {
                self.changes.removed.insert(seq);
            }
        }
        true
    }

    /// Forgets identities whose tick lies at or before `upto`: no restart evaluates those again.
    pub(super) fn forget_upto(&mut self, upto: Millis) {
        let Some(next) = upto.checked_add(1) else { return };
        let kept = self.accepted.split_off(&(next, TransitionId::from_number(0)));
        let forgotten = std::mem::replace(&mut self.accepted, kept);
        if forgotten.is_empty() {
            return;
        }
        self.changes.remember.retain(|(at, _)| *at > upto);
        self.changes.forget_upto = self.changes.forget_upto.max(Some(upto));
    }

    /// What the database lacks, which is taken to be written from here on.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Everything, for a database whose content is not known; takes the changes with it.
    pub(super) fn whole(&mut self) -> Whole {
        self.changes = Changes::default();
        Whole {
            entries: self.entries.iter().map(|(seq, entry)| (*seq, entry.clone())).collect(),
            accepted: self.accepted.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    fn firing(alert: &str, at: Millis) -> Arc<Transition> {
        Arc::new(testing::firing(alert, at))
    }

    #[test]
    fn what_comes_and_goes_between_two_writes_leaves_no_trace() {
        let mut image = Image::default();
        let (a, b) = (image.sink("a").unwrap(), image.sink("b").unwrap());
        let seq = image.accept(&firing("x", 1), 1, vec![a, b]).unwrap();
        assert!(image.settle(a, seq));
        assert!(!image.settle(a, seq), "only once");
        assert!(image.settle(b, seq));
        let changes = image.take_changes();
        assert_eq!((changes.put.len(), changes.owed.len(), changes.settled.len(), changes.removed.len()), (0, 0, 0, 0));
        assert_eq!(changes.remember.len(), 1, "its identity stays");
        assert!(image.take_changes().is_empty());
    }

    #[test]
    fn a_transition_stays_until_its_last_sink_has_it() {
        let mut image = Image::default();
        let (a, b) = (image.sink("a").unwrap(), image.sink("b").unwrap());
        let seq = image.accept(&firing("x", 1), 1, vec![a, b]).unwrap();
        assert_eq!(image.take_changes().owed, [(a, seq), (b, seq)].into());
        image.settle(a, seq);
        assert_eq!(
            image.sinks().iter().map(|s| (s.due.len(), s.bytes > 0)).collect::<Vec<_>>(),
            [(0, false), (1, true)]
        );
        let changes = image.take_changes();
        assert_eq!((changes.settled, changes.removed.len()), ([(a, seq)].into(), 0));
        image.settle(b, seq);
        assert_eq!(image.take_changes().removed, [seq].into());
    }

    #[test]
    fn what_is_renewed_is_written_once_and_goes_with_its_transition() {
        let mut image = Image::default();
        let a = image.sink("a").unwrap();
        let seq = image.accept(&firing("x", 1), 1, vec![a]).unwrap();
        image.renew(seq, 5);
        let changes = image.take_changes();
        assert_eq!(record::decode(&changes.put[&seq]).unwrap().1, 5);
        assert!(changes.renewed.is_empty());
        image.renew(seq, 9);
        image.renew(seq + 1, 9);
        let changes = image.take_changes();
        assert_eq!((changes.put.len(), changes.renewed.keys().copied().collect::<Vec<_>>()), (0, vec![seq]));
        image.renew(seq, 12);
        image.settle(a, seq);
        let changes = image.take_changes();
        assert_eq!((changes.renewed.len(), changes.removed), (0, [seq].into()), "and leaves the disk");
    }

    #[test]
    fn what_was_accepted_is_not_accepted_again_until_it_is_forgotten() {
        let mut image = Image::default();
        let a = image.sink("a").unwrap();
        assert!(image.accept(&firing("x", 10), 1, vec![a]).is_some());
        assert!(image.accept(&firing("x", 20), 1, vec![a]).is_some());
        assert!(image.accept(&firing("x", 10), 9, vec![a]).is_none());
        image.forget_upto(10);
        assert_eq!(image.remembered(), 1);
        assert!(image.accept(&firing("x", 20), 9, vec![a]).is_none());
        assert!(image.accept(&firing("x", 10), 9, vec![a]).is_some());
        image.forget_upto(Millis::MAX);
        assert_eq!(image.remembered(), 2, "an instant with nothing after it is none");
    }
}
