//! The evaluations of a script as rules: whatever can be one has, at its tick, the value of the query.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use forewarn::backtest::{EvalReport, ScriptOptions};
use forewarn::base::{BatchBuilder, Labels, Limits, METRIC_NAME, Millis};
use forewarn::engine::{Engine, EngineOptions, EvalError, Inline, Output, Profiles, QueryValue, RuleValue};
use forewarn::promql::{parse, reach};
use forewarn::rules::promql_script::{Command, Eval, Load, Points, Script};
use forewarn::rules::{Position, Rule, RuleGroup, RuleKind, RuleSet};
use promql_parser::parser::value::ValueType;

/// Most ticks of a group whose interval is that of the samples.
const MOST_TICKS: Millis = 500;

/// Elements to the bit.
type Value = Result<BTreeMap<Labels, u64>, String>;

/// Evaluates what a script evaluates once more as a rule, and holds it to the values that it had. Gives how many there were.
pub fn same_as_rules(name: &str, script: &Script, reports: &[EvalReport], options: &ScriptOptions) -> usize {
    let (mut loads, mut reports, mut compared) = (Vec::new(), reports.iter(), 0);
    for command in &script.commands {
        match command {
            Command::Clear => loads.clear(),
            Command::Load(load) => loads.push(load),
            Command::Eval(eval) => {
                let report = reports.next().unwrap();
                if report.values.is_empty() || !can_be_rule(eval) {
                    continue;
                }
                let ruled = ruled(eval, &loads, options);
                for (t, value) in eval.instants.iter().zip(&report.values) {
                    let asked = value.clone().map(QueryValue::into_elements);
                    assert_eq!(ruled[&t], bits(asked), "{name}:{}: {} as a rule at {t}", eval.line, eval.expr);
                }
                compared += 1;
            }
        }
    }
    compared
}

/// `@` means something else to a rule, whose value is no string and no range.
fn can_be_rule(eval: &Eval) -> bool {
    let kind = parse(&eval.expr).map(|expr| expr.value_type());
    !eval.expr.contains('@') && matches!(kind, Ok(ValueType::Vector | ValueType::Scalar))
}

/// The values of a rule at its ticks. It records series that bear none of the labels loaded: no selector must see them.
fn ruled(eval: &Eval, loads: &[&Load], options: &ScriptOptions) -> HashMap<Millis, Value> {
    let reach = reach(&parse(&eval.expr).unwrap(), None).unwrap();
    let (first, last) = (eval.instants.start, eval.instants.last());
    let start = first.min(0).min(first - reach.back) - 1;
    let loaded = || loads.iter().flat_map(|load| load.series.iter().map(move |series| (load.step, series)));
    let names: BTreeSet<&str> =
        loaded().flat_map(|(_, series)| series.labels.as_ref().iter().map(|(n, _)| n)).collect();
    let rule = Rule {
        name: "recorded:by:the:test".into(),
        expr: eval.expr.clone(),
        labels: names.into_iter().filter(|n| *n != METRIC_NAME).map(|n| (n.to_owned(), String::new())).collect(),
        kind: RuleKind::Record,
        position: Position { line: 1, column: 1 },
    };
    let group = RuleGroup {
        file: "script".into(),
        name: "g".into(),
        interval: Some(interval(eval, loads, reach.ahead, last - start)),
        query_offset: Some(reach.ahead),
        limit: 0,
        rules: vec![rule],
    };
    let mut engine = Engine::new(EngineOptions {
        shards: options.shards,
        delayed_name_removal: options.delayed_name_removal,
        evaluation_interval: 60_000,
        collect_results: true,
        ..EngineOptions::default()
    });
    let mut out = Output::default();
    engine.load(&RuleSet { groups: vec![Arc::new(group)] }, &Profiles::default(), &mut out).unwrap();
    engine.advance(start, &Inline, &mut out);
    let mut batch = BatchBuilder::new(&Limits::default());
    for (step, series) in loaded() {
        let Points::Numbers(notation) = &series.points else { continue };
        batch.series(series.labels.as_ref());
        for (i, v) in (0..).zip(notation.iter()) {
            v.into_iter().for_each(|v| batch.sample(step * i, v));
        }
    }
    engine.ingest(&batch.finish());
    engine.advance(last + reach.ahead, &Inline, &mut out);
    let value = |value: Result<RuleValue, EvalError>| {
        bits(value.map(|value| match value {
            RuleValue::Scalar(v) => vec![(Labels::default(), v)],
            RuleValue::Vector(elements) => elements,
        }))
    };
    out.results.into_iter().map(|r| (r.t, value(r.value))).collect()
}

fn bits(elements: Result<Vec<(Labels, f64)>, EvalError>) -> Value {
    elements.map(|e| e.into_iter().map(|(l, v)| (l, v.to_bits())).collect()).map_err(|e| e.to_string())
}

/// An interval at whose multiples all instants are due: that of the samples where it can be, and gives no great number of
/// ticks.
fn interval(eval: &Eval, loads: &[&Load], ahead: Millis, span: Millis) -> Millis {
    let common = eval.instants.iter().fold(0, |a, t| gcd(a, t + ahead));
    let fine = gcd(common, loads.last().map_or(60_000, |load| load.step));
    match common {
        _ if span / fine <= MOST_TICKS => fine,
        0 => 60_000,
        _ => common,
    }
}

fn gcd(a: Millis, b: Millis) -> Millis {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}
