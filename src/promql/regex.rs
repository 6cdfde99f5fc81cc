//! Regular expressions as Prometheus' matchers and `label_replace` take them.

use regex::Regex;

/// Bound on a compiled expression's size in memory.
const MAX_COMPILED_BYTES: usize = 4 << 20;

/// Compiles a pattern that must match the whole value; a dot also matches a line break, as in Prometheus
/// (`labels.NewFastRegexMatcher` compiles `^(?s:...)$`).
///
/// Go takes a brace that begins no repetition as itself (`a{b}`), and knows `\C`-free RE2 syntax that is otherwise the
/// same as here; such braces are escaped.
///
/// # Errors
/// The pattern is not a regular expression; the text says why.
pub fn anchored(pattern: &str) -> Result<Regex, String> {
    let compile = |p: &str| regex::RegexBuilder::new(&format!("^(?s:{p})$")).size_limit(MAX_COMPILED_BYTES).build();
    // Without the check, "a)|(b" would compile inside the group.
    let fault = match regex::Regex::new(pattern).and_then(|_| compile(pattern)) {
        Ok(regex) => return Ok(regex),
        Err(fault) => fault,
    };
    let escaped = escape_literal_braces(pattern);
    if escaped != pattern && regex::Regex::new(&escaped).is_ok() {
        return compile(&escaped).map_err(|e| reason(&e));
    }
    Err(reason(&fault))
}

/// The last line of the regex crate's report is the reason; those before show the pattern.
fn reason(fault: &regex::Error) -> String {
    match fault {
        regex::Error::CompiledTooBig(_) => "it compiles to more memory than is allowed".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

fn escape_literal_braces(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if c == '\\' {
            let after = rest.chars().nth(1).map_or(0, char::len_utf8);
            // \pN, \p{Greek} and \x{10FFFF} keep their braces.
            let mut end = 1 + after;
            if rest.get(1..3).is_some_and(|s| matches!(s, "p{" | "P{" | "x{")) {
                end = rest.find('}').map_or(rest.len(), |i| i + 1);
            }
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        if (c == '{' && !is_repetition(rest)) || (c == '}' && !out_ends_repetition(&out)) {
            out.push('\\');
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Whether `{n}`, `{n,}` or `{n,m}` stands at the start.
fn is_repetition(rest: &str) -> bool {
    let Some(end) = rest.find('}') else { return false };
    let (low, high) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], "0"));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

/// Whether the text written so far ends inside a repetition that a closing brace would end.
fn out_ends_repetition(out: &str) -> bool {
    out.rfind('{').is_some_and(|open| {
        (open == 0 || out.as_bytes()[open - 1] != b'\\')
            && out[open + 1..].bytes().all(|b| b.is_ascii_digit() || b == b',')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_values_and_line_breaks() {
        let regex = anchored("a.*|b").unwrap();
        assert!(regex.is_match("a\nx") && regex.is_match("b"));
        assert!(!regex.is_match("xa") && !regex.is_match("bb"));
    }

    #[test]
    fn braces_that_repeat_nothing_are_literal() {
        assert!(anchored("a{b}c").unwrap().is_match("a{b}c"));
        assert!(anchored("a{2}{x}").unwrap().is_match("aa{x}"));
        assert!(anchored(r"\p{Greek}{").unwrap().is_match("α{"));
    }

    #[test]
    fn refuses_what_is_no_expression() {
        assert_eq!(anchored("*a").unwrap_err(), "repetition operator missing expression");
        assert!(anchored("a)|(b").is_err());
        assert!(anchored("(").is_err());
        assert!(anchored("(a{1000}){1000}").is_err());
    }
}
