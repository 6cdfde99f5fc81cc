//! Says in a user's words what the grammar's parser says in its own.

use std::ops::Range;

use super::error::{ExprError, FaultKind};

/// An error of the parser, at a place.
pub(super) fn explain(message: String, span: Option<Range<usize>>) -> ExprError {
    let (message, help) =
        type_mismatch(&message).or_else(|| known(&message)).unwrap_or_else(|| (message.replace("BOOL", "bool"), None));
    ExprError { message, help: help.map(str::to_owned), span, kind: FaultKind::Mistake }
}

/// `expected type matrix in call to function 'rate', got vector`, and the same in an aggregation.
fn type_mismatch(message: &str) -> Option<(String, Option<&'static str>)> {
    let (expected, rest) = message.strip_prefix("expected type ")?.split_once(" in ")?;
    let (context, got) = rest.rsplit_once(", got ")?;
    let whose = match context.strip_prefix("call to function '").and_then(|c| c.strip_suffix('\'')) {
        Some(function) => format!("{function}()"),
        None => "the aggregation".to_owned(),
    };
    let help = match (expected, got) {
        ("matrix", "vector") => {
            Some("add a range to the selector, like [5m]; around a function a subquery, like [1h:1m]")
        }
        ("vector", "matrix") => {
            Some("take the range away, or put a function of ranges like rate() or max_over_time() around it")
        }
        ("vector", "scalar") => Some("vector() makes an instant vector of a scalar"),
        ("scalar", "vector") => Some("scalar() makes a scalar of a vector with one series"),
        _ => None,
    };
    Some((format!("{whose} takes {}, not {}", type_name(expected), type_name(got)), help))
}

fn type_name(name: &str) -> &str {
    match name {
        "matrix" => "a range vector",
        "vector" => "an instant vector",
        "scalar" => "a scalar",
        "string" => "a string",
        other => other,
    }
}

fn known(message: &str) -> Option<(String, Option<&'static str>)> {
    let (message, help) = match message {
        "comparisons between scalars must use BOOL modifier" => {
            ("a comparison between two scalars needs the bool modifier", Some("write it like 1 > bool 0"))
        }
        "binary expression must contain only scalar and instant vector types" => (
            "an operator takes scalars and instant vectors only",
            Some("put a function like rate() or max_over_time() around a range"),
        ),
        "vector selector must contain at least one non-empty matcher" => (
            "the selector would take every series: at least one matcher must not match the empty value",
            Some("name the metric, or use a matcher like job=~\".+\""),
        ),
        "ranges only allowed for vector selectors" => (
            "a range can follow only a selector",
            Some("after a function or operator a subquery gives a range, like [1h:1m]"),
        ),
        "no offset modifiers allowed before range" => {
            ("the offset stands after the range", Some("write it like foo[5m] offset 1h"))
        }
        _ => return None,
    };
    Some((message.to_owned(), help))
}
