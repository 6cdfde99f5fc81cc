//! Whether an evaluation gave what its script expects. Values are compared as Prometheus' own runner compares them.

use std::collections::BTreeMap;

use super::check;
use super::diff::diff;
use super::evaluate::Value;
use crate::backtest::verdict::Failure;
use crate::base::{Labels, Sample, format_duration, format_value};
use crate::engine::QueryValue;
use crate::rules::promql_script::{Eval, Expectation, Expected, ExpectedSeries, Instants};

/// Relative difference of values that counts as none: of the sum of both (`util/almost` in prometheus/prometheus).
const TOLERANCE: f64 = 1e-6;

/// The greatest relative difference of the values; Err if they are not as expected.
pub(super) fn compare(eval: &Eval, values: &[Value]) -> Result<f64, Box<Failure>> {
    let because = |message: String| Box::new(Failure::because(Some(eval.line), check(eval), message));
    let error = values.iter().find_map(|value| value.as_ref().err());
    let failure =
        eval.expectations.iter().find_map(|e| if let Expectation::Fail(wording) = e { Some(wording) } else { None });
    match (failure, error) {
        (None, Some(error)) => return Err(because(error.to_string())),
        (Some(wording), Some(error)) if !wording.fits(&error.in_prometheus_words()) => {
            let (expected, got) = (vec![wording.to_string()], vec![error.in_prometheus_words()]);
            return Err(differ(eval, "fails otherwise than expected", expected, got));
        }
        (Some(_), Some(_)) => return Ok(0.0),
        (Some(_), None) => return Err(because("expected to fail, and did not".to_owned())),
        (None, None) => {}
    }
    let values: Vec<&QueryValue> = values.iter().flatten().collect();
    match (&eval.expected, &values[..]) {
        (Expected::Scalar(expected), [QueryValue::Scalar(got)]) if !eval.is_range => scalars(eval, *expected, *got),
        (Expected::Series(expected), [QueryValue::Vector(got)]) if !eval.is_range => {
            let difference = series(eval, eval.instants, expected, &rows(&values))?;
            if eval.expectations.iter().any(|e| matches!(e, Expectation::Ordered)) {
                in_order(eval, expected, got)?;
            }
            Ok(difference)
        }
        (Expected::Series(expected), _) if eval.is_range => series(eval, eval.instants, expected, &rows(&values)),
        (Expected::RangeVector(instants, expected), [QueryValue::Matrix(got)]) => {
            series(eval, *instants, expected, &samples(*instants, got).map_err(because)?)
        }
        // As in Prometheus' runner, a string that nothing is said of is expected to be empty.
        (expected, [QueryValue::Text(got)]) => {
            let expected = if let Expected::Text(text) = expected { text.as_str() } else { "" };
            let quoted = |text: &str| vec![format!("{text:?}")];
            if expected == got { Ok(0.0) } else { Err(differ(eval, "another string", quoted(expected), quoted(got))) }
        }
        (expected, _) => {
            let got = if eval.is_range { "series of values" } else { values.first().map_or("nothing", |v| kind(v)) };
            Err(because(format!("expected {}, got {got}", kind_expected(expected))))
        }
    }
}

fn scalars(eval: &Eval, expected: f64, got: f64) -> Result<f64, Box<Failure>> {
    match almost_equal(expected, got) {
        true => Ok(difference(expected, got)),
        false => {
            Err(differ(eval, "a scalar other than expected", vec![format_value(expected)], vec![format_value(got)]))
        }
    }
}

/// A value for each instant, by series.
type Rows = BTreeMap<Labels, Vec<Option<f64>>>;

fn series(eval: &Eval, instants: Instants, expected: &[ExpectedSeries], got: &Rows) -> Result<f64, Box<Failure>> {
    let mut wanted: Rows = BTreeMap::new();
    for series in expected {
        let mut row = series.values.clone().unwrap_or_default();
        row.resize(instants.count() as usize, None);
        wanted.insert(series.labels.clone(), row);
    }
    let mut worst = 0.0f64;
    let mut shown: Vec<String> = Vec::new();
    let mut differs = wanted.len() != got.len();
    for (labels, row) in got {
        // Values that count as equal are shown alike, so that only those that differ stand out.
        let mut row = row.clone();
        match wanted.get(labels) {
            None => differs = true,
            Some(wanted) => {
                for (got, wanted) in row.iter_mut().zip(wanted) {
                    match (&got, wanted) {
                        (None, None) => {}
                        (Some(g), Some(w)) if almost_equal(*w, *g) => {
                            worst = worst.max(difference(*w, *g));
                            *got = *wanted;
                        }
                        _ => differs = true,
                    }
                }
            }
        }
        shown.push(line(labels, &row));
    }
    if !differs {
        return Ok(worst);
    }
    let expected = wanted.iter().map(|(labels, row)| line(labels, row)).collect();
    Err(differ(eval, "values other than expected", expected, shown))
}

