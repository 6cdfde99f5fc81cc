//! What the query API answers to `selector[range]`: series with their raw samples, or why there are none. Pure.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::{Batch, BatchBuilder, Limits, Millis, parse_value};
use crate::source::decode::{Pair, TargetLabels};

/// The answer's envelope.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(rename = "errorType")]
    error_type: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Data<'a> {
    #[serde(rename = "resultType")]
    result_type: Cow<'a, str>,
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

#[derive(Debug, Deserialize)]
struct Series<'a> {
    #[serde(borrow)]
    metric: std::collections::BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

/// What an error means for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too much was asked for at once.
    TooMuch(String),
    /// It may go well another time.
    Later(String),
    /// It never will.
    Never(String),
}

/// The samples of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub batch: Batch,
    /// What people should know.
    pub notes: Vec<String>,
}

impl<'a> Answer<'a> {
    /// Reads a body that came with an HTTP status.
    pub(super) fn read(status: u16, body: &'a [u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice::<Self>(body) {
            Ok(answer) if answer.status == "success" => match &answer.data {
                Some(data) if data.result_type == "matrix" => Ok(answer),
                Some(data) => Err(Refusal::Never(format!("a matrix was asked for, {} came", data.result_type))),
                None => Err(Refusal::Never("an answer without data".to_owned())),
            },
            Ok(answer) => Err(refused(status, answer.error_type.as_deref(), answer.error.as_deref())),
            Err(error) if status == 200 => Err(Refusal::Later(format!("not an answer of Prometheus: {error}"))),
            Err(_) => Err(refused(status, None, None)),
        }
    }

    /// The samples after `after`.
    pub(super) fn part(&self, after: Millis, labels: &TargetLabels, limits: &Limits) -> Part {
        let mut batch = BatchBuilder::new(limits);
        let mut notes = self.warnings.clone();
        let mut has_histograms = false;
        for series in self.data.iter().flat_map(|data| &data.result) {
            has_histograms |= !series.histograms.is_empty();
            // In milliseconds, as Prometheus keeps them; older versions give the first instant of the range as well.
            let instant = |seconds: f64| (seconds * 1000.0).round() as Millis;
            let mut values = series.values.iter().filter(|(t, _)| instant(*t) > after).peekable();
            if values.peek().is_none() {
                continue;
            }
            let mut pairs: Vec<Pair<'_>> =
                series.metric.iter().map(|(n, v)| (Cow::Borrowed(n.as_ref()), Cow::Borrowed(v.as_ref()))).collect();
            labels.apply(&mut pairs);
            pairs.iter().for_each(|(name, value)| batch.label(name, value));
            if let Err(error) = batch.end_labels() {
                notes.push(format!("series left out: {error}"));
                continue;
            }
            for (t, v) in values {
                if let Some(v) = parse_value(v) {
                    batch.sample(instant(*t), v);
                }
            }
        }
        if has_histograms {
            notes.push("native histograms are left out".to_owned());
        }
        Part { batch: batch.finish(), notes }
    }
}

/// Prometheus' error types: prometheus/prometheus `web/api/v1/api.go`. A query that loads too many samples is an
/// `execution` error, one that takes too long a `timeout`; other servers say `too many` or `exceed` in their own words.
fn refused(status: u16, kind: Option<&str>, error: Option<&str>) -> Refusal {
    let text = format!("HTTP {status}: {}", error.unwrap_or("no reason given"));
    let lower = text.to_lowercase();
    let is_too_much = ["too many", "too large", "exceed", "limit"].iter().any(|word| lower.contains(word));
    match (status, kind) {
        (429, _) => Refusal::Later(text),
        (413, _) | (_, Some("timeout")) => Refusal::TooMuch(text),
        (400..500, _) | (_, Some("execution")) if is_too_much => Refusal::TooMuch(text),
        (408 | 500.., _) => Refusal::Later(text),
        _ => Refusal::Never(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_with_their_own_times() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"m","x":"a\"b","zone":"own"},"values":[[1,"1"],[1.5,"NaN"],[2.001,"+Inf"]]},
            {"metric":{"__name__":"m","x":"c"},"values":[[2,"-4e9"]],"histograms":[[1,{}]]},
            {"metric":{"__name__":"m","x":"old"},"values":[[1,"1"]]}]},"warnings":["w"]}"#;
        let answer = Answer::read(200, body).unwrap();
        let labels = TargetLabels::new([("zone", "eu")], true);
        let Part { batch, notes } = answer.part(1_000, &labels, &Limits::default());
        assert_eq!(notes, ["w", "native histograms are left out"]);
        let series: Vec<String> = batch.runs().iter().map(|run| batch.labels(run).to_labels().to_string()).collect();
        assert_eq!(series, [r#"m{x="a\"b", zone="own"}"#, r#"m{x="c", zone="eu"}"#]);
        let times: Vec<Millis> = batch.all_samples().iter().map(|sample| sample.t).collect();
        assert_eq!(times, [1_500, 2_001, 2_000]);
        assert_eq!(batch.all_samples()[2].v, -4e9);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = |status: u16, body: &str| Answer::read(status, body.as_bytes()).unwrap_err();
        let error = |kind: &str, text: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#);
        let too_many =
            error("execution", "query processing would load too many samples into memory in query execution");
        assert!(matches!(refusal(422, &too_many), Refusal::TooMuch(text) if text.contains("too many samples")));
        assert!(matches!(refusal(503, &error("timeout", "query timed out")), Refusal::TooMuch(_)));
        assert!(
            matches!(refusal(400, &error("bad_data", "parse error")), Refusal::Never(text) if text.contains("parse error"))
        );
        assert!(matches!(refusal(401, "no entry"), Refusal::Never(text) if text.contains("401")));
        assert!(matches!(refusal(502, "<html>"), Refusal::Later(_)));
        assert!(matches!(refusal(429, ""), Refusal::Later(_)));
        assert!(matches!(refusal(200, "<html>"), Refusal::Later(_)));
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert!(matches!(refusal(200, vector), Refusal::Never(_)));
    }
}
