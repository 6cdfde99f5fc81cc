//! Prometheus' own evaluation scripts, and a few of ours, through the streaming engine: the samples are fed in order, the
//! expression is a query and, where it can be one, a rule; its value at the instant is what the script expects.
//!
//! As in Prometheus' own runner, names are removed late. What does not ask for that must be the same with names removed at
//! once, as the engine does it unless told otherwise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forewarn::base::{BatchBuilder, Labels, Limits, METRIC_NAME, Millis, Sample};
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles, QuerySpec, QueryValue, RuleValue};
use forewarn::promql::{Span, parse, reach};
use forewarn::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};

use promql_parser::parser::value::ValueType;

#[path = "support/script.rs"]
mod script;
#[path = "support/skip.rs"]
mod skip;

use script::{Command, Eval, Expected};

/// Evals that need late removal of names.
const NAMES_DROPPED_LATE: [(&str, usize); 8] = [
    ("name_label_dropping.test", 59),
    ("name_label_dropping.test", 64),
    ("name_label_dropping.test", 69),
    ("name_label_dropping.test", 74),
    ("name_label_dropping.test", 89),
    ("name_label_dropping.test", 115),
    ("name_label_dropping.test", 119),
    ("name_label_dropping.test", 123),
];

/// Our own script that needs it.
const OF_NAMES: &str = "names.test";

/// Evals that expect what Prometheus' floating-point errors make of them, as the script itself says: the exact mean is
/// -44.848083237, compensated summation gives 0, and double-double -45.12.
const WRONG_BY_DESIGN: [(&str, usize); 1] = [("functions.test", 1149)];

/// Evals whose expectation agrees to [`OWN_PRECISION`] only: written with seven digits, or a sinh(10) that is off by 4e-9.
const FEWER_DIGITS: [(&str, usize); 3] =
    [("functions.test", 1243), ("functions.test", 1246), ("trig_functions.test", 38)];

/// Relative difference that is accepted.
const PRECISION: f64 = 1e-9;

/// Relative difference that Prometheus' own runner accepts.
const OWN_PRECISION: f64 = 1e-6;

/// Fewest evals of each tier that must pass.
const FLOOR: [(&str, usize); 3] = [("A", 587), ("B", 158), ("C", 139)];

type Loaded = [(Labels, Vec<Sample>)];
type Series = (Labels, Vec<Option<f64>>);

#[derive(Debug, PartialEq)]
enum Verdict {
    Passed,
    /// To the scripts' own precision only.
    Near(String),
    Refused(String),
    Wrong(String),
}

/// One run of an expression: its values at the instants, or why there are none.
type Values = Vec<Result<QueryValue, String>>;

#[test]
fn own_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/promql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut passed, mut failed) = (0, vec![]);
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        run_script(&std::fs::read_to_string(&file).unwrap(), |eval, run| {
            for late in [true, false].into_iter().filter(|late| *late || name != OF_NAMES) {
                match run(late) {
                    Verdict::Passed => passed += 1,
                    other => failed.push(format!("{name}:{}: {}: {other:?}", eval.line, eval.expr)),
                }
            }
        });
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
    let mut tiers: BTreeMap<String, HashMap<usize, String>> = BTreeMap::new();
    for case in &cases {
        let (file, tier) = (case["file"].as_str().unwrap().to_owned(), case["tier"].as_str().unwrap().to_owned());
        tiers.entry(file).or_default().insert(case["line"].as_u64().unwrap() as usize, tier);
    }
    let mut report = Report::default();
    for (file, tier_of) in &tiers {
        run_script(&std::fs::read_to_string(folder.join(file)).unwrap(), |eval, run| {
            let tier = &tier_of[&eval.line];
            if tier != "X" {
                report.add(tier, file, eval, run(true));
                report.at_once(tier, file, eval, run(false));
            }
        });
    }
    report.print();
    assert!(report.wrong.is_empty(), "{} wrong answers", report.wrong.len());
    for (tier, floor) in FLOOR {
        let passed = report.counts[tier][0];
        assert!(passed >= floor, "tier {tier}: {passed} passed, there were {floor}");
    }
}

