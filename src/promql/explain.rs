//! Says in a user's words what the grammar's parser says in its own.

use std::ops::Range;

use super::error::{ExprError, FaultKind};
use super::signatures::signature;

/// An error of the parser, at a place.
pub(super) fn explain(message: String, span: Option<Range<usize>>) -> ExprError {
    let (message, help) = type_mismatch(&message)
        .or_else(|| arguments(&message))
        .or_else(|| matching(&message))
        .or_else(|| known(&message))
        .unwrap_or((message, None));
    ExprError { message, help, span, kind: FaultKind::Mistake }
}

/// Of a fault of type: what was given, in the parser's word.
pub(super) fn given_type(message: &str) -> Option<&str> {
    message.strip_prefix("expected type ")?.rsplit_once(", got ").map(|(_, got)| got)
}

type Explained = Option<(String, Option<String>)>;

/// `expected type matrix in call to function 'rate', got vector`, and the same in an aggregation.
fn type_mismatch(message: &str) -> Explained {
    let (expected, rest) = message.strip_prefix("expected type ")?.split_once(" in ")?;
    let (context, got) = rest.rsplit_once(", got ")?;
    let function = context.strip_prefix("call to function '").and_then(|c| c.strip_suffix('\''));
    let whose = match function {
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
    let help = match (help, function) {
        (Some(help), _) => help.to_owned(),
        (None, Some(function)) => signature(function),
        (None, None) => "as in topk(3, x), quantile(0.9, x), count_values(\"version\", x)".to_owned(),
    };
    Some((format!("{whose} takes {}, not {}", type_name(expected), type_name(got)), Some(help)))
}

/// `expected at most 2 argument(s) in call to 'round', got 3`.
fn arguments(message: &str) -> Explained {
    let (wanted, rest) = message.strip_prefix("expected ")?.split_once(" argument(s) in call to '")?;
    let (name, got) = rest.split_once("', got ")?;
    let plural = if wanted.ends_with(" 1") || wanted == "1" { "" } else { "s" };
    Some((format!("{name}() takes {wanted} argument{plural}; {got} given"), Some(signature(name))))
}

/// What is said about operators and their matching, with the operator or label in quotes.
fn matching(message: &str) -> Explained {
    let quoted = message.split('\'').nth(1).unwrap_or_default();
    if message.starts_with("set operator") {
        let help =
            "vector() makes an instant vector of a scalar; to ask two things of one series write x > 1 and x < 5";
        return Some((format!("`{quoted}` combines two instant vectors, not scalars"), Some(help.to_owned())));
    }
    if message.ends_with("must not occur in ON and GROUP clause at once") {
        let help = "take it out of group_left() or group_right(): labels of on() are in the result anyway";
        return Some((
            format!("the label {quoted} stands both in on() and in the group clause"),
            Some(help.to_owned()),
        ));
    }
    if message.starts_with("no grouping allowed for") {
        let help = "leave it out: and, or and unless match many elements to many anyway";
        return Some((format!("group_left and group_right do not go with `{quoted}`"), Some(help.to_owned())));
    }
    None
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

fn known(message: &str) -> Explained {
    let (message, help) = match message {
        "comparisons between scalars must use BOOL modifier" => {
            ("a comparison between two scalars needs the bool modifier", Some("write it like 1 > bool 0"))
        }
        "binary expression must contain only scalar and instant vector types" => (
            "an operator takes scalars and instant vectors only",
            Some(
                "put a function like rate() or max_over_time() around a range; a text is asked for by a matcher: x{label=\"text\"}",
            ),
        ),
        "vector selector must contain at least one non-empty matcher" => (
            "the selector would take every series: at least one matcher must not match the empty value",
            Some("name the metric, or use a matcher like job=~\".+\""),
        ),
        "ranges only allowed for vector selectors" => (
            "a range can follow only a selector",
            Some("after a function or operator a subquery gives a range, like [1h:1m]"),
        ),
        "bool modifier can only be used on comparison operators" => {
            ("bool can follow a comparison only", Some("those are == != < <= > >="))
        }
        "vector matching only allowed between vectors" => {
            ("on() and ignoring() match elements of two vectors; here one side is a scalar", Some("leave them out"))
        }
        "offset may not be set multiple times" => ("offset is given twice", Some("write one, the sum of both")),
        "offset modifier must be preceded by an vector selector or matrix selector or a subquery" => (
            "offset follows a selector, a range or a subquery, not a function or an aggregation",
            Some("move it to the selector within: sum(x offset 5m)"),
        ),
        "unary expression only allowed on expressions of type scalar or vector, got: string"
        | "unary expression only allowed on expressions of type scalar or vector, got: matrix" => (
            "a sign stands before scalars and instant vectors only",
            Some("put a function like rate() or max_over_time() around a range"),
        ),
        "no offset modifiers allowed before range" => {
            ("the offset stands after the range", Some("write it like foo[5m] offset 1h"))
        }
        _ => return None,
    };
    Some((message.to_owned(), help.map(str::to_owned)))
}
