//! Which samples an expression reads: its selectors, and how far back from the evaluation each one reaches.
//!
//! Templates' queries are evaluated only when an alert's text is made. Until then nothing is planned of them but that the
//! samples they will read are kept. Their text may have holes, which the alert's labels fill: a matcher with a hole then
//! matches anything.

use promql_parser::parser::{AtModifier, Expr, Offset, VectorSelector};

use crate::base::Millis;

use super::leaf::{LeafKind, LeafSource, Selector};
use super::plan::{LeafId, Op, Plan, Schedule};
use super::planner::{PlanError, PlanOptions, Planner, fail, selector_of};
use super::reach::{End, millis, reach};

/// What an expression reads.
#[derive(Debug, Default)]
pub struct Reads {
    /// Its selectors.
    pub selectors: Vec<Read>,
    /// How far back from the evaluation the oldest of them lies, or the oldest evaluation of an inner expression.
    pub longest: Millis,
    /// Evaluations of inner expressions that its subqueries take.
    pub steps: i64,
}

/// A selector of an expression.
#[derive(Debug)]
pub struct Read {
    /// What it selects, matchers with holes left out.
    pub selector: Selector,
    /// Samples up to so many milliseconds before the evaluation are read.
    pub reach: Millis,
}

impl Reads {
    /// What an expression reads that is evaluated by itself, at an instant of somebody else's choice. `holes` are the texts
    /// that stand for what is not known yet.
    ///
    /// # Errors
    /// What cannot be planned; functions that keep models, which learn at every tick; and a selector of which nothing is
    /// known.
    pub fn of(expr: &Expr, options: PlanOptions, holes: &[&str]) -> Result<Self, PlanError> {
        if reach(expr, None)?.ahead > 0 {
            return fail("a negative offset asks for samples of the future, which no alert can wait for");
        }
        let mut plan = Plan::default();
        let schedule = Schedule { interval: options.default_step.max(1), query_offset: 0 };
        Planner::new(&mut plan, options, schedule).add(expr)?;
        if plan.nodes.iter().any(|node| matches!(node.op, Op::Model { .. })) {
            return fail(
                "predictive functions learn at every tick, a query is asked now and then: record the expression by a rule and query that",
            );
        }
        let mut reads = Self::default();
        Walk { options, holes }.expr(expr, 0, 1, &mut reads)?;
        Ok(reads)
    }
}

impl Planner<'_> {
    /// Sees to it that samples are kept for `range` milliseconds, for whoever asks for them.
    ///
    /// # Errors
    /// None that [`Reads::of`] does not have.
    pub fn retain(&mut self, selector: Selector, range: Millis) -> Result<LeafId, PlanError> {
        self.leaf(LeafSource::Selector(selector), LeafKind::Retained, range, End::Before(0))
    }
}

struct Walk<'a> {
    options: PlanOptions,
    holes: &'a [&'a str],
}

