//! Lends the engine threads: its shards are worked on side by side.

use rayon::prelude::*;

use crate::engine::{Executor, Inline, Shard};

/// Shards on a pool of threads.
#[derive(Debug)]
pub struct Parallel(rayon::ThreadPool);

impl Parallel {
    /// An executor for so many shards: a pool of as many threads, or the caller's own thread for one.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn for_shards(shards: usize) -> Result<Box<dyn Executor + Send>, rayon::ThreadPoolBuildError> {
        if shards <= 1 {
            return Ok(Box::new(Inline));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(shards).thread_name(|i| format!("shard-{i}")).build()?;
        Ok(Box::new(Self(pool)))
    }
}

impl Executor for Parallel {
    fn for_each(&self, shards: &mut [Shard], work: &(dyn Fn(&mut Shard) + Sync)) {
        self.0.install(|| shards.par_iter_mut().for_each(work));
    }
}
