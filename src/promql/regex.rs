//! Regular expressions as Prometheus' matchers and `label_replace` take them.

use regex::Regex;

use crate::base::re2_pattern;

/// Bound on a compiled expression's size in memory.
const MAX_COMPILED_BYTES: usize = 4 << 20;

/// Compiles a pattern that must match the whole value; a dot also matches a line break, as in Prometheus
/// (`labels.NewFastRegexMatcher` compiles `^(?s:...)$`).
///
/// The syntax is RE2's, see [`re2_pattern`].
///
/// # Errors
/// The pattern is not a regular expression; the text says why.
pub fn anchored(pattern: &str) -> Result<Regex, String> {
    let pattern = re2_pattern(pattern)?;
    // Without the check, "a)|(b" would compile inside the group.
    let fault = |e: regex::Error| reason(&e);
    Regex::new(&pattern).map_err(fault)?;
    let whole = format!("^(?s:{pattern})$");
    regex::RegexBuilder::new(&whole).size_limit(MAX_COMPILED_BYTES).build().map_err(fault)
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
