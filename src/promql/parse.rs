//! From an expression's text to its tree.
//!
//! Tokens, grammar and refusals are ours, since they know places; the tree and its types are `promql_parser`'s. That
//! parser reads a canonical spelling of the tokens and not the text: it mistakes back-quoted strings, some numbers and
//! long durations, and panics on durations that it cannot hold.

use std::fmt::Write as _;
use std::ops::Range;

use promql_parser::parser::{self, Expr};

use super::check::{Place, check};
use super::error::ExprError;
use super::explain::{explain, given_type};
use super::extensions::{DEFAULT_QUANTILE, TIME_UNTIL, register};
use super::lexer::{Kind, Token, tokens};
use super::literal::quote;
use super::located::Parsed;
use super::signatures::argument_type;
use super::syntax::{Part, PartKind, recognise};
use crate::base::format_duration;

/// Parses an expression: PromQL as of Prometheus 3, less what a stream cannot give, plus the predictive functions.
///
/// # Errors
/// A fault of grammar or type, or a part of PromQL that is refused; with its place where that is known.
///
/// ```
/// use forewarn::promql::parse;
/// assert!(parse("predict_quantile(0.95, node_filesystem_avail_bytes, 4 * 3600) < 0").is_ok());
/// let error = parse("rate(requests_total)").unwrap_err();
/// assert_eq!(error.message, "rate() takes a range vector, not an instant vector");
/// assert_eq!(error.span, Some(5..19));
/// ```
pub fn parse(text: &str) -> Result<Expr, ExprError> {
    parse_parts(text).map(|parsed| parsed.expr)
}

/// Parses an expression and keeps where its parts stand.
///
/// # Errors
/// As [`parse`].
pub fn parse_parts(text: &str) -> Result<Parsed, ExprError> {
    register();
    let tokens = tokens(text)?;
    let parts = recognise(text, &tokens)?;
    let spelt = Canonical { text, tokens: &tokens, parts: &parts };
    let expr = parser::parse(&spelt.spell(0..tokens.len())).map_err(|message| {
        let span = spelt.smallest_with(&message).map(|part| span_of(spelt.tokens, spelt.culprit(part, &message)));
        explain(message, span)
    })?;
    check(&expr).map_err(|fault| {
        let span = part_at(&parts, fault.place)
            .map(|part| part.args.get(fault.argument).unwrap_or(&part.tokens))
            .map(|range| span_of(&tokens, range));
        ExprError { message: fault.message, help: fault.help.map(str::to_owned), span, kind: fault.kind }
    })?;
    Ok(Parsed { expr, text: text.to_owned(), tokens, parts })
}

struct Canonical<'a> {
    text: &'a str,
    tokens: &'a [Token],
    parts: &'a [Part],
}

