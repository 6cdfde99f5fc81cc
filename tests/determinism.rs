//! The same samples give the same bytes: whatever the order of arrival within the lateness, the size of the batches, the
//! steps of the watermark, the number of shards, and whether shards are worked on one after the other or at once.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use forewarn::base::{BatchBuilder, Labels, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Executor, Inline, Output, Profiles, Shard};
use forewarn::model::Profile;
use forewarn::rules::{RuleSet, Severity, load_file};
use proptest::prelude::*;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

#[path = "support/series.rs"]
mod series;

use series::{Event, World, world};

const START: Millis = 1_800_000_000_000;
const LATENESS: Millis = 60_000;

/// Shards on rayon's threads.
struct Parallel;

impl Executor for Parallel {
    fn for_each(&self, shards: &mut [Shard], work: &(dyn Fn(&mut Shard) + Sync)) {
        shards.par_iter_mut().for_each(work);
    }
}

/// How samples reach the engine.
#[derive(Clone, Copy, Debug)]
enum Feed {
    /// In order of time, one batch and one step of the watermark every 15s.
    Ordered,
    /// Out of order within the lateness, each sample up to three times, in batches of any size.
    Shuffled(u64),
    /// In order, in batches of any size; the watermark goes forward in steps of an hour.
    Replayed(u64),
    /// All samples at once, then the watermark to the end.
    AtOnce,
    /// In order, sample by sample; the watermark goes forward in steps of a second.
    Live,
}

fn rules(yaml: &str) -> RuleSet {
    let (groups, faults) = load_file("determinism.yml", yaml);
    assert!(faults.iter().all(|f| f.severity == Severity::Warning), "{faults:?}");
    RuleSet { groups: groups.into_iter().map(Arc::new).collect() }
}

fn engine(rules: &RuleSet, shards: usize) -> Engine {
    let quick = Profile { warm_up: 1_200_000, ..Profile::builtin("default").unwrap() };
    let profiles: Profiles = [("quick".to_owned(), Arc::new(quick))].into();
    let mut engine = Engine::new(EngineOptions { shards, collect_recorded: true, ..EngineOptions::default() });
    engine.load(rules, &profiles, &mut Output::default()).unwrap();
    engine
}

/// Batches with the watermark after each.
fn arrivals(world: &World, feed: Feed) -> Vec<(Vec<Event>, Millis)> {
    let last = world.events.last().unwrap().sample.t;
    let cut = |events: &[Event], rng: &mut Rng, most: usize| {
        let (mut cut, mut rest) = (Vec::new(), events);
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(rng.usize(1..=most).min(rest.len()));
            cut.push(head.to_vec());
            rest = tail;
        }
        cut
    };
    let newest = |batch: &[Event]| batch.iter().map(|e| e.sample.t).max().unwrap_or(START);
    let mut arrivals: Vec<(Vec<Event>, Millis)> = match feed {
        Feed::AtOnce => vec![(world.events.clone(), START)],
        Feed::Ordered => {
            let same_step = |a: &Event, b: &Event| (a.sample.t - START) / 15_000 == (b.sample.t - START) / 15_000;
            world.events.chunk_by(same_step).map(|c| (c.to_vec(), newest(c))).collect()
        }
        Feed::Live => world.events.chunks(1).map(|c| (c.to_vec(), (c[0].sample.t - LATENESS) / 1000 * 1000)).collect(),
        Feed::Replayed(seed) => {
            let batches = cut(&world.events, &mut Rng::with_seed(seed), 20_000).into_iter();
            batches.map(|b| (newest(&b) - LATENESS, b)).map(|(t, b)| (b, t / 3_600_000 * 3_600_000)).collect()
        }
        Feed::Shuffled(seed) => {
            let mut rng = Rng::with_seed(seed);
            let mut delayed: Vec<(Millis, Event)> = Vec::new();
            for event in &world.events {
                for _ in 0..[1, 1, 1, 2, 3][rng.usize(..5)] {
                    delayed.push((event.sample.t + rng.i64(0..LATENESS), event.clone()));
                }
            }
            delayed.sort_by_key(|(arrival, _)| *arrival);
            let events: Vec<Event> = delayed.into_iter().map(|(_, event)| event).collect();
            let mut seen = START;
            let batches = cut(&events, &mut rng, 900).into_iter();
            batches
                .map(|batch| {
                    seen = seen.max(newest(&batch));
                    (batch, seen - LATENESS)
                })
                .collect()
        }
    };
    arrivals.push((vec![], last + 1_800_000));
    arrivals
}

/// What comes out, as bytes; and how much of what.
#[derive(Default)]
struct Outcome {
    text: String,
    transitions: usize,
    spoke: BTreeSet<String>,
    failures: u64,
}

