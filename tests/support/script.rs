//! Reads Prometheus' evaluation scripts (`promqltest` in prometheus/prometheus): what they load, what they evaluate, and what
//! they expect. Native histograms and start timestamps are left out: a series with such samples is not loaded, and an
//! expectation of one is [`Expected::Other`].

use forewarn::base::{Labels, METRIC_NAME, Millis, Sample, parse_duration, parse_value, stale_nan};
use promql_parser::parser::Expr;

/// What a script says, in order.
pub enum Command {
    /// Forget what was loaded.
    Clear,
    /// Load series, whose samples lie `step` apart.
    Load { step: Millis, series: Vec<(Labels, Vec<Sample>)> },
    /// Evaluate an expression.
    Eval(Eval),
}

/// An expression to evaluate.
pub struct Eval {
    /// Line of the script, counted from 1.
    pub line: usize,
    pub expr: String,
    /// Instants in order; one for an instant query.
    pub instants: Vec<Millis>,
    /// Whether the order of the series counts.
    pub ordered: bool,
    pub expected: Expected,
}

/// What must come out.
#[derive(Debug)]
pub enum Expected {
    /// An error.
    Failure,
    /// A scalar.
    Scalar(f64),
    /// Series, each with a value or none for each instant.
    Series(Vec<(Labels, Vec<Option<f64>>)>),
    /// A string.
    Text(String),
    /// The samples of a range.
    Matrix(Vec<(Labels, Vec<Sample>)>),
    /// Native histograms.
    Other,
}

/// Reads a script; panics at what it does not understand.
pub fn read(text: &str) -> Vec<Command> {
    let mut lines = text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).enumerate().peekable();
    let mut commands = Vec::new();
    while let Some((at, line)) = lines.next() {
        let mut block = Vec::new();
        if line.is_empty() {
            continue;
        }
        while let Some((_, next)) = lines.next_if(|(_, next)| line != "clear" && !next.is_empty()) {
            block.push(next);
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        commands.push(match word {
            "clear" => Command::Clear,
            "load" | "load_with_nhcb" => load(rest.trim(), &block),
            _ if word.starts_with("eval") => Command::Eval(eval(at + 1, word, rest, &block)),
            _ => panic!("line {}: {line}", at + 1),
        });
    }
    commands
}

fn load(step: &str, block: &[&str]) -> Command {
    let step = millis(step);
    let mut series: Vec<(Labels, Vec<Sample>)> = Vec::new();
    for line in block {
        let (labels, rest) = split_labels(line);
        if rest.starts_with('@') || rest.contains("{{") {
            continue;
        }
        let values = values(rest).into_iter().zip(0..);
        let samples = values.filter_map(|(v, i)| Some(Sample { t: i * step, v: v? })).collect();
        // Of two lines for one series the later stands.
        series.retain(|(known, _)| *known != labels);
        series.push((labels, samples));
    }
    Command::Load { step, series }
}

fn eval(line: usize, word: &str, rest: &str, block: &[&str]) -> Eval {
    let words = |n: usize| rest.splitn(n + 1, char::is_whitespace).collect::<Vec<_>>();
    let (instants, expr): (Vec<Millis>, &str) = match words(6).as_slice() {
        ["range", "from", start, "to", end, "step", tail] => {
            let (step, expr) = tail.split_once(char::is_whitespace).unwrap();
            ((millis(start)..=millis(end)).step_by(millis(step) as usize).collect(), expr)
        }
        ["instant", "at", at, ..] => (vec![millis(at)], words(3)[3]),
        _ => panic!("line {line}: {word} {rest}"),
    };
    let expectations: Vec<&str> = block.iter().filter_map(|l| l.strip_prefix("expect ")).collect();
    let results: Vec<&str> = block.iter().copied().filter(|l| !l.starts_with("expect ")).collect();
    let fails = word == "eval_fail" || expectations.iter().any(|e| e.starts_with("fail"));
    let text = expectations.iter().find_map(|e| e.strip_prefix("string"));
    let matrix = expectations.iter().find_map(|e| e.strip_prefix("range vector from "));
    let expected = match results.as_slice() {
        _ if fails => Expected::Failure,
        _ if text.is_some() => Expected::Text(unquoted(text.unwrap())),
        _ if results.iter().any(|r| r.contains("{{")) => Expected::Other,
        _ if matrix.is_some() => Expected::Matrix(samples(matrix.unwrap(), &results)),
        [number] if parse_value(number).is_some() => Expected::Scalar(parse_value(number).unwrap()),
        _ => Expected::Series(
            results
                .iter()
                .map(|result| {
                    let (labels, rest) = split_labels(result);
                    (labels, values(rest))
                })
                .collect(),
        ),
    };
    let ordered = expectations.iter().any(|e| e.starts_with("ordered"));
    Eval { line, expr: expr.trim().to_owned(), instants, ordered, expected }
}

