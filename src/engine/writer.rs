//! Where recorded samples go: to the shards that hold the series, if any rule asks for it, and out to whoever collects them.

use crate::base::{LabelsRef, Millis, Recorded};
use crate::promql::Plan;

use super::directory::{Directory, Known, SelectorIndex, Target};
use super::interner::{Interner, LabelId};
use super::options::Output;
use super::shard::Shard;

/// Writes what rules record.
#[derive(Debug, Default)]
pub struct Writer {
    /// What is known of each label set of the coordinator.
    known: Vec<Option<Known>>,
    collects: bool,
}

/// What the writer needs to find or make a series.
pub struct Places<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its selectors.
    pub index: &'a SelectorIndex,
    /// Series known.
    pub directory: &'a mut Directory,
    /// Shards.
    pub shards: &'a mut [Shard],
    /// Most series.
    pub limit: usize,
}

impl Writer {
    /// A writer that also hands samples out, or not.
    #[must_use]
    pub fn new(collects: bool) -> Self {
        Self { known: vec![], collects }
    }

    /// Whether every sample must be looked at even if no rule asks for it.
    #[must_use]
    pub fn collects(&self) -> bool {
        self.collects
    }

    /// Records a sample of a label set of the coordinator.
    pub fn write(
        &mut self,
        places: &mut Places<'_>,
        interner: &Interner,
        id: LabelId,
        t: Millis,
        v: f64,
        out: &mut Output,
    ) {
        let at = id as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, None);
        }
        let known = match self.known[at] {
            Some(known) => known,
            None => {
                let labels = interner.labels(id);
                // Beyond the limit of series a recorded one is treated as unwanted, until the next look-up.
                let found = places.find(labels.as_ref()).unwrap_or(Known::Unwanted);
                self.known[at] = Some(found);
                found
            }
        };
        if let Known::At(Target { shard, slot }) = known {
            places.shards[shard as usize].record(slot, t, v);
        }
        if self.collects {
            out.recorded.push(Recorded { labels: interner.labels(id), t, v });
        }
    }

    /// Forgets where series are: some are gone, or ids have changed.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

impl Places<'_> {
    /// Finds a series by its labels, or makes room for it if a rule asks for it; None beyond the limit.
    pub fn find(&mut self, labels: LabelsRef<'_>) -> Option<Known> {
        let key = labels.key();
        if let Some(known) = self.directory.get(key) {
            return Some(known);
        }
        let leaves = self.index.leaves_of(self.plan, labels);
        if leaves.is_empty() {
            // A flood of series that nobody wants must not fill the directory either.
            if self.directory.unwanted() < self.limit {
                self.directory.insert(key, Known::Unwanted);
            }
            return Some(Known::Unwanted);
        }
        if self.shards.iter().map(|s| s.evaluator.store.len()).sum::<usize>() >= self.limit {
            return None;
        }
        let shard = (labels.shard_hash() % self.shards.len() as u64) as u32;
        let slot = self.shards[shard as usize].evaluator.store.create(labels, &leaves);
        let known = Known::At(Target { shard, slot });
        self.directory.insert(key, known);
        Some(known)
    }
}
