//! `eval`: an expression, when it is evaluated, and what must come of it.

use super::expectation::{self, Expectation, Wording};
use super::read::{Lines, ScriptError};
use super::series::{self, Points};
use crate::base::{Labels, Millis, format_duration, parse_duration, parse_value};
use crate::promql::parse_string;

/// Most instants of one evaluation.
const MAX_STEPS: i64 = 100_000;

/// An expression to evaluate.
#[derive(Clone, Debug)]
pub struct Eval {
    /// Line, from 1.
    pub line: u64,
    /// The expression.
    pub expr: String,
    /// When it is evaluated.
    pub instants: Instants,
    /// Whether it is a range query, whose result is a series of values even at one instant.
    pub is_range: bool,
    /// What must be said of it besides its value.
    pub expectations: Vec<Expectation>,
    /// Its value.
    pub expected: Expected,
}

/// Instants that lie a step apart, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// The first.
    pub start: Millis,
    /// None is later than this.
    pub end: Millis,
    /// Between them; positive.
    pub step: Millis,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Expected {
    /// A scalar.
    Scalar(f64),
    /// A string.
    Text(String),
    /// Series, each with one value an instant of the evaluation.
    Series(Vec<ExpectedSeries>),
    /// A range vector: series, with one value for each of these instants.
    RangeVector(Instants, Vec<ExpectedSeries>),
}

/// A series that must come out.
#[derive(Clone, Debug)]
pub struct ExpectedSeries {
    /// Line, from 1.
    pub line: u64,
    /// Labels.
    pub labels: Labels,
    /// Values in order of time, None where there is none; None as a whole where native histograms are among them.
    pub values: Option<Vec<Option<f64>>>,
}

impl Instants {
    /// The one instant.
    #[must_use]
    pub fn at(t: Millis) -> Self {
        Self { start: t, end: t, step: 1 }
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = Millis> {
        (0..self.count()).map(move |i| self.start + i * self.step)
    }

    /// The last of them.
    #[must_use]
    pub fn last(self) -> Millis {
        self.start + (self.count() - 1) * self.step
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> i64 {
        (self.end - self.start) / self.step + 1
    }
}

impl Eval {
    /// The series expected, whatever kind of value it is.
    #[must_use]
    pub fn expected_series(&self) -> &[ExpectedSeries] {
        match &self.expected {
            Expected::Series(series) | Expected::RangeVector(_, series) => series,
            Expected::Scalar(_) | Expected::Text(_) => &[],
        }
    }
}

/// Reads the command in `line` and its block.
pub(super) fn read(number: u64, line: &str, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let (word, rest) = word(line);
    let mut eval = header(number, rest)?;
    match word {
        "eval" => {}
        "eval_fail" => eval.expectations.push(Expectation::Fail(Wording::Any)),
        "eval_warn" => eval.expectations.push(Expectation::Warn(Wording::Any)),
        "eval_info" => eval.expectations.push(Expectation::Info(Wording::Any)),
        "eval_ordered" if eval.is_range => {
            return Err(ScriptError::new(number, "a range has no order: eval_ordered is for instants"));
        }
        "eval_ordered" => eval.expectations.push(Expectation::Ordered),
        _ => {
            let message =
                format!("not a command: {word} (there are eval, eval_fail, eval_warn, eval_info and eval_ordered)");
            return Err(ScriptError::new(number, message));
        }
    }
    block(eval, lines)
}

fn header(number: u64, rest: &str) -> Result<Eval, ScriptError> {
    let fault = |message: String| ScriptError::new(number, message);
    let usage = || {
        fault(
            "write `eval instant at TIME EXPRESSION` or `eval range from TIME to TIME step STEP EXPRESSION`".to_owned(),
        )
    };
    let (kind, mut rest) = word(rest);
    let mut value_after = |keyword: &str| {
        let (found, tail) = word(rest);
        let (value, tail) = word(tail);
        rest = tail;
        if found != keyword || value.is_empty() { Err(usage()) } else { Ok(value) }
    };
    let (instants, is_range) = match kind {
        "instant" => {
            let t = parse_duration(value_after("at")?).map_err(|e| fault(e.to_string()))?;
            (Instants::at(t), false)
        }
        "range" => (instants(number, value_after("from")?, value_after("to")?, value_after("step")?)?, true),
        _ => return Err(usage()),
    };
    if rest.is_empty() {
        return Err(usage());
    }
    let expected = Expected::Series(vec![]);
    Ok(Eval { line: number, expr: rest.to_owned(), instants, is_range, expectations: vec![], expected })
}

fn instants(number: u64, start: &str, end: &str, step: &str) -> Result<Instants, ScriptError> {
    let read = |text: &str| parse_duration(text).map_err(|e| ScriptError::new(number, e.to_string()));
    let instants = Instants { start: read(start)?, end: read(end)?, step: read(step)? };
    let message = match instants {
        Instants { start, end, .. } if end < start => {
            format!("the end ({}) is before the start ({})", format_duration(end), format_duration(start))
        }
        Instants { step: 0, .. } => "the step must be longer than 0".to_owned(),
        _ if instants.count() > MAX_STEPS => format!("more than {MAX_STEPS} steps"),
        _ => return Ok(instants),
    };
    Err(ScriptError::new(number, message))
}

fn block(mut eval: Eval, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let mut series: Vec<ExpectedSeries> = Vec::new();
    let mut range_vector = None;
    while let Some((number, line)) = lines.next_of_block() {
        series::refuse_command(number, line)?;
        if let Some(words) = line.strip_prefix("expected_fail_message") {
            become_failure(&mut eval, Wording::Exactly(words.trim().to_owned()));
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            become_failure(&mut eval, Wording::matching(number, pattern.trim())?);
        } else if let Some(rest) = line.strip_prefix("expect range vector") {
            range_vector = Some(range(number, rest)?);
        } else if let Some(rest) = line.strip_prefix("expect string") {
            let fault = || ScriptError::new(number, "the string must stand in quotes");
            eval.expected = Expected::Text(parse_string(rest.trim()).ok_or_else(fault)?);
        } else if word(line).0 == "expect" {
            eval.expectations.push(expectation::read(number, line)?);
            expectation::check(number, &eval.expectations)?;
        } else if let Some(scalar) = number_of(line) {
            // Nothing follows a scalar; the next line is a command even without an empty line before it.
            eval.expected = Expected::Scalar(scalar);
            return Ok(eval);
        } else {
            let expected = expected(number, line)?;
            let count = expected.values.as_ref().map_or(1, Vec::len);
            if count > 1 && !eval.is_range && range_vector.is_none() {
                let message = "several values at one instant (`expect range vector from … to … step …` before them makes \
                               them a range vector)";
                return Err(ScriptError::new(number, message));
            }
            let most = range_vector.unwrap_or(eval.instants).count();
            if count as i64 > most {
                return Err(ScriptError::new(number, format!("{count} values for {most} instants")));
            }
            // As with what is loaded, the later line stands.
            series.retain(|known| known.labels != expected.labels);
            series.push(expected);
        }
    }
    match (range_vector, &eval.expected) {
        (Some(instants), _) => eval.expected = Expected::RangeVector(instants, series),
        (None, Expected::Series(_)) => eval.expected = Expected::Series(series),
        _ => {}
    }
    Ok(eval)
}

/// The old way of saying how an evaluation fails: takes the place of `eval_fail`'s "anyhow".
fn become_failure(eval: &mut Eval, wording: Wording) {
    eval.expectations.retain(|e| !matches!(e, Expectation::Fail(_)));
    eval.expectations.push(Expectation::Fail(wording));
}

fn range(number: u64, text: &str) -> Result<Instants, ScriptError> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["from", start, "to", end, "step", step] => instants(number, start, end, step),
        _ => Err(ScriptError::new(number, "write `expect range vector from TIME to TIME step STEP`")),
    }
}

