//! What waits for a receiver, as a record of a checkpoint: its ticks will not come again after a restart. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Labels, Record, Recorded};

use super::queue::Queued;

/// Names of the records, before that of the sink.
const PREFIX: &str = "recorded/";
/// Version written.
const VERSION: u16 = 1;

/// The record. Values are kept bit by bit: there are kinds of NaN.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Waiting {
    /// Canonical label sets.
    series: Vec<Vec<u8>>,
    /// Series, instant and value of each sample, oldest first.
    samples: Vec<(u32, i64, u64)>,
}

/// The sink whose samples a record of a checkpoint holds; None of another kind of record.
#[must_use]
pub fn waits_for(record: &Record) -> Option<&str> {
    record.name.strip_prefix(PREFIX)
}

/// The record of what waits for a sink.
pub(super) fn encode<'a>(sink: &str, samples: impl Iterator<Item = &'a Queued>) -> Record {
    let mut waiting = Waiting::default();
    let mut known: HashMap<&Arc<Labels>, u32> = HashMap::new();
    for sample in samples {
        let index = *known.entry(&sample.labels).or_insert_with(|| {
            waiting.series.push(sample.labels.as_bytes().to_vec());
            waiting.series.len() as u32 - 1
        });
        waiting.samples.push((index, sample.t, sample.v.to_bits()));
    }
    // Into memory, and of a type without anything that postcard could not say.
    let bytes = postcard::to_stdvec(&waiting).unwrap_or_default();
    Record { name: format!("{PREFIX}{sink}"), version: VERSION, bytes }
}

/// What waited for a sink; nothing where there is no record of it.
///
/// # Errors
/// What does not fit.
pub(super) fn decode(sink: &str, records: &[Record]) -> Result<Vec<Recorded>, String> {
    let of_sink = |record: &&Record| waits_for(record) == Some(sink);
    let Some(record) = records.iter().find(of_sink) else { return Ok(Vec::new()) };
    if record.version != VERSION {
        return Err(format!("record {} has version {}, this release reads {VERSION}", record.name, record.version));
    }
    let waiting: Waiting = postcard::from_bytes(&record.bytes).map_err(|e| format!("record {}: {e}", record.name))?;
    let series: Option<Vec<Labels>> = waiting.series.iter().map(|bytes| Labels::read(bytes)).collect();
    let series = series.ok_or_else(|| format!("record {}: labels that are none", record.name))?;
    let sample = |(index, t, bits): &(u32, i64, u64)| {
        let labels = series.get(*index as usize)?.clone();
        Some(Recorded { labels, t: *t, v: f64::from_bits(*bits) })
    };
    let samples: Option<Vec<Recorded>> = waiting.samples.iter().map(sample).collect();
    samples.ok_or_else(|| format!("record {}: a sample of no series", record.name))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::base::{is_stale, stale_nan};

    fn record() -> Record {
        let a = Arc::new(Labels::from_pairs([("__name__", "a"), ("x", "1")]));
        let b = Arc::new(Labels::from_pairs([("__name__", "b")]));
        let queued = |labels: &Arc<Labels>, t, v| Queued { labels: Arc::clone(labels), t, v, since: Instant::now() };
        encode("p", [queued(&a, -5, 0.5), queued(&b, 7, stale_nan()), queued(&a, 9, f64::NAN)].iter())
    }

    #[test]
    fn it_is_found_among_the_others_and_keeps_every_kind_of_nan() {
        let other = Record { name: "recorded/q".to_owned(), version: 9, bytes: vec![1] };
        let got = decode("p", &[other.clone(), record()]).unwrap();
        assert_eq!(
            got.iter().map(|s| (s.labels.to_string(), s.t)).collect::<Vec<_>>(),
            [(r#"a{x="1"}"#.to_owned(), -5), ("b".to_owned(), 7), (r#"a{x="1"}"#.to_owned(), 9)]
        );
        assert!(got[0].v == 0.5 && is_stale(got[1].v) && got[2].v.is_nan() && !is_stale(got[2].v));
        assert_eq!(decode("r", &[record()]).unwrap(), []);
        assert!(decode("q", &[other]).unwrap_err().contains("version 9"));
        assert_eq!(waits_for(&record()), Some("p"));
    }

    /// The bytes of release 0.1.0; a later one must read them.
    #[rustfmt::skip]
    const RELEASED: &[u8] = &[
        2, 15, 8, 95, 95, 110, 97, 109, 101, 95, 95, 1, 97, 1, 120, 1, 49, 11, 8, 95, 95, 110, 97, 109,
        101, 95, 95, 1, 98, 3, 0, 9, 128, 128, 128, 128, 128, 128, 128, 240, 63, 1, 14, 130, 128, 128, 128, 128,
        128, 128, 248, 127, 0, 18, 128, 128, 128, 128, 128, 128, 128, 252, 127,
    ];

    #[test]
    fn what_was_released_is_read_and_what_is_damaged_is_named() {
        for cut in 0..record().bytes.len() {
            let mut damaged = record();
            damaged.bytes.truncate(cut);
            assert!(decode("p", &[damaged]).is_err(), "{cut}");
        }
        assert_eq!(record().bytes, RELEASED);
    }
}