/// What became of the evals.
#[derive(Default)]
struct Report {
    /// By tier: passed, [`WRONG_BY_DESIGN`], refused, wrong.
    counts: BTreeMap<String, [usize; 4]>,
    refused: BTreeMap<(String, String), Vec<String>>,
    wrong: Vec<String>,
}

impl Report {
    fn add(&mut self, tier: &str, file: &str, eval: &Eval, verdict: Verdict) {
        let place = format!("{file}:{}: {}", eval.line, eval.expr);
        let listed = |list: &[(&str, usize)]| list.contains(&(file, eval.line));
        let column = match verdict {
            Verdict::Passed if listed(&WRONG_BY_DESIGN) || listed(&FEWER_DIGITS) => {
                panic!("{place}: passes and can be taken off its list")
            }
            Verdict::Passed => 0,
            Verdict::Near(_) if listed(&FEWER_DIGITS) => 0,
            Verdict::Wrong(_) if listed(&WRONG_BY_DESIGN) => 1,
            Verdict::Refused(reason) => {
                self.refused.entry((tier.to_owned(), reason)).or_default().push(place);
                2
            }
            Verdict::Near(what) | Verdict::Wrong(what) => {
                self.wrong.push(format!("{tier} {place}\n      {what}"));
                3
            }
        };
        self.counts.entry(tier.to_owned()).or_default()[column] += 1;
    }

