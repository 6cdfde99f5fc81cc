//! An expression's tree with the place of every part, for whoever judges it and wants to point at what is meant.
//!
//! The grammar's parser gives a tree without places, the recogniser places without a tree. Both have the same calls,
//! aggregations, selectors and operators in the same order, and along those they are laid side by side.

use std::ops::Range;

use promql_parser::parser::Expr;

use super::lexer::{Kind, Token};
use super::syntax::{Part, PartKind};

/// A parsed expression and where its parts stand.
#[derive(Debug)]
pub struct Parsed {
    /// The tree.
    pub expr: Expr,
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    pub(super) parts: Vec<Part>,
}

/// A part of an expression; parentheses around it are left out.
#[derive(Debug)]
pub struct Located<'e> {
    /// What it is; never a parenthesis.
    pub expr: &'e Expr,
    /// Where: bytes of the expression's text.
    pub span: Range<usize>,
    /// The operator with its modifiers, of two operands.
    pub operator: Option<Range<usize>>,
    /// The matchers of a selector.
    pub matchers: Vec<LocatedMatcher>,
    /// Operands or arguments, in the order of the text; an aggregation's parameter comes before its vector.
    pub children: Vec<Located<'e>>,
}

/// A matcher of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedMatcher {
    /// The label.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub operator: &'static str,
    /// The value, without quotes and escapes.
    pub value: String,
    /// Where: bytes of the expression's text.
    pub span: Range<usize>,
}

impl Parsed {
    /// The tree with its places.
    ///
    /// ```
    /// use forewarn::promql::parse_parts;
    /// let text = "sum(rate(requests_total[5m])) > 3";
    /// let parsed = parse_parts(text).unwrap();
    /// let sum = &parsed.locate().unwrap().children[0];
    /// assert_eq!(&text[sum.children[0].span.clone()], "rate(requests_total[5m])");
    /// ```
    #[must_use]
    pub fn locate(&self) -> Option<Located<'_>> {
        let of = |wanted: fn(&PartKind) -> bool| {
            let mut found: Vec<&Part> = self.parts.iter().filter(|part| wanted(&part.kind)).collect();
            found.sort_by_key(|part| match part.kind {
                PartKind::Binary(operator, _) => operator,
                _ => part.tokens.start,
            });
            found
        };
        let mut walk = Walk {
            text: &self.text,
            tokens: &self.tokens,
            calls: of(|kind| matches!(kind, PartKind::Call(_))).into_iter(),
            aggregations: of(|kind| *kind == PartKind::Aggregation).into_iter(),
            selectors: of(|kind| *kind == PartKind::Selector).into_iter(),
            operators: of(|kind| matches!(kind, PartKind::Binary(..))),
            operators_seen: 0,
        };
        let whole = 0..self.tokens.len() - 1;
        let located = walk.part(&self.expr, whole)?;
        let all = walk.calls.next().is_none()
            && walk.aggregations.next().is_none()
            && walk.selectors.next().is_none()
            && walk.operators_seen == walk.operators.len();
        all.then_some(located)
    }
}

impl<'e> Located<'e> {
    /// This part and all parts of it, outer ones first.
    pub fn walk(&self, visit: &mut dyn FnMut(&Located<'e>)) {
        visit(self);
        self.children.iter().for_each(|child| child.walk(visit));
    }
}

struct Walk<'p> {
    text: &'p str,
    tokens: &'p [Token],
    calls: std::vec::IntoIter<&'p Part>,
    aggregations: std::vec::IntoIter<&'p Part>,
    selectors: std::vec::IntoIter<&'p Part>,
    operators: Vec<&'p Part>,
    operators_seen: usize,
}

