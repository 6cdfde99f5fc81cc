//! Which evaluators a snapshot has, and where what was in one of them belongs now: the number of shards may be another one.

use super::outline::Map;
use crate::base::Labels;
use crate::engine::engine::Engine;
use crate::engine::eval::Evaluator;
use crate::engine::late_names::MARK;

/// An evaluator: that of a shard, or the coordinator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Shard(usize),
    Coordinator,
}

/// From how many shards to how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharding {
    from: usize,
    to: usize,
}

impl Owner {
    /// How records name it.
    pub fn name(self) -> String {
        match self {
            Self::Shard(shard) => shard.to_string(),
            Self::Coordinator => "coordinator".to_owned(),
        }
    }

    /// All of so many shards.
    pub fn all(shards: usize) -> impl Iterator<Item = Self> {
        (0..shards).map(Self::Shard).chain([Self::Coordinator])
    }

    /// The evaluator.
    pub fn of(self, engine: &Engine) -> &Evaluator {
        match self {
            Self::Shard(shard) => &engine.shards[shard].evaluator,
            Self::Coordinator => &engine.coordinator.evaluator,
        }
    }

    /// The evaluator.
    pub fn of_mut(self, engine: &mut Engine) -> &mut Evaluator {
        match self {
            Self::Shard(shard) => &mut engine.shards[shard].evaluator,
            Self::Coordinator => &mut engine.coordinator.evaluator,
        }
    }
}

impl Sharding {
    /// From the shards of a snapshot to those of an engine.
    pub fn new(map: &Map, engine: &Engine) -> Self {
        Self { from: map.shards as usize, to: engine.shards.len() }
    }

    /// The evaluators of the snapshot.
    pub fn owners(self) -> impl Iterator<Item = Owner> {
        Owner::all(self.from)
    }

    /// Whether all stays where it is.
    pub fn is_same(self) -> bool {
        self.from == self.to
    }

    /// Where a series or an element of an expression belongs now. Elements are where the series are that they are made of,
    /// whose labels but for name and `le` they have.
    pub fn owner(self, before: Owner, labels: &Labels) -> Owner {
        match before {
            Owner::Shard(_) if !self.is_same() => {
                let hash = match labels.as_ref().get(MARK) {
                    Some(_) => labels.as_ref().filter(|name| name != MARK).as_ref().shard_hash(),
                    None => labels.as_ref().shard_hash(),
                };
                Owner::Shard((hash % self.to as u64) as usize)
            }
            same => same,
        }
    }

    /// Where what belongs to no series goes.
    pub fn any(self, before: Owner) -> Owner {
        match before {
            Owner::Shard(_) if !self.is_same() => Owner::Shard(0),
            same => same,
        }
    }
}
