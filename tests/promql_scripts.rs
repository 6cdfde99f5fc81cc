//! Prometheus' own evaluation scripts, and a few of ours, through the streaming engine with one shard and with three. As
//! there, names are dropped late.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use forewarn::backtest::{EvalReport, ScriptOptions, Verdict, run_script};
use forewarn::engine::QueryValue;
use forewarn::rules::promql_script::Script;

#[path = "support/skip.rs"]
mod skip;

/// Evals that expect what Prometheus' floating-point errors make of them, as the script itself says: the exact mean is
/// -44.848083237, compensated summation gives 0, and double-double -45.12.
const WRONG_BY_DESIGN: [(&str, u64); 1] = [("functions.test", 1149)];

/// Evals whose expectation agrees to Prometheus' own precision (1e-6) only: written with seven digits, or a sinh(10) that is
/// off by 4e-9.
const FEWER_DIGITS: [(&str, u64); 3] =
    [("functions.test", 1243), ("functions.test", 1246), ("trig_functions.test", 38)];

/// Relative difference that is accepted.
const PRECISION: f64 = 1e-9;

/// Fewest evals of each tier that must pass.
const FLOOR: [(&str, usize); 4] = [("A", 587), ("B", 158), ("C", 139), ("X", 18)];

#[test]
fn own_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/promql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut passed, mut failed) = (0, vec![]);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for report in run(&name, &std::fs::read_to_string(&file).unwrap()) {
            match &report.verdict {
                Verdict::Passed { difference } if *difference <= PRECISION => passed += 1,
                other => failed.push(format!("{name}:{}: {}: {other:?}", report.line, report.expr)),
            }
        }
    }
    assert!(failed.is_empty() && passed > 50, "{passed} passed; {}", failed.join("\n"));
}

#[test]
fn prometheus_own_scripts() {
    let root = std::env::var_os("FOREWARN_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), PathBuf::from);
    let folder = root.join("promqltest");
    let Ok(cases) = std::fs::read_to_string(folder.join("cases.json")) else {
        skip::skipped("../shared/corpus/promqltest is absent");
        return;
    };
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let mut tiers: BTreeMap<String, HashMap<u64, String>> = BTreeMap::new();
    for case in &cases {
        let (file, tier) = (case["file"].as_str().unwrap().to_owned(), case["tier"].as_str().unwrap().to_owned());
        tiers.entry(file).or_default().insert(case["line"].as_u64().unwrap(), tier);
    }
    let mut table = Table::default();
    for (file, tier_of) in &tiers {
        let reports = run(file, &std::fs::read_to_string(folder.join(file)).unwrap());
        assert_eq!(reports.len(), tier_of.len(), "{file}");
        for report in reports {
            table.add(&tier_of[&report.line], file, &report);
        }
    }
    table.print();
    assert!(table.wrong.is_empty(), "{} wrong answers", table.wrong.len());
    for (tier, floor) in FLOOR {
        let passed = table.counts[tier][0];
        assert!(passed >= floor, "tier {tier}: {passed} passed, there were {floor}");
    }
}

/// What became of the evals.
#[derive(Default)]
struct Table {
    /// By tier: passed, [`WRONG_BY_DESIGN`], refused, wrong.
    counts: BTreeMap<String, [usize; 4]>,
    refused: BTreeMap<(String, String), Vec<String>>,
    wrong: Vec<String>,
}

impl Table {
    fn add(&mut self, tier: &str, file: &str, report: &EvalReport) {
        let place = format!("{file}:{}: {}", report.line, report.expr);
        let listed = |list: &[(&str, u64)]| list.contains(&(file, report.line));
        let column = match &report.verdict {
            Verdict::Passed { difference } if *difference > PRECISION => {
                if !listed(&FEWER_DIGITS) {
                    self.wrong.push(format!("{tier} {place}\n      differs by {difference:e}"));
                }
                0
            }
            Verdict::Passed { .. } => {
                let lists = [&WRONG_BY_DESIGN[..], &FEWER_DIGITS];
                assert!(!lists.iter().any(|list| listed(list)), "{place}: passes and can be taken off its list");
                0
            }
            Verdict::Failed(_) if listed(&WRONG_BY_DESIGN) => 1,
            Verdict::Refused(reason) => {
                // Lines differ from eval to eval, features do not.
                let feature = reason.split(" (").next().unwrap().to_owned();
                self.refused.entry((tier.to_owned(), feature)).or_default().push(place);
                2
            }
            Verdict::Failed(failure) => {
                let diff = failure.diff.join("\n      ");
                self.wrong.push(format!("{tier} {place}\n      {}\n      {diff}", failure.message));
                3
            }
        };
        self.counts.entry(tier.to_owned()).or_default()[column] += 1;
    }

    fn print(&self) {
        for (tier, [passed, design, refused, wrong]) in &self.counts {
            println!("tier {tier}: {passed} passed, {design} expect a wrong sum, {refused} refused, {wrong} wrong");
        }
        for ((tier, reason), places) in &self.refused {
            println!("refused, tier {tier}: {:4}  {reason}\n      {}", places.len(), places[0]);
        }
        for wrong in &self.wrong {
            println!("wrong, tier {wrong}");
        }
    }
}

/// Runs a script with one shard and with three, which must give the same to the bit.
fn run(name: &str, text: &str) -> Vec<EvalReport> {
    let script = Script::parse(text).unwrap_or_else(|e| panic!("{name}:{e}"));
    let [one, three] = [1, 3].map(|shards| run_script(&script, &ScriptOptions { shards, ..ScriptOptions::default() }));
    assert!(one.failures.is_empty(), "{name}: {:?}", one.failures);
    for (a, b) in one.evals.iter().zip(&three.evals) {
        assert_eq!(fingerprint(a), fingerprint(b), "{name}:{}: 1 shard and 3 shards differ", a.line);
        assert_eq!(a.remarks, b.remarks, "{name}:{}: 1 shard and 3 shards differ", a.line);
    }
    one.evals
}

/// Values to the bit.
fn fingerprint(report: &EvalReport) -> String {
    let mut text = String::new();
    for value in &report.values {
        match value {
            Ok(QueryValue::Scalar(v)) => write!(text, "{:x};", v.to_bits()).unwrap(),
            Ok(QueryValue::Vector(elements)) => {
                elements.iter().for_each(|(l, v)| write!(text, "{l} {:x},", v.to_bits()).unwrap());
                text.push(';');
            }
            Ok(other) => write!(text, "{other:?};").unwrap(),
            Err(e) => write!(text, "{e};").unwrap(),
        }
    }
    text
}
