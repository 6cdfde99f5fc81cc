//! The JSON of prometheus-kafka-adapter: one sample a document.
//!
//! <https://github.com/Telefonica/prometheus-kafka-adapter>, section "output": the time as RFC 3339, the value as text, and
//! all labels, `__name__` among them. A value that is a number and a time in Unix seconds are read as well: forks write them.
//!
//! Prometheus' staleness markers come as `NaN`, like any other NaN: the text has no room for the difference. Each is taken for a
//! marker. A series whose value is no number for once is then absent until its next sample; the other way round every series
//! that ended would make the sums over it NaN for as long as Prometheus looks back.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Decoded;
use super::json_lines::{self, JsonLinesError, Samples};
use crate::base::{Limits, METRIC_NAME, parse_instant, parse_value, stale_nan, unix_instant};

#[derive(Deserialize)]
struct Document {
    timestamp: Value,
    value: Value,
    name: Option<String>,
    labels: BTreeMap<String, String>,
}

/// Decodes one message.
///
/// # Errors
/// The message is malformed or breaks a limit; nothing of it is taken.
///
/// ```
/// use forewarn::{base::Limits, source::decode::prometheus_kafka_adapter};
/// let text = br#"{"timestamp":"1970-01-01T00:00:01Z","value":"0.5","name":"up","labels":{"__name__":"up","job":"a"}}"#;
/// let batch = prometheus_kafka_adapter::decode(text, &Limits::default()).unwrap().batch;
/// assert_eq!(batch.labels(&batch.runs()[0]).to_string(), r#"up{job="a"}"#);
/// assert_eq!((batch.all_samples()[0].t, batch.all_samples()[0].v), (1_000, 0.5));
/// ```
pub fn decode(payload: &[u8], limits: &Limits) -> Result<Decoded, JsonLinesError> {
    json_lines::decode(payload, limits, take)
}

fn take(document: Document, samples: &mut Samples) -> Result<(), String> {
    let t = match &document.timestamp {
        Value::Number(number) => number.as_f64().and_then(unix_instant),
        Value::String(text) => parse_instant(text),
        _ => None,
    };
    let t = t.ok_or_else(|| format!("{} is no timestamp", document.timestamp))?;
    let v = match &document.value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => parse_value(text),
        _ => None,
    };
    let v = v.ok_or_else(|| format!("{} is no value", document.value))?;
    let v = if v.is_nan() { stale_nan() } else { v };
    let mut labels = document.labels;
    if let Some(name) = document.name {
        labels.entry(METRIC_NAME.to_owned()).or_insert(name);
    }
    samples.add(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())), t, v);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::is_stale;

    #[test]
    fn values_and_names() {
        let one = |text: &str| {
            let batch = decode(text.as_bytes(), &Limits::default()).unwrap().batch;
            let sample = batch.all_samples()[0];
            format!("{} {} @{}", batch.labels(&batch.runs()[0]), sample.v, sample.t)
        };
        assert_eq!(one(r#"{"timestamp":"1970-01-01T00:00:01Z","value":"+Inf","name":"x","labels":{}}"#), "x inf @1000");
        assert_eq!(one(r#"{"timestamp":1,"value":2.5,"name":"x","labels":{"__name__":"y"}}"#), "y 2.5 @1000");
        assert_eq!(one(r#"{"timestamp":1,"value":"-1","labels":{"__name__":"y","a":"b"}}"#), "y{a=\"b\"} -1 @1000");
    }

    #[test]
    fn staleness_markers_come_as_nan() {
        let text = br#"{"timestamp":1,"value":"NaN","labels":{"__name__":"y"}}{"timestamp":2,"value":"-Inf","labels":{"__name__":"y"}}"#;
        let batch = decode(text, &Limits::default()).unwrap().batch;
        assert_eq!(batch.all_samples().iter().map(|s| is_stale(s.v)).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn faults_are_named() {
        let fault = |text: &str| decode(text.as_bytes(), &Limits::default()).unwrap_err().to_string();
        assert!(fault(r#"{"timestamp":"soon","value":"1","labels":{}}"#).contains("\"soon\" is no timestamp"));
        assert!(fault(r#"{"timestamp":1,"value":"one","labels":{}}"#).contains("\"one\" is no value"));
        assert!(fault(r#"{"timestamp":1,"value":"1"}"#).contains("labels"));
        assert!(fault("[]").starts_with("document 1: "));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &Limits::default());
        }
    }
}
