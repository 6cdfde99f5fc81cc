//! Samples as the body of a remote write 1.0 request. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::encode::{compress, write_series};
use crate::base::{Labels, Sample};

use super::Queued;

/// The body: each series once, its samples in the order in which they were recorded. External labels stand back where a
/// series has a label of the name, as in Prometheus.
pub fn write_request<'a>(
    samples: impl IntoIterator<Item = &'a Queued>,
    external_labels: &[(String, String)],
) -> Vec<u8> {
    let mut by_series: BTreeMap<&Labels, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        by_series.entry(&sample.labels).or_default().push(Sample { t: sample.t, v: sample.v });
    }
    let mut message = Vec::new();
    for (labels, samples) in by_series {
        let labels = with_external(labels, external_labels);
        write_series(&mut message, (*labels).as_ref(), &samples);
    }
    compress(&message)
}

/// A series' labels with those of the external ones that it has not itself.
pub fn with_external<'a>(labels: &'a Labels, external_labels: &[(String, String)]) -> Cow<'a, Labels> {
    if external_labels.is_empty() {
        return Cow::Borrowed(labels);
    }
    let mut builder = labels.as_ref().to_builder();
    for (name, value) in external_labels {
        if builder.get(name).is_none() {
            builder.set(name, value);
        }
    }
    Cow::Owned(builder.build())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::base::{is_stale, stale_nan};

    #[test]
    fn each_series_once_in_order_and_with_external_labels() {
        let a = Arc::new(Labels::from_pairs([("__name__", "a"), ("zone", "own")]));
        let b = Arc::new(Labels::from_pairs([("__name__", "b")]));
        let queued = |labels: &Arc<Labels>, t, v| Queued { labels: Arc::clone(labels), t, v, since: Instant::now() };
        let samples = [queued(&b, 1_000, 1.0), queued(&a, 1_000, 2.0), queued(&b, 2_000, stale_nan())];
        let external = [("zone".to_owned(), "x".to_owned()), ("replica".to_owned(), "1".to_owned())];
        let message = snap::raw::Decoder::new().decompress_vec(&write_request(&samples, &external)).unwrap();
        // Read by a decoder of another's making.
        let got = <proto::WriteRequest as prost::Message>::decode(&*message).unwrap();
        let text = |series: &proto::TimeSeries| {
            let labels: Vec<String> = series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
            let value = |v: f64| if is_stale(v) { "stale".to_owned() } else { v.to_string() };
            let samples: Vec<String> = series.samples.iter().map(|s| format!("{}@{}", value(s.value), s.t)).collect();
            format!("{}: {}", labels.join(","), samples.join(" "))
        };
        assert_eq!(
            got.timeseries.iter().map(text).collect::<Vec<_>>(),
            ["__name__=a,replica=1,zone=own: 2@1000", "__name__=b,replica=1,zone=x: 1@1000 stale@2000"]
        );
    }

    /// `prompb/remote.proto` and `prompb/types.proto` of Prometheus, as far as it matters here.
    mod proto {
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct WriteRequest {
            #[prost(message, repeated, tag = "1")]
            pub timeseries: Vec<TimeSeries>,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct TimeSeries {
            #[prost(message, repeated, tag = "1")]
            pub labels: Vec<Label>,
            #[prost(message, repeated, tag = "2")]
            pub samples: Vec<Sample>,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct Label {
            #[prost(string, tag = "1")]
            pub name: String,
            #[prost(string, tag = "2")]
            pub value: String,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct Sample {
            #[prost(double, tag = "1")]
            pub value: f64,
            #[prost(int64, tag = "2")]
            pub t: i64,
        }
    }
}
