//! An engine that is saved and restored gives what it would have given: wherever it is interrupted, with as many shards as
//! before or with others, and with rules that have changed meanwhile; and what is damaged is refused.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::fmt::Write as _;
use std::sync::Arc;

use forewarn::base::{BatchBuilder, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles};
use forewarn::model::Profile;
use forewarn::rules::{RuleSet, Severity, load_file};

#[path = "support/series.rs"]
mod series;

use series::{Event, World, world};

const START: Millis = 1_800_000_000_000;
const LATENESS: Millis = 20_000;
const FAILED: &str = "failed: ";
/// Odd, so that watermarks fall on ticks and between them.
const STEP: Millis = 7_500;

fn rules(files: &[(&str, &str)]) -> RuleSet {
    let groups = files.iter().flat_map(|(name, yaml)| {
        let (groups, faults) = load_file(name, yaml);
        assert!(faults.iter().all(|f| f.severity == Severity::Warning), "{faults:?}");
        groups
    });
    RuleSet { groups: groups.map(Arc::new).collect() }
}

fn all_rules() -> RuleSet {
    rules(&[
        ("determinism.yml", include_str!("fixtures/determinism.yml")),
        ("snapshots.yml", include_str!("fixtures/snapshots/rules.yml")),
    ])
}

fn profiles(warm_up: Millis) -> Profiles {
    let quick = Profile { warm_up, ..Profile::builtin("default").unwrap() };
    [("quick".to_owned(), Arc::new(quick))].into()
}

fn options(shards: usize) -> EngineOptions {
    EngineOptions { shards, collect_recorded: true, explain_alerts: true, ..EngineOptions::default() }
}

fn engine(rules: &RuleSet, options: EngineOptions) -> Engine {
    let mut engine = Engine::new(options);
    engine.load(rules, &profiles(600_000), &mut Output::default()).unwrap();
    engine
}

/// An engine with another one's state, which is all that is left of it.
fn restored(engine: &Engine, shards: usize) -> Engine {
    let restored = Engine::restore(options(shards), &engine.snapshot()).unwrap();
    assert_eq!(restored.left_out, []);
    restored.engine
}

/// Samples of a step, and the watermark after it: some always wait.
fn steps(world: &World) -> Vec<(Vec<Event>, Millis)> {
    let step = |e: &Event| (e.sample.t - START).div_euclid(STEP);
    let chunks = world.events.chunk_by(|a, b| step(a) == step(b));
    chunks.map(|c| (c.to_vec(), START + (step(&c[0]) + 1) * STEP - LATENESS)).collect()
}

fn ingest(engine: &mut Engine, world: &World, events: &[Event]) {
    let mut batch = BatchBuilder::new(&Limits::default());
    for Event { series, sample } in events {
        batch.series(world.series[*series].as_ref());
        batch.sample(sample.t, sample.v);
    }
    assert_eq!(engine.ingest(&batch.finish()).late, 0);
}

fn advance(engine: &mut Engine, watermark: Millis) -> String {
    let mut out = Output::default();
    engine.advance(watermark, &Inline, &mut out);
    text(&out)
}

/// All that came out, and what the API would show beside it.
fn text(out: &Output) -> String {
    let mut text = format!("{} {} {}\n", out.ticks, out.evaluations, out.failures);
    for transition in &out.transitions {
        writeln!(text, "{}", serde_json::to_string(transition).unwrap()).unwrap();
    }
    for recorded in &out.recorded {
        writeln!(text, "{} {} {:x}", recorded.labels, recorded.t, recorded.v.to_bits()).unwrap();
    }
    text
}

fn shown(engine: &Engine) -> String {
    let rules = engine.groups().into_iter().flat_map(|g| g.rules.into_iter().map(move |r| (g.last_evaluation, r)));
    let error = |error: Option<String>| error.map_or_else(String::new, |e| format!("{FAILED}{e}\n"));
    let shown = rules.map(|(t, r)| format!("{t:?} {} {:?} {:?}\n{}", r.name, r.remarks, r.alert, error(r.last_error)));
    shown.collect()
}

/// Without the words of errors: of several pairs of elements that do not match, shards name the first that they meet.
fn without_words(outcome: &[String]) -> Vec<String> {
    let line = |line: &str| if line.starts_with(FAILED) { FAILED.to_owned() } else { line.to_owned() };
    outcome.iter().map(|step| step.lines().map(line).collect::<Vec<_>>().join("\n")).collect()
}

/// Runs through the world; `interrupt` may put another engine in the place of the one that is at step `.1`, before it
/// advances (`.2` false) and after.
fn run(
    rules: &RuleSet,
    world: &World,
    options: EngineOptions,
    mut interrupt: impl FnMut(Engine, usize, bool) -> Engine,
) -> Vec<String> {
    let mut engine = engine(rules, options);
    engine.advance(START - 60_000, &Inline, &mut Output::default());
    let mut outcome = Vec::new();
    for (at, (events, watermark)) in steps(world).into_iter().enumerate() {
        ingest(&mut engine, world, &events);
        engine = interrupt(engine, at, false);
        let mut text = advance(&mut engine, watermark);
        engine = interrupt(engine, at, true);
        text.push_str(&shown(&engine));
        writeln!(text, "{:?}", counted(&engine)).unwrap();
        outcome.push(text);
    }
    outcome
}

/// What the engine counts, but for the bytes, and series nobody wants, which are not kept.
fn counted(engine: &Engine) -> (usize, usize, usize, [u64; 4]) {
    let held = engine.holdings();
    (held.series, held.models, held.waiting, [held.duplicate, held.conflict, held.out_of_order, held.unmodelled])
}

