//! Which series an expression reads, as selectors that another server can be asked for; and matchers that stand alone.

use promql_parser::parser::{Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

use super::error::ExprError;
use super::leaf::Selector;
use super::parse::parse;
use super::planner::selector_of;

/// The selectors of an expression, each once, without ranges and offsets.
///
/// # Errors
/// The text is no expression.
///
/// ```
/// let read = forewarn::promql::selectors("rate(a{x=\"1\"}[5m] offset 1h) / on(x) group_left a{x=\"1\"} > {y=~\"b.*\"}").unwrap();
/// assert_eq!(read, ["a{x=\"1\"}", "{y=~\"b.*\"}"]);
/// ```
pub fn selectors(text: &str) -> Result<Vec<String>, ExprError> {
    let mut found = Found(Vec::new());
    let tree = parse(text)?;
    // The visitor has no errors.
    let _ = walk_expr(&mut found, &tree);
    Ok(found.0)
}

/// The matchers of one series selector, as `match[]` of federation has them.
///
/// # Errors
/// The text is no expression, or one that is more than a selector.
pub fn series_selector(text: &str) -> Result<Selector, String> {
    match parse(text).map_err(|e| e.to_string())? {
        Expr::VectorSelector(selector) if selector.offset.is_none() && selector.at.is_none() => {
            selector_of(&selector).map_err(|e| e.to_string())
        }
        _ => Err("write a series selector, without range, offset or function".to_owned()),
    }
}

/// Matchers in braces that are to hold of the labels of something other than a series, such as an alert. Unlike a selector's
/// they may all match the empty value.
///
/// # Errors
/// The text is anything else.
///
/// ```
/// let page = forewarn::promql::parse_matchers("{severity!=\"info\", team=~\"a|b\"}").unwrap();
/// let labels = forewarn::base::Labels::from_pairs([("team", "a")]);
/// assert!(page.matches(labels.as_ref()));
/// ```
pub fn parse_matchers(text: &str) -> Result<Selector, ExprError> {
    let text = text.trim();
    if !text.starts_with('{') {
        return Err(ExprError::at(0..text.len(), "no matchers in braces"));
    }
    // A name satisfies the rule that a selector must not match everything.
    match parse(&format!("x{text}"))? {
        Expr::VectorSelector(mut selector) if selector.offset.is_none() && selector.at.is_none() => {
            selector.name = None;
            selector_of(&selector).map_err(|e| ExprError::at(0..text.len(), e.0))
        }
        _ => Err(ExprError::at(0..text.len(), "more than matchers in braces")),
    }
}

struct Found(Vec<String>);

impl Found {
    fn add(&mut self, selector: &VectorSelector) {
        let text = VectorSelector { offset: None, at: None, ..selector.clone() }.to_string();
        if !self.0.contains(&text) {
            self.0.push(text);
        }
    }
}

impl ExprVisitor for Found {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => self.add(selector),
            Expr::MatrixSelector(range) => self.add(&range.vs),
            _ => {}
        }
        Ok(true)
    }
}
