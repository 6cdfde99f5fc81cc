//! What the grammar's parser does not check in an expression that it has accepted.
//!
//! Prometheus finds some of these only when it evaluates the expression; a rule that can never work is better refused.

use promql_parser::parser::token::T_COUNT_VALUES;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Call, Expr};

use super::error::FaultKind;
use crate::base::METRIC_NAME;

use super::extensions::{Extension, OUTLIER_SCORE, extension};
use super::regex::anchored;

/// A fault, and where: the n-th call or aggregation in the order of the text, and which of its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
    pub(super) place: Place,
    pub(super) argument: usize,
    pub(super) kind: FaultKind,
}

/// The n-th of a kind, in the order of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Of the calls.
    Call(usize),
    /// Of the aggregations.
    Aggregation(usize),
}

/// Looks for the first fault.
pub(super) fn check(expr: &Expr) -> Result<(), Fault> {
    Walk::default().expr(expr)
}

#[derive(Default)]
struct Walk {
    calls: usize,
    aggregations: usize,
}

impl Walk {
    fn expr(&mut self, expr: &Expr) -> Result<(), Fault> {
        match expr {
            Expr::Aggregate(e) => {
                let place = Place::Aggregation(self.aggregations);
                self.aggregations += 1;
                if e.op.id() == T_COUNT_VALUES && e.param.as_deref().and_then(text).is_some_and(str::is_empty) {
                    return Err(fault(place, 0, "count_values needs the name of a label"));
                }
                if let Some(param) = &e.param {
                    self.expr(param)?;
                }
                self.expr(&e.expr)
            }
            Expr::Unary(e) => self.expr(&e.expr),
            Expr::Binary(e) => {
                self.expr(&e.lhs)?;
                self.expr(&e.rhs)
            }
            Expr::Paren(e) => self.expr(&e.expr),
            Expr::Subquery(e) => self.expr(&e.expr),
            Expr::Call(e) => {
                call(e, Place::Call(self.calls))?;
                self.calls += 1;
                e.args.args.iter().try_for_each(|arg| self.expr(arg))
            }
            Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::Extension(_) => Ok(()),
        }
    }
}

fn call(call: &Call, place: Place) -> Result<(), Fault> {
    let argument = |i: usize| call.args.args.get(i).map(|arg| &**arg);
    let string = |i: usize| argument(i).and_then(text);
    if let Some(extension) = extension(call.func.name) {
        return predictive(extension, call, place);
    }
    match call.func.name {
        // The parser lets a number through where the result would be NaN or infinite.
        "exp" | "ln" | "log2" | "log10" if argument(0).is_some_and(|arg| arg.value_type() != ValueType::Vector) => {
            Err(fault(place, 0, &format!("{}() takes an instant vector", call.func.name)))
        }
        name @ ("label_replace" | "label_join") if string(1).is_some_and(str::is_empty) => {
            Err(late(place, 1, &format!("{name}() needs the name of the label to write")))
        }
        "label_replace" => match string(4).map(anchored) {
            Some(Err(reason)) => Err(late(place, 4, &format!("not a regular expression: {reason}"))),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn predictive(extension: &Extension, call: &Call, place: Place) -> Result<(), Fault> {
    let args = &call.args.args;
    let with_help =
        |argument: usize, message: &str| Fault { help: Some(extension.signature), ..fault(place, argument, message) };
    if let Some(index) = extension.quantile
        && let Some(arg) = args.get(index)
        && !number(arg).is_some_and(|n| (0.0..=1.0).contains(&n))
    {
        return Err(with_help(index, "φ must be a number between 0 and 1, written out"));
    }
    if let Some(index) = extension.profile
        && args.get(index).and_then(|arg| text(arg)).is_some_and(str::is_empty)
    {
        return Err(with_help(index, "the profile's name is empty"));
    }
    if extension.name == OUTLIER_SCORE {
        for (index, label) in args.iter().enumerate().skip(1).filter_map(|(i, arg)| Some((i, text(arg)?))) {
            if label.is_empty() {
                return Err(with_help(index, "the label's name is empty"));
            }
            if label == METRIC_NAME {
                return Err(with_help(index, "peers are of one metric: the name does not tell them apart"));
            }
        }
    }
    Ok(())
}

fn fault(place: Place, argument: usize, message: &str) -> Fault {
    Fault { message: message.to_owned(), help: None, place, argument, kind: FaultKind::Mistake }
}

fn late(place: Place, argument: usize, message: &str) -> Fault {
    Fault { kind: FaultKind::Late, ..fault(place, argument, message) }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::StringLiteral(literal) => Some(&literal.val),
        Expr::Paren(paren) => text(&paren.expr),
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::NumberLiteral(literal) => Some(literal.val),
        Expr::Paren(paren) => number(&paren.expr),
        _ => None,
    }
}
