//! From the parser's tree to the [`Plan`]: resolves functions, places nodes, and shares what is equal.

use core::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::token::{self, TokenType};
use promql_parser::parser::{
    AggregateExpr, BinModifier, BinaryExpr, Call, Expr, LabelModifier, MatrixSelector, Offset, SubqueryExpr,
    VectorMatchCardinality, VectorSelector,
};

use crate::base::{LONGEST_SPAN, METRIC_NAME, Millis};

use super::arith::{BinaryOp, SetOp};
use super::calls;
use super::leaf::{Feed, LabelMatcher, Leaf, LeafKind, LeafSource, Selector, Test};
use super::plan::{
    AggregateOp, Cardinality, FeedId, Grouping, LeafId, Matching, Names, Node, NodeId, Op, Place, Plan, RangeFn,
    Schedule,
};
use super::regex::anchored;

/// What the plan depends on besides the expression.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// How old the newest sample of a series may be before the series counts as absent.
    pub lookback: Millis,
    /// Step of subqueries that give none.
    pub default_step: Millis,
}

/// An expression that parses but cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

/// Adds expressions to a plan.
#[derive(Debug)]
pub struct Planner<'p> {
    pub(super) plan: &'p mut Plan,
    options: PlanOptions,
    pub(super) schedule: Schedule,
}

type Planned = Result<NodeId, PlanError>;

impl<'p> Planner<'p> {
    /// A planner for expressions evaluated at `schedule`.
    pub fn new(plan: &'p mut Plan, options: PlanOptions, schedule: Schedule) -> Self {
        Self { plan, options, schedule }
    }

    /// Adds an expression; gives the node whose value is the expression's.
    ///
    /// # Errors
    /// What [`super::parse`] refuses as well: features that a stream cannot give, or that are not supported.
    pub fn add(&mut self, expr: &Expr) -> Planned {
        match expr {
            Expr::Paren(inner) => self.add(&inner.expr),
            Expr::NumberLiteral(n) => Ok(self.node(Op::Number(n.val))),
            Expr::Unary(unary) => {
                let arg = self.add(&unary.expr)?;
                Ok(self.node(Op::Negate(arg)))
            }
            Expr::VectorSelector(selector) => {
                let leaf = self.instant(selector)?;
                Ok(self.node(Op::Instant(leaf)))
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Call(call) => self.call(call),
            Expr::StringLiteral(_) => fail("a string is not a vector or a scalar; rules need one of those"),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                fail("a range of samples is not a vector; wrap it in a function such as rate() or avg_over_time()")
            }
            Expr::Extension(_) => fail("unknown kind of expression"),
        }
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr) -> Planned {
        let text = |e: &Expr| match e {
            Expr::StringLiteral(s) => Ok(s.val.clone()),
            _ => Err(PlanError("count_values needs a label name as a string".into())),
        };
        let param = aggregate.param.as_deref();
        let op = match aggregate.op.id() {
            token::T_SUM => AggregateOp::Sum,
            token::T_AVG => AggregateOp::Avg,
            token::T_COUNT => AggregateOp::Count,
            token::T_MIN => AggregateOp::Min,
            token::T_MAX => AggregateOp::Max,
            token::T_GROUP => AggregateOp::Group,
            token::T_STDDEV => AggregateOp::Stddev,
            token::T_STDVAR => AggregateOp::Stdvar,
            token::T_TOPK => AggregateOp::Topk,
            token::T_BOTTOMK => AggregateOp::Bottomk,
            token::T_QUANTILE => AggregateOp::Quantile,
            token::T_COUNT_VALUES => {
                AggregateOp::CountValues(text(param.ok_or(PlanError("count_values needs a label name".into()))?)?)
            }
            _ => return fail(format!("aggregation {} is not supported", aggregate.op)),
        };
        let param = match (&op, param) {
            (AggregateOp::CountValues(_), _) | (_, None) => None,
            (_, Some(param)) => Some(self.add(param)?),
        };
        let (without, labels) = match &aggregate.modifier {
            None => (false, vec![]),
            Some(LabelModifier::Include(labels)) => (false, labels.labels.clone()),
            Some(LabelModifier::Exclude(labels)) => (true, labels.labels.clone()),
        };
        let arg = self.add(&aggregate.expr)?;
        Ok(self.node(Op::Aggregate { op, arg, param, grouping: Grouping { without, labels } }))
    }

