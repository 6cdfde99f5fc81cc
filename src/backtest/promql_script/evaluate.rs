//! One `eval` through an engine of its own.

use super::ScriptOptions;
use super::loaded::Loaded;
use crate::backtest::virtual_time::VirtualTime;
use crate::base::Millis;
use crate::engine::{Engine, EngineOptions, EvalError, Inline, Output, Profiles, QuerySpec, QueryValue, Remarks};
use crate::promql::{
    Asked, FaultKind, LeafSource, Op, Order, Plan, PlanOptions, Planner, RangeFn, Schedule, Span, ineffective_sorts,
    parse, reach,
};
use crate::rules::RuleSet;
use crate::rules::promql_script::{Eval, Expectation};

/// Most evaluations on the way to the instants asked for. They make the expression's windows go forward as a rule's do,
/// rather than be filled once.
const MAX_STEPS_ON_THE_WAY: Millis = 500;

/// Step of subqueries that give none, as in Prometheus' runner.
const DEFAULT_STEP: Millis = 60_000;

/// The value of an expression at an instant, or why there is none.
pub(super) type Value = Result<QueryValue, EvalError>;

/// What an expression gave.
pub(super) struct Evaluated {
    /// At each of its instants.
    pub(super) values: Vec<Value>,
    /// What was remarked at any of them.
    pub(super) remarks: Remarks,
}

/// Why an expression was not evaluated.
pub(super) enum Unable {
    /// It needs what the engine does not have.
    Refused(String),
    /// It is wrong in a way that Prometheus finds when it evaluates.
    Early(String),
    /// It is wrong.
    Invalid(String),
}

/// Evaluates an expression over what is loaded, at each of its instants.
pub(super) fn evaluate(eval: &Eval, loaded: &Loaded, options: &ScriptOptions) -> Result<Evaluated, Unable> {
    let expr = parse(&eval.expr).map_err(|error| match error.kind {
        FaultKind::Mistake => Unable::Invalid(error.message),
        FaultKind::Refusal => Unable::Refused(error.message),
        FaultKind::Late => Unable::Early(error.message),
    })?;
    let span = Span { first: eval.instants.start, last: eval.instants.last() };
    let reach = reach(&expr, Some(span)).map_err(|error| Unable::Refused(error.to_string()))?;
    let engine_options = EngineOptions {
        shards: options.shards,
        evaluation_interval: DEFAULT_STEP,
        delayed_name_removal: options.delayed_name_removal,
        ..EngineOptions::default()
    };
    let mut plan = Plan::default();
    plan.drops_names_late = options.delayed_name_removal;
    let plan_options = PlanOptions { lookback: engine_options.lookback, default_step: DEFAULT_STEP };
    let schedule = Schedule { interval: DEFAULT_STEP, query_offset: reach.ahead };
    let asked = Planner::new(&mut plan, plan_options, schedule).over(span).query(&expr);
    let has_order = match asked.map_err(|error| Unable::Refused(error.to_string()))? {
        Asked::Value { order, .. } => order != Order::Labels,
        Asked::Samples(_) | Asked::Text(_) => false,
    };
    refuse(eval, &plan, loaded, has_order).map_err(Unable::Refused)?;

    let mut engine = Engine::new(engine_options);
    let query = QuerySpec { expr: eval.expr.clone(), query_offset: reach.ahead, span: Some(span) };
    engine
        .load_with_queries(&RuleSet::default(), &[query], &Profiles::default(), &mut Output::default())
        .map_err(|faults| Unable::Invalid(faults.iter().map(|fault| fault.message.clone()).collect()))?;
    // Early enough for the samples, and for the first step of every subquery.
    let start = span.first.min(0).min(span.first - reach.back);
    let mut time = VirtualTime::new(engine, start, loaded.tracks());
    let mut values = Vec::new();
    for t in on_the_way(span.first, loaded.spacing()) {
        // What comes of these shows in the values after them only.
        let _ = value(&mut time, t, reach.ahead);
    }
    let mut remarks = Remarks::default();
    for t in eval.instants.iter() {
        values.extend(value(&mut time, t, reach.ahead));
        remarks.merge(time.engine().query_remarks(0));
    }
    if span.first < span.last {
        let warnings = ineffective_sorts(&eval.expr, &expr);
        remarks.merge(Remarks { warnings, infos: vec![] });
    }
    if time.lost() > 0 {
        return Err(Unable::Invalid(format!("{} samples were lost: more series than limits.series", time.lost())));
    }
    Ok(Evaluated { values, remarks })
}

/// The expression's value at an instant, for which `ahead` more of the samples are needed.
fn value(time: &mut VirtualTime, t: Millis, ahead: Millis) -> Option<Value> {
    time.run_until(t + ahead, &mut Output::default());
    time.engine().query(0, &Inline).transpose()
}

/// What the engine would answer wrongly or not at all.
fn refuse(eval: &Eval, plan: &Plan, loaded: &Loaded, has_order: bool) -> Result<(), String> {
    if !has_order && eval.expectations.iter().any(|e| matches!(e, Expectation::Ordered)) {
        return Err("only sort, sort_desc, topk and bottomk give an order".to_owned());
    }
    for leaf in &plan.leaves {
        let LeafSource::Selector(selector) = &leaf.source else { continue };
        if let Some(line) = loaded.histograms_of(selector) {
            return Err(format!("native histograms are not supported (loaded at line {line})"));
        }
        if let Some(line) = loaded.metadata_of(selector) {
            return Err(format!(
                "the labels __type__ and __unit__ are not dropped with the name (loaded at line {line})"
            ));
        }
    }
    if let Some(series) = eval.expected_series().iter().find(|series| series.values.is_none()) {
        return Err(format!("native histograms are not supported (expected at line {})", series.line));
    }
    for node in &plan.nodes {
        match &node.op {
            Op::Range { leaf, func: RangeFn::Rate | RangeFn::Increase | RangeFn::Irate | RangeFn::Resets, .. } => {
                if let LeafSource::Selector(selector) = &plan.leaves[*leaf].source
                    && let Some(line) = loaded.start_times_of(selector)
                {
                    return Err(format!("start timestamps are not supported (loaded at line {line})"));
                }
            }
            Op::Model { .. } => {
                return Err("predictive functions learn from tick to tick: test them with `forewarn test rules`".into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Instants before `start` at which the expression is evaluated as well: those of the samples.
fn on_the_way(start: Millis, spacing: Millis) -> impl Iterator<Item = Millis> {
    let until = (start - 1).div_euclid(spacing);
    ((until - MAX_STEPS_ON_THE_WAY).max(0)..=until).map(move |i| i * spacing)
}
