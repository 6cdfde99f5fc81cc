//! The whole path of a sample: remote write bytes → decode → window → predict_linear[1h] and predict_anomaly → alerts,
//! beside the floor of the same run: unpack, walk the wire, find the series, touch its state.
//!
//! `cargo bench --bench pipeline`. Every figure is per sample; what counts is the ratio to the floor, since machines differ.
//! FOREWARN_BENCH_SERIES (100000) sets the number of series.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forewarn::base::encode::{compress, encode_write_request};
use forewarn::base::{BatchBuilder, Labels, Limits, Millis};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles};
use forewarn::model::Profile;
use forewarn::rules::{RuleSet, load_file};
use forewarn::source::decode::remote_write::decode;

/// Samples in one request, as Prometheus sends them.
const REQUEST: usize = 2_000;
const STEP: Millis = 15_000;

fn series() -> usize {
    std::env::var("FOREWARN_BENCH_SERIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

/// Ten labels, some 250 bytes, as a pod's metric has.
fn labels(i: usize) -> Labels {
    let pod = format!("checkout-service-7d9f8b6c5d-{i:05x}");
    let instance = format!("10.{}.{}.{}:9100", i / 65_536, i / 256 % 256, i % 256);
    Labels::from_pairs([
        ("__name__", "node_filesystem_avail_bytes".to_owned()),
        ("cluster", "prod-eu-west-1".to_owned()),
        ("container", "checkout".to_owned()),
        ("device", "/dev/nvme0n1p1".to_owned()),
        ("fstype", "ext4".to_owned()),
        ("instance", instance),
        ("job", "node-exporter".to_owned()),
        ("mountpoint", "/var/lib/data".to_owned()),
        ("namespace", "payments".to_owned()),
        ("pod", pod),
    ])
}

/// Bytes free on a file system in blocks of 4 KiB: a daily wave and noise.
fn value(i: usize, t: Millis) -> f64 {
    let noise =
        (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(t as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 52;
    let wave = (t as f64 / 86_400_000.0 * std::f64::consts::TAU).sin();
    ((5_000_000.0 + 100_000.0 * wave).floor() + noise as f64) * 4096.0
}

/// One round of all series, as compressed requests.
fn round(all: &[Labels], t: Millis) -> Vec<Vec<u8>> {
    all.chunks(REQUEST)
        .enumerate()
        .map(|(c, chunk)| {
            let mut batch = BatchBuilder::new(&Limits::default());
            for (i, labels) in chunk.iter().enumerate() {
                batch.series(labels.as_ref());
                batch.sample(t, value(c * REQUEST + i, t));
            }
            compress(&encode_write_request(&batch.finish()))
        })
        .collect()
}

fn engine(rules: &str, shards: usize) -> Engine {
    let (groups, faults) = load_file("bench.yml", rules);
    assert!(faults.is_empty(), "{faults:?}");
    let mut engine = Engine::new(EngineOptions { shards, evaluation_interval: STEP, ..EngineOptions::default() });
    let profiles: Profiles = [("default".to_owned(), Arc::new(Profile::builtin("default").unwrap()))].into();
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    engine.load(&rules, &profiles, &mut Output::default()).unwrap();
    engine
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Feeds rounds and gives the time an average sample took in each stage, over the last `measured` rounds.
struct Run {
    decode: Duration,
    ingest: Duration,
    advance: Duration,
    bytes: usize,
}

fn run(all: &[Labels], rules: &str, rounds: usize, measured: usize) -> Run {
    // One round of requests is alive at both readings.
    let requests = round(all, 0);
    let before = resident_bytes();
    drop(requests);
    let mut engine = engine(rules, 1);
    let limits = Limits::default();
    let mut scratch = Vec::new();
    let mut run = Run { decode: Duration::ZERO, ingest: Duration::ZERO, advance: Duration::ZERO, bytes: 0 };
    let start = 1_767_225_600_000;
    for r in 0..rounds {
        let t = start + r as Millis * STEP;
        let requests = round(all, t);
        let counts = r >= rounds - measured;
        let mut out = Output::default();
        for request in &requests {
            let a = Instant::now();
            let decoded = decode(request, &limits, &mut scratch).unwrap();
            let b = Instant::now();
            let taken = engine.ingest(&decoded.batch);
            let c = Instant::now();
            assert_eq!(taken.accepted + taken.unwanted, decoded.batch.runs().len() as u64);
            if counts {
                run.decode += b - a;
                run.ingest += c - b;
            }
        }
        let a = Instant::now();
        engine.advance(t, &Inline, &mut out);
        if counts {
            run.advance += a.elapsed();
        }
        assert_eq!(out.failures, 0);
        if r + 1 == rounds {
            run.bytes = resident_bytes().saturating_sub(before);
        }
    }
    run
}

/// Unpacks, walks the wire without copying, finds the series by the hash of its raw label bytes, and touches its state.
fn floor(all: &[Labels], rounds: usize) -> Duration {
    let mut found: HashMap<u128, u32, std::hash::BuildHasherDefault<First>> = HashMap::default();
    let mut state = vec![(0i64, 0f64); all.len()];
    let mut spent = Duration::ZERO;
    let mut bytes = Vec::new();
    for r in 0..=rounds {
        for request in round(all, 1_767_225_600_000 + r as Millis * STEP) {
            let a = Instant::now();
            bytes.resize(snap::raw::decompress_len(&request).unwrap(), 0);
            let n = snap::raw::Decoder::new().decompress(&request, &mut bytes).unwrap();
            walk(&bytes[..n], |key, t, v| {
                let next = found.len() as u32;
                let slot = *found.entry(key).or_insert(next) as usize;
                state[slot] = (t, v);
            });
            if r > 0 {
                spent += a.elapsed();
            }
        }
    }
    std::hint::black_box(&state);
    spent
}

#[derive(Default)]
struct First(u64);

impl std::hash::Hasher for First {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// Fields of a write request, all labels of a series as one stretch of bytes.
fn walk(mut bytes: &[u8], mut f: impl FnMut(u128, i64, f64)) {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return n;
            }
            shift += 7;
        }
    }
    while !bytes.is_empty() {
        varint(&mut bytes);
        let len = varint(&mut bytes) as usize;
        let (mut series, rest) = bytes.split_at(len);
        bytes = rest;
        let labels = series;
        let (mut key, mut t, mut v) = (None, 0, 0.0);
        while !series.is_empty() {
            let at = labels.len() - series.len();
            let tag = varint(&mut series);
            let len = varint(&mut series) as usize;
            let (field, rest) = series.split_at(len);
            series = rest;
            if tag == 0x12 {
                key.get_or_insert_with(|| xxhash_rust::xxh3::xxh3_128(&labels[..at]));
                v = f64::from_le_bytes(field[1..9].try_into().unwrap());
                t = varint(&mut &field[10..]) as i64;
            }
        }
        f(key.unwrap(), t, v);
    }
}

const RULES: &str = "
groups:
- name: g
  rules:
  - alert: FullSoon
    expr: predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) < 0
    for: 1m
  - alert: Odd
    expr: predict_anomaly(node_filesystem_avail_bytes) > 1
    for: 1m
";

fn main() {
    // `cargo test --benches` runs this as well: then only that it works is shown.
    let bench = std::env::args().any(|a| a == "--bench");
    let (n, rounds, measured) = if bench { (series(), 260, 20) } else { (200, 6, 2) };
    let all: Vec<Labels> = (0..n).map(labels).collect();
    let ns = |d: Duration, rounds: usize| d.as_nanos() as f64 / (n * rounds) as f64;

    let floor = ns(floor(&all, measured), measured);
    println!("{n} series, 10 labels, 15s, one shard, one core; nanoseconds a sample");
    println!("{:<58}{floor:>8.0}", "floor: unpack, walk, look up, touch");
    let show = |name: &str, r: &Run, m: usize| {
        let (d, i, a) = (ns(r.decode, m), ns(r.ingest, m), ns(r.advance, m));
        let total = d + i + a;
        println!(
            "{name:<58}{total:>8.0}  = decode {d:.0} + ingest {i:.0} + tick {a:.0}; {:.1} x the floor{}",
            total / floor,
            if r.bytes > 0 { format!("; {} bytes a series", r.bytes / n) } else { String::new() }
        );
        total
    };
    let unwanted = run(&all, "groups: [{name: g, rules: [{record: r, expr: other}]}]", measured + 2, measured);
    show("series that no rule asks for", &unwanted, measured);
    let whole = run(&all, RULES, rounds, measured);
    show("predict_linear[1h] + predict_anomaly -> alerts", &whole, measured);
    for window in ["5m", "1h", "6h"] {
        let rules = RULES.replace("[1h]", &format!("[{window}]"));
        let rounds = if bench { 1460 } else { rounds };
        let few = &all[..n / 10];
        let r = run(few, &rules, rounds, measured);
        let scaled = Run { decode: r.decode * 10, ingest: r.ingest * 10, advance: r.advance * 10, bytes: 0 };
        show(&format!("the same with [{window}], a tenth of the series"), &scaled, measured);
    }
}
