//! Samples as remote write 1.0 requests: for whoever sends them on, tests and benchmarks among them.

use super::{Batch, LabelsRef, Sample};

/// The `WriteRequest` message of a batch, not compressed.
#[must_use]
pub fn encode_write_request(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.all_samples().len() * 64);
    for run in batch.runs() {
        write_series(&mut out, batch.labels(run), batch.samples(run));
    }
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
        inner.clear();
        inner.push(1 << 3 | 1);
        inner.extend_from_slice(&sample.v.to_bits().to_le_bytes());
        inner.push(2 << 3);
        write_varint(&mut inner, sample.t as u64);
        write_field(&mut series, 2, &inner);
    }
    write_field(out, 1, &series);
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
