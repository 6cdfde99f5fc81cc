//! One `eval` through an engine of its own.

use super::ScriptOptions;
use super::loaded::Loaded;
use crate::backtest::virtual_time::VirtualTime;
use crate::base::Millis;
use crate::engine::{Engine, EngineOptions, EvalError, Inline, Output, Profiles, RuleValue};
use crate::promql::{FaultKind, LeafSource, Op, Order, Plan, PlanOptions, Planner, RangeFn, Schedule, parse};
use crate::rules::RuleSet;
use crate::rules::promql_script::Eval;

/// Most evaluations on the way to the instants asked for. They make the expression's windows go forward as a rule's do,
/// rather than be filled once.
const MAX_STEPS_ON_THE_WAY: Millis = 500;

/// Step of subqueries that give none, as in Prometheus' runner.
const DEFAULT_STEP: Millis = 60_000;

/// What an expression gave.
pub(super) struct Evaluated {
    /// At each of its instants.
    pub(super) values: Vec<Result<RuleValue, EvalError>>,
    /// The order in which its elements are shown, if it has one.
    pub(super) order: Option<Order>,
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

/// Evaluates an expression over what is loaded.
pub(super) fn evaluate(eval: &Eval, loaded: &Loaded, options: &ScriptOptions) -> Result<Evaluated, Unable> {
    let expr = parse(&eval.expr).map_err(|error| match error.kind {
        FaultKind::Mistake => Unable::Invalid(error.message),
        FaultKind::Refusal => Unable::Refused(error.message),
        FaultKind::Late => Unable::Early(error.message),
    })?;
    let engine_options =
        EngineOptions { shards: options.shards, evaluation_interval: DEFAULT_STEP, ..EngineOptions::default() };
    let mut plan = Plan::default();
    let plan_options = PlanOptions { lookback: engine_options.lookback, default_step: DEFAULT_STEP };
    let schedule = Schedule { interval: DEFAULT_STEP, query_offset: 0 };
    let root = Planner::new(&mut plan, plan_options, schedule)
        .add(&expr)
        .map_err(|error| Unable::Refused(error.to_string()))?;
    refuse(eval, &plan, loaded).map_err(Unable::Refused)?;

    let mut engine = Engine::new(engine_options);
    engine
        .load_with_queries(&RuleSet::default(), &[eval.expr.clone()], &Profiles::default(), &mut Output::default())
        .map_err(|faults| Unable::Invalid(faults.iter().map(|fault| fault.message.clone()).collect()))?;
    let is_scalar = plan.nodes[root].is_scalar;
    let mut time = VirtualTime::new(engine, eval.instants.start.min(0) - reach(&plan), loaded.tracks());
    let mut values = Vec::new();
    let mut before = on_the_way(eval.instants.start, loaded.spacing()).peekable();
    for t in eval.instants.iter() {
        while let Some(t) = before.next_if(|step| *step < t) {
            value(&mut time, t, is_scalar).ok();
        }
        values.push(value(&mut time, t, is_scalar));
    }
    if time.lost() > 0 {
        return Err(Unable::Invalid(format!("{} samples were lost: more series than limits.series", time.lost())));
    }
    Ok(Evaluated { values, order: Order::of(&expr) })
}

fn value(time: &mut VirtualTime, t: Millis, is_scalar: bool) -> Result<RuleValue, EvalError> {
    time.run_until(t, &mut Output::default());
    let elements = time.engine().query(0, &Inline)?;
    Ok(match is_scalar {
        true => RuleValue::Scalar(elements.first().map_or(f64::NAN, |element| element.1)),
        false => RuleValue::Vector(elements),
    })
}

/// What the engine would answer wrongly or not at all.
fn refuse(eval: &Eval, plan: &Plan, loaded: &Loaded) -> Result<(), String> {
    for leaf in &plan.leaves {
        let LeafSource::Selector(selector) = &leaf.source else { continue };
        if let Some(line) = loaded.histograms_of(selector) {
            return Err(format!("native histograms are not supported (loaded at line {line})"));
        }
        if let Some(line) = loaded.metadata_of(selector) {
            return Err(format!("the labels __type__ and __unit__ are not dropped with the name (loaded at line {line})"));
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

/// How long before an evaluation the first step of its subqueries lies.
fn reach(plan: &Plan) -> Millis {
    let fed = plan.leaves.iter().filter(|leaf| matches!(leaf.source, LeafSource::Feed(_)));
    fed.map(|leaf| leaf.range + leaf.offset).sum()
}

/// Instants before `start` at which the expression is evaluated as well: those of the samples.
fn on_the_way(start: Millis, spacing: Millis) -> impl Iterator<Item = Millis> {
    let first = (start / spacing - MAX_STEPS_ON_THE_WAY).max(0);
    (first..=start / spacing).map(move |i| i * spacing)
}