    fn binary(&mut self, binary: &BinaryExpr) -> Planned {
        let (lhs, rhs) = (self.add(&binary.lhs)?, self.add(&binary.rhs)?);
        let matching = matching(binary.modifier.as_ref());
        let set = match binary.op.id() {
            token::T_LAND => Some(SetOp::And),
            token::T_LOR => Some(SetOp::Or),
            token::T_LUNLESS => Some(SetOp::Unless),
            _ => None,
        };
        if let Some(op) = set {
            return Ok(self.node(Op::Set { op, lhs, rhs, matching }));
        }
        let op = binary_op(binary.op)?;
        let return_bool = binary.modifier.as_ref().is_some_and(|m| m.return_bool);
        Ok(self.node(Op::Binary { op, lhs, rhs, return_bool, matching }))
    }

    fn call(&mut self, call: &Call) -> Planned {
        calls::plan(self, call.func.name, &call.args.args)
    }

    /// The leaf of an instant selector.
    pub(super) fn instant(&mut self, selector: &VectorSelector) -> Result<LeafId, PlanError> {
        let offset = offset(selector.offset.as_ref())?;
        self.leaf(LeafSource::Selector(selector_of(selector)?), LeafKind::Instant, self.options.lookback, offset)
    }

    /// The leaf of a range: of a selector, or of a subquery.
    pub(super) fn range(&mut self, arg: &Expr, kind: LeafKind) -> Result<LeafId, PlanError> {
        match arg {
            Expr::Paren(inner) => self.range(&inner.expr, kind),
            Expr::MatrixSelector(MatrixSelector { vs, range }) => {
                let offset = offset(vs.offset.as_ref())?;
                self.leaf(LeafSource::Selector(selector_of(vs)?), kind, millis(*range), offset)
            }
            Expr::Subquery(subquery) => {
                let offset = offset(subquery.offset.as_ref())?;
                let feed = self.feed(subquery)?;
                self.leaf(LeafSource::Feed(feed), kind, millis(subquery.range), offset)
            }
            _ => fail("this function needs a range, like metric[5m]"),
        }
    }

    fn feed(&mut self, subquery: &SubqueryExpr) -> Result<FeedId, PlanError> {
        if subquery.at.is_some() {
            return fail("the @ modifier is not supported");
        }
        let interval = subquery.step.map_or(self.options.default_step, millis).max(1);
        let schedule = Schedule { interval, ..self.schedule };
        let node = Planner { plan: self.plan, options: self.options, schedule }.add(&subquery.expr)?;
        let identity = format!("{schedule:?} {}", subquery.expr);
        if let Some(&known) = self.plan.known_feeds.get(&identity) {
            return Ok(known);
        }
        self.plan.feeds.push(Feed { node, schedule, identity: identity.clone() });
        let id = self.plan.feeds.len() - 1;
        self.plan.known_feeds.insert(identity, id);
        Ok(id)
    }

    pub(super) fn leaf(
        &mut self,
        source: LeafSource,
        kind: LeafKind,
        range: Millis,
        offset: Millis,
    ) -> Result<LeafId, PlanError> {
        let query_offset = self.schedule.query_offset;
        let from = match &source {
            LeafSource::Selector(s) => format!("{s:?}"),
            LeafSource::Feed(f) => self.plan.feeds[*f].identity.clone(),
        };
        let identity = format!("{kind:?} {range} {offset} {query_offset} {from}");
        if let Some(&known) = self.plan.known_leaves.get(&identity) {
            return Ok(known);
        }
        self.plan.leaves.push(Leaf { source, kind, range, offset, query_offset, identity: identity.clone() });
        let id = self.plan.leaves.len() - 1;
        self.plan.known_leaves.insert(identity, id);
        Ok(id)
    }

    /// The node of an operation, an equal one if there is one.
    pub(super) fn node(&mut self, op: Op) -> NodeId {
        // Node ids differ from plan to plan, so the identity is made of what they stand for; hashed, since texts would
        // grow with every level.
        let mut text = op.signature();
        if let Some(leaf) = op.leaf() {
            text.push_str(&self.plan.leaves[leaf].identity);
        }
        for child in op.children() {
            text.push('|');
            text.push_str(&self.plan.nodes[child].identity);
        }
        let identity = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
        if let Some(&known) = self.plan.known_nodes.get(&identity) {
            return known;
        }
        let node = Node {
            place: self.place(&op),
            is_scalar: self.is_scalar(&op),
            names: self.names(&op),
            identity: identity.clone(),
            op,
        };
        self.plan.nodes.push(node);
        let id = self.plan.nodes.len() - 1;
        self.plan.known_nodes.insert(identity, id);
        id
    }