fn run(rules: &RuleSet, world: &World, feed: Feed, shards: usize, executor: &dyn Executor) -> Outcome {
    let mut engine = engine(rules, shards);
    let mut outcome = Outcome::default();
    // Event time begins before the first sample, whatever comes first.
    engine.advance(START - LATENESS, executor, &mut Output::default());
    for (events, watermark) in arrivals(world, feed) {
        let mut batch = BatchBuilder::new(&Limits::default());
        for Event { series, sample } in events {
            batch.series(world.series[series].as_ref());
            batch.sample(sample.t, sample.v);
        }
        let taken = engine.ingest(&batch.finish());
        assert_eq!((taken.late, taken.over_pending_limit, taken.over_series_limit), (0, 0, 0), "{feed:?}");
        let mut out = Output::default();
        engine.advance(watermark, executor, &mut out);
        outcome.take(&out);
    }
    assert_eq!(engine.holdings().conflict + engine.holdings().out_of_order, 0);
    outcome
}

impl Outcome {
    fn take(&mut self, out: &Output) {
        self.transitions += out.transitions.len();
        self.failures += out.failures;
        for transition in &out.transitions {
            self.spoke.insert(transition.rule.alert.clone());
            writeln!(self.text, "{}", serde_json::to_string(transition).unwrap()).unwrap();
        }
        for recorded in &out.recorded {
            self.spoke.insert(recorded.labels.as_ref().metric_name().to_owned());
            writeln!(self.text, "{} {} {:x}", recorded.labels, recorded.t, recorded.v.to_bits()).unwrap();
        }
    }

    /// Transitions and samples in one order each, whatever the steps in which they were handed out.
    fn sorted(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter(|l| l.starts_with('{'))
            .chain(self.text.lines().filter(|l| !l.starts_with('{')))
            .collect()
    }
}

fn assert_same(a: &Outcome, b: &Outcome, what: &str) {
    assert_eq!((a.transitions, a.failures), (b.transitions, b.failures), "{what}");
    let (a, b) = (a.sorted(), b.sorted());
    let differs = a.iter().zip(&b).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let from = at.saturating_sub(2);
        panic!(
            "{what}: line {at} of {}:\n{:#?}\n{:#?}",
            a.len(),
            &a[from..(at + 3).min(a.len())],
            &b[from..(at + 3).min(b.len())]
        );
    }
    assert_eq!(a.len(), b.len(), "{what}");
}

#[test]
fn the_way_samples_arrive_and_shards_are_worked_on_leaves_no_trace() {
    let rules = rules(include_str!("fixtures/determinism.yml"));
    let names: BTreeSet<String> = rules.groups.iter().flat_map(|g| &g.rules).map(|r| r.name.clone()).collect();
    for seed in [1, 2] {
        let world = world(seed, START, 320);
        let plain = run(&rules, &world, Feed::Ordered, 1, &Inline);
        let silent: Vec<&String> = names.difference(&plain.spoke).collect();
        println!("seed {seed}: {} samples, {} transitions", world.events.len(), plain.transitions);
        println!("  rules that said nothing: {silent:?}; {} failures", plain.failures);
        assert!(plain.transitions > 100 && silent.len() < 4);
        let runs: [(Feed, usize, &dyn Executor); 8] = [
            (Feed::Ordered, 4, &Inline),
            (Feed::Ordered, 2, &Parallel),
            (Feed::Shuffled(seed), 1, &Inline),
            (Feed::Shuffled(seed + 10), 4, &Parallel),
            (Feed::Replayed(seed), 2, &Inline),
            (Feed::AtOnce, 4, &Parallel),
            (Feed::AtOnce, 1, &Inline),
            (Feed::Live, 2, &Inline),
        ];
        for (feed, shards, executor) in runs {
            let other = run(&rules, &world, feed, shards, executor);
            assert_same(&plain, &other, &format!("seed {seed}, {feed:?}, {shards} shards"));
        }
    }
}

/// What a small world records when its samples come in this order, all before their tick.
fn small_run(rules: &RuleSet, samples: &[(usize, i64, i8)], shards: usize) -> (Outcome, u64) {
    let mut engine = engine(rules, shards);
    engine.advance(0, &Inline, &mut Output::default());
    for &(series, second, v) in samples {
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs([("__name__", "m"), ("series", ["a", "b", "c"][series])]).as_ref());
        batch.sample(second * 1000, f64::from(v));
        engine.ingest(&batch.finish());
    }
    let mut outcome = Outcome::default();
    let mut out = Output::default();
    engine.advance(60_000, &Inline, &mut out);
    outcome.take(&out);
    (outcome, engine.holdings().conflict + engine.holdings().duplicate)
}

proptest! {
    #[test]
    fn of_two_values_for_an_instant_the_same_one_stands_in_whatever_order_they_come(
        (samples, shuffled) in prop::collection::vec((0usize..3, 1i64..40, -3i8..3), 1..80)
            .prop_flat_map(|samples| (Just(samples.clone()), Just(samples).prop_shuffle())),
    ) {
        let rules = rules(
            "groups: [{name: g, interval: 5s, rules: [
                {record: sums, expr: 'sum_over_time(m[20s])'}, {record: rates, expr: 'rate(m[20s])'},
                {record: last, expr: 'm'}, {alert: A, expr: 'sum(m) > 1', for: 10s}]}]",
        );
        let (plain, refused) = small_run(&rules, &samples, 1);
        for shards in [1, 2] {
            let (other, also_refused) = small_run(&rules, &shuffled, shards);
            prop_assert_eq!(&plain.text, &other.text);
            prop_assert_eq!(refused, also_refused);
        }
    }
}