fn unquoted(text: &str) -> String {
    match forewarn::promql::parse(text) {
        Ok(Expr::StringLiteral(literal)) => literal.val,
        other => panic!("not a string: {text}: {other:?}"),
    }
}

/// Series with the values of instants `FROM to TO step STEP`.
fn samples(instants: &str, results: &[&str]) -> Vec<(Labels, Vec<Sample>)> {
    let [start, "to", end, "step", step] = instants.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("not instants: {instants}")
    };
    let instants = || (millis(start)..=millis(end)).step_by(millis(step) as usize);
    let series = |line: &&str| {
        let (labels, rest) = split_labels(line);
        (labels, instants().zip(values(rest)).filter_map(|(t, v)| Some(Sample { t, v: v? })).collect())
    };
    results.iter().map(series).collect()
}

/// The labels that a line begins with, and the rest. They are written as a selector is.
fn split_labels(line: &str) -> (Labels, &str) {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    let end = line.char_indices().find(|&(_, c)| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c == '{' => depth += 1,
            None if c == '}' => depth -= 1,
            None => return depth == 0 && (c.is_whitespace() || c == '@'),
        }
        false
    });
    let (text, rest) = line.split_at(end.map_or(line.len(), |(at, _)| at));
    if text == "{}" {
        return (Labels::default(), rest.trim());
    }
    let text = text.strip_suffix("{}").unwrap_or(text);
    let Ok(Expr::VectorSelector(selector)) = forewarn::promql::parse(text) else { panic!("not a series: {line}") };
    let matchers = selector.matchers.matchers.into_iter().map(|m| (m.name, m.value));
    (
        Labels::from_pairs(selector.name.map(|name| (METRIC_NAME.to_owned(), name)).into_iter().chain(matchers)),
        rest.trim(),
    )
}

/// Values as a script writes them: `1 2`, `a+bxN`, `a-bxN`, `axN`, `_`, `_xN`, `stale`.
fn values(text: &str) -> Vec<Option<f64>> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let (item, times) = match item.rsplit_once('x') {
            Some((item, times)) => (item, Some(times.parse::<usize>().unwrap())),
            None => (item, None),
        };
        match item {
            "_" => out.extend(vec![None; times.unwrap_or(1)]),
            "stale" => out.push(Some(stale_nan())),
            _ => {
                let sign = |(i, c): (usize, char)| i > 0 && matches!(c, '+' | '-') && !item[..i].ends_with(['e', 'E']);
                let at = item.char_indices().position(sign).filter(|_| times.is_some()).unwrap_or(item.len());
                let number = |text: &str| parse_value(text).unwrap_or_else(|| panic!("not a value: {text}"));
                let (mut value, step) = (number(&item[..at]), item.get(at..).filter(|s| !s.is_empty()).map(number));
                for _ in 0..=times.unwrap_or(0) {
                    out.push(Some(value));
                    value += step.unwrap_or(0.0);
                }
            }
        }
    }
    out
}

fn millis(text: &str) -> Millis {
    parse_duration(text).unwrap_or_else(|e| panic!("{e}"))
}
