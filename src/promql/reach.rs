//! Where windows end, and how far before and after its evaluation an expression looks: offsets, `@` and subqueries.
//!
//! A stream knows only the past. A host that wants the value of an expression that looks ahead has to wait for as long.

use promql_parser::parser::{AtModifier, Expr, MatrixSelector, Offset, SubqueryExpr, VectorSelector};

use serde::{Deserialize, Serialize};

use crate::base::{FAR, LONGEST_SPAN, Millis};

use super::planner::{PlanError, fail};

/// Instants at which something is evaluated, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first.
    pub first: Millis,
    /// The last.
    pub last: Millis,
}

impl Span {
    /// The shortest that has both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// How far an expression looks, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// From the first evaluation back to the oldest step of a subquery: the stream has to begin before.
    pub back: Millis,
    /// Ahead of each evaluation: `query_offset` has to be as long.
    pub ahead: Millis,
}

/// How far an expression looks. `span` has the instants at which a query is evaluated; None for a rule, which is evaluated
/// for ever: what `@` names is then taken to be over, but for the steps of a subquery with `@`, which have to look no further
/// ahead than the rule, so that its value is whole when its instant has passed.
///
/// ```
/// use forewarn::promql::{Span, parse, reach};
/// let expr = parse("rate(x[5m] offset -1m) / sum_over_time(x[10m:1m] @ 600)").unwrap();
/// assert_eq!(reach(&expr, None).unwrap().ahead, 60_000);
/// let query = reach(&expr, Some(Span { first: 0, last: 0 })).unwrap();
/// assert_eq!((query.back, query.ahead), (0, 600_000));
/// ```
///
/// # Errors
/// `start()` or `end()` inside a rule's subquery, whose steps serve many evaluations.
pub fn reach(expr: &Expr, span: Option<Span>) -> Result<Reach, PlanError> {
    Scope::new(span).reach(expr)
}

/// What is to be said of a rule's expression that looks ahead.
#[must_use]
pub fn asks_ahead(expr: &Expr) -> &'static str {
    if expr.to_string().contains(" @ ") {
        "a negative offset, or an @ within a subquery with @, asks for samples of the future"
    } else {
        "a negative offset asks for samples of the future"
    }
}

/// Where a window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// So long before the evaluation; after it if negative.
    Before(Millis),
    /// At an instant.
    At(Millis),
}

/// What is known of the instants at which a part of an expression is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The instants, where they are bounded.
    pub(super) span: Option<Span>,
    edges: Edges,
}

/// What `start()` and `end()` stand for.
#[derive(Clone, Copy, Debug)]
enum Edges {
    /// The first and last instant of a query.
    Query(Span),
    /// The evaluation's own time: a rule's.
    Evaluation,
    /// The time of a rule's evaluation, which a step of a subquery does not know: it serves many evaluations.
    Outer,
}

impl Scope {
    /// That of a whole expression.
    pub(super) fn new(span: Option<Span>) -> Self {
        Self { span, edges: span.map_or(Edges::Evaluation, Edges::Query) }
    }

    /// Where a window ends.
    ///
    /// # Errors
    /// `start()` or `end()` inside a rule's subquery.
    pub(super) fn end(&self, at: Option<&AtModifier>, offset: Option<&Offset>) -> Result<End, PlanError> {
        let offset = match offset {
            None => 0,
            Some(Offset::Pos(span)) => millis(*span),
            Some(Offset::Neg(span)) => -millis(*span),
        };
        let pin = match (at, self.edges) {
            (None, _) | (Some(AtModifier::Start | AtModifier::End), Edges::Evaluation) => None,
            (Some(at @ AtModifier::At(_)), _) => Some(instant(at)),
            (Some(AtModifier::Start), Edges::Query(span)) => Some(span.first),
            (Some(AtModifier::End), Edges::Query(span)) => Some(span.last),
            (Some(_), Edges::Outer) => {
                return fail(
                    "start() and end() inside a subquery are the time of the rule's evaluation, which is not known when the \
                     subquery's steps are evaluated: use them outside of it",
                );
            }
        };
        Ok(pin.map_or(End::Before(offset), |t| End::At(t - offset)))
    }

