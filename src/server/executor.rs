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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineOptions, Inline, Output, Profiles};
    use crate::rules::{RuleSet, load_file};

    #[test]
    fn evaluations_are_timed_where_the_host_has_a_stopwatch() {
        let times = |executor: &dyn Executor| {
            let (groups, _) = load_file("rules.yml", "groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]");
            let rules = RuleSet { groups: groups.into_iter().map(Into::into).collect() };
            let mut engine = Engine::new(EngineOptions::default());
            engine.load(&rules, &Profiles::default(), &mut Output::default()).unwrap();
            engine.advance(0, executor, &mut Output::default());
            engine.advance(120_000, executor, &mut Output::default());
            let group = engine.groups().remove(0);
            assert_eq!(group.last_evaluation, Some(120_000));
            (group.evaluation_time, group.rules[0].evaluation_time)
        };
        let (group, rule) = times(&*Parallel::for_shards(1).unwrap());
        assert!(rule > Duration::ZERO && group >= rule, "{group:?} {rule:?}");
        assert_eq!(times(&Inline), (Duration::ZERO, Duration::ZERO));
    }
}