impl Canonical<'_> {
    /// Spells tokens for the parser.
    fn spell(&self, range: Range<usize>) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut in_braces = false;
        for index in range {
            let token = &self.tokens[index];
            // Between braces the parser would take a label `or` before a blank for the operator.
            if !in_braces && !out.is_empty() {
                out.push(' ');
            }
            match &token.kind {
                Kind::Number(n) if n.is_finite() => {
                    let _ = write!(out, "{n}");
                }
                // After `@` the parser takes seconds only.
                Kind::Duration(millis) if self.is_instant(index) => {
                    let _ = write!(out, "{}", *millis as f64 / 1000.0);
                }
                Kind::Duration(millis) => out.push_str(&format_duration(*millis)),
                Kind::Text(value) => out.push_str(&quote(value)),
                Kind::Name | Kind::Number(_) => out.push_str(&self.text[token.span.clone()]),
                Kind::Sign(sign) => {
                    in_braces = *sign == "{" || (in_braces && *sign != "}");
                    if self.ends_call_without_quantile(index) {
                        let _ = write!(out, ", {DEFAULT_QUANTILE}");
                    }
                    out.push_str(sign);
                }
                Kind::End => {}
            }
        }
        out
    }

    fn is_instant(&self, index: usize) -> bool {
        let signs = self.tokens[..index].iter().rev().map(|token| &token.kind);
        signs.take(2).find(|kind| !matches!(kind, Kind::Sign("+" | "-"))) == Some(&Kind::Sign("@"))
    }

    fn ends_call_without_quantile(&self, index: usize) -> bool {
        self.tokens[index].kind == Kind::Sign(")")
            && self.parts.iter().any(|part| {
                part.tokens.end == index + 1
                    && part.args.len() == 2
                    && matches!(&part.kind, PartKind::Call(name) if name == TIME_UNTIL)
            })
    }

    /// The place of the innermost part that by itself gives the same fault; the parser says only what is wrong.
    fn smallest_with(&self, message: &str) -> Option<&Part> {
        self.parts.iter().find(|part| parser::parse(&self.spell(part.tokens.clone())).is_err_and(|m| m == message))
    }

    /// The tokens that a fault of a part is about: of an argument of the wrong type, or all.
    fn culprit<'p>(&self, part: &'p Part, message: &str) -> &'p Range<usize> {
        let Some(given) = given_type(message) else { return &part.tokens };
        let is_given = |arg: &&Range<usize>| {
            parser::parse(&self.spell((*arg).clone())).is_ok_and(|e| e.value_type().to_string() == given)
        };
        let mut args = part.args.iter().enumerate();
        let found = match &part.kind {
            PartKind::Call(name) => args.find(|(i, arg)| argument_type(name, *i) != given && is_given(arg)),
            PartKind::Aggregation if given == "scalar" || given == "matrix" => args.rfind(|(_, arg)| is_given(arg)),
            _ => args.find(|(_, arg)| is_given(arg)),
        };
        found.map_or(&part.tokens, |(_, arg)| arg)
    }
}

fn part_at(parts: &[Part], place: Place) -> Option<&Part> {
    let (wanted, nth): (fn(&PartKind) -> bool, usize) = match place {
        Place::Call(n) => (|kind| matches!(kind, PartKind::Call(_)), n),
        Place::Aggregation(n) => (|kind| *kind == PartKind::Aggregation, n),
    };
    let mut found: Vec<&Part> = parts.iter().filter(|part| wanted(&part.kind)).collect();
    found.sort_by_key(|part| part.tokens.start);
    found.get(nth).copied()
}

fn span_of(tokens: &[Token], range: &Range<usize>) -> Range<usize> {
    tokens[range.start].span.start..tokens[range.end - 1].span.end
}

#[cfg(test)]
mod tests {
    use promql_parser::label::MatchOp;
    use proptest::prelude::*;

    use super::*;

    /// The message, and the text it points at.
    fn fault(text: &str) -> (String, &str) {
        let error = parse(text).expect_err(text);
        (error.message, error.span.map_or("", |span| &text[span]))
    }

