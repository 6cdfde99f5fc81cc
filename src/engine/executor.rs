//! Who works on the shards. The engine itself starts no thread; a host that has some lends them.

use core::time::Duration;

use super::shard::Shard;

/// Runs the same work on every shard, in any order or at once, and returns when all is done. Results do not depend on how.
pub trait Executor: Sync {
    /// Runs `work` on every shard.
    fn for_each(&self, shards: &mut [Shard], work: &(dyn Fn(&mut Shard) + Sync));

    /// A stopwatch, for what the API shows as evaluation times and for nothing else; it stands still unless the host has one.
    fn stopwatch(&self) -> Duration {
        Duration::ZERO
    }
}

/// One shard after the other, on the caller's thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Executor for Inline {
    fn for_each(&self, shards: &mut [Shard], work: &(dyn Fn(&mut Shard) + Sync)) {
        shards.iter_mut().for_each(work);
    }
}
