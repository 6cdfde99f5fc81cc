//! Recorded series for sinks that want them: samples into messages, by metric, in the sink's format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::base::{BatchBuilder, Limits, METRIC_NAME, Millis, format_rfc3339, format_value, is_stale};
use crate::engine::Recorded;
use crate::sink::{RecordedFormat, RecordedMessage, RecordedTopic};
use crate::source::encode::{compress, encode_write_request};

/// Samples in one message: with labels of some hundred bytes far below the megabyte that brokers take.
const SAMPLES: usize = 1_000;

/// Where recorded samples go.
pub type RecordedOutlet = Box<dyn FnMut(Vec<Recorded>) + Send>;

/// An outlet to these topics for what is recorded of instants from `since` on: what was recorded of history before the start
/// is known to whoever has followed.
#[must_use]
pub fn recorded_outlet(topics: std::sync::Arc<Vec<RecordedTopic>>, since: Millis, limits: Limits) -> RecordedOutlet {
    Box::new(move |mut recorded| {
        recorded.retain(|r| r.t >= since);
        if recorded.is_empty() {
            return;
        }
        for topic in topics.iter() {
            topic.put(messages(&recorded, topic.format, &limits));
        }
    })
}

/// The samples as messages; those of a metric stay in order.
fn messages(recorded: &[Recorded], format: RecordedFormat, limits: &Limits) -> Vec<RecordedMessage> {
    let mut by_metric: BTreeMap<&str, Vec<&Recorded>> = BTreeMap::new();
    for sample in recorded {
        by_metric.entry(sample.labels.as_ref().get(METRIC_NAME).unwrap_or_default()).or_default().push(sample);
    }
    let chunks = by_metric.iter().flat_map(|(metric, samples)| samples.chunks(SAMPLES).map(move |c| (metric, c)));
    let message = |(metric, samples): (&&str, &[&Recorded])| RecordedMessage {
        key: (*metric).to_owned(),
        payload: match format {
            RecordedFormat::RemoteWrite => remote_write(samples, limits),
            RecordedFormat::JsonLines => json_lines(samples).into_bytes(),
        },
        samples: samples.len() as u64,
    };
    chunks.map(message).collect()
}

fn remote_write(samples: &[&Recorded], limits: &Limits) -> Vec<u8> {
    let mut builder = BatchBuilder::new(limits);
    for sample in samples {
        builder.series(sample.labels.as_ref());
        builder.sample(sample.t, sample.v);
    }
    compress(&encode_write_request(&builder.finish()))
}

/// JSON has no staleness markers; whoever reads lines lets a series end by its silence.
fn json_lines(samples: &[&Recorded]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        value: String,
        name: &'a str,
        labels: BTreeMap<&'a str, &'a str>,
    }
    let mut text = String::new();
    for sample in samples.iter().filter(|s| !is_stale(s.v)) {
        let line = Line {
            timestamp: format_rfc3339(sample.t),
            value: format_value(sample.v),
            name: sample.labels.as_ref().get(METRIC_NAME).unwrap_or_default(),
            labels: sample.labels.as_ref().iter().collect(),
        };
        // Strings into memory: nothing there can fail.
        let _ = writeln!(text, "{}", serde_json::to_string(&line).unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Labels, stale_nan};
    use crate::source::decode::{prometheus_kafka_adapter, remote_write as decode};

    fn recorded(name: &str, t: Millis, v: f64) -> Recorded {
        Recorded { labels: Labels::from_pairs([("__name__", name), ("a", "b")]), t, v }
    }

    #[test]
    fn both_formats_are_read_again_by_their_decoders() {
        let samples = [recorded("x", 1_500, 0.1), recorded("y", 1_500, 2.0), recorded("x", 2_500, stale_nan())];
        let limits = Limits::default();
        let of = |format| messages(&samples, format, &limits);
        let binary = of(RecordedFormat::RemoteWrite);
        assert_eq!(binary.iter().map(|m| (m.key.as_str(), m.samples)).collect::<Vec<_>>(), [("x", 2), ("y", 1)]);
        let got = decode::decode(&binary[0].payload, &limits, &mut Vec::new()).unwrap().batch;
        assert_eq!((got.all_samples()[0].t, got.all_samples()[0].v), (1_500, 0.1));
        assert!(is_stale(got.all_samples()[1].v));
        let lines = of(RecordedFormat::JsonLines);
        let got = prometheus_kafka_adapter::decode(&lines[0].payload, &limits).unwrap().batch;
        assert_eq!(got.labels(&got.runs()[0]).to_string(), r#"x{a="b"}"#);
        assert_eq!((got.all_samples().len(), got.all_samples()[0].t, got.all_samples()[0].v), (1, 1_500, 0.1));
    }

    #[test]
    fn many_samples_make_several_messages() {
        let samples: Vec<_> = (0..2_500).map(|t| recorded("x", t, 1.0)).collect();
        let got = messages(&samples, RecordedFormat::RemoteWrite, &Limits::default());
        assert_eq!(got.iter().map(|m| m.samples).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    }
}
