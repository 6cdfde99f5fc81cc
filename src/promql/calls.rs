//! Functions by name: which operation each is, and which arguments it takes.

use promql_parser::label::MatchOp;
use promql_parser::parser::Expr;

use super::calendar::CalendarFn;
use super::leaf::LeafKind;
use super::math::MathFn;
use super::plan::{ModelKind, NodeId, Op, RangeFn};
use super::planner::{PlanError, Planner, fail};
use super::regex::anchored;

/// The profile used where a predictive function names none.
pub const DEFAULT_PROFILE: &str = "default";

type Args = [Box<Expr>];
type Planned = Result<NodeId, PlanError>;

/// Plans a call.
pub(super) fn plan(planner: &mut Planner<'_>, name: &str, args: &Args) -> Planned {
    if let Some(f) = MathFn::named(name) {
        let arg = planner.expr(arg(args, 0)?)?;
        return Ok(planner.node(Op::Math(f, arg)));
    }
    if let Some(f) = CalendarFn::named(name) {
        let arg = args.first().map(|a| planner.expr(a)).transpose()?;
        return Ok(planner.node(Op::Calendar(f, arg)));
    }
    if let Some((func, kind, range_at)) = range_function(name) {
        return range(planner, func, kind, range_at, args);
    }
    match name {
        "time" => Ok(planner.node(Op::Time)),
        "pi" => Ok(planner.node(Op::Number(std::f64::consts::PI))),
        "scalar" => unary(planner, args, Op::Scalar),
        "vector" => unary(planner, args, Op::Vector),
        "sort" | "sort_desc" => planner.expr(arg(args, 0)?),
        "timestamp" => timestamp(planner, args),
        "absent" => {
            let vector = planner.expr(arg(args, 0)?)?;
            Ok(planner.node(Op::Absent(equalities(arg(args, 0)?), vector)))
        }
        "absent_over_time" => {
            let leaf = planner.range(arg(args, 0)?, LeafKind::Counter)?;
            // With their names: two series that differ in nothing else are no clash here.
            let vector = planner.node(Op::Range { leaf, func: RangeFn::Last, param: None });
            Ok(planner.node(Op::Absent(equalities(arg(args, 0)?), vector)))
        }
        "clamp" | "clamp_min" | "clamp_max" => clamp(planner, name, args),
        "round" => {
            let vector = planner.expr(arg(args, 0)?)?;
            let to = args.get(1).map(|a| planner.expr(a)).transpose()?;
            Ok(planner.node(Op::Round(vector, to)))
        }
        "histogram_quantile" => {
            let (phi, buckets) = (planner.expr(arg(args, 0)?)?, planner.expr(arg(args, 1)?)?);
            Ok(planner.node(Op::HistogramQuantile(phi, buckets)))
        }
        "histogram_fraction" => {
            let (lower, upper) = (planner.expr(arg(args, 0)?)?, planner.expr(arg(args, 1)?)?);
            let buckets = planner.expr(arg(args, 2)?)?;
            Ok(planner.node(Op::HistogramFraction(lower, upper, buckets)))
        }
        "label_replace" => label_replace(planner, args),
        "label_join" => label_join(planner, args),
        "predict_anomaly" => {
            let model = model(planner, arg(args, 0)?, optional(args, 1), ModelKind::Detector)?;
            Ok(planner.node(Op::Score(model)))
        }
        "changed_at" => {
            let model = model(planner, arg(args, 0)?, optional(args, 1), ModelKind::ChangeDetector)?;
            Ok(planner.node(Op::ChangedAt(model)))
        }
        "predict_seasonal" => {
            let model = model(planner, arg(args, 0)?, optional(args, 2), ModelKind::Forecaster)?;
            let (phi, ahead) = (planner.node(Op::Number(0.5)), planner.expr(arg(args, 1)?)?);
            Ok(planner.node(Op::ForecastQuantile(model, phi, ahead)))
        }
        "predict_quantile" => {
            let model = model(planner, arg(args, 1)?, optional(args, 3), ModelKind::Forecaster)?;
            let (phi, ahead) = (planner.expr(arg(args, 0)?)?, planner.expr(arg(args, 2)?)?);
            Ok(planner.node(Op::ForecastQuantile(model, phi, ahead)))
        }
        "time_until" => {
            let model = model(planner, arg(args, 0)?, optional(args, 3), ModelKind::Forecaster)?;
            let threshold = planner.expr(arg(args, 1)?)?;
            let phi = match args.get(2) {
                Some(phi) => planner.expr(phi)?,
                None => planner.node(Op::Number(0.5)),
            };
            Ok(planner.node(Op::TimeUntil(model, threshold, phi)))
        }
        "outlier_score" => {
            let mut apart = (1..args.len()).map(|i| text(args, i)).collect::<Result<Vec<_>, _>>()?;
            apart.sort();
            apart.dedup();
            let arg = planner.expr(arg(args, 0)?)?;
            Ok(planner.node(Op::OutlierScore { arg, apart }))
        }
        _ => fail(format!("function {name}() is not supported")),
    }
}