impl Walk<'_> {
    /// The part that is written as these tokens; None where tree and tokens do not lie side by side.
    fn part<'e>(&mut self, expr: &'e Expr, tokens: Range<usize>) -> Option<Located<'e>> {
        let mut out =
            Located { expr, span: self.span(&tokens), operator: None, matchers: Vec::new(), children: Vec::new() };
        match expr {
            Expr::Paren(inner) => {
                let ends = self.tokens.get(tokens.end - 1)?.kind == Kind::Sign(")");
                let inside = tokens.start + 1..tokens.end.saturating_sub(usize::from(ends));
                return self.part(&inner.expr, inside);
            }
            Expr::Unary(unary) => out.children.push(self.part(&unary.expr, tokens.start + 1..tokens.end)?),
            Expr::Subquery(subquery) => out.children.push(self.part(&subquery.expr, tokens)?),
            Expr::Binary(binary) => {
                let index = self.operators_seen + operators(&binary.lhs);
                let part = *self.operators.get(index)?;
                let PartKind::Binary(operator, second) = part.kind else { return None };
                out.operator = Some(self.span(&(operator..second)));
                out.span = self.span(&part.tokens);
                out.children.push(self.part(&binary.lhs, part.tokens.start..operator)?);
                self.operators_seen += 1;
                out.children.push(self.part(&binary.rhs, second..part.tokens.end)?);
            }
            Expr::Call(call) => {
                let part = self.calls.next()?;
                out.span = self.span(&part.tokens);
                for (i, arg) in call.args.args.iter().enumerate() {
                    // The one argument that stands in no text is the φ that the parser was handed.
                    let tokens = part.args.get(i).unwrap_or(&part.tokens).clone();
                    out.children.push(self.part(arg, tokens)?);
                }
            }
            Expr::Aggregate(aggregate) => {
                let part = self.aggregations.next()?;
                out.span = self.span(&part.tokens);
                let args = aggregate.param.iter().chain([&aggregate.expr]);
                for (arg, tokens) in args.zip(&part.args) {
                    out.children.push(self.part(arg, tokens.clone())?);
                }
            }
            Expr::VectorSelector(_) | Expr::MatrixSelector(_) => {
                let part = self.selectors.next()?;
                if matches!(expr, Expr::VectorSelector(_)) {
                    out.span = self.span(&part.tokens);
                }
                out.matchers = part.args.iter().filter_map(|tokens| self.matcher(tokens)).collect();
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
        Some(out)
    }

    /// A matcher by its tokens; None for a metric's quoted name.
    fn matcher(&self, tokens: &Range<usize>) -> Option<LocatedMatcher> {
        let [.., operator, value] = &self.tokens[tokens.clone()] else { return None };
        let (Kind::Sign(operator), Kind::Text(value)) = (&operator.kind, &value.kind) else { return None };
        let label = match &self.tokens[tokens.start].kind {
            Kind::Text(quoted) => quoted.clone(),
            _ => self.text[self.tokens[tokens.start].span.clone()].to_owned(),
        };
        Some(LocatedMatcher { label, operator, value: value.clone(), span: self.span(tokens) })
    }

    fn span(&self, tokens: &Range<usize>) -> Range<usize> {
        let last = tokens.end.clamp(tokens.start + 1, self.tokens.len()) - 1;
        self.tokens[tokens.start].span.start..self.tokens[last].span.end
    }
}

/// Operators between two operands in a tree.
fn operators(expr: &Expr) -> usize {
    match expr {
        Expr::Binary(binary) => 1 + operators(&binary.lhs) + operators(&binary.rhs),
        Expr::Paren(inner) => operators(&inner.expr),
        Expr::Unary(unary) => operators(&unary.expr),
        Expr::Subquery(subquery) => operators(&subquery.expr),
        Expr::Aggregate(aggregate) => operators(&aggregate.expr) + aggregate.param.as_deref().map_or(0, operators),
        Expr::Call(call) => call.args.args.iter().map(|arg| operators(arg)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_parts;

    /// The text of every part, outer ones first.
    fn parts(text: &str) -> Vec<String> {
        let parsed = parse_parts(text).unwrap();
        let mut out = Vec::new();
        parsed.locate().expect(text).walk(&mut |part| out.push(text[part.span.clone()].to_owned()));
        out
    }

    #[test]
    fn every_part_has_its_place() {
        assert_eq!(parts("a"), ["a"]);
        assert_eq!(parts("-(a) # b"), ["-(a)", "a"]);
        assert_eq!(parts("(a - b) - c * d"), ["(a - b) - c * d", "a - b", "a", "b", "c * d", "c", "d"]);
        assert_eq!(
            parts("topk(3, rate(x{a='b'}[5m])) by (c) > on(c) group_left() y offset 5m"),
            [
                "topk(3, rate(x{a='b'}[5m])) by (c) > on(c) group_left() y offset 5m",
                "topk(3, rate(x{a='b'}[5m])) by (c)",
                "3",
                "rate(x{a='b'}[5m])",
                "x{a='b'}[5m]",
                "y"
            ]
        );
        assert_eq!(
            parts("max_over_time((a > 1)[1h:1m]) or time_until(x, -1)"),
            [
                "max_over_time((a > 1)[1h:1m]) or time_until(x, -1)",
                "max_over_time((a > 1)[1h:1m])",
                "(a > 1)[1h:1m]",
                "a > 1",
                "a",
                "1",
                "time_until(x, -1)",
                "x",
                "-1",
                "time_until(x, -1)"
            ]
        );
    }

    #[test]
    fn operators_and_matchers_have_their_places() {
        let text = "a{b='c', \"d.e\"=~`f|g`} / on (h) group_left {\"i\", j!='k'}";
        let parsed = parse_parts(text).unwrap();
        let root = parsed.locate().unwrap();
        assert_eq!(&text[root.operator.clone().unwrap()], "/ on (h) group_left");
        let shown = |i: usize| -> Vec<(&str, &str, &str, &str)> {
            let matchers = root.children[i].matchers.iter();
            matchers.map(|m| (&*m.label, m.operator, &*m.value, &text[m.span.clone()])).collect()
        };
        assert_eq!(shown(0), [("b", "=", "c", "b='c'"), ("d.e", "=~", "f|g", "\"d.e\"=~`f|g`")]);
        assert_eq!(shown(1), [("j", "!=", "k", "j!='k'")]);
    }
}
