//! From the parser's tree to the [`Plan`]: resolves functions, places nodes, and shares what is equal.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::token::{self, TokenType};
use promql_parser::parser::{
    AggregateExpr, BinModifier, BinaryExpr, Call, Expr, LabelModifier, MatrixSelector, SubqueryExpr,
    VectorMatchCardinality, VectorSelector,
};

use crate::base::{METRIC_NAME, Millis, format_duration};

use super::arith::{BinaryOp, SetOp};
use super::calls;
use super::leaf::{Feed, LabelMatcher, Leaf, LeafKind, LeafSource, Selector, Test};
use super::plan::{AggregateOp, Cardinality, FeedId, Grouping, LeafId, Matching, Node, NodeId, Op, Plan, Schedule};
use super::reach::{End, Scope, Span, asks_ahead, millis};
use super::regex::anchored;
use super::sites::address;

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
    scope: Scope,
}

type Planned = Result<NodeId, PlanError>;

impl<'p> Planner<'p> {
    /// A planner for expressions of rules, evaluated at `schedule`.
    pub fn new(plan: &'p mut Plan, options: PlanOptions, schedule: Schedule) -> Self {
        Self { plan, options, schedule, scope: Scope::new(None) }
    }

    /// A planner for queries that are evaluated within `span` only: `@ start()` and `@ end()` are its ends, and what `@`
    /// names has to be over by then.
    #[must_use]
    pub fn over(self, span: Span) -> Self {
        Self { scope: Scope::new(Some(span)), ..self }
    }

    /// Adds an expression; gives the node whose value is the expression's.
    ///
    /// # Errors
    /// What [`super::parse`] refuses as well: features that a stream cannot give, or that are not supported. An expression
    /// that looks further ahead than the schedule waits.
    pub fn add(&mut self, expr: &Expr) -> Planned {
        self.check_ahead(expr)?;
        self.expr(expr)
    }

    /// Refuses an expression that looks further ahead than the schedule waits.
    pub(super) fn check_ahead(&self, expr: &Expr) -> Result<(), PlanError> {
        let ahead = self.scope.reach(expr)?.ahead;
        if ahead <= self.schedule.query_offset {
            return Ok(());
        }
        let needed = format_duration(ahead);
        match self.scope.span {
            None => fail(format!("{}: give the group query_offset: {needed} or more", asks_ahead(expr))),
            Some(_) => fail(format!("the expression looks {needed} ahead: ask for it with a query_offset as long")),
        }
    }

    /// Adds a part of an expression.
    pub(super) fn expr(&mut self, expr: &Expr) -> Planned {
        match expr {
            Expr::Paren(inner) => self.expr(&inner.expr),
            Expr::NumberLiteral(n) => Ok(self.node(Op::Number(n.val))),
            Expr::Unary(unary) => {
                let arg = self.expr(&unary.expr)?;
                Ok(self.node(Op::Negate(arg)))
            }
            Expr::VectorSelector(selector) => {
                let leaf = self.instant(selector)?;
                Ok(self.node(Op::Instant(leaf)))
            }
            Expr::Aggregate(aggregate) => {
                let node = self.aggregate(aggregate)?;
                self.plan.planned.push((address(expr), node));
                Ok(node)
            }
            Expr::Binary(binary) => self.binary(binary),
            Expr::Call(call) => {
                let node = self.call(call)?;
                self.plan.planned.push((address(expr), node));
                Ok(node)
            }
            Expr::StringLiteral(_) => fail("a string is not a vector or a scalar; rules need one of those"),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => {
                fail("a range of samples is not a vector; wrap it in a function such as rate() or avg_over_time()")
            }
            Expr::Extension(_) => fail("unknown kind of expression"),
        }
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr) -> Planned {
        let text = |e: &Expr| match calls::unwrapped(e) {
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
            (_, Some(param)) => Some(self.expr(param)?),
        };
        let (without, labels) = match &aggregate.modifier {
            None => (false, vec![]),
            Some(LabelModifier::Include(labels)) => (false, labels.labels.clone()),
            Some(LabelModifier::Exclude(labels)) => (true, labels.labels.clone()),
        };
        let arg = self.expr(&aggregate.expr)?;
        Ok(self.node(Op::Aggregate { op, arg, param, grouping: Grouping { without, labels } }))
    }