/// Functions of a range: what they keep, and which argument is the range.
fn range_function(name: &str) -> Option<(RangeFn, LeafKind, usize)> {
    Some(match name {
        "rate" => (RangeFn::Rate, LeafKind::Counter, 0),
        "increase" => (RangeFn::Increase, LeafKind::Counter, 0),
        "delta" => (RangeFn::Delta, LeafKind::Counter, 0),
        "changes" => (RangeFn::Changes, LeafKind::Counter, 0),
        "resets" => (RangeFn::Resets, LeafKind::Counter, 0),
        "count_over_time" => (RangeFn::Count, LeafKind::Counter, 0),
        "first_over_time" => (RangeFn::First, LeafKind::Counter, 0),
        "last_over_time" => (RangeFn::Last, LeafKind::Counter, 0),
        "ts_of_first_over_time" => (RangeFn::FirstTime, LeafKind::Counter, 0),
        "ts_of_last_over_time" => (RangeFn::LastTime, LeafKind::Counter, 0),
        "present_over_time" => (RangeFn::Present, LeafKind::Counter, 0),
        "irate" => (RangeFn::Irate, LeafKind::Recent, 0),
        "idelta" => (RangeFn::Idelta, LeafKind::Recent, 0),
        "deriv" => (RangeFn::Deriv, LeafKind::Regression, 0),
        "predict_linear" => (RangeFn::PredictLinear, LeafKind::Regression, 0),
        "avg_over_time" => (RangeFn::Avg, LeafKind::Sum, 0),
        "sum_over_time" => (RangeFn::Sum, LeafKind::Sum, 0),
        "min_over_time" => (RangeFn::Min, LeafKind::Min, 0),
        "max_over_time" => (RangeFn::Max, LeafKind::Max, 0),
        "stddev_over_time" => (RangeFn::Stddev, LeafKind::Spread, 0),
        "stdvar_over_time" => (RangeFn::Stdvar, LeafKind::Spread, 0),
        "mad_over_time" => (RangeFn::Mad, LeafKind::Samples, 0),
        "ts_of_max_over_time" => (RangeFn::MaxTime, LeafKind::Samples, 0),
        "ts_of_min_over_time" => (RangeFn::MinTime, LeafKind::Samples, 0),
        "quantile_over_time" => (RangeFn::Quantile, LeafKind::Samples, 1),
        _ => return None,
    })
}

fn range(planner: &mut Planner<'_>, func: RangeFn, kind: LeafKind, range_at: usize, args: &Args) -> Planned {
    let param = match func {
        RangeFn::PredictLinear => Some(planner.expr(arg(args, 1)?)?),
        RangeFn::Quantile => Some(planner.expr(arg(args, 0)?)?),
        _ => None,
    };
    let leaf = planner.range(arg(args, range_at)?, kind)?;
    Ok(planner.node(Op::Range { leaf, func, param }))
}

