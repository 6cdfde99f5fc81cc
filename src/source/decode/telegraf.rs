//! Telegraf's JSON output: one metric with several fields, or `{"metrics": […]}` where `use_batch_format` is set.
//!
//! <https://docs.influxdata.com/telegraf/v1/data_formats/output/json/>. A field becomes the series `measurement_field`
//! with the tags as labels, as Telegraf's own Prometheus output names it; a field `value`, `gauge` or `counter` becomes
//! just `measurement`. Numbers are values, booleans 1 or 0, texts are no samples. The timestamp's unit
//! (`json_timestamp_units`) is told by its size; RFC 3339 (`json_timestamp_format`) is read as well.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Decoded;
use super::json_lines::{self, JsonLinesError, Samples};
use crate::base::{Limits, METRIC_NAME, Millis, parse_instant, unix_instant};

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Several { metrics: Vec<Metric> },
    One(Metric),
}

#[derive(Deserialize)]
struct Metric {
    name: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, Value>,
    timestamp: Value,
}

/// Decodes one message.
///
/// # Errors
/// The message is malformed or breaks a limit; nothing of it is taken.
///
/// ```
/// use forewarn::{base::Limits, source::decode::telegraf};
/// let text = br#"{"fields":{"usage_idle":98.5},"name":"cpu","tags":{"host":"raynor"},"timestamp":1458229140}"#;
/// let batch = telegraf::decode(text, &Limits::default()).unwrap().batch;
/// assert_eq!(batch.labels(&batch.runs()[0]).to_string(), r#"cpu_usage_idle{host="raynor"}"#);
/// assert_eq!(batch.all_samples()[0].t, 1_458_229_140_000);
/// ```
pub fn decode(payload: &[u8], limits: &Limits) -> Result<Decoded, JsonLinesError> {
    json_lines::decode(payload, limits, |document, samples| match document {
        Document::One(metric) => take(&metric, samples),
        Document::Several { metrics } => metrics.iter().try_for_each(|metric| take(metric, samples)),
    })
}

fn take(metric: &Metric, samples: &mut Samples) -> Result<(), String> {
    let t = instant(&metric.timestamp).ok_or_else(|| format!("{} is no timestamp", metric.timestamp))?;
    let tags: Vec<(Cow<'_, str>, &str)> =
        metric.tags.iter().map(|(name, value)| (valid(name, false), value.as_str())).collect();
    for (field, value) in &metric.fields {
        let Some(v) = number(value) else { continue };
        let name = match (metric.name.as_str(), field.as_str()) {
            (measurement, "value" | "gauge" | "counter") => measurement.to_owned(),
            // What Telegraf has scraped from Prometheus endpoints has its name in the field.
            ("prometheus", field) => field.to_owned(),
            (measurement, field) => format!("{measurement}_{field}"),
        };
        let name = valid(&name, true);
        let labels = tags.iter().map(|(name, value)| (name.as_ref(), *value));
        samples.add(std::iter::once((METRIC_NAME, name.as_ref())).chain(labels), t, v);
    }
    Ok(())
}

fn instant(timestamp: &Value) -> Option<Millis> {
    match timestamp {
        Value::Number(number) => unix_instant(number.as_f64()?),
        Value::String(text) => parse_instant(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(is_true) => Some(f64::from(u8::from(*is_true))),
        _ => None,
    }
}

/// The name with underscores for what Prometheus' data model does not have in names.
fn valid(name: &str, is_metric: bool) -> Cow<'_, str> {
    let fits = |(i, c): (usize, char)| {
        c.is_ascii_alphabetic() || c == '_' || (is_metric && c == ':') || (i > 0 && c.is_ascii_digit())
    };
    if name.chars().enumerate().all(fits) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().enumerate().map(|(i, c)| if fits((i, c)) { c } else { '_' }).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let batch = decode(text.as_bytes(), &Limits::default()).unwrap().batch;
        let line = |run| {
            let sample = batch.samples(run)[0];
            format!("{} {} @{}", batch.labels(run), sample.v, sample.t)
        };
        batch.runs().iter().map(line).collect()
    }

    #[test]
    fn the_documented_forms() {
        let metric = r#"{"fields":{"field_1":30,"ok":true,"note":"text","n-images":660.5},"name":"docker",
            "tags":{"host":"raynor","0 a":"b"},"timestamp":1458229140}"#;
        let want = [
            r#"docker_field_1{_ a="b", host="raynor"} 30 @1458229140000"#.replace("_ a", "__a"),
            r#"docker_n_images{__a="b", host="raynor"} 660.5 @1458229140000"#.to_owned(),
            r#"docker_ok{__a="b", host="raynor"} 1 @1458229140000"#.to_owned(),
        ];
        assert_eq!(lines(metric), want);
        let batch = format!("{{\"metrics\":[{metric},{metric}]}}");
        assert_eq!(lines(&batch), [want.clone(), want.clone()].concat());
        let of_lines = format!("{metric}\n{metric}\n");
        assert_eq!(lines(&of_lines), [want.clone(), want].concat());
    }

    #[test]
    fn names_and_units() {
        let one = |name: &str, field: &str, timestamp: &str| {
            lines(&format!(r#"{{"name":"{name}","fields":{{"{field}":1}},"timestamp":{timestamp}}}"#)).remove(0)
        };
        assert_eq!(one("temp", "value", "1458229140"), "temp 1 @1458229140000");
        assert_eq!(one("prometheus", "go_threads", "1458229140123"), "go_threads 1 @1458229140123");
        assert_eq!(one("m", "a:b", "1458229140123456789"), "m_a:b 1 @1458229140123");
        assert_eq!(one("m", "f", r#""2016-03-17T15:39:00Z""#), "m_f 1 @1458229140000");
    }

    #[test]
    fn faults_name_their_document_and_nothing_is_taken() {
        let fault = |text: &str| decode(text.as_bytes(), &Limits::default()).unwrap_err().to_string();
        let good = r#"{"name":"m","fields":{"f":1},"timestamp":1}"#;
        assert!(fault(&format!("{good}\n{{\"name\":")).starts_with("document 2: "));
        assert!(fault(r#"{"name":"m","fields":{"f":1},"timestamp":[]}"#).contains("no timestamp"));
        assert!(fault(r#"{"name":"m"}"#).starts_with("document 1"));
        assert_eq!(fault("  \n"), "no JSON document");
        let few = Limits { pending_samples: 1, ..Limits::default() };
        let two = format!("{good}{good}");
        assert!(matches!(decode(two.as_bytes(), &few), Err(JsonLinesError::TooManySamples(1))));
        let short = Limits { label_value_bytes: 1, ..Limits::default() };
        let long = r#"{"name":"m","tags":{"a":"long"},"fields":{"f":1},"timestamp":1}"#;
        let got = decode(long.as_bytes(), &short).unwrap();
        assert_eq!((got.batch.is_empty(), got.dropped.total()), (true, 1));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &Limits::default());
        }
    }
}