/// Whether elements come in the order of the lines that expect them.
fn in_order(eval: &Eval, expected: &[ExpectedSeries], got: &[(Labels, f64)]) -> Result<(), Box<Failure>> {
    if expected.iter().map(|series| &series.labels).eq(got.iter().map(|(labels, _)| labels)) {
        return Ok(());
    }
    let wanted = expected.iter().map(|series| series.labels.to_string()).collect();
    let came = got.iter().map(|(labels, _)| labels.to_string()).collect();
    Err(differ(eval, "another order than expected", wanted, came))
}

/// Values of each series at all instants; a scalar counts as a series without labels.
fn rows(values: &[&QueryValue]) -> Rows {
    let mut rows: Rows = BTreeMap::new();
    for (at, value) in values.iter().enumerate() {
        let mut set = |labels: &Labels, v: f64| {
            let row = rows.entry(labels.clone()).or_insert_with(|| vec![None; values.len()]);
            row[at] = Some(v);
        };
        match value {
            QueryValue::Scalar(v) => set(&Labels::default(), *v),
            QueryValue::Vector(elements) => elements.iter().for_each(|(labels, v)| set(labels, *v)),
            QueryValue::Matrix(_) | QueryValue::Text(_) => {}
        }
    }
    rows
}

/// The samples of a range vector by the instants at which they are expected; Err if one lies at none of them.
fn samples(instants: Instants, got: &[(Labels, Vec<Sample>)]) -> Result<Rows, String> {
    let mut rows: Rows = BTreeMap::new();
    for (labels, samples) in got {
        let row = rows.entry(labels.clone()).or_insert_with(|| vec![None; instants.count() as usize]);
        for sample in samples {
            let since = sample.t - instants.start;
            let at = usize::try_from(since / instants.step).ok().filter(|_| since % instants.step == 0);
            let place = at.and_then(|at| row.get_mut(at)).ok_or_else(|| {
                format!("a sample of {labels} at {}, where none is expected", format_duration(sample.t))
            })?;
            *place = Some(sample.v);
        }
    }
    Ok(rows)
}

pub(super) fn differ(eval: &Eval, message: &str, expected: Vec<String>, got: Vec<String>) -> Box<Failure> {
    let failure = Failure::because(Some(eval.line), check(eval), message);
    Box::new(Failure { diff: diff(&expected, &got), ..failure })
}

fn line(labels: &Labels, row: &[Option<f64>]) -> String {
    let values: Vec<String> = row.iter().map(|v| v.map_or_else(|| "_".to_owned(), format_value)).collect();
    format!("{labels} {}", values.join(" "))
}

fn kind(value: &QueryValue) -> &'static str {
    match value {
        QueryValue::Scalar(_) => "a scalar",
        QueryValue::Vector(_) => "a vector",
        QueryValue::Matrix(_) => "a range vector",
        QueryValue::Text(_) => "a string",
    }
}

fn kind_expected(expected: &Expected) -> &'static str {
    match expected {
        Expected::Scalar(_) => "a scalar",
        Expected::Text(_) => "a string",
        Expected::Series(_) => "a vector",
        Expected::RangeVector(..) => "a range vector",
    }
}

/// As Prometheus' runner: NaN is equal to NaN, and a difference is measured against the sum of both magnitudes.
fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (distance, sum) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return distance < TOLERANCE * f64::MIN_POSITIVE;
    }
    distance / sum.min(f64::MAX) < TOLERANCE
}

/// Relative difference of values that count as equal, of the greater one.
fn difference(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) { 0.0 } else { (a - b).abs() / a.abs().max(b.abs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_equal_as_in_prometheus() {
        assert!(almost_equal(1.0, 1.0 + 1.9e-6) && !almost_equal(1.0, 1.0 + 2.1e-6));
        assert!(almost_equal(f64::NAN, f64::NAN) && !almost_equal(f64::NAN, 0.0));
        assert!(almost_equal(f64::INFINITY, f64::INFINITY) && !almost_equal(f64::INFINITY, f64::NEG_INFINITY));
        assert!(!almost_equal(f64::INFINITY, 1e300) && !almost_equal(0.0, 1e-300));
        assert_eq!(difference(2.0, 1.0), 0.5);
    }
}