    /// That of a subquery's steps, which lie in the window of this range and end.
    pub(super) fn inside(&self, end: End, range: Millis) -> Self {
        let window = |first: Millis, last: Millis| Span { first: first - range + 1, last };
        let span = match end {
            End::At(t) => Some(window(t, t)),
            End::Before(offset) => self.span.map(|s| window(s.first - offset, s.last - offset)),
        };
        let edges = match self.edges {
            Edges::Evaluation => Edges::Outer,
            other => other,
        };
        Self { span, edges }
    }

    /// How far ahead an evaluation here has to look for a window with this end, each instant of which looks `inner` ahead.
    pub(super) fn ahead(&self, end: End, inner: Millis) -> Millis {
        match end {
            End::Before(offset) => inner - offset,
            End::At(t) => self.span.map_or(inner, |span| t + inner - span.first),
        }
    }

    /// How far an expression looks.
    pub(super) fn reach(&self, expr: &Expr) -> Result<Reach, PlanError> {
        let mut reach = Reach::default();
        let mut add = |other: Reach| {
            reach = Reach { back: reach.back.max(other.back), ahead: reach.ahead.max(other.ahead) };
        };
        match expr {
            Expr::VectorSelector(selector) | Expr::MatrixSelector(MatrixSelector { vs: selector, .. }) => {
                add(Reach { back: 0, ahead: self.ahead(self.selector_end(selector)?, 0) });
            }
            Expr::Subquery(subquery) => add(self.subquery(subquery)?),
            Expr::Aggregate(e) => {
                add(self.reach(&e.expr)?);
                e.param.iter().try_for_each(|param| self.reach(param).map(&mut add))?;
            }
            Expr::Binary(e) => {
                add(self.reach(&e.lhs)?);
                add(self.reach(&e.rhs)?);
            }
            Expr::Unary(e) => add(self.reach(&e.expr)?),
            Expr::Paren(e) => add(self.reach(&e.expr)?),
            Expr::Call(e) => e.args.args.iter().try_for_each(|arg| self.reach(arg).map(&mut add))?,
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
        Ok(reach)
    }

    /// Where a selector's window ends.
    pub(super) fn selector_end(&self, selector: &VectorSelector) -> Result<End, PlanError> {
        self.end(selector.at.as_ref(), selector.offset.as_ref())
    }

    fn subquery(&self, subquery: &SubqueryExpr) -> Result<Reach, PlanError> {
        let end = self.end(subquery.at.as_ref(), subquery.offset.as_ref())?;
        let range = millis(subquery.range);
        let inner = self.inside(end, range).reach(&subquery.expr)?;
        let back = match end {
            End::Before(offset) => offset + range + inner.back,
            End::At(t) => self.span.map_or(0, |span| span.first - t + range + inner.back),
        };
        Ok(Reach { back, ahead: self.ahead(end, inner.ahead) })
    }
}

pub(super) fn millis(span: core::time::Duration) -> Millis {
    Millis::try_from(span.as_millis()).map_or(LONGEST_SPAN, |span| span.min(LONGEST_SPAN))
}

/// Milliseconds since 1970 of an instant that the grammar has bounded.
fn instant(at: &AtModifier) -> Millis {
    // The core names no clock: the parser's zero is the epoch of its instants.
    let (AtModifier::At(t), Ok(AtModifier::At(epoch))) = (at, AtModifier::try_from(0.0)) else { return 0 };
    match t.duration_since(epoch) {
        Ok(after) => Millis::try_from(after.as_millis()).unwrap_or(FAR),
        Err(before) => Millis::try_from(before.duration().as_millis()).map_or(-FAR, |t| -t),
    }
}