fn assert_same(a: &[String], b: &[String], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        if a != b {
            let lines = a.lines().zip(b.lines()).find(|(a, b)| a != b);
            panic!("{what}: step {at}: {lines:#?} ({} and {} bytes)", a.len(), b.len());
        }
    }
}

#[test]
fn an_interruption_anywhere_changes_nothing() {
    let (rules, world) = (all_rules(), world(1, START, 120));
    let plain = run(&rules, &world, options(2), |engine, _, _| engine);
    let count = |word: &str| plain.iter().map(|step| step.matches(word).count()).sum::<usize>();
    println!("{} steps, {} transitions, {} samples", plain.len(), count("\"reason\""), world.events.len());
    assert!(count("\"reason\"") > 100 && count("explanation") > 0 && count("kept_firing") > 0 && count(FAILED) > 0);
    let every = run(&rules, &world, options(2), |engine, _, _| {
        let records = engine.snapshot();
        let restored = Engine::restore(options(2), &records).unwrap().engine;
        assert!(restored.snapshot() == records, "the snapshot of what was restored is the same");
        restored
    });
    assert_same(&plain, &every, "at every step");
}

#[test]
fn the_number_of_shards_may_change_with_every_interruption() {
    let (rules, world) = (all_rules(), world(2, START, 100));
    let plain = without_words(&run(&rules, &world, options(2), |engine, _, _| engine));
    let shards = [1, 4, 2, 4, 1, 3];
    let every = run(&rules, &world, options(2), |engine, at, after| {
        restored(&engine, shards[(2 * at + usize::from(after)) % 6])
    });
    assert_same(&plain, &without_words(&every), "at every step");
    for (at, shards) in [(40, 1), (97, 4), (150, 2)] {
        let once = run(&rules, &world, options(3), |engine, step, after| {
            if step == at && after == (at % 2 == 0) { restored(&engine, shards) } else { engine }
        });
        assert_same(&plain, &without_words(&once), &format!("once, at {at}"));
    }
}

#[test]
fn rules_that_changed_meanwhile_are_as_after_a_reload() {
    let (rules_before, world) = (all_rules(), world(3, START, 100));
    let determinism = include_str!("fixtures/determinism.yml")
        .replace("job:errors:ratio > 0.3", "job:errors:ratio > 0.25")
        .replace("for: 15s", "for: 30s")
        .replace("memory_bytes[10m]", "memory_bytes[8m]")
        .replace("{ record: \"disk:slope\", expr", "{ record: \"disk:moved\", expr")
        .replace("interval: 1m\n    query_offset: 20s", "interval: 30s\n    query_offset: 20s")
        .replace("alert: Repeats", "alert: Renamed");
    let snapshots = include_str!("fixtures/snapshots/rules.yml")
        .replace("- name: pinned", "- name: moved")
        .replace("{{ $value }}'", "{{ $value }} of {{ query \"requests_total\" | len }}'")
        .replace(
            "      - alert: Crowded",
            "      - { record: new, expr: 'sum_over_time(disk_free[15m])' }\n      - alert: Crammed",
        );
    let rules_after = rules(&[("determinism.yml", &determinism), ("snapshots.yml", &snapshots)]);
    assert_ne!(rules_before, rules_after);
    for (at, warm_up) in [(60, 600_000), (121, 600_000), (150, 900_000)] {
        let changed = |interrupted: Option<usize>| {
            let mut said = String::new();
            let outcome = run(&rules_before, &world, options(2), |engine, step, after| {
                if (step, after) != (at, at % 2 == 1) {
                    return engine;
                }
                let mut engine = match interrupted {
                    None => engine,
                    Some(shards) => restored(&engine, shards),
                };
                let mut out = Output::default();
                engine.load(&rules_after, &profiles(warm_up), &mut out).unwrap();
                said = text(&out);
                engine
            });
            (said, without_words(&outcome))
        };
        let (said, plain) = changed(None);
        assert!(said.contains("rule_removed"), "{said}");
        for shards in [2, 1, 4] {
            let (also_said, other) = changed(Some(shards));
            assert_eq!(said, also_said, "at the reload, {at}, {shards} shards");
            assert_same(&plain, &other, &format!("reload at {at}, {shards} shards"));
        }
    }
}

#[test]
fn names_that_are_dropped_late_are_kept_and_a_change_of_that_is_taken() {
    let (rules, world) = (all_rules(), world(4, START, 50));
    let late = |shards| EngineOptions { delayed_name_removal: true, ..options(shards) };
    let plain = without_words(&run(&rules, &world, late(2), |engine, _, _| engine));
    let every = run(&rules, &world, late(2), |engine, at, _| {
        Engine::restore(late([1, 4, 2][at % 3]), &engine.snapshot()).unwrap().engine
    });
    assert_same(&plain, &without_words(&every), "at every step");
    // Subqueries begin anew, and all else goes on.
    let switched = run(&rules, &world, options(2), |engine, at, after| match (at, after) {
        (60, true) => Engine::restore(late(2), &engine.snapshot()).unwrap().engine,
        _ => engine,
    });
    let alerts = |outcome: &[String]| outcome.iter().map(|step| step.matches("\"reason\"").count()).sum::<usize>();
    assert!(alerts(&switched) > alerts(&plain) / 2, "{} {}", alerts(&switched), alerts(&plain));
}
