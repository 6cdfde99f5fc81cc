//! What a query may ask for beyond what a rule may: a string, the samples of a range, an order of the elements.

use promql_parser::parser::{Expr, LabelModifier, token};

use super::leaf::LeafKind;
use super::plan::{Grouping, LeafId, NodeId};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By labels: Prometheus promises nothing there.
    Labels,
    /// In each group, the smallest value first: `sort`, `bottomk`.
    Ascending(Grouping),
    /// In each group, the largest value first: `sort_desc`, `topk`.
    Descending(Grouping),
}

impl Order {
    /// The order of an expression's value: that of the function around the whole.
    #[must_use]
    pub fn of(expr: &Expr) -> Self {
        let whole = || Grouping { without: false, labels: vec![] };
        match expr {
            Expr::Paren(inner) => Self::of(&inner.expr),
            Expr::Call(call) if call.func.name == "sort" => Self::Ascending(whole()),
            Expr::Call(call) if call.func.name == "sort_desc" => Self::Descending(whole()),
            Expr::Aggregate(a) if a.op.id() == token::T_BOTTOMK => Self::Ascending(grouping(a.modifier.as_ref())),
            Expr::Aggregate(a) if a.op.id() == token::T_TOPK => Self::Descending(grouping(a.modifier.as_ref())),
            _ => Self::Labels,
        }
    }
}

fn grouping(modifier: Option<&LabelModifier>) -> Grouping {
    match modifier {
        None => Grouping { without: false, labels: vec![] },
        Some(LabelModifier::Include(by)) => Grouping { without: false, labels: by.labels.clone() },
        Some(LabelModifier::Exclude(without)) => Grouping { without: true, labels: without.labels.clone() },
    }
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
            _ => Ok(Asked::Value { root: self.add(expr)?, order: Order::of(expr) }),
        }
    }
}