impl Walk<'_> {
    /// Adds what an expression reads that is evaluated `times` times, up to `back` before the whole.
    fn expr(&self, expr: &Expr, back: Millis, times: i64, out: &mut Reads) -> Result<(), PlanError> {
        match expr {
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(()),
            Expr::Paren(inner) => self.expr(&inner.expr, back, times, out),
            Expr::Unary(unary) => self.expr(&unary.expr, back, times, out),
            Expr::Binary(binary) => {
                self.expr(&binary.lhs, back, times, out)?;
                self.expr(&binary.rhs, back, times, out)
            }
            Expr::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    self.expr(param, back, times, out)?;
                }
                self.expr(&aggregate.expr, back, times, out)
            }
            Expr::Call(call) => call.args.args.iter().try_for_each(|arg| self.expr(arg, back, times, out)),
            Expr::VectorSelector(selector) => self.selector(selector, back.saturating_add(self.options.lookback), out),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs, back.saturating_add(millis(matrix.range)), out),
            Expr::Subquery(subquery) => {
                at_is_absent(subquery.at.as_ref())?;
                let step = subquery.step.map_or(self.options.default_step, millis).max(1);
                let range = millis(subquery.range);
                let times = times.saturating_mul(range / step + 1);
                out.steps = out.steps.saturating_add(times);
                let back = back.saturating_add(range).saturating_add(shift(subquery.offset.as_ref()));
                out.longest = out.longest.max(back);
                self.expr(&subquery.expr, back, times, out)
            }
        }
    }

    fn selector(&self, selector: &VectorSelector, back: Millis, out: &mut Reads) -> Result<(), PlanError> {
        at_is_absent(selector.at.as_ref())?;
        let has_hole = |text: &str| self.holes.iter().any(|hole| text.contains(hole));
        let mut known = selector.clone();
        if known.name.as_deref().is_some_and(has_hole) || known.matchers.matchers.iter().any(|m| has_hole(&m.name)) {
            return fail("a metric's or label's name is not known before the alert begins");
        }
        known.matchers.matchers.retain(|matcher| !has_hole(&matcher.value));
        let selector = selector_of(&known)?;
        if selector.could_be_anything() {
            return fail(
                "nothing is known of what it selects before the alert begins, so every series would have to be kept",
            );
        }
        let reach = back.saturating_add(shift(known.offset.as_ref()));
        out.longest = out.longest.max(reach);
        out.selectors.push(Read { selector, reach });
        Ok(())
    }
}

fn at_is_absent(at: Option<&AtModifier>) -> Result<(), PlanError> {
    match at {
        None => Ok(()),
        Some(_) => fail("@ names an instant whose samples are not kept until the alert begins; leave it out"),
    }
}

fn shift(offset: Option<&Offset>) -> Millis {
    match offset {
        Some(Offset::Pos(span)) => millis(*span),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const OPTIONS: PlanOptions = PlanOptions { lookback: 300_000, default_step: 60_000 };

    fn reaches(expr: &str) -> Result<Vec<(String, Millis)>, String> {
        let reads = Reads::of(&parse(expr).unwrap(), OPTIONS, &["HOLE"]).map_err(|e| e.to_string())?;
        let named = |read: &Read| (read.selector.name.clone().unwrap_or_default(), read.reach / 60_000);
        Ok(reads.selectors.iter().map(named).collect())
    }

    #[test]
    fn offsets_ranges_and_subqueries_add_up() {
        let of = |expr| reaches(expr).unwrap().into_iter().map(|(_, minutes)| minutes).collect::<Vec<_>>();
        assert_eq!(of("a + rate(b[1h] offset 2m)"), [5, 62]);
        assert_eq!(of("topk(scalar(a), sum by (x) (b offset 1h))"), [5, 65]);
        assert_eq!(of("max_over_time(rate(a[10m])[1h:1m] offset 30m)"), [100]);
        assert_eq!(of("max_over_time(sum_over_time(a[10m:1m])[1h:1m])"), [75]);
        let steps = |expr| Reads::of(&parse(expr).unwrap(), OPTIONS, &[]).unwrap().steps;
        assert_eq!(steps("max_over_time(sum_over_time(a[10m:1m])[1h:1m])"), 61 + 61 * 11);
    }

    #[test]
    fn a_hole_may_stand_in_a_matcher_only() {
        let reads = Reads::of(&parse(r#"a{x="HOLE", y=~"b.*", z!~".*HOLE"}"#).unwrap(), OPTIONS, &["HOLE"]).unwrap();
        assert_eq!(reads.selectors[0].selector.matchers.len(), 2);
        assert!(reaches("HOLE").unwrap_err().contains("name is not known"));
        assert!(reaches(r#"{x="HOLE"}"#).unwrap_err().contains("every series"));
        assert!(reaches(r#"predict_seasonal(a{x="HOLE"}, 60)"#).unwrap_err().contains("predictive functions"));
    }
}
