//! Recorded samples as messages, by metric, in the topic's format. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::base::{format_rfc3339, format_value, is_stale};

use super::super::recorded::{Queued, with_external, write_request};
use super::config::RecordedFormat;

/// Samples in one message: with labels of some hundred bytes far below the megabyte that brokers take.
const SAMPLES: usize = 1_000;

/// Some samples of a metric.
#[derive(Debug)]
pub(super) struct Message {
    /// What stays in order: the metric's name.
    pub(super) key: String,
    /// The samples, in the topic's format.
    pub(super) payload: Vec<u8>,
    /// Which of the batch they are.
    pub(super) samples: Vec<usize>,
}

/// The batch as messages; the samples of a metric stay in order. External labels stand back where a series has a label of the
/// name, as with remote write.
pub(super) fn messages(batch: &[Queued], format: RecordedFormat, external_labels: &[(String, String)]) -> Vec<Message> {
    let mut by_metric: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, sample) in batch.iter().enumerate() {
        by_metric.entry((*sample.labels).as_ref().metric_name()).or_default().push(i);
    }
    let chunks = by_metric.iter().flat_map(|(metric, samples)| samples.chunks(SAMPLES).map(move |c| (metric, c)));
    let message = |(metric, chunk): (&&str, &[usize])| {
        let samples = chunk.iter().map(|i| &batch[*i]);
        Message {
            key: (*metric).to_owned(),
            payload: match format {
                RecordedFormat::RemoteWrite => write_request(samples, external_labels),
                RecordedFormat::JsonLines => json_lines(samples, external_labels).into_bytes(),
            },
            samples: chunk.to_vec(),
        }
    };
    chunks.map(message).collect()
}

/// JSON has no staleness markers; whoever reads lines lets a series end by its silence.
fn json_lines<'a>(samples: impl Iterator<Item = &'a Queued>, external_labels: &[(String, String)]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        value: String,
        name: &'a str,
        labels: BTreeMap<&'a str, &'a str>,
    }
    let mut text = String::new();
    for sample in samples.filter(|s| !is_stale(s.v)) {
        let labels = with_external(&sample.labels, external_labels);
        let labels = (*labels).as_ref();
        let line = Line {
            timestamp: format_rfc3339(sample.t),
            value: format_value(sample.v),
            name: labels.metric_name(),
            labels: labels.iter().collect(),
        };
        // Strings into memory: nothing there can fail.
        let _ = writeln!(text, "{}", serde_json::to_string(&line).unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::base::{Labels, Millis, stale_nan};

    fn queued(name: &str, t: Millis, v: f64) -> Queued {
        let labels = Arc::new(Labels::from_pairs([("__name__", name), ("a", "b")]));
        Queued { labels, t, v, since: Instant::now() }
    }

    #[test]
    fn messages_are_by_metric_and_name_their_samples() {
        let batch = [queued("x", 1_500, 0.1), queued("y", 1_500, 2.0), queued("x", 2_500, stale_nan())];
        for format in [RecordedFormat::RemoteWrite, RecordedFormat::JsonLines] {
            let messages = messages(&batch, format, &[]);
            let got: Vec<_> = messages.iter().map(|m| (m.key.as_str(), &*m.samples)).collect();
            assert_eq!(got, [("x", &[0, 2][..]), ("y", &[1])]);
            if format == RecordedFormat::JsonLines {
                let want = "{\"timestamp\":\"1970-01-01T00:00:01.500Z\",\"value\":\"0.1\",\"name\":\"x\",\
                            \"labels\":{\"__name__\":\"x\",\"a\":\"b\"}}\n";
                assert_eq!(String::from_utf8(messages[0].payload.clone()).unwrap(), want);
            }
        }
    }

    #[test]
    fn external_labels_tell_two_forewarns_apart_in_both_formats() {
        let external = [("a".to_owned(), "other".to_owned()), ("replica".to_owned(), "1".to_owned())];
        let payload = |format| messages(&[queued("x", 1_500, 0.1)], format, &external).remove(0).payload;
        let line: serde_json::Value = serde_json::from_slice(&payload(RecordedFormat::JsonLines)).unwrap();
        assert_eq!(line["labels"], serde_json::json!({"__name__": "x", "a": "b", "replica": "1"}));
        let message = snap::raw::Decoder::new().decompress_vec(&payload(RecordedFormat::RemoteWrite)).unwrap();
        let has = |text: &[u8]| message.windows(text.len()).any(|bytes| bytes == text);
        assert!(has(b"replica") && !has(b"other"));
    }

    #[test]
    fn many_samples_make_several_messages() {
        let batch: Vec<_> = (0..2_500).map(|t| queued("x", t, 1.0)).collect();
        let got = messages(&batch, RecordedFormat::RemoteWrite, &[]);
        assert_eq!(got.iter().map(|m| m.samples.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    }
}
