//! From a script's text to its commands, line by line.
//!
//! A command's block ends at the first line that is empty or a comment.

use super::eval::{self, Eval};
use super::load::{self, Load};

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its commands, in order.
    pub commands: Vec<Command>,
}

/// What a script says.
#[derive(Clone, Debug)]
pub enum Command {
    /// Forget what was loaded.
    Clear,
    /// Load series.
    Load(Load),
    /// Evaluate an expression.
    Eval(Box<Eval>),
}

/// A script that cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {message}")]
pub struct ScriptError {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl ScriptError {
    pub(super) fn new(line: u64, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that is not understood.
    ///
    /// ```
    /// use forewarn::rules::promql_script::Script;
    /// let error = Script::parse("load 1m\n  up 1 1 one\n").unwrap_err();
    /// assert_eq!(error.line, 2);
    /// ```
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = Lines::new(text);
        let mut commands = Vec::new();
        while let Some((number, line)) = lines.next() {
            if line.is_empty() {
                continue;
            }
            let word = line.split_whitespace().next().unwrap_or_default();
            commands.push(match word {
                "clear" if line == "clear" => Command::Clear,
                "load" | "load_with_nhcb" => Command::Load(load::read(number, line, &mut lines)?),
                _ if word == "eval" || word.starts_with("eval_") => {
                    Command::Eval(Box::new(eval::read(number, line, &mut lines)?))
                }
                _ => {
                    let message = format!("not a command: {line:?} (there are load, clear and eval)");
                    return Err(ScriptError::new(number, message));
                }
            });
        }
        Ok(Self { commands })
    }
}

/// The lines of a script without their indentation, counted from 1; comments are empty.
pub(super) struct Lines<'a> {
    rest: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.lines().enumerate().peekable() }
    }

    fn next(&mut self) -> Option<(u64, &'a str)> {
        self.rest.next().map(|(index, line)| (index as u64 + 1, without_comment(line)))
    }

    /// The next line of the block, if it goes on.
    pub(super) fn next_of_block(&mut self) -> Option<(u64, &'a str)> {
        self.rest.peek().filter(|(_, line)| !without_comment(line).is_empty())?;
        self.next()
    }
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> String {
        Script::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn commands_are_read_in_order() {
        let script = Script::parse("# c\nclear\nload 5m\n  a 1\n\neval instant at 5m a\n  a 1\n\n").unwrap();
        let [Command::Clear, Command::Load(load), Command::Eval(eval)] = &script.commands[..] else {
            panic!("{:?}", script.commands)
        };
        assert_eq!((load.step, load.series.len(), load.line), (300_000, 1, 3));
        assert_eq!((eval.line, eval.expr.as_str()), (6, "a"));
        assert!(Script::parse("").unwrap().commands.is_empty());
    }

    #[test]
    fn faults_name_their_line_and_what_to_do() {
        for (text, message) in [
            ("lod 5m", "1: not a command: \"lod 5m\" (there are load, clear and eval)"),
            ("\nclear all", "2: not a command: \"clear all\" (there are load, clear and eval)"),
            ("load", "1: load needs the time between samples, like `load 1m`"),
            (
                "load 5 m",
                "1: load: not a duration: \"5 m\" (write it like 5m, 1h30m or 15s; units ms, s, m, h, d, w, y, largest first; at most 292 years)",
            ),
            ("load 0\n a 1", "1: load: the time between samples must be longer than 0"),
            ("load 1m\n  a 1 x", "2: not a value: \"x\" (write 5, 1+2x10, 3x10, _, _x5 or stale, parted by blanks)"),
            ("load 1m\n  a{b=1} 1", "2: not a series: unexpected `1`, expected a quoted string"),
            ("load 1m\n  {} 1", "2: a series needs a name or a label"),
            ("load 1m\n  a 1\n  clear", "3: `clear` within a block: leave the line before it empty"),
            (
                "eval",
                "1: write `eval instant at TIME EXPRESSION` or `eval range from TIME to TIME step STEP EXPRESSION`",
            ),
            (
                "eval instant at 5m",
                "1: write `eval instant at TIME EXPRESSION` or `eval range from TIME to TIME step STEP EXPRESSION`",
            ),
            ("eval range from 5m to 1m step 1m a", "1: the end (1m) is before the start (5m)"),
            ("eval range from 0 to 1m step 0 a", "1: the step must be longer than 0"),
            ("eval range from 0 to 1y step 1ms a", "1: more than 100000 steps"),
            (
                "eval_wrn instant at 1m a",
                "1: not a command: eval_wrn (there are eval, eval_fail, eval_warn, eval_info and eval_ordered)",
            ),
            ("eval_ordered range from 0 to 1m step 1m a", "1: a range has no order: eval_ordered is for instants"),
            (
                "eval instant at 5m a\n  a 1 2",
                "2: several values at one instant (`expect range vector from … to … step …` before them makes them a range vector)",
            ),
            (
                "eval instant at 5m a\n  expect nothing",
                "2: not an expectation: \"expect nothing\" (there are fail, warn, no_warn, info, no_info and ordered, with msg: or regex: after the first three of these; and string, and range vector)",
            ),
            ("eval instant at 5m a\n  expect warn regex: (", "2: not a regular expression: unclosed group"),
            (
                "eval instant at 5m a\n  expect warn\n  expect no_warn",
                "3: `warn` and `no_warn` cannot both be expected",
            ),
            ("eval instant at 5m a\n  expect string foo", "2: the string must stand in quotes"),
        ] {
            assert_eq!(fault(text), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(load 1m|eval instant at 1m|eval range from 0 to 1m step 1m|clear|expect (fail|warn|range vector|string)|[a-z{}@=\"'` 0-9x_+.:-]{0,12}|\n){0,12}") {
            let _ = Script::parse(&text);
        }
    }
}
