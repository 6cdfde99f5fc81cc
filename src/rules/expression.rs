//! A rule's expression and the places of its parts in the file.
//!
//! Knows YAML scalars and PromQL; knows nothing of what the rule does with the result.

use std::ops::Range;

use promql_parser::parser::value::ValueType;

use super::collector::Collector;
use super::format::Scalar;
use super::scalar;
use super::validate::text;
use crate::base::{Millis, format_duration};
use crate::promql::{Parsed, asks_ahead, parse_parts, reach};

/// An expression that can be evaluated.
pub(super) struct Expression {
    /// As it is written.
    pub written: String,
    /// Its tree.
    pub parsed: Parsed,
    /// The scalar in the file.
    scalar: Range<usize>,
}

impl Expression {
    /// Reads the expression of the rule of this name; what is wrong with it is noted. `at` is the rule's place.
    pub(super) fn read(
        found: &mut Collector<'_>,
        node: &Option<Scalar>,
        at: &Range<usize>,
        name: &str,
        query_offset: Option<Millis>,
    ) -> Option<Self> {
        let (written, scalar) = text(node, at);
        if written.trim().is_empty() {
            let message = if name.is_empty() {
                "the rule has no expr".to_owned()
            } else {
                format!("the rule {name} has no expr")
            };
            found.error_with_help("promql", scalar, message, "expr: is what the rule evaluates, in PromQL");
            return None;
        }
        let start = written.len() - written.trim_start().len();
        let (message, help, within) = match parse_parts(&written) {
            Ok(parsed) => match parsed.expr.value_type() {
                ValueType::Vector | ValueType::Scalar => match reach(&parsed.expr, None) {
                    Ok(reach) if reach.ahead > query_offset.unwrap_or(0) => {
                        let help = format!("give the group query_offset: {} or more", format_duration(reach.ahead));
                        let message = asks_ahead(&parsed.expr);
                        // Where the group says nothing, the configuration may.
                        if query_offset.is_none() {
                            let place = place(found.source(), &scalar, &written, start..written.trim_end().len());
                            found.warning("promql", place, message, help);
                            return Some(Self { written, parsed, scalar });
                        }
                        (message.to_owned(), Some(help), None)
                    }
                    Ok(_) => return Some(Self { written, parsed, scalar }),
                    Err(error) => (error.to_string(), None, None),
                },
                ValueType::Matrix => (
                    "a rule needs an instant vector or a scalar, not a range vector".to_owned(),
                    Some("put a function of ranges like rate() or max_over_time() around it".to_owned()),
                    None,
                ),
                ValueType::String => (
                    "a rule needs an instant vector or a scalar, not a string".to_owned(),
                    Some("texts go into labels and annotations".to_owned()),
                    None,
                ),
            },
            Err(error) => (error.message, error.help, error.span),
        };
        let within = within.unwrap_or(start..written.trim_end().len());
        let place = place(found.source(), &scalar, &written, within);
        match help {
            Some(help) => found.error_with_help("promql", place, message, help),
            None => found.error("promql", place, message),
        }
        None
    }

    /// The bytes of a file in which a part of the expression stands.
    pub(super) fn place(&self, source: &str, within: Range<usize>) -> Range<usize> {
        place(source, &self.scalar, &self.written, within)
    }
}

fn place(source: &str, scalar: &Range<usize>, written: &str, within: Range<usize>) -> Range<usize> {
    // Only where the scalar has escapes that change its letters does the place stay the scalar's start.
    scalar::place(source, scalar.clone(), written, within).unwrap_or(scalar.start..scalar.start + 1)
}
