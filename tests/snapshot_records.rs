//! Records of snapshots: those of this release's fixture are read for ever, what is damaged, missing or unknown is named,
//! and nothing that a record may say brings the process down.
//!
//! `FOREWARN_WRITE_FIXTURE=1 cargo test --test snapshot_records` writes the fixture anew: before a release only, and when a
//! version has changed beside the old one, not over it.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use forewarn::base::{BatchBuilder, Labels, Limits, Millis, Record};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles, RestoreError};
use forewarn::model::Profile;
use forewarn::rules::{RuleSet, load_file};
use proptest::prelude::*;

const START: Millis = 1_800_000_000_000;
const RULES: &str = include_str!("fixtures/snapshots/release.yml");

fn engine() -> Engine {
    let (groups, faults) = load_file("release.yml", RULES);
    assert!(faults.is_empty(), "{faults:?}");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let quick = Profile { warm_up: 300_000, ..Profile::builtin("default").unwrap() };
    let profiles: Profiles = [("quick".to_owned(), Arc::new(quick))].into();
    let mut engine = Engine::new(options());
    engine.load(&rules, &profiles, &mut Output::default()).unwrap();
    engine.advance(START - 1, &Inline, &mut Output::default());
    engine
}

fn options() -> EngineOptions {
    EngineOptions { shards: 2, collect_recorded: true, ..EngineOptions::default() }
}

/// The samples of these steps of 15s, and what comes of them; the last one's wait.
fn drive(engine: &mut Engine, steps: std::ops::Range<i64>) -> String {
    let mut text = String::new();
    for step in steps {
        let mut batch = BatchBuilder::new(&Limits::default());
        for (i, instance) in ["a", "b", "c"].into_iter().enumerate() {
            let t = START + step * 15_000 + i as i64;
            let wave = ((step + i as i64) % 20 - 10).abs() as f64;
            for (name, v) in [
                ("disk_free", 1e6 - 2e3 * step as f64 - wave),
                ("memory_bytes", if step % 37 == 20 { 9e5 } else { 100.0 + wave }),
                ("requests_total", (step % 50) as f64 * (i + 1) as f64),
                ("up", f64::from(u8::from(step % 9 < 7))),
            ] {
                batch.series(Labels::from_pairs([("__name__", name), ("instance", instance)]).as_ref());
                batch.sample(t, v);
            }
        }
        engine.ingest(&batch.finish());
        let mut out = Output::default();
        engine.advance(START + step * 15_000 - 5_000, &Inline, &mut out);
        for transition in &out.transitions {
            writeln!(text, "{}", serde_json::to_string(transition).unwrap()).unwrap();
        }
        for recorded in &out.recorded {
            writeln!(text, "{} {} {:x}", recorded.labels, recorded.t, recorded.v.to_bits()).unwrap();
        }
    }
    text
}

static SNAPSHOT: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let mut engine = engine();
    drive(&mut engine, 0..100);
    engine.snapshot()
});

fn restore(records: &[Record]) -> Result<Engine, RestoreError> {
    Engine::restore(options(), records).map(|restored| restored.engine)
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/snapshots/v1.snapshot")
}

/// One file: for each record its name, version and bytes, as postcard writes them.
fn write_fixture(path: &Path, records: &[Record]) {
    let plain: Vec<(&str, u16, &[u8])> = records.iter().map(|r| (&*r.name, r.version, &*r.bytes)).collect();
    std::fs::write(path, postcard::to_stdvec(&plain).unwrap()).unwrap();
}

fn read_fixture(path: &Path) -> Vec<Record> {
    let bytes = std::fs::read(path).unwrap();
    let plain: Vec<(String, u16, Vec<u8>)> = postcard::from_bytes(&bytes).unwrap();
    plain.into_iter().map(|(name, version, bytes)| Record { name, version, bytes }).collect()
}

