//! Tokens of an expression, with their places.
//!
//! The grammar's own parser gives no places, so every fault that is shown with a caret is found on these tokens. Knows
//! nothing of the grammar: keywords are names here.

use std::ops::Range;

use super::error::ExprError;
use super::literal;
use crate::base::{Millis, parse_duration};

/// Most tokens of one expression. The parser's type checks cost their square, and the tree's depth is bounded by it.
pub(super) const MAX_TOKENS: usize = 10_000;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or keyword; may contain colons.
    Name,
    /// A number, `Inf` and `NaN` among them.
    Number(f64),
    /// A duration.
    Duration(Millis),
    /// A quoted string, as its value.
    Text(String),
    /// Punctuation or an operator, as it is written.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// A token and its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// Longest first, so that `<=` is not read as `<` and `=`.
const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "=~", "!~", "(", ")", "{", "}", "[", "]", ",", ":", "@", "+", "-", "*", "/", "%", "^", "<",
    ">", "=", "!", ";",
];

/// Splits an expression into tokens; the last is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExprError> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut in_brackets = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = if c.is_ascii_whitespace() {
            at += 1;
            continue;
        } else if c == '#' {
            at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            continue;
        } else if let Some(error) = foreign(rest, at) {
            return Err(error);
        } else if is_alpha(c) || (c == ':' && !in_brackets) {
            name(rest)
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|d: char| d.is_ascii_digit())) {
            number_or_duration(rest, at)?
        } else if matches!(c, '"' | '\'' | '`') {
            quoted(rest, at)?
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or_else(|| unexpected(c, at))?;
            match *sign {
                "[" => in_brackets = true,
                "]" => in_brackets = false,
                _ => {}
            }
            (Kind::Sign(sign), sign.len())
        };
        out.push(Token { kind, span: at..at + length });
        if out.len() > MAX_TOKENS {
            return Err(ExprError::at(at..at + length, format!("the expression has more than {MAX_TOKENS} tokens")));
        }
        at += length;
    }
    out.push(Token { kind: Kind::End, span: text.len()..text.len() });
    Ok(out)
}

/// The value of a text that is one string literal.
///
/// ```
/// use forewarn::promql::parse_string;
/// assert_eq!(parse_string(r#""a\tb""#).as_deref(), Some("a\tb"));
/// assert_eq!(parse_string("a"), None);
/// ```
#[must_use]
pub fn parse_string(text: &str) -> Option<String> {
    match <[Token; 2]>::try_from(tokens(text).ok()?) {
        Ok([Token { kind: Kind::Text(value), .. }, _]) => Some(value),
        _ => None,
    }
}

/// Templates and variables, which others fill in before PromQL is read; nobody does for rules.
fn foreign(rest: &str, at: usize) -> Option<ExprError> {
    let (length, message, help) = if rest.starts_with("{{") {
        let length = rest.find("}}").map_or(2, |end| end + 2);
        let help = "write the value; only labels and annotations are templates";
        (length, "a template is not expanded in an expression", help)
    } else {
        let length = if rest.starts_with("[[") {
            rest.find("]]").map_or(2, |end| end + 2)
        } else if let Some(name) = rest.strip_prefix('$') {
            1 + name.find(|c: char| !is_alpha(c) && !c.is_ascii_digit() && !"{}".contains(c)).unwrap_or(name.len())
        } else {
            return None;
        };
        let help = "a dashboard fills it in, a rule does not: write the value, like 5m for an interval";
        (length, "a variable of a dashboard or shell is not PromQL", help)
    };
    Some(ExprError::at(at..at + length, message).help(help))
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn name(rest: &str) -> (Kind, usize) {
    let length = rest.find(|c: char| !is_alpha(c) && !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
    (Kind::Name, length)
}

/// Length of the number at the start, whether or not a number may end there.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    // As in Go, digits may be parted by single underscores: 1_000.
    let run = |start: usize, accept: fn(&u8) -> bool| {
        let mut i = start;
        while bytes.get(i).is_some_and(accept)
            || (i > start && bytes.get(i) == Some(&b'_') && bytes.get(i + 1).is_some_and(accept))
        {
            i += 1;
        }
        i
    };
    if rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x")) {
        return run(2, u8::is_ascii_hexdigit);
    }
    let mut end = run(0, u8::is_ascii_digit);
    if bytes.get(end) == Some(&b'.') {
        end = run(end + 1, u8::is_ascii_digit);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let digits = if matches!(bytes.get(end + 1), Some(b'+' | b'-')) { end + 2 } else { end + 1 };
        let after = run(digits, u8::is_ascii_digit);
        if after > digits {
            end = after;
        }
    }
    end
}