    #[test]
    fn faults_point_at_their_place() {
        for (text, message, place) in [
            ("sum(rate(x)) by (a)", "rate() takes a range vector, not an instant vector", "x"),
            ("abs(x[5m]) > 1", "abs() takes an instant vector, not a range vector", "x[5m]"),
            ("sum(x", "`(` is never closed", "("),
            ("up)", "unexpected `)`, expected an operator or the end", ")"),
            ("up > ", "the expression ends where an expression is expected", ""),
            ("foo bar", "unexpected `bar`, expected an operator or the end", "bar"),
            ("up{job=node}", "unexpected `node`, expected a quoted string", "node"),
            ("up{job=~\"*a\"}", "not a regular expression: repetition operator missing expression", "\"*a\""),
            ("up{__name__=\"down\"}", "the metric's name is set twice", "__name__=\"down\""),
            ("up{\"down\"}", "the metric's name is set twice", "\"down\""),
            ("1 > 2", "a comparison between two scalars needs the bool modifier", "1 > 2"),
            ("x and (1 + 2)", "`and` combines two instant vectors, not scalars", "x and (1 + 2)"),
            ("topk(x)", "topk takes 2 arguments: a parameter and a vector; 1 given", "topk(x)"),
            ("a * group_left b", "group_left needs on(...) or ignoring(...) before it", "group_left"),
            ("{a=\"1\" or b=\"2\"}", "unexpected `or`, expected `,` or `}`", "or"),
            ("label_replace(x, \"a\", \"b\", c, \"d\")", "label_replace() takes a string, not an instant vector", "c"),
            ("topk(\"a\", x)", "the aggregation takes a scalar, not a string", "\"a\""),
            ("quantile(0.9, sum(x[5m]))", "the aggregation takes an instant vector, not a range vector", "x[5m]"),
            ("round(x, 1, 2)", "round() takes at most 2 arguments; 3 given", "round(x, 1, 2)"),
            (
                "x + on(a) group_left(a) y",
                "the label a stands both in on() and in the group clause",
                "x + on(a) group_left(a) y",
            ),
            (
                "sum(x) offset 5m",
                "offset follows a selector, a range or a subquery, not a function or an aggregation",
                "sum(x) offset 5m",
            ),
            ("x + bool y", "bool can follow a comparison only", "x + bool y"),
            ("sum by a (x)", "unexpected `a`, expected `(` and label names", "a"),
            ("sum by (a b) (x)", "unexpected `b`, expected `,` or `)`", "b"),
            ("(x, y)", "unexpected `,`, expected an operator or `)`", ","),
            ("rate(x[$__rate_interval])", "a variable of a dashboard or shell is not PromQL", "$__rate_interval"),
            ("x > [[limit]]", "a variable of a dashboard or shell is not PromQL", "[[limit]]"),
            ("x > {{ $limit }}", "a template is not expanded in an expression", "{{ $limit }}"),
            ("x[0]", "a duration must be longer than 0", "0"),
            ("x[1e99]", "the duration is too long", "1e99"),
            ("rat(x[5m])", "unknown function rat()", "rat"),
            ("x > 1 or ln(0)", "ln() takes an instant vector", "0"),
            ("x @ 1e15", "the instant is further away than any sample can be", "1e15"),
            ("x @ foo", "unexpected `foo`, expected seconds since 1970, start() or end()", "foo"),
            ("x @ start", "the expression ends where `()` is expected", ""),
            ("x @ 5 @ 6", "@ <timestamp> may not be set multiple times", "x @ 5 @ 6"),
            ("label_replace(x, \"a\", \"\", \"b\", \"(\")", "not a regular expression: unclosed group", "\"(\""),
        ] {
            assert_eq!(fault(text), (message.to_owned(), place), "{text}");
        }
        assert_eq!(parse("").unwrap_err().message, "the expression is empty");
        assert_eq!(parse("# only a comment").unwrap_err().message, "the expression is empty");
    }

    #[test]
    fn refused_parts_are_named_and_found() {
        for (text, place) in [
            ("rate(x[5m * 2])", "*"),
            ("rate(x[step()])", "step"),
            ("histogram_count(x)", "histogram_count"),
            ("sum(max_of(1, 2))", "max_of"),
            ("limitk by (a) (2, x)", "limitk"),
            ("rate(x[5m] smoothed)", "smoothed"),
            ("a + fill(0) b", "fill"),
            ("x offset (5m)", "("),
        ] {
            let (message, found) = fault(text);
            assert!(message.contains("not supported"), "{text}: {message}");
            assert_eq!(found, place, "{text}");
        }
    }

