//! Lends the engine threads, so that its shards are worked on side by side, and a stopwatch.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::engine::{Executor, Shard};

/// Shards on a pool of threads, or on the caller's own.
#[derive(Debug)]
pub struct Parallel {
    pool: Option<rayon::ThreadPool>,
    began: Instant,
}

impl Parallel {
    /// An executor for so many shards: a pool of as many threads, or the caller's own thread for one.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn for_shards(shards: usize) -> Result<Box<dyn Executor + Send>, rayon::ThreadPoolBuildError> {
        let named = || rayon::ThreadPoolBuilder::new().num_threads(shards).thread_name(|i| format!("shard-{i}"));
        let pool = if shards > 1 { Some(named().build()?) } else { None };
        Ok(Box::new(Self { pool, began: Instant::now() }))
    }
}

impl Executor for Parallel {
    fn for_each(&self, shards: &mut [Shard], work: &(dyn Fn(&mut Shard) + Sync)) {
        match &self.pool {
            Some(pool) => pool.install(|| shards.par_iter_mut().for_each(work)),
            None => shards.iter_mut().for_each(work),
        }
    }

    fn stopwatch(&self) -> Duration {
        self.began.elapsed()
    }
}
