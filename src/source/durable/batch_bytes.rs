//! A batch as bytes of the log. Pure.
//!
//! A snappy block of: number of series; for each the length of its label bytes and these, the number of its samples, and
//! for each sample the time since the one before in the batch (zigzag) and eight bytes of value. Numbers are variable-length as in protobuf.

use crate::base::encode::{compress, write_varint};
use crate::base::{Batch, BatchBuilder, LabelsRef, Limits};

/// The bytes of a batch.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.all_samples().len() * 11 + batch.runs().len() * 128);
    write_varint(&mut out, batch.runs().len() as u64);
    let mut before = 0_i64;
    for run in batch.runs() {
        let labels = batch.labels(run);
        write_varint(&mut out, labels.as_bytes().len() as u64);
        out.extend_from_slice(labels.as_bytes());
        let samples = batch.samples(run);
        write_varint(&mut out, samples.len() as u64);
        for sample in samples {
            let step = sample.t.wrapping_sub(before);
            write_varint(&mut out, (step << 1 ^ step >> 63) as u64);
            out.extend_from_slice(&sample.v.to_bits().to_le_bytes());
            before = sample.t;
        }
    }
    compress(&out)
}

/// The batch that was encoded; None where the bytes are something else.
pub fn decode(bytes: &[u8], limits: &Limits) -> Option<Batch> {
    let plain = snap::raw::Decoder::new().decompress_vec(bytes).ok()?;
    let mut rest = plain.as_slice();
    let mut builder = BatchBuilder::new(limits);
    let mut t = 0_i64;
    for _ in 0..varint(&mut rest)? {
        let length = varint(&mut rest)?;
        builder.series(LabelsRef::from_canonical(take(&mut rest, length)?));
        for _ in 0..varint(&mut rest)? {
            let step = varint(&mut rest)?;
            t = t.wrapping_add((step >> 1) as i64 ^ -((step & 1) as i64));
            let value = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            builder.sample(t, f64::from_bits(value));
        }
    }
    rest.is_empty().then(|| builder.finish())
}

fn take<'a>(rest: &mut &'a [u8], n: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(n).ok()?)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::{CounterStart, Labels, stale_nan};

    /// What the log pays for where counters begin: an hour long for each process, and only if it is asked for.
    #[test]
    fn beginnings_take_little_room() {
        let bytes = |begins: bool| {
            let mut builder = BatchBuilder::new(&Limits::default());
            for i in 0..2_000 {
                let labels = [("__name__", "http_requests_total"), ("instance", "10.0.0.1:9090"), ("job", "web")];
                let path = format!("/path/{i}");
                builder.series(Labels::from_pairs(labels.into_iter().chain([("path", path.as_str())])).as_ref());
                if begins {
                    builder.counter_start(1_700_000_000_123, CounterStart::Created);
                }
                builder.sample(1_700_000_600_000, f64::from(i) * 1.7);
            }
            encode(&builder.finish()).len()
        };
        let (with, without) = (bytes(true), bytes(false));
        println!("{} bytes a series, {} with its begin", without / 2_000, with / 2_000);
        assert!(with < without + 2_000 * 12, "{with} bytes, {without} without");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(series in prop::collection::vec(
            ("[a-z]{1,9}", prop::collection::vec((any::<i64>(), any::<f64>()), 0..5)),
            0..6,
        )) {
            let limits = Limits::default();
            let mut builder = BatchBuilder::new(&limits);
            for (name, samples) in &series {
                builder.series(Labels::from_pairs([("__name__", name.as_str()), ("job", "x")]).as_ref());
                samples.iter().for_each(|(t, v)| builder.sample(*t, *v));
                builder.counter_start(5, CounterStart::Created);
                builder.counter_start(6, CounterStart::Anew);
                builder.sample(7, stale_nan());
            }
            let batch = builder.finish();
            let bytes = encode(&batch);
            let again = decode(&bytes, &limits).unwrap();
            let parts = |b: &Batch| -> Vec<_> {
                let samples = |r| b.samples(r).iter().map(|s| (s.t, s.v.to_bits())).collect::<Vec<_>>();
                b.runs().iter().map(|r| (r.key, b.labels(r).to_string(), samples(r))).collect()
            };
            prop_assert_eq!(parts(&again), parts(&batch));
            prop_assert!(decode(&bytes[..bytes.len() - 1], &limits).is_none());
        }
    }
}