    #[test]
    fn labels_that_tell_peers_apart_are_checked() {
        assert!(parse(r#"outlier_score(x, "instance", "pod") > 1"#).is_ok());
        for (text, message, place) in [
            ("outlier_score(x)", "wrong number of arguments for outlier_score()", "outlier_score(x)"),
            (r#"outlier_score(x, "")"#, "the label's name is empty", r#""""#),
            (
                r#"outlier_score(x, "a", "__name__")"#,
                "peers are of one metric: the name does not tell them apart",
                r#""__name__""#,
            ),
        ] {
            assert_eq!(fault(text), (message.to_owned(), place), "{text}");
        }
        assert!(parse(r#"outlier_score(x, 5)"#).is_err());
        assert!(parse(r#"outlier_score("a", "b")"#).is_err());
    }

    #[test]
    fn predictive_functions_have_their_arguments_checked() {
        for text in [
            "predict_seasonal(x, 3600)",
            "predict_seasonal(sum by (a) (rate(x[5m])), 4 * 3600, \"disk\")",
            "predict_quantile(0.95, x, 1h) < 0",
            "predict_quantile(0.95, x, 0, \"p\")",
            "predict_anomaly(x) > 1",
            "predict_anomaly(x, `p`)",
            "changed_at(x) > time() - 300",
            "changed_at(sum(x), \"p\")",
            "time_until(x, 0) < 4 * 3600",
            "time_until(x, 0, 0.9)",
            "time_until(x, 0, 0.9, \"p\")",
        ] {
            assert_eq!(parse(text).map_err(|e| e.message).err(), None, "{text}");
        }
        let between = "φ must be a number between 0 and 1, written out";
        for (text, message, place) in [
            ("predict_quantile(95, x, 1h)", between, "95"),
            ("y + time_until(x, 0, 2)", between, "2"),
            ("predict_quantile(scalar(y), x, 1h)", between, "scalar(y)"),
            ("predict_anomaly(x, \"\")", "the profile's name is empty", "\"\""),
            ("changed_at(x, \"\")", "the profile's name is empty", "\"\""),
            ("changed_at()", "wrong number of arguments for changed_at()", "changed_at()"),
            ("predict_anomaly(x, 1)", "predict_anomaly() takes a string, not a scalar", "1"),
            ("time_until(x)", "wrong number of arguments for time_until()", "time_until(x)"),
            ("predict_anomaly(x[5m])", "predict_anomaly() takes an instant vector, not a range vector", "x[5m]"),
        ] {
            assert_eq!(fault(text), (message.to_owned(), place), "{text}");
        }
        let Ok(Expr::Call(call)) =
            parse("time_until(x, time_until(y, 0))").or_else(|_| parse("time_until(x, scalar(time_until(y, 0)))"))
        else {
            panic!("a call")
        };
        assert_eq!(call.to_string(), "time_until(x, scalar(time_until(y, 0, 0.5)), 0.5)");
    }

    #[test]
    fn the_canonical_spelling_keeps_the_meaning() {
        let Ok(Expr::VectorSelector(selector)) = parse(r"x{a=~`b\.c`, or ='\'', le='\xe2\x82\xac'}") else { panic!() };
        let values: Vec<&str> = selector.matchers.matchers.iter().map(|m| m.value.as_str()).collect();
        assert_eq!(values, [r"b\.c", "'", "€"]);
        assert!(matches!(&selector.matchers.matchers[0].op, MatchOp::Re(re) if re.is_match("b.c")));
        let Ok(Expr::NumberLiteral(number)) = parse("0e5") else { panic!() };
        assert_eq!(number.val, 0.0);
        let Ok(Expr::MatrixSelector(matrix)) = parse("x[8640000000ms]") else { panic!() };
        assert_eq!(matrix.range.as_secs(), 8_640_000);
        for text in [
            "-1 ^ 2",
            "SUM BY (a) (x)",
            "sum(x) without ()",
            "by + offset offset 5m",
            "inf",
            "x # c\n> 1",
            "{\"a.b\", c=\"d\"}",
            "{__name__=~\"a.*\", __name__!=\"ab\"}",
            "x @ -1m40s offset -5",
            "rate(x[5m] offset -1h @ start())",
            "max_over_time(x[5m:1m] @ end() offset -1e3)",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn deep_and_long_expressions_end() {
        assert!(fault(&"(".repeat(100_000)).0.contains("tokens"));
        assert!(fault(&format!("{}1{}", "(".repeat(4_000), ")".repeat(4_000))).0.contains("deep"));
        assert!(fault(&"-".repeat(9_000)).0.contains("deep"));
        assert!(fault(&vec!["x"; 4_000].join(" or ")).0.contains("deep"));
        assert!(parse(&vec!["x"; 250].join(" or ")).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_gives_a_tree_or_a_fault_within_it(text in "[a-z(){}\\[\\]\"'`=~!<>+*/^,:@.0-9 smhd\\\\éx#-]{0,40}") {
            if let Err(error) = parse(&text)
                && let Some(span) = error.span
            {
                prop_assert!(text.get(span).is_some());
            }
        }
    }
}