    /// With names removed at once, what passes is the same but for [`NAMES_DROPPED_LATE`].
    fn at_once(&mut self, tier: &str, file: &str, eval: &Eval, verdict: Verdict) {
        let place = format!("{file}:{}: {}", eval.line, eval.expr);
        let needs_late = NAMES_DROPPED_LATE.contains(&(file, eval.line));
        match verdict {
            Verdict::Passed => assert!(!needs_late, "{place}: passes and can be taken off its list"),
            Verdict::Wrong(what) if !needs_late && !WRONG_BY_DESIGN.contains(&(file, eval.line)) => {
                self.wrong.push(format!("{tier} {place}, names removed at once\n      {what}"));
            }
            _ => {}
        }
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

/// Hands out each eval of a script with a way to run it over what is loaded at its place.
fn run_script(text: &str, mut each: impl FnMut(&Eval, &dyn Fn(bool) -> Verdict)) {
    let mut loaded: Vec<(Labels, Vec<Sample>)> = Vec::new();
    let mut spacing = 60_000;
    for command in script::read(text) {
        match command {
            Command::Clear => loaded.clear(),
            Command::Load { step, series } => {
                spacing = step;
                loaded.extend(series);
            }
            Command::Eval(eval) => each(&eval, &|late| verdict(&eval, &loaded, spacing, late)),
        }
    }
}

fn verdict(eval: &Eval, loaded: &Loaded, spacing: Millis, late: bool) -> Verdict {
    let outcomes = [1, 3].map(|shards| evaluate(eval, loaded, spacing, shards, late));
    if fingerprint(&outcomes[0]) != fingerprint(&outcomes[1]) {
        return Verdict::Wrong(format!("1 shard and 3 shards differ: {outcomes:?}"));
    }
    let [outcome, _] = outcomes;
    let failure = match &outcome {
        Err(reason) => Some(reason),
        Ok(values) => values.iter().find_map(|v| v.as_ref().err()),
    };
    match (&eval.expected, &outcome, failure) {
        (Expected::Failure, _, Some(_)) => Verdict::Passed,
        (Expected::Failure, ..) => Verdict::Wrong(format!("must fail; got {outcome:?}")),
        (_, Err(reason), _) => Verdict::Refused(reason.clone()),
        (_, _, Some(reason)) => Verdict::Wrong(format!("failed: {reason}")),
        (Expected::Other, ..) => Verdict::Wrong(format!("must be a native histogram; got {outcome:?}")),
        (Expected::Scalar(expected), Ok(values), _) if matches!(values[..], [Ok(QueryValue::Scalar(_))]) => {
            compare(&[(Labels::default(), vec![Some(*expected)])], values)
        }
        (Expected::Scalar(_), ..) => Verdict::Wrong(format!("must be a scalar; got {outcome:?}")),
        (Expected::Text(text), Ok(values), _) if values[..] == [Ok(QueryValue::Text(text.clone()))] => Verdict::Passed,
        (Expected::Text(_), ..) => Verdict::Wrong(format!("must be a string; got {outcome:?}")),
        (Expected::Matrix(expected), Ok(values), _) => match &values[..] {
            [Ok(QueryValue::Matrix(got))] if expected == got => Verdict::Passed,
            _ => Verdict::Wrong(format!("expected {expected:?}, got {values:?}")),
        },
        (Expected::Series(expected), Ok(values), _) if eval.ordered && order(expected) != order_of(values) => {
            Verdict::Wrong(format!("in another order: {values:?}"))
        }
        (Expected::Series(expected), Ok(values), _) => compare(expected, values),
    }
}

fn order(series: &[Series]) -> Vec<&Labels> {
    series.iter().map(|(labels, _)| labels).collect()
}

fn order_of(values: &Values) -> Vec<&Labels> {
    match &values[..] {
        [Ok(QueryValue::Vector(elements))] => elements.iter().map(|(labels, _)| labels).collect(),
        _ => vec![],
    }
}

fn compare(expected: &[Series], values: &Values) -> Verdict {
    let mut wanted: BTreeMap<Labels, Vec<Option<f64>>> = expected.iter().cloned().collect();
    wanted.retain(|_, row| row.iter().any(Option::is_some));
    wanted.values_mut().for_each(|row| row.resize(values.len(), None));
    let got = by_series(values);
    let pairs = wanted.values().flatten().zip(got.values().flatten());
    let worst = match wanted.keys().eq(got.keys()) {
        true => pairs.map(|(a, b)| difference(*a, *b)).fold(0.0, f64::max),
        false => f64::INFINITY,
    };
    let what = format!("expected {wanted:?}\n      got      {got:?}");
    match worst {
        _ if worst <= PRECISION => Verdict::Passed,
        _ if worst <= OWN_PRECISION => Verdict::Near(what),
        _ => Verdict::Wrong(what),
    }
}

/// Relative difference; infinite where one is missing, NaN or infinite and the other is not.
fn difference(a: Option<f64>, b: Option<f64>) -> f64 {
    match (a, b) {
        (None, None) => 0.0,
        (Some(a), Some(b)) if a == b || (a.is_nan() && b.is_nan()) => 0.0,
        (Some(a), Some(b)) if a.is_finite() && b.is_finite() => (a - b).abs() / a.abs().max(b.abs()),
        _ => f64::INFINITY,
    }
}

/// Values of each series at all instants; a scalar counts as a series without labels.
fn by_series(values: &Values) -> BTreeMap<Labels, Vec<Option<f64>>> {
    let mut series: BTreeMap<Labels, Vec<Option<f64>>> = BTreeMap::new();
    for (at, value) in values.iter().enumerate() {
        let elements = match value {
            Ok(value) => value.clone().into_elements(),
            Err(_) => vec![],
        };
        for (labels, v) in elements {
            series.entry(labels).or_insert_with(|| vec![None; values.len()])[at] = Some(v);
        }
    }
    series
}

/// Evaluates through an engine; Err if the expression is refused before, or is worth something else as a rule.
fn evaluate(eval: &Eval, loaded: &Loaded, spacing: Millis, shards: usize, late: bool) -> Result<Values, String> {
    let expr = parse(&eval.expr).map_err(|e| e.message)?;
    let (first, last) = (eval.instants[0], eval.instants[eval.instants.len() - 1]);
    let span = Span { first, last };
    // The stream begins early enough for the first step of every subquery.
    let reach = reach(&expr, Some(span)).map_err(|e| e.to_string())?;
    let start = first.min(0).min(first - reach.back) - 1;

    let options =
        EngineOptions { shards, collect_results: true, delayed_name_removal: late, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    let interval = interval_for(&eval.instants, spacing, last - start);
    let query = QuerySpec { expr: eval.expr.clone(), query_offset: reach.ahead, span: Some(span) };
    // `@` means something else to a rule, and a rule's value is no string and no range.
    let can_be_rule = !eval.expr.contains('@') && matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar);
    let rules = if can_be_rule { one_rule(&eval.expr, interval, reach.ahead, loaded) } else { RuleSet::default() };
    let taken = engine.load_with_queries(&rules, &[query], &Profiles::default(), &mut Output::default());
    taken.map_err(|e| e[0].message.clone())?;
    engine.advance(start, &Inline, &mut Output::default());
    let mut batch = BatchBuilder::new(&Limits::default());
    for (labels, samples) in loaded {
        batch.series(labels.as_ref());
        samples.iter().for_each(|s| batch.sample(s.t, s.v));
    }
    engine.ingest(&batch.finish());
    let mut out = Output::default();
    let mut ask = |t: &Millis| {
        engine.advance(t + reach.ahead, &Inline, &mut out);
        engine.query(0, &Inline).map(|value| value.expect("a watermark")).map_err(|e| e.to_string())
    };
    let values: Values = eval.instants.iter().map(&mut ask).collect();
    let mut at: HashMap<Millis, _> = out.results.into_iter().map(|r| (r.t, r.value)).collect();
    for (t, value) in eval.instants.iter().zip(&values).filter(|_| can_be_rule) {
        let ruled =
            at.remove(t).expect("a tick at every instant").map_err(|e| e.to_string()).map(|value| match value {
                RuleValue::Scalar(v) => QueryValue::Scalar(v),
                RuleValue::Vector(elements) => QueryValue::Vector(elements),
            });
        let [ruled, asked] = [ruled, value.clone()].map(|value| {
            let elements = value.map(|value| BTreeMap::from_iter(value.into_elements()));
            fingerprint(&Ok(vec![elements.map(|e| QueryValue::Vector(e.into_iter().collect()))]))
        });
        assert_eq!(ruled, asked, "{}: {}: at {t} as a rule and as a query", eval.line, eval.expr);
    }
    Ok(values)
}

/// An interval whose multiples hit all instants: that of the samples where it does and gives no great number of ticks.
fn interval_for(instants: &[Millis], spacing: Millis, span: Millis) -> Millis {
    let common = instants.iter().fold(0, |a, &b| gcd(a, b));
    let fine = gcd(common, spacing);
    match common {
        _ if span / fine <= 500 => fine,
        0 => 60_000,
        _ => common,
    }
}

fn gcd(a: Millis, b: Millis) -> Millis {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A rule whose recorded series bear none of the labels loaded: no selector of a script must see them.
fn one_rule(expr: &str, interval: Millis, query_offset: Millis, loaded: &Loaded) -> RuleSet {
    let names: BTreeSet<&str> = loaded.iter().flat_map(|(labels, _)| labels.as_ref().iter().map(|(n, _)| n)).collect();
    let rule = Rule {
        name: "recorded:by:the:test".into(),
        expr: expr.into(),
        labels: names.into_iter().filter(|n| *n != METRIC_NAME).map(|n| (n.to_owned(), String::new())).collect(),
        kind: RuleKind::Record,
        position: Position { line: 1, column: 1 },
    };
    let (file, name) = ("script".into(), "g".into());
    let group = RuleGroup {
        file,
        name,
        interval: Some(interval),
        query_offset: Some(query_offset),
        limit: 0,
        rules: vec![rule],
    };
    RuleSet { groups: vec![Arc::new(group)] }
}

/// A result to the bit.
fn fingerprint(outcome: &Result<Values, String>) -> String {
    let mut text = String::new();
    for value in outcome.as_ref().map_or(&[][..], Vec::as_slice) {
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