    /// A scalar parameter of something that is evaluated in the shards, which cannot see what other series say.
    pub(super) fn constant(&mut self, expr: &Expr, what: &str) -> Planned {
        let id = self.add(expr)?;
        if self.plan.nodes[id].place == Place::Anywhere {
            return Ok(id);
        }
        fail(format!("{what} must not depend on series here: give a number, or an expression of numbers and time()"))
    }

    fn is_scalar(&self, op: &Op) -> bool {
        let scalar = |id: &NodeId| self.plan.nodes[*id].is_scalar;
        match op {
            Op::Number(_) | Op::Time | Op::Scalar(_) => true,
            Op::Negate(arg) => scalar(arg),
            Op::Binary { lhs, rhs, .. } => scalar(lhs) && scalar(rhs),
            _ => false,
        }
    }

    fn place(&self, op: &Op) -> Place {
        match op {
            Op::Number(_) | Op::Time => return Place::Anywhere,
            // One element without labels must not come from every shard.
            Op::Vector(_) | Op::Scalar(_) | Op::Aggregate { .. } | Op::Absent(..) => return Place::Global,
            Op::Calendar(_, None) => return Place::Global,
            // These may make elements of different shards equal.
            Op::LabelReplace { .. } | Op::LabelJoin { .. } => return Place::Global,
            _ => {}
        }
        let mut places: Vec<Place> = op.children().iter().map(|&c| self.plan.nodes[c].place).collect();
        if let Some(leaf) = op.leaf() {
            places.push(match self.plan.leaves[leaf].source {
                LeafSource::Selector(_) => Place::Local,
                LeafSource::Feed(feed) => self.plan.nodes[self.plan.feeds[feed].node].place,
            });
        }
        if places.iter().all(|p| *p == Place::Anywhere) {
            return Place::Anywhere;
        }
        let together = match op {
            Op::Binary { lhs, rhs, matching, .. } | Op::Set { lhs, rhs, matching, .. } => {
                let scalar_side = self.plan.nodes[*lhs].is_scalar || self.plan.nodes[*rhs].is_scalar;
                // Whether a right side that has several for one match group fails depends on whether the left has any
                // element at all, which one shard does not know.
                let right_is_unique = matches!(op, Op::Set { .. }) || self.plan.nodes[*rhs].names != Names::Many;
                scalar_side || (matching.is_plain() && right_is_unique)
            }
            // Where its argument fails no model learns, in no shard.
            Op::Model { arg, .. } => self.plan.nodes[*arg].names != Names::Many && !self.can_fail(*arg),
            _ => true,
        };
        if together && !places.contains(&Place::Global) { Place::Local } else { Place::Global }
    }

    /// Whether a node may fail: where names are dropped that may be all that two elements differ in, where vectors are
    /// matched on some labels only, and where anything below fails.
    fn can_fail(&self, id: NodeId) -> bool {
        let op = &self.plan.nodes[id].op;
        let matching_fails = match op {
            Op::Binary { matching, .. } => !matching.is_plain(),
            _ => false,
        };
        let leaf_fails = op.leaf().is_some_and(|leaf| {
            let drops_names = !matches!(op, Op::Instant(_) | Op::Range { func: RangeFn::Last, .. });
            let feed_fails = match self.plan.leaves[leaf].source {
                LeafSource::Selector(_) => false,
                LeafSource::Feed(feed) => self.can_fail(self.plan.feeds[feed].node),
            };
            feed_fails || (drops_names && self.leaf_names(leaf) == Names::Many)
        });
        let child_fails = |&child: &NodeId| self.plan.nodes[child].names == Names::Many || self.can_fail(child);
        matching_fails || leaf_fails || op.children().iter().any(child_fails)
    }

    fn leaf_names(&self, leaf: LeafId) -> Names {
        match &self.plan.leaves[leaf].source {
            LeafSource::Selector(s) => s.name.clone().map_or(Names::Many, Names::One),
            LeafSource::Feed(feed) => self.plan.nodes[self.plan.feeds[*feed].node].names.clone(),
        }
    }

