//! JSON lines: one sample a line, `{"metric": {…}, "value": 1, "timestamp": 1700000000}` (`labels` is as good as `metric`,
//! and `metric` may be just the name), or VictoriaMetrics' export, `{"metric": {…}, "values": […], "timestamps": […]}`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::{METRIC_NAME, Sample, parse_instant, parse_value, unix_instant};

/// One line.
#[derive(Debug, Deserialize)]
struct Line {
    metric: Option<Metric>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    value: Option<Number>,
    timestamp: Option<Number>,
    #[serde(default)]
    values: Vec<Option<Number>>,
    #[serde(default)]
    timestamps: Vec<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Metric {
    Name(String),
    Labels(BTreeMap<String, String>),
}

/// A number, or a text that holds one (or a date).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(f64),
    Text(String),
}

/// A line's series and samples. `metric` is the name of a series without one.
pub(super) fn parse(text: &str, metric: Option<&str>) -> Result<(BTreeMap<String, String>, Vec<Sample>), String> {
    let line: Line = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut labels = line.labels;
    match line.metric {
        Some(Metric::Name(name)) => {
            labels.insert(METRIC_NAME.to_owned(), name);
        }
        Some(Metric::Labels(more)) => labels.extend(more),
        None => {}
    }
    if !labels.contains_key(METRIC_NAME) {
        let name = metric.ok_or("no metric name: give the line a __name__ label or set metric")?;
        labels.insert(METRIC_NAME.to_owned(), name.to_owned());
    }
    if line.values.len() != line.timestamps.len() {
        return Err(format!("{} values but {} timestamps", line.values.len(), line.timestamps.len()));
    }
    let single = line.timestamp.map(|t| (t, line.value));
    let several = line.timestamps.into_iter().zip(line.values);
    let mut samples = Vec::new();
    for (t, v) in single.into_iter().chain(several) {
        // `null` is no observation.
        if let Some(v) = v {
            samples.push(Sample { t: instant(&t)?, v: number(&v)? });
        }
    }
    Ok((labels, samples))
}

fn instant(t: &Number) -> Result<i64, String> {
    match t {
        Number::Plain(n) => unix_instant(*n),
        Number::Text(text) => parse_instant(text),
    }
    .ok_or_else(|| format!("not a time: {t:?}"))
}

fn number(v: &Number) -> Result<f64, String> {
    match v {
        Number::Plain(n) => Ok(*n),
        Number::Text(text) => parse_value(text).ok_or_else(|| format!("not a number: {text:?}")),
    }
}
