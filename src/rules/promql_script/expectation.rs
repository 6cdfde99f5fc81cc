//! `expect …`: what must be said of an evaluation besides its value.

use regex::Regex;

use super::read::ScriptError;

/// An expectation.
#[derive(Clone, Debug)]
pub enum Expectation {
    /// The elements come in the order in which they are written.
    Ordered,
    /// The evaluation fails.
    Fail(Wording),
    /// There is such a warning; and none that no such line asks for.
    Warn(Wording),
    /// There is no warning.
    NoWarn,
    /// There is such an information; and none that no such line asks for.
    Info(Wording),
    /// There is no information.
    NoInfo,
}

/// What a message must be.
#[derive(Clone, Debug)]
pub enum Wording {
    /// Anything.
    Any,
    /// These words.
    Exactly(String),
    /// A match of this somewhere in it.
    Matching(Regex),
}

const NOT_AN_EXPECTATION: &str = "(there are fail, warn, no_warn, info, no_info and ordered, with msg: or regex: after the \
                                  first three of these; and string, and range vector)";

impl Wording {
    /// Whether a message is so worded.
    #[must_use]
    pub fn fits(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(words) => message == words,
            Self::Matching(regex) => regex.is_match(message),
        }
    }

    /// The expression `text`, compiled.
    pub(super) fn matching(line: u64, text: &str) -> Result<Self, ScriptError> {
        Regex::new(text).map(Self::Matching).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.rsplit("error: ").next().unwrap_or_default().trim();
            ScriptError::new(line, format!("not a regular expression: {reason}"))
        })
    }
}

impl std::fmt::Display for Wording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Exactly(words) => f.write_str(words),
            Self::Matching(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// Reads an `expect` line.
pub(super) fn read(line: u64, text: &str) -> Result<Expectation, ScriptError> {
    let fault = || ScriptError::new(line, format!("not an expectation: {text:?} {NOT_AN_EXPECTATION}"));
    let rest = text.strip_prefix("expect").unwrap_or(text).trim();
    let (word, wording) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let wording = match wording.trim_start().split_once(':') {
        None if wording.is_empty() => Wording::Any,
        Some(("msg", words)) => Wording::Exactly(words.trim().to_owned()),
        Some(("regex", pattern)) => Wording::matching(line, pattern.trim())?,
        _ => return Err(fault()),
    };
    Ok(match (word, wording) {
        ("ordered", Wording::Any) => Expectation::Ordered,
        ("no_warn", Wording::Any) => Expectation::NoWarn,
        ("no_info", Wording::Any) => Expectation::NoInfo,
        ("fail", wording) => Expectation::Fail(wording),
        ("warn", wording) => Expectation::Warn(wording),
        ("info", wording) => Expectation::Info(wording),
        _ => return Err(fault()),
    })
}

/// Refuses what contradicts itself.
pub(super) fn check(line: u64, expectations: &[Expectation]) -> Result<(), ScriptError> {
    let count = |wanted: fn(&Expectation) -> bool| expectations.iter().filter(|e| wanted(e)).count();
    let fails = count(|e| matches!(e, Expectation::Fail(_)));
    let (warns, no_warns) = (count(|e| matches!(e, Expectation::Warn(_))), count(|e| matches!(e, Expectation::NoWarn)));
    let (infos, no_infos) = (count(|e| matches!(e, Expectation::Info(_))), count(|e| matches!(e, Expectation::NoInfo)));
    let message = match () {
        () if fails > 1 => "an evaluation fails in one way only",
        () if warns > 0 && no_warns > 0 => "`warn` and `no_warn` cannot both be expected",
        () if infos > 0 && no_infos > 0 => "`info` and `no_info` cannot both be expected",
        () => return Ok(()),
    };
    Err(ScriptError::new(line, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_compared_as_asked() {
        let Ok(Expectation::Warn(exact)) = read(1, "expect warn msg: PromQL warning: a \"b\" (1:2) ") else { panic!() };
        assert!(exact.fits("PromQL warning: a \"b\" (1:2)") && !exact.fits("PromQL warning: a"));
        let Ok(Expectation::Fail(pattern)) = read(1, "expect  fail regex:too (many|few)") else { panic!() };
        assert!(pattern.fits("far too many") && !pattern.fits("too much"));
        assert!(matches!(read(1, "expect info"), Ok(Expectation::Info(Wording::Any))));
        assert!(matches!(read(1, "expect no_info"), Ok(Expectation::NoInfo)));
        for text in ["expect", "expect no_warn msg: a", "expect ordered regex: a", "expect fail because: a"] {
            assert!(read(1, text).is_err(), "{text}");
        }
    }
}