#[test]
fn the_snapshot_of_this_release_is_read() {
    if std::env::var_os("FOREWARN_WRITE_FIXTURE").is_some() {
        write_fixture(&fixture(), &SNAPSHOT);
    }
    let records = read_fixture(&fixture());
    let restored = Engine::restore(options(), &records).unwrap();
    assert_eq!(restored.left_out, []);
    let mut engine = restored.engine;
    let held = engine.holdings();
    assert_eq!((held.series, held.models, held.waiting), (12, 12, 12), "all found their place");
    let after = drive(&mut engine, 100..160);
    for name in ["disk:rate", "disk:peak", "memory:anomaly", "memory:changed", "disk:left", "Low", "Down"] {
        assert!(after.contains(name), "{name}:\n{after}");
    }
    // What was going on went on.
    assert!(after.lines().next().unwrap().contains("resent") || after.contains("\"from\":\"firing\""), "{after}");
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let mut with_others = SNAPSHOT.clone();
    with_others.push(Record { name: "sources/positions".into(), version: 9, bytes: vec![1] });
    assert!(restore(&with_others).is_ok(), "what is not the engine's is passed over");
    for at in 0..SNAPSHOT.len() {
        let record = SNAPSHOT[at].name.clone();
        let mut without = SNAPSHOT.clone();
        without.remove(at);
        assert_eq!(restore(&without).unwrap_err(), RestoreError::Missing { record: record.clone() });
        let mut newer = SNAPSHOT.clone();
        newer[at].version = 7;
        let error = restore(&newer).unwrap_err();
        assert_eq!(error, RestoreError::Version { record: record.clone(), version: 7, known: &[1] });
        let text = error.to_string();
        assert!(text.contains(&record) && text.contains("version 7") && text.contains("reads 1;"), "{text}");
        let mut twice = SNAPSHOT.clone();
        twice.push(SNAPSHOT[at].clone());
        assert!(matches!(restore(&twice).unwrap_err(), RestoreError::Damaged { record: r, .. } if r == record));
    }
    for name in ["engine/moods", "engine/series/0/7"] {
        let mut more = SNAPSHOT.clone();
        more.push(Record { name: name.into(), ..SNAPSHOT[1].clone() });
        assert_eq!(restore(&more).unwrap_err(), RestoreError::Unknown { record: name.into() });
    }
    assert_eq!(restore(&[]).unwrap_err(), RestoreError::Missing { record: "engine/contents".into() });
}

#[derive(Clone, Debug)]
enum Damage {
    Flip { at: prop::sample::Index, mask: u8 },
    Cut { at: prop::sample::Index },
    Insert { at: prop::sample::Index, bytes: Vec<u8> },
    Swap { at: prop::sample::Index, with: u64 },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        // An earlier cut may have left nothing to damage.
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip { at, mask } => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Self::Cut { at } => bytes.truncate(at.index(bytes.len())),
            Self::Insert { at, bytes: new } => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Swap { at, with } => {
                let at = at.index(bytes.len());
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&with.to_le_bytes()[..end - at]);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, mask)| Damage::Flip { at, mask }),
        1 => any::<prop::sample::Index>().prop_map(|at| Damage::Cut { at }),
        1 => (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        1 => (any::<prop::sample::Index>(), any::<u64>()).prop_map(|(at, with)| Damage::Swap { at, with }),
    ]
}

proptest! {
    #[test]
    fn damage_is_found_and_named(record: prop::sample::Index, damages in prop::collection::vec(damage(), 1..3)) {
        let mut records = SNAPSHOT.clone();
        let at = record.index(records.len());
        damages.iter().for_each(|damage| damage.apply(&mut records[at].bytes));
        prop_assume!(records[at] != SNAPSHOT[at]);
        match restore(&records) {
            Err(RestoreError::Damaged { record, reason }) => {
                prop_assert_eq!(&record, &SNAPSHOT[at].name);
                prop_assert!(!reason.is_empty());
            }
            other => prop_assert!(false, "{:?}", other.err()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// As a wrong program might write it: the checksum fits, the rest does not.
    #[test]
    fn nonsense_with_a_right_checksum_ends_no_process(
        record: prop::sample::Index,
        damages in prop::collection::vec(damage(), 1..3),
    ) {
        let mut records = SNAPSHOT.clone();
        let at = record.index(records.len());
        let bytes = &mut records[at].bytes;
        bytes.truncate(bytes.len() - 4);
        prop_assume!(!bytes.is_empty());
        for damage in &damages {
            if !bytes.is_empty() {
                damage.apply(bytes);
            }
        }
        bytes.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        let _ = restore(&records);
    }
}