    fn binary(&mut self, binary: &BinaryExpr) -> Planned {
        let (lhs, rhs) = (self.expr(&binary.lhs)?, self.expr(&binary.rhs)?);
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
        let end = self.scope.selector_end(selector)?;
        self.leaf(LeafSource::Selector(selector_of(selector)?), LeafKind::Instant, self.options.lookback, end)
    }

    /// The leaf of a range: of a selector, or of a subquery.
    pub(super) fn range(&mut self, arg: &Expr, kind: LeafKind) -> Result<LeafId, PlanError> {
        match arg {
            Expr::Paren(inner) => self.range(&inner.expr, kind),
            Expr::MatrixSelector(MatrixSelector { vs, range }) => {
                let end = self.scope.selector_end(vs)?;
                self.leaf(LeafSource::Selector(selector_of(vs)?), kind, millis(*range), end)
            }
            Expr::Subquery(subquery) => {
                let end = self.scope.end(subquery.at.as_ref(), subquery.offset.as_ref())?;
                let feed = self.feed(subquery, end)?;
                self.leaf(LeafSource::Feed(feed), kind, millis(subquery.range), end)
            }
            _ => fail("this function needs a range, like metric[5m]"),
        }
    }

    fn feed(&mut self, subquery: &SubqueryExpr, end: End) -> Result<FeedId, PlanError> {
        let interval = subquery.step.map_or(self.options.default_step, millis).max(1);
        let scope = self.scope.inside(end, millis(subquery.range));
        // A step is evaluated as late as those who read it allow, but for what a query is to know as soon as it can.
        let allowed = match end {
            End::Before(offset) => self.schedule.query_offset + offset.min(0),
            End::At(_) if self.scope.span.is_none() => self.schedule.query_offset,
            End::At(_) => 0,
        };
        let query_offset = allowed.max(scope.reach(&subquery.expr)?.ahead);
        let schedule = Schedule { interval, query_offset };
        let node = Planner { plan: self.plan, options: self.options, schedule, scope }.expr(&subquery.expr)?;
        let identity = format!("{schedule:?} {}", self.plan.nodes[node].identity);
        if let Some(&known) = self.plan.known_feeds.get(&identity) {
            let feed = &mut self.plan.feeds[known];
            feed.span = feed.span.zip(scope.span).map(|(a, b)| a.with(b));
            return Ok(known);
        }
        self.plan.feeds.push(Feed { node, schedule, span: scope.span, identity: identity.clone() });
        let id = self.plan.feeds.len() - 1;
        self.plan.known_feeds.insert(identity, id);
        Ok(id)
    }

    pub(super) fn leaf(
        &mut self,
        source: LeafSource,
        kind: LeafKind,
        range: Millis,
        end: End,
    ) -> Result<LeafId, PlanError> {
        let from = match &source {
            LeafSource::Selector(s) => format!("{s:?}"),
            LeafSource::Feed(f) => self.plan.feeds[*f].identity.clone(),
        };
        let (offset, pinned, query_offset) = match end {
            End::Before(offset) => (offset, None, self.schedule.query_offset),
            // What such a window holds depends on how far event time has come, and on no schedule.
            End::At(t) => (0, Some(t), 0),
        };
        let identity = match pinned {
            None => format!("{kind:?} {range} {offset} {query_offset} {from}"),
            Some(t) => format!("{kind:?} {range} @{t} {from}"),
        };
        if let Some(&known) = self.plan.known_leaves.get(&identity) {
            return Ok(known);
        }
        self.plan.leaves.push(Leaf { source, kind, range, offset, pinned, query_offset, identity: identity.clone() });
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
}

pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, PlanError> {
    Err(PlanError(message.into()))
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