fn expected(line: u64, text: &str) -> Result<ExpectedSeries, ScriptError> {
    let (labels, points) = series::read(line, text)?;
    let values = match points {
        Points::Histograms => None,
        // One more than there may be, to tell that there are too many.
        Points::Numbers(notation) => Some(notation.iter().take(MAX_STEPS as usize + 1).collect()),
    };
    Ok(ExpectedSeries { line, labels, values })
}

/// A number by itself, as Go reads one: `5`, `-1e3`, `+Inf`, `0x1F`.
fn number_of(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let radix = [("0x", 16), ("0X", 16), ("0o", 8), ("0b", 2)].iter().find(|(prefix, _)| unsigned.starts_with(prefix));
    let Some((_, radix)) = radix else { return parse_value(text) };
    let magnitude = i64::from_str_radix(&unsigned[2..], *radix).ok()? as f64;
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::promql_script::{Command, Script};

    fn evals(text: &str) -> Vec<Eval> {
        let commands = Script::parse(text).unwrap().commands.into_iter();
        commands.filter_map(|c| if let Command::Eval(eval) = c { Some(*eval) } else { None }).collect()
    }

    #[test]
    fn instants_and_ranges_are_read() {
        let [instant, range] =
            &evals("eval  instant  at 1h5m  a +  b\n\neval range from 0 to 10s step 3s a\n  a 1 _x2 2")[..]
        else {
            panic!()
        };
        assert_eq!((instant.instants, instant.expr.as_str()), (Instants::at(3_900_000), "a +  b"));
        assert_eq!(range.instants.iter().collect::<Vec<_>>(), [0, 3_000, 6_000, 9_000]);
        let values = range.expected_series()[0].values.clone();
        assert_eq!(values, Some(vec![Some(1.0), None, None, Some(2.0)]));
    }

    #[test]
    fn a_scalar_ends_its_block() {
        let read = evals("eval instant at 1m 16\n  0x10\neval instant at 1m -Inf\n  -Inf\n\neval instant at 0 x\n");
        let scalars: Vec<_> =
            read.iter().map(|e| if let Expected::Scalar(v) = e.expected { Some(v) } else { None }).collect();
        assert_eq!(scalars, [Some(16.0), Some(f64::NEG_INFINITY), None]);
    }

    #[test]
    fn other_values_are_read() {
        let text = "eval instant at 1m \"x\"\n  expect string \"a\\n\"\n\neval instant at 1m x[2m]\n  expect range vector from 10s to 1m step 10s\n  x 1x5\n\neval instant at 1m x\n  x {{sum:1}}\n";
        let [string, matrix, histogram] = &evals(text)[..] else { panic!() };
        assert!(matches!(&string.expected, Expected::Text(text) if text == "a\n"));
        let Expected::RangeVector(instants, series) = &matrix.expected else { panic!() };
        assert_eq!((instants.count(), series[0].values.as_ref().map(Vec::len)), (6, Some(6)));
        assert!(histogram.expected_series()[0].values.is_none());
    }

    #[test]
    fn failures_may_be_said_in_the_old_way() {
        let read = evals(
            "eval_fail instant at 1m x\n  expected_fail_message so it is\n\neval_fail range from 0 to 1m step 1m x\n",
        );
        assert!(matches!(&read[0].expectations[..], [Expectation::Fail(Wording::Exactly(m))] if m == "so it is"));
        assert!(matches!(&read[1].expectations[..], [Expectation::Fail(Wording::Any)]));
    }
}