    fn names(&self, op: &Op) -> Names {
        let of = |id: &NodeId| self.plan.nodes[*id].names.clone();
        let leaf_names = |leaf: LeafId| self.leaf_names(leaf);
        match op {
            Op::Instant(leaf) | Op::Range { leaf, func: RangeFn::Last, .. } => leaf_names(*leaf),
            Op::Set { op: SetOp::Or, lhs, rhs, .. } if of(lhs) != of(rhs) => Names::Many,
            Op::Set { lhs, .. } => of(lhs),
            Op::Binary { op, lhs, rhs, return_bool: false, matching } if op.is_comparison() => {
                let kept = match (self.plan.nodes[*lhs].is_scalar, matching.cardinality) {
                    (true, _) | (_, Cardinality::OneToMany) => of(rhs),
                    _ => of(lhs),
                };
                // group_left(__name__) may bring any name in.
                if matching.include.iter().any(|l| l == METRIC_NAME) { Names::Many } else { kept }
            }
            Op::Aggregate { op: AggregateOp::Topk | AggregateOp::Bottomk, arg, .. } => of(arg),
            Op::Aggregate { grouping, .. } if !grouping.without && grouping.labels.iter().any(|l| l == METRIC_NAME) => {
                Names::Many
            }
            Op::LabelReplace { arg, dst, .. } | Op::LabelJoin { arg, dst, .. } => {
                if dst == METRIC_NAME {
                    Names::Many
                } else {
                    of(arg)
                }
            }
            _ => Names::None,
        }
    }
}

pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError(message.into()))
}

pub(super) fn millis(span: Duration) -> Millis {
    Millis::try_from(span.as_millis()).map_or(LONGEST_SPAN, |span| span.min(LONGEST_SPAN))
}

fn offset(offset: Option<&Offset>) -> Result<Millis, PlanError> {
    match offset {
        None => Ok(0),
        Some(Offset::Pos(span)) => Ok(millis(*span)),
        Some(Offset::Neg(span)) if span.is_zero() => Ok(0),
        Some(Offset::Neg(_)) => fail("a negative offset asks for the future, which a stream does not have"),
    }
}

fn matching(modifier: Option<&BinModifier>) -> Matching {
    let mut matching = Matching { on: false, labels: vec![], cardinality: Cardinality::OneToOne, include: vec![] };
    let Some(modifier) = modifier else { return matching };
    match &modifier.matching {
        None => {}
        Some(LabelModifier::Include(labels)) => (matching.on, matching.labels) = (true, labels.labels.clone()),
        Some(LabelModifier::Exclude(labels)) => matching.labels = labels.labels.clone(),
    }
    match &modifier.card {
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
        VectorMatchCardinality::ManyToOne(include) => {
            (matching.cardinality, matching.include) = (Cardinality::ManyToOne, include.labels.clone());
        }
        VectorMatchCardinality::OneToMany(include) => {
            (matching.cardinality, matching.include) = (Cardinality::OneToMany, include.labels.clone());
        }
    }
    matching
}

fn binary_op(op: TokenType) -> Result<BinaryOp, PlanError> {
    Ok(match op.id() {
        token::T_ADD => BinaryOp::Add,
        token::T_SUB => BinaryOp::Sub,
        token::T_MUL => BinaryOp::Mul,
        token::T_DIV => BinaryOp::Div,
        token::T_MOD => BinaryOp::Mod,
        token::T_POW => BinaryOp::Pow,
        token::T_ATAN2 => BinaryOp::Atan2,
        token::T_EQLC => BinaryOp::Equal,
        token::T_NEQ => BinaryOp::NotEqual,
        token::T_GTR => BinaryOp::Greater,
        token::T_LSS => BinaryOp::Less,
        token::T_GTE => BinaryOp::GreaterEqual,
        token::T_LTE => BinaryOp::LessEqual,
        _ => return fail(format!("operator {op} is not supported")),
    })
}

pub(super) fn selector_of(selector: &VectorSelector) -> Result<Selector, PlanError> {
    if selector.at.is_some() {
        return fail("the @ modifier is not supported");
    }
    if !selector.matchers.or_matchers.is_empty() {
        return fail("`or` between matchers is not PromQL");
    }
    let mut matchers = Vec::new();
    if let Some(name) = &selector.name {
        matchers.push(LabelMatcher { name: METRIC_NAME.into(), test: Test::Equal(name.clone()) });
    }
    for matcher in &selector.matchers.matchers {
        matchers.push(LabelMatcher { name: matcher.name.clone(), test: test_of(matcher)? });
    }
    let name = matchers.iter().find_map(|m| match (&*m.name, &m.test) {
        (METRIC_NAME, Test::Equal(v)) => Some(v.clone()),
        _ => None,
    });
    Ok(Selector { name, matchers })
}

fn test_of(matcher: &Matcher) -> Result<Test, PlanError> {
    let compile = |pattern: &str| anchored(pattern).map_err(PlanError);
    Ok(match &matcher.op {
        MatchOp::Equal => Test::Equal(matcher.value.clone()),
        MatchOp::NotEqual => Test::NotEqual(matcher.value.clone()),
        MatchOp::Re(_) => Test::Regex(compile(&matcher.value)?),
        MatchOp::NotRe(_) => Test::NotRegex(compile(&matcher.value)?),
    })
}
