//! Which series are wanted, and where they are. One look-up a series of a batch is all that an unwanted one costs.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use crate::base::LabelsRef;
use crate::promql::{LeafSource, Plan, Selector};

/// Where the samples of a series go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Shard.
    pub shard: u32,
    /// Slot in the shard's store.
    pub slot: u32,
}

/// What is known of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Some rule asks for it.
    At(Target),
    /// No rule does.
    Unwanted,
}

/// Series by identity.
#[derive(Debug, Default)]
pub struct Directory {
    known: HashMap<u128, Known, BuildHasherDefault<KeyHasher>>,
    unwanted: usize,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

impl Directory {
    /// What is known of a series.
    #[inline]
    #[must_use]
    pub fn get(&self, key: u128) -> Option<Known> {
        self.known.get(&key).copied()
    }

    /// Remembers a series.
    pub fn insert(&mut self, key: u128, known: Known) {
        self.unwanted += usize::from(known == Known::Unwanted);
        self.known.insert(key, known);
    }

    /// Forgets a series.
    pub fn remove(&mut self, key: u128) {
        if self.known.remove(&key) == Some(Known::Unwanted) {
            self.unwanted -= 1;
        }
    }

    /// Forgets which series are unwanted: the rules have changed, or the list has become stale.
    pub fn forget_unwanted(&mut self) {
        self.known.retain(|_, known| *known != Known::Unwanted);
        self.known.shrink_to_fit();
        self.unwanted = 0;
    }

    /// Series known not to be wanted.
    #[must_use]
    pub fn unwanted(&self) -> usize {
        self.unwanted
    }
}

/// Finds the leaves that a series belongs to, without trying every selector.
#[derive(Debug, Default)]
pub struct SelectorIndex {
    by_name: HashMap<String, Vec<u32>>,
    any_name: Vec<u32>,
}

impl SelectorIndex {
    /// The index of a plan's leaves.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut index = Self::default();
        for (leaf, spec) in plan.leaves.iter().enumerate() {
            match &spec.source {
                LeafSource::Selector(Selector { name: Some(name), .. }) => {
                    index.by_name.entry(name.clone()).or_default().push(leaf as u32);
                }
                LeafSource::Selector(_) => index.any_name.push(leaf as u32),
                LeafSource::Feed(_) => {}
            }
        }
        index
    }

    /// Whether any selector could match a series of one of these names.
    #[must_use]
    pub fn could_match(&self, plan: &Plan, names: &[&str]) -> bool {
        plan.leaves.iter().any(|leaf| match &leaf.source {
            LeafSource::Selector(selector) => names.iter().any(|name| selector.could_match_name(name)),
            LeafSource::Feed(_) => false,
        })
    }

    /// The leaves of a series.
    #[must_use]
    pub fn leaves_of(&self, plan: &Plan, labels: LabelsRef<'_>) -> Vec<u32> {
        let named = self.by_name.get(labels.metric_name()).map_or(&[][..], Vec::as_slice);
        let matches = |leaf: &u32| match &plan.leaves[*leaf as usize].source {
            LeafSource::Selector(selector) => selector.matches(labels),
            LeafSource::Feed(_) => false,
        };
        named.iter().chain(&self.any_name).copied().filter(matches).collect()
    }
}
