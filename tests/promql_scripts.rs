//! Prometheus' own evaluation scripts, and a few of ours, through the streaming engine with one shard and with three.
//!
//! As there, names are dropped late. What does not ask for that must be the same with names dropped at once, as the engine
//! does it unless told otherwise; and what can be a rule must have the same value as one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use forewarn::backtest::{EvalReport, ScriptOptions, Verdict, run_script};
use forewarn::engine::QueryValue;
use forewarn::rules::promql_script::Script;

#[path = "support/as_rule.rs"]
mod as_rule;
#[path = "support/corpus.rs"]
mod corpus;

/// Evals that ask for names to be dropped late.
const NAMES_DROPPED_LATE: [(&str, u64); 8] = [
    ("name_label_dropping.test", 59),
    ("name_label_dropping.test", 64),
    ("name_label_dropping.test", 69),
    ("name_label_dropping.test", 74),
    ("name_label_dropping.test", 89),
    ("name_label_dropping.test", 115),
    ("name_label_dropping.test", 119),
    ("name_label_dropping.test", 123),
];

/// Our own script that does.
const OF_NAMES: &str = "names.test";

/// Evals of Prometheus' scripts that can be rules.
const RULES_FLOOR: usize = 810;

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
    let (mut passed, mut failed, mut ruled) = (0, vec![], 0);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let late = run(&name, &text, true);
        let at_once = if name == OF_NAMES { vec![] } else { run(&name, &text, false).evals };
        ruled += late.ruled;
        for report in late.evals.into_iter().chain(at_once) {
            match &report.verdict {
                Verdict::Passed { difference } if *difference <= PRECISION => passed += 1,
                other => failed.push(format!("{name}:{}: {}: {other:?}", report.line, report.expr)),
            }
        }
    }
    println!("{passed} passed, late and at once; {ruled} the same as rules");
    assert!(failed.is_empty() && passed > 300 && ruled > 130, "{passed} passed; {}", failed.join("\n"));
}

#[test]
fn prometheus_own_scripts() {
    let Some(folder) = corpus::corpus("promqltest") else { return };
    let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let mut tiers: BTreeMap<String, HashMap<u64, String>> = BTreeMap::new();
    for case in &cases {
        let (file, tier) = (case["file"].as_str().unwrap().to_owned(), case["tier"].as_str().unwrap().to_owned());
        tiers.entry(file).or_default().insert(case["line"].as_u64().unwrap(), tier);
    }
    let mut table = Table::default();
    for (file, tier_of) in &tiers {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let [late, at_once] = [true, false].map(|late| run(file, &text, late));
        assert_eq!(late.evals.len(), tier_of.len(), "{file}");
        for (report, at_once) in late.evals.iter().zip(&at_once.evals) {
            table.add(&tier_of[&report.line], file, report);
            table.add_at_once(file, report, at_once);
        }
        table.ruled += late.ruled;
    }
    table.print();
    assert!(table.wrong.is_empty(), "{} wrong answers", table.wrong.len());
    assert_eq!(table.of_names, NAMES_DROPPED_LATE.len());
    assert!(table.ruled >= RULES_FLOOR, "{}", table.ruled);
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
    /// Those that differ with names dropped at once.
    of_names: usize,
    /// Those that have the same value as a rule.
    ruled: usize,
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

    /// With names dropped at once, whatever passes does so still but for [`NAMES_DROPPED_LATE`].
    fn add_at_once(&mut self, file: &str, late: &EvalReport, at_once: &EvalReport) {
        let passes = |report: &EvalReport| matches!(report.verdict, Verdict::Passed { .. });
        if !passes(late) || passes(at_once) {
            return;
        }
        self.of_names += 1;
        if !NAMES_DROPPED_LATE.contains(&(file, late.line)) {
            let place = format!("{file}:{}: {}", late.line, late.expr);
            self.wrong.push(format!("- {place}\n      with names dropped at once: {:?}", at_once.verdict));
        }
    }

    fn print(&self) {
        for (tier, [passed, design, refused, wrong]) in &self.counts {
            println!("tier {tier}: {passed} passed, {design} expect a wrong sum, {refused} refused, {wrong} wrong");
        }
        println!("with names dropped at once {} differ; {} have the same value as a rule", self.of_names, self.ruled);
        for ((tier, reason), places) in &self.refused {
            println!("refused, tier {tier}: {:4}  {reason}\n      {}", places.len(), places[0]);
        }
        for wrong in &self.wrong {
            println!("wrong, tier {wrong}");
        }
    }
}

/// What came of a script.
struct Run {
    evals: Vec<EvalReport>,
    /// How many were held to their value as a rule.
    ruled: usize,
}

/// Runs a script with one shard and with three, which must give the same to the bit.
fn run(name: &str, text: &str, delayed_name_removal: bool) -> Run {
    let script = Script::parse(text).unwrap_or_else(|e| panic!("{name}:{e}"));
    let options = [1, 3].map(|shards| ScriptOptions { shards, delayed_name_removal });
    let [one, three] = [&options[0], &options[1]].map(|options| run_script(&script, options));
    assert!(one.failures.is_empty(), "{name}: {:?}", one.failures);
    for (a, b) in one.evals.iter().zip(&three.evals) {
        assert_eq!(fingerprint(a), fingerprint(b), "{name}:{}: 1 shard and 3 shards differ", a.line);
        assert_eq!(a.remarks, b.remarks, "{name}:{}: 1 shard and 3 shards differ", a.line);
    }
    let ruled = as_rule::same_as_rules(name, &script, &three.evals, &options[1]);
    Run { evals: one.evals, ruled }
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
