//! Batches as remote write requests of both versions: for whoever sends samples on, tests and benchmarks among them.

use std::collections::HashMap;

use super::{Batch, CounterStart, LabelsRef, Sample};

/// The `WriteRequest` message of a batch, not compressed.
#[must_use]
pub fn encode_write_request(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.all_samples().len() * 64);
    for run in batch.runs() {
        write_series(&mut out, batch.labels(run), batch.samples(run));
    }
    out
}

/// The `io.prometheus.write.v2.Request` of a batch, not compressed. Where a counter begins is its series' created timestamp.
#[must_use]
pub fn encode_write_request_v2(batch: &Batch) -> Vec<u8> {
    let mut symbols = HashMap::from([("", 0)]);
    let (mut table, mut out) = (vec![""], Vec::new());
    let mut all = Vec::new();
    for run in batch.runs() {
        let (mut series, mut refs) = (Vec::new(), Vec::new());
        for text in batch.labels(run).iter().flat_map(|(name, value)| [name, value]) {
            let next = symbols.len() as u64;
            let number = *symbols.entry(text).or_insert(next);
            if number == next {
                table.push(text);
            }
            write_varint(&mut refs, number);
        }
        write_field(&mut series, 1, &refs);
        for sample in batch.samples(run) {
            match CounterStart::of(sample.v) {
                None => write_field(&mut series, 2, &one_sample(sample)),
                // There is nothing there to say that a sample is one.
                Some(CounterStart::Increment) => {}
                Some(_) => {
                    series.push(6 << 3);
                    write_varint(&mut series, sample.t as u64);
                }
            }
        }
        write_field(&mut all, 5, &series);
    }
    table.iter().for_each(|symbol| write_field(&mut out, 4, symbol.as_bytes()));
    out.extend(all);
    out
}

/// Appends a series to a `WriteRequest` message.
pub fn write_series(out: &mut Vec<u8>, labels: LabelsRef<'_>, samples: &[Sample]) {
    let (mut series, mut inner) = (Vec::new(), Vec::new());
    for (name, value) in labels.iter() {
        inner.clear();
        write_field(&mut inner, 1, name.as_bytes());
        write_field(&mut inner, 2, value.as_bytes());
        write_field(&mut series, 1, &inner);
    }
    for sample in samples {
        write_field(&mut series, 2, &one_sample(sample));
    }
    write_field(out, 1, &series);
}

/// The `Sample` message, which is the same in both versions.
fn one_sample(sample: &Sample) -> Vec<u8> {
    let mut out = Vec::with_capacity(20);
    out.push(1 << 3 | 1);
    out.extend_from_slice(&sample.v.to_bits().to_le_bytes());
    out.push(2 << 3);
    write_varint(&mut out, sample.t as u64);
    out
}

/// A snappy block, as remote write sends it.
#[must_use]
pub fn compress(message: &[u8]) -> Vec<u8> {
    // Only a message beyond 4 GiB fails; the limits keep batches far below.
    snap::raw::Encoder::new().compress_vec(message).unwrap_or_default()
}

/// Appends a length-delimited protobuf field.
pub fn write_field(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    write_varint(out, u64::from(field) << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a protobuf variable-length integer.
pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