fn number_or_duration(rest: &str, at: usize) -> Result<(Kind, usize), ExprError> {
    let joined = |c: char| is_alpha(c) || c.is_ascii_digit() || c == '.';
    let length = number_length(rest);
    if !rest[length..].starts_with(joined) {
        let value = literal::number(&rest[..length])
            .ok_or_else(|| ExprError::at(at..at + length, format!("not a number: {}", &rest[..length])))?;
        return Ok((Kind::Number(value), length));
    }
    let length = rest.find(|c| !joined(c)).unwrap_or(rest.len());
    let span = at..at + length;
    let written = &rest[..length];
    match parse_duration(written) {
        Ok(millis) => Ok((Kind::Duration(millis), length)),
        Err(_) => {
            let error = ExprError::at(span, format!("not a number or duration: {written}"));
            Err(error.help(match written.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.') {
                "k" | "K" | "Ki" | "M" | "Mi" | "MB" | "G" | "Gi" | "GB" | "T" | "kb" | "KB" => {
                    "numbers have no units: 5000, 5e3 or 5 * 1024; the m of a duration is minutes"
                }
                _ => {
                    "durations are written like 5m, 1h30m or 15s; units ms, s, m, h, d, w, y, largest first, whole \
                      numbers; at most 292 years"
                }
            }))
        }
    }
}

fn quoted(rest: &str, at: usize) -> Result<(Kind, usize), ExprError> {
    let mut chars = rest.char_indices();
    let quote = chars.next().map_or('"', |(_, c)| c);
    let mut end = None;
    while let Some((i, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            chars.next();
        } else if c == quote {
            end = Some(i + 1);
            break;
        }
    }
    let length = end.ok_or_else(|| {
        let line = rest.find('\n').unwrap_or(rest.len());
        ExprError::at(at..at + line, format!("the string that begins here has no closing {quote}"))
    })?;
    let value = literal::unquote(&rest[..length]).map_err(|(offset, reason)| {
        let end = if offset == 0 { length } else { (offset + 2).min(length) };
        let end = (end..=length).find(|i| rest.is_char_boundary(*i)).unwrap_or(length);
        // Strings of any bytes are Go's; Prometheus refuses them where it wants a label's name.
        let error = if offset == 0 { ExprError::late } else { ExprError::at };
        error(at + offset..at + end, reason).help(
            "a backslash in a quoted string is doubled: \"\\\\.\"; or use back-quotes, which take it as it is: `\\.`",
        )
    })?;
    Ok((Kind::Text(value), length))
}

fn unexpected(c: char, at: usize) -> ExprError {
    let error = ExprError::at(at..at + c.len_utf8(), format!("unexpected character {c:?}"));
    match c {
        '.' => error.help("a metric name with dots is quoted inside the braces: {\"http.server.duration\"}"),
        '“' | '”' | '‘' | '’' => error.help("use straight quotes"),
        '&' | '|' => error.help("PromQL's set operators are `and`, `or` and `unless`"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|t| t.kind).collect()
    }

    #[test]
    fn splits_a_selector_with_range() {
        let found = tokens("a:b{x=~`\\.`}[5m:1m] >= .5 # end").unwrap();
        let written: Vec<&str> = found.iter().map(|t| &"a:b{x=~`\\.`}[5m:1m] >= .5 # end"[t.span.clone()]).collect();
        assert_eq!(written, ["a:b", "{", "x", "=~", "`\\.`", "}", "[", "5m", ":", "1m", "]", ">=", ".5", ""]);
    }

    #[test]
    fn numbers_and_durations() {
        assert_eq!(
            kinds("0x10 1e3 90m"),
            [Kind::Number(16.0), Kind::Number(1000.0), Kind::Duration(5_400_000), Kind::End]
        );
        for bad in ["5mm", "1.5h", "5m1h", "1.2.3"] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        for (text, span) in [("up{a=\"b}", 5..8), ("up{a=\"x\\.y\"}", 7..9), ("up & down", 3..4), ("a > 5mm", 4..7)] {
            assert_eq!(tokens(text).unwrap_err().span, Some(span), "{text}");
        }
    }
}
