//! Where the nodes that may remark something stand in the text of an expression: the parser's tree has no places, so calls
//! are counted in the tree and in the tokens alike.

use promql_parser::parser::Expr;

use super::annotation::Annotation;
use super::lexer::{Token, tokens};
use super::plan::{AggregateOp, NodeId, Op, Plan, RangeFn};
use super::syntax::{Part, PartKind, recognise};

/// A node, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The node.
    pub node: NodeId,
    place: Place,
}

/// Where a call stands: line and column, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    call: (usize, usize),
    arguments: Vec<(usize, usize)>,
}

impl Site {
    /// A remark of this node with its place, as Prometheus shows it.
    #[must_use]
    pub fn shown(&self, annotation: &Annotation) -> String {
        self.place.shown(annotation)
    }
}

impl Place {
    fn shown(&self, annotation: &Annotation) -> String {
        let argument = annotation.argument(self.arguments.len()).and_then(|at| self.arguments.get(at));
        let (line, column) = argument.unwrap_or(&self.call);
        format!("{annotation} ({line}:{column})")
    }
}

/// The nodes of an expression just planned that may remark something. `plan` forgets what it knows of the expression's parts.
pub fn sites(text: &str, expr: &Expr, plan: &mut Plan) -> Vec<Site> {
    let planned = std::mem::take(&mut plan.planned);
    let remarking: Vec<_> = planned.into_iter().filter(|(_, node)| may_remark(&plan.nodes[*node].op)).collect();
    if remarking.is_empty() {
        return vec![];
    }
    let places = places(text, expr);
    let found = remarking.into_iter().filter_map(|(part, node)| {
        let (_, place) = places.iter().find(|(known, _)| address(known) == part)?;
        Some(Site { node, place: place.clone() })
    });
    found.collect()
}

/// Remarks on calls of `sort` and `sort_desc`, for an expression that is evaluated over a range.
#[must_use]
pub fn ineffective_sorts(text: &str, expr: &Expr) -> Vec<String> {
    let sorts = places(text, expr).into_iter().filter(|(part, _)| match part {
        Expr::Call(call) => matches!(call.func.name, "sort" | "sort_desc"),
        _ => false,
    });
    sorts.map(|(_, place)| place.shown(&Annotation::IneffectiveSort)).collect()
}

/// What a part of a tree is known by while the tree is there.
pub(super) fn address(expr: &Expr) -> usize {
    match expr {
        Expr::Call(call) => std::ptr::from_ref(call).addr(),
        Expr::Aggregate(aggregate) => std::ptr::from_ref(aggregate).addr(),
        other => std::ptr::from_ref(other).addr(),
    }
}

fn may_remark(op: &Op) -> bool {
    match op {
        Op::HistogramQuantile(..) | Op::HistogramFraction(..) => true,
        Op::Aggregate { op, .. } => *op == AggregateOp::Quantile,
        Op::Range { func, .. } => matches!(func, RangeFn::Quantile | RangeFn::Rate | RangeFn::Increase),
        _ => false,
    }
}

/// All calls and aggregations with their places.
fn places<'e>(text: &str, expr: &'e Expr) -> Vec<(&'e Expr, Place)> {
    let Ok(tokens) = tokens(text) else { return vec![] };
    let Ok(parts) = recognise(text, &tokens) else { return vec![] };
    let (mut calls, mut aggregations) = (Vec::new(), Vec::new());
    in_order_of_text(expr, &mut |part| match part {
        Expr::Call(_) => calls.push(part),
        Expr::Aggregate(_) => aggregations.push(part),
        _ => {}
    });
    let written = |wanted: fn(&PartKind) -> bool| {
        let mut found: Vec<&Part> = parts.iter().filter(|part| wanted(&part.kind)).collect();
        found.sort_by_key(|part| part.tokens.start);
        found
    };
    let calls = calls.into_iter().zip(written(|kind| matches!(kind, PartKind::Call(_))));
    let aggregations = aggregations.into_iter().zip(written(|kind| *kind == PartKind::Aggregation));
    calls.chain(aggregations).map(|(expr, part)| (expr, place(text, &tokens, part))).collect()
}

fn place(text: &str, tokens: &[Token], part: &Part) -> Place {
    let position = |token: usize| {
        let before = &text[..tokens[token].span.start];
        let line = before.matches('\n').count() + 1;
        (line, before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1)
    };
    Place {
        call: position(part.tokens.start),
        arguments: part.args.iter().map(|tokens| position(tokens.start)).collect(),
    }
}

/// Visits a tree's parts in the order in which they begin in the text.
fn in_order_of_text<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    visit(expr);
    match expr {
        Expr::Aggregate(e) => {
            if let Some(param) = &e.param {
                in_order_of_text(param, visit);
            }
            in_order_of_text(&e.expr, visit);
        }
        Expr::Unary(e) => in_order_of_text(&e.expr, visit),
        Expr::Binary(e) => {
            in_order_of_text(&e.lhs, visit);
            in_order_of_text(&e.rhs, visit);
        }
        Expr::Paren(e) => in_order_of_text(&e.expr, visit),
        Expr::Subquery(e) => in_order_of_text(&e.expr, visit),
        Expr::Call(e) => e.args.args.iter().for_each(|arg| in_order_of_text(arg, visit)),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{PlanOptions, Planner, Schedule, parse};

    #[test]
    fn remarks_stand_where_their_cause_does() {
        let text =
            "sum(histogram_quantile(2, x)) +\n  quantile by (a) (3, rate(y[5m])) > max_over_time(rate(z[1m])[5m:1m])";
        let expr = parse(text).unwrap();
        let mut plan = Plan::default();
        let options = PlanOptions { lookback: 300_000, default_step: 60_000 };
        Planner::new(&mut plan, options, Schedule { interval: 60_000, query_offset: 0 }).add(&expr).unwrap();
        let sites = sites(text, &expr, &mut plan);
        let mut shown: Vec<String> = sites
            .iter()
            .map(|site| site.shown(&Annotation::InvalidQuantile(String::new())).split(" (").last().unwrap().to_owned())
            .collect();
        shown.sort();
        assert_eq!(shown, ["1:24)", "2:20)", "2:28)", "2:57)"]);
        let bucket = Annotation::BadBucket { le: String::new(), metric: String::new() };
        assert!(sites.iter().any(|site| site.shown(&bucket).ends_with("(1:27)")));
        assert_eq!(plan.planned.len(), 0);
        let sorts = ineffective_sorts("1 + sort(x)", &parse("1 + sort(x)").unwrap());
        assert!(sorts.len() == 1 && sorts[0].ends_with("ordered by labels (1:5)"), "{sorts:?}");
    }
}
