//! What a query may ask for beyond what a rule may: a string, the samples of a range, an order of the elements.

use promql_parser::parser::{Expr, token};

use super::leaf::LeafKind;
use super::plan::{LeafId, NodeId};
use super::planner::{PlanError, Planner};

/// What a query's answer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The value of a node.
    Value {
        /// The node.
        root: NodeId,
        /// In which order its elements are wanted.
        order: Order,
    },
    /// The samples in a window.
    Samples(LeafId),
    /// A string.
    Text(String),
}

/// Orders of a vector's elements. Equal values are in the order of their labels, and NaN comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By labels.
    Labels,
    /// The smallest value first: `sort`, `bottomk`.
    Ascending,
    /// The largest value first: `sort_desc`, `topk`.
    Descending,
}

impl Planner<'_> {
    /// Adds the expression of a query.
    ///
    /// # Errors
    /// As for [`Self::add`], but strings and ranges of samples are taken.
    pub fn query(&mut self, expr: &Expr) -> Result<Asked, PlanError> {
        match expr {
            Expr::Paren(inner) => self.query(&inner.expr),
            Expr::StringLiteral(text) => Ok(Asked::Text(text.val.clone())),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                self.check_ahead(expr)?;
                Ok(Asked::Samples(self.range(expr, LeafKind::Samples)?))
            }
            _ => Ok(Asked::Value { root: self.add(expr)?, order: order(expr) }),
        }
    }
}

fn order(expr: &Expr) -> Order {
    match expr {
        Expr::Paren(inner) => order(&inner.expr),
        Expr::Call(call) if call.func.name == "sort" => Order::Ascending,
        Expr::Call(call) if call.func.name == "sort_desc" => Order::Descending,
        Expr::Aggregate(aggregate) if aggregate.op.id() == token::T_BOTTOMK => Order::Ascending,
        Expr::Aggregate(aggregate) if aggregate.op.id() == token::T_TOPK => Order::Descending,
        _ => Order::Labels,
    }
}
