//! Virtual time: series are handed to an engine in bounded batches, and event time goes as far as it is told.

use std::fmt;
use std::iter::Peekable;

use crate::base::{BatchBuilder, Labels, Limits, Millis, Sample};
use crate::engine::{Engine, Inline, Output};

/// About how many samples a batch has. What is read ahead waits in the engine, so this bounds memory; much smaller batches
/// spend their time on looking the series up.
const BATCH_SAMPLES: usize = 8_192;

/// A series: its labels, and its samples in order of time.
pub struct Track {
    labels: Labels,
    samples: Peekable<Box<dyn Iterator<Item = Sample>>>,
}

/// An engine, the series it is fed with, and how far it has come.
///
/// ```
/// use forewarn::backtest::{Track, VirtualTime};
/// use forewarn::base::{Labels, Sample};
/// use forewarn::engine::{Engine, EngineOptions, Output};
///
/// let mut engine = Engine::new(EngineOptions { collect_recorded: true, ..EngineOptions::default() });
/// let (groups, _) = forewarn::rules::load_file("r.yml", "groups: [{name: g, rules: [{record: r, expr: sum(m)}]}]");
/// let rules = forewarn::rules::RuleSet { groups: groups.into_iter().map(Into::into).collect() };
/// let mut out = Output::default();
/// engine.load(&rules, &Default::default(), &mut out).unwrap();
///
/// let samples = (0..10).map(|i| Sample { t: i * 60_000, v: i as f64 });
/// let track = Track::new(Labels::from_pairs([("__name__", "m")]), samples);
/// let mut time = VirtualTime::new(engine, 0, vec![track]);
/// time.run_until(120_000, &mut out);
/// let values: Vec<f64> = out.recorded.iter().map(|r| r.v).collect();
/// assert_eq!(values, [0.0, 1.0, 2.0]);
/// ```
#[derive(Debug)]
pub struct VirtualTime {
    engine: Engine,
    tracks: Vec<Track>,
    /// Every sample up to here has been handed over.
    fed_until: Millis,
    /// How far the next batch reaches beyond its first sample.
    reach: Millis,
    fed: u64,
    lost: u64,
}

impl Track {
    /// A series. A sample that is not later than the one before is refused by the engine and counted there.
    pub fn new(labels: Labels, samples: impl Iterator<Item = Sample> + 'static) -> Self {
        let samples: Box<dyn Iterator<Item = Sample>> = Box::new(samples);
        Self { labels, samples: samples.peekable() }
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Track").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl VirtualTime {
    /// Begins at `start`: the first tick is the first one at or after it, whether or not there are samples. The engine has
    /// its rules and has not been advanced yet.
    #[must_use]
    pub fn new(mut engine: Engine, start: Millis, tracks: Vec<Track>) -> Self {
        let before = start.saturating_sub(1);
        // Nothing is due before the start, so nothing comes out.
        engine.advance(before, &Inline, &mut Output::default());
        Self { engine, tracks, fed_until: before, reach: 1, fed: 0, lost: 0 }
    }

    /// Goes on to `t`, `t` included. What happens on the way is added to `out`.
    pub fn run_until(&mut self, t: Millis, out: &mut Output) {
        while self.fed_until < t {
            self.feed();
            self.engine.advance(self.fed_until.min(t), &Inline, out);
        }
        self.engine.advance(t, &Inline, out);
    }

    /// The engine, as it is at the instant that was run to last.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Samples handed over, whether or not a rule asks for them.
    #[must_use]
    pub fn fed(&self) -> u64 {
        self.fed
    }

    /// Samples that the engine's limits had no room for.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Hands over the next samples of all series, up to about the same instant.
    fn feed(&mut self) {
        let next = self.tracks.iter_mut().filter_map(|track| Some(track.samples.peek()?.t)).min();
        let Some(next) = next else {
            self.fed_until = Millis::MAX;
            return;
        };
        let mut until = next.saturating_add(self.reach);
        // Where the samples suddenly become dense, a series is cut short. What the ones before it gave beyond the cut waits.
        let most = (BATCH_SAMPLES / self.tracks.len()).max(16);
        // Bounds on labels are for input from outside; these labels exist already.
        let mut batch = BatchBuilder::new(&Limits::default());
        for track in &mut self.tracks {
            let mut sample = track.samples.next_if(|s| s.t <= until);
            if sample.is_some() {
                batch.series(track.labels.as_ref());
            }
            let mut count = 0;
            while let Some(Sample { t, v }) = sample {
                batch.sample(t, v);
                count += 1;
                if count >= most {
                    until = until.min(t);
                }
                sample = track.samples.next_if(|s| s.t <= until);
            }
        }
        if batch.sample_count() < BATCH_SAMPLES / 2 {
            self.reach = self.reach.saturating_mul(2);
        } else if batch.sample_count() >= BATCH_SAMPLES {
            self.reach = (self.reach / 2).max(1);
        }
        self.fed += batch.sample_count() as u64;
        let taken = self.engine.ingest(&batch.finish());
        self.lost += taken.over_series_limit + taken.over_pending_limit;
        self.fed_until = until;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::EngineOptions;
    use crate::rules::{RuleSet, load_file};

    fn engine(expr: &str) -> Engine {
        let mut engine = Engine::new(EngineOptions { collect_recorded: true, ..EngineOptions::default() });
        let (groups, _) = load_file("r.yml", &format!("groups: [{{name: g, rules: [{{record: r, expr: '{expr}'}}]}}]"));
        let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
        engine.load(&rules, &Default::default(), &mut Output::default()).unwrap();
        engine
    }

    fn track(name: &str, interval: Millis, count: i64) -> Track {
        let samples = (0..count).map(move |i| Sample { t: i * interval, v: i as f64 });
        Track::new(Labels::from_pairs([("__name__", "m"), ("x", name)]), samples)
    }

    #[test]
    fn the_steps_in_which_time_goes_do_not_matter() {
        let run = |steps: &[Millis]| {
            let tracks = vec![track("a", 15_000, 20_000), track("b", 7_000, 3), track("c", 999, 50_000)];
            let mut time = VirtualTime::new(engine("sum(increase(m[5m]))"), 0, tracks);
            let mut out = Output::default();
            let mut t = 0;
            while t < 3_000_000 {
                for step in steps {
                    time.run_until(t, &mut out);
                    t += step;
                }
            }
            time.run_until(6_000_000, &mut out);
            assert_eq!(time.lost(), 0);
            out.recorded
        };
        let whole = run(&[6_000_000]);
        assert_eq!(whole.len(), 100);
        assert_eq!(whole, run(&[1, 59_999]));
        assert_eq!(whole, run(&[977, 15_001, 60_000]));
    }

    #[test]
    fn ticks_begin_at_the_start_without_samples_and_stop_where_they_are_told() {
        let mut time = VirtualTime::new(engine("vector(time())"), 600_000, vec![]);
        let mut out = Output::default();
        time.run_until(600_000, &mut out);
        assert_eq!(out.recorded.iter().map(|r| r.t).collect::<Vec<_>>(), [600_000]);
        time.run_until(779_999, &mut out);
        assert_eq!(out.recorded.last().map(|r| r.t), Some(720_000));
    }
}