fn unary(planner: &mut Planner<'_>, args: &Args, op: impl FnOnce(NodeId) -> Op) -> Planned {
    let arg = planner.expr(arg(args, 0)?)?;
    Ok(planner.node(op(arg)))
}

fn timestamp(planner: &mut Planner<'_>, args: &Args) -> Planned {
    match unwrapped(arg(args, 0)?) {
        Expr::VectorSelector(selector) => {
            let leaf = planner.instant(selector)?;
            Ok(planner.node(Op::InstantTime(leaf)))
        }
        _ => unary(planner, args, Op::EvaluationTime),
    }
}

fn clamp(planner: &mut Planner<'_>, name: &str, args: &Args) -> Planned {
    let vector = planner.expr(arg(args, 0)?)?;
    let first = planner.expr(arg(args, 1)?)?;
    Ok(match name {
        "clamp_min" => planner.node(Op::Clamp(vector, Some(first), None)),
        "clamp_max" => planner.node(Op::Clamp(vector, None, Some(first))),
        _ => {
            let high = planner.expr(arg(args, 2)?)?;
            planner.node(Op::Clamp(vector, Some(first), Some(high)))
        }
    })
}

fn label_replace(planner: &mut Planner<'_>, args: &Args) -> Planned {
    let pattern = text(args, 4)?;
    let regex = anchored(&pattern)
        .map_err(|e| PlanError(format!("label_replace: the regular expression {pattern:?} does not compile: {e}")))?;
    let (dst, replacement, src) = (text(args, 1)?, text(args, 2)?, text(args, 3)?);
    let arg = planner.expr(arg(args, 0)?)?;
    Ok(planner.node(Op::LabelReplace { arg, dst, replacement, src, regex }))
}

fn label_join(planner: &mut Planner<'_>, args: &Args) -> Planned {
    let (dst, separator) = (text(args, 1)?, text(args, 2)?);
    let src = (3..args.len()).map(|i| text(args, i)).collect::<Result<_, _>>()?;
    let arg = planner.expr(arg(args, 0)?)?;
    Ok(planner.node(Op::LabelJoin { arg, dst, separator, src }))
}

fn model(planner: &mut Planner<'_>, vector: &Expr, profile: Option<&Expr>, kind: ModelKind) -> Planned {
    let profile = match profile.map(unwrapped) {
        None => DEFAULT_PROFILE.to_owned(),
        Some(Expr::StringLiteral(s)) => s.val.clone(),
        Some(_) => return fail("the profile must be given as a string, like \"default\""),
    };
    let arg = planner.expr(vector)?;
    let schedule = planner.schedule;
    Ok(planner.node(Op::Model { arg, kind, profile, schedule }))
}

/// Labels that `absent` can tell: those given by one equality matcher and no other.
fn equalities(expr: &Expr) -> Vec<(String, String)> {
    let selector = match unwrapped(expr) {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(matrix) => &matrix.vs,
        _ => return vec![],
    };
    let matchers = &selector.matchers.matchers;
    matchers
        .iter()
        .filter(|m| m.op == MatchOp::Equal && m.name != crate::base::METRIC_NAME)
        .filter(|m| matchers.iter().filter(|other| other.name == m.name).count() == 1)
        .map(|m| (m.name.clone(), m.value.clone()))
        .collect()
}

fn arg(args: &Args, i: usize) -> Result<&Expr, PlanError> {
    args.get(i).map(|a| &**a).ok_or_else(|| PlanError(format!("argument {} is missing", i + 1)))
}

fn optional(args: &Args, i: usize) -> Option<&Expr> {
    args.get(i).map(|a| &**a)
}

fn text(args: &Args, i: usize) -> Result<String, PlanError> {
    match unwrapped(arg(args, i)?) {
        Expr::StringLiteral(s) => Ok(s.val.clone()),
        _ => fail(format!("argument {} must be a string", i + 1)),
    }
}

/// An expression without the parentheses around it.
pub(super) fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(inner) => unwrapped(&inner.expr),
        other => other,
    }
}
