//! Prometheus remote write 1.0: a snappy block that holds a protobuf `WriteRequest`.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>. Read field by field from the borrowed bytes; labels and
//! samples go straight into the batch's columns, nothing is allocated for a series or a sample. Metadata, exemplars and
//! unknown fields are skipped; native histograms are skipped and counted. A malformed request is refused whole; a
//! series whose labels break a limit is left out and counted.

use super::protobuf::{Reader, WireError};
use super::{Decoded, Dropped};
use crate::base::{BatchBuilder, Limits};

/// Why a request was refused; nothing of it was taken.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not a snappy block.
    #[error("not a snappy block: {0}")]
    Snappy(#[from] snap::Error),
    /// The block says it holds more than is allowed.
    #[error("the request is {declared} bytes when decompressed, limits.decompressed_bytes is {limit}")]
    TooLarge {
        /// Length the block's header states.
        declared: usize,
        /// The bound.
        limit: usize,
    },
    /// The block says it holds more than any snappy block of its size can.
    #[error("the snappy header promises {declared} bytes, more than {compressed} compressed bytes can hold")]
    Implausible {
        /// Length the block's header states.
        declared: usize,
        /// Length of the block.
        compressed: usize,
    },
    /// Not a protobuf message.
    #[error("not a WriteRequest: {0}")]
    Protobuf(#[from] WireError),
    /// More samples than may wait for the watermark.
    #[error("more than {0} samples in one request (limits.pending_samples)")]
    TooManySamples(usize),
    /// Labels that take more memory than the request.
    #[error("the series have more than {0} bytes of labels (limits.decompressed_bytes)")]
    TooManyLabels(usize),
    /// What version 2 says of its strings, or that it is not version 2.
    #[error("not a request of version 2: {0}")]
    Symbols(&'static str),
}

/// Decompresses and decodes one request. `scratch` holds the decompressed bytes and is reused between calls.
///
/// # Errors
/// The request is malformed or breaks a limit; nothing of it is taken.
pub fn decode(compressed: &[u8], limits: &Limits, scratch: &mut Vec<u8>) -> Result<Decoded, DecodeError> {
    let len = decompress(compressed, limits, scratch)?;
    decode_message(&scratch[..len], limits)
}

/// Decompresses a snappy block into the beginning of `scratch`; gives its length.
///
/// # Errors
/// It is none, or holds more than is allowed.
pub fn decompress(compressed: &[u8], limits: &Limits, scratch: &mut Vec<u8>) -> Result<usize, DecodeError> {
    let declared = snap::raw::decompress_len(compressed)?;
    if declared > limits.decompressed_bytes {
        return Err(DecodeError::TooLarge { declared, limit: limits.decompressed_bytes });
    }
    // The densest element of the format is a three-byte copy of 64 bytes (google/snappy format_description.txt, 2.2), so
    // a header that promises more lies, and is not worth the memory.
    if declared > compressed.len().saturating_mul(22) {
        return Err(DecodeError::Implausible { declared, compressed: compressed.len() });
    }
    if scratch.len() < declared {
        scratch.resize(declared, 0);
    }
    Ok(snap::raw::Decoder::new().decompress(compressed, scratch)?)
}

/// Decodes a `WriteRequest` that is already decompressed.
///
/// # Errors
/// The message is malformed or breaks a limit; nothing of it is taken.
pub fn decode_message(message: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut builder = BatchBuilder::new(limits);
    let mut dropped = Dropped::default();
    // A label takes at least as many bytes on the wire as in a batch, and a series worth its memory more than 32.
    let series = count_series(message)?.min(message.len() / 32);
    builder.reserve(message.len(), series, series);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        if field == write_request::TIMESERIES {
            time_series(value.bytes(field)?, &mut builder, &mut dropped)?;
            if builder.sample_count() > limits.pending_samples {
                return Err(DecodeError::TooManySamples(limits.pending_samples));
            }
        }
    }
    Ok(Decoded { batch: builder.finish(), dropped, ..Decoded::default() })
}

/// Counting first costs little and saves growing the columns, which would copy them several times over.
fn count_series(message: &[u8]) -> Result<usize, WireError> {
    let (mut reader, mut series) = (Reader::new(message), 0);
    while let Some((field, _)) = reader.field()? {
        series += usize::from(field == write_request::TIMESERIES);
    }
    Ok(series)
}

// Field numbers of prometheus/prometheus prompb/remote.proto and prompb/types.proto.
mod write_request {
    pub const TIMESERIES: u32 = 1;
}
mod series {
    pub const LABELS: u32 = 1;
    pub const SAMPLES: u32 = 2;
    pub const HISTOGRAMS: u32 = 4;
}
mod label {
    pub const NAME: u32 = 1;
    pub const VALUE: u32 = 2;
}
mod sample {
    pub const VALUE: u32 = 1;
    pub const TIMESTAMP: u32 = 2;
}

/// One series. The wire allows labels after samples, so the labels are gathered first; the first sample is kept aside and
/// the others, which are rare, found on a second walk.
#[inline]
fn time_series(message: &[u8], builder: &mut BatchBuilder, dropped: &mut Dropped) -> Result<(), WireError> {
    let mut reader = Reader::new(message);
    let (mut first, mut after_first, mut samples) = (&message[..0], reader, 0);
    while let Some((field, value)) = reader.field()? {
        match field {
            series::LABELS => one_label(value.bytes(field)?, builder)?,
            series::SAMPLES => {
                if samples == 0 {
                    (first, after_first) = (value.bytes(field)?, reader);
                }
                samples += 1;
            }
            series::HISTOGRAMS => dropped.histograms += 1,
            _ => {}
        }
    }
    let refused = builder.end_labels().err();
    if let Some(fault) = refused {
        dropped.series(fault, samples);
    }
    let mut next = (samples > 0).then_some(first);
    while let Some(bytes) = next {
        let (t, v) = one_sample(bytes)?;
        if refused.is_none() {
            builder.sample(t, v);
        }
        samples -= 1;
        next = if samples > 0 { next_sample(&mut after_first)? } else { None };
    }
    Ok(())
}

fn next_sample<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, WireError> {
    while let Some((field, value)) = reader.field()? {
        if field == series::SAMPLES {
            return value.bytes(field).map(Some);
        }
    }
    Ok(None)
}

/// A label as every sender writes it, name then value and both short, needs no walk over its fields: name and value, each
/// with its length before it.
#[inline]
fn plain_label(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, rest @ ..] = message else { return None };
    let (name, rest) = rest.split_at_checked(1 + usize::from(*rest.first().filter(|n| **n < 0x80)?))?;
    let [0x12, value @ ..] = rest else { return None };
    let value_len = usize::from(*value.first().filter(|n| **n < 0x80)?);
    (value.len() == 1 + value_len).then_some((name, value))
}

#[inline]
fn one_label(message: &[u8], builder: &mut BatchBuilder) -> Result<(), WireError> {
    if let Some((name, value)) = plain_label(message) {
        builder.label_encoded(name, value);
        return Ok(());
    }
    let (mut name, mut text): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        match field {
            label::NAME => name = value.bytes(field)?,
            label::VALUE => text = value.bytes(field)?,
            _ => {}
        }
    }
    builder.label_bytes(name, text);
    Ok(())
}

#[inline]
fn one_sample(message: &[u8]) -> Result<(i64, f64), WireError> {
    let (mut t, mut v) = (0, 0.0);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        match field {
            sample::VALUE => v = value.double(field)?,
            sample::TIMESTAMP => t = value.int64(field)?,
            _ => {}
        }
    }
    Ok((t, v))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::encode::{compress, encode_write_request, write_field};
    use crate::base::{Batch, is_stale, stale_nan};

    fn batch() -> Batch {
        let mut builder = BatchBuilder::new(&Limits::default());
        for i in 0..3 {
            builder.label("__name__", "node_cpu_seconds_total");
            builder.label("cpu", &i.to_string());
            builder.end_labels().unwrap();
            builder.sample(1_700_000_000_000, f64::from(i));
            builder.sample(1_700_000_015_000, stale_nan());
        }
        builder.finish()
    }

    fn decode_new(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
        decode(bytes, limits, &mut Vec::new())
    }

    #[test]
    fn round_trip_keeps_order_values_and_staleness_markers() {
        let sent = batch();
        let got = decode_new(&compress(&encode_write_request(&sent)), &Limits::default()).unwrap();
        assert_eq!(got.dropped, Dropped::default());
        assert_eq!(got.batch.runs().len(), 3);
        for (a, b) in sent.runs().iter().zip(got.batch.runs()) {
            assert_eq!((sent.labels(a), a.key), (got.batch.labels(b), b.key));
            for (x, y) in sent.samples(a).iter().zip(got.batch.samples(b)) {
                assert_eq!((x.t, x.v.to_bits()), (y.t, y.v.to_bits()));
            }
        }
        assert!(is_stale(got.batch.all_samples()[1].v));
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_taken() {
        let mut scratch = Vec::new();
        let limits = Limits { decompressed_bytes: 1000, ..Limits::default() };
        let big = compress(&vec![0; 2000]);
        assert!(matches!(decode(&big, &limits, &mut scratch), Err(DecodeError::TooLarge { declared: 2000, .. })));
        let liar = [0x80, 0x80, 0x80, 0x20, 0];
        assert!(matches!(decode(&liar, &Limits::default(), &mut scratch), Err(DecodeError::Implausible { .. })));
        assert_eq!(scratch.capacity(), 0);
        assert!(matches!(decode_new(&[], &limits), Err(DecodeError::Snappy(_))));
    }

    #[test]
    fn samples_before_labels_unknown_fields_and_histograms() {
        let (mut one, mut request) = (Vec::new(), Vec::new());
        write_field(&mut one, 4, b"\x08\x01");
        write_field(&mut one, 2, b"\x09\0\0\0\0\0\0\xf0\x3f\x10\x07");
        write_field(&mut one, 99, b"whatever");
        write_field(&mut one, 1, b"\x0a\x01a\x12\x01b");
        write_field(&mut request, 3, b"metadata");
        write_field(&mut request, 1, &one);
        let got = decode_message(&request, &Limits::default()).unwrap();
        assert_eq!(got.batch.labels(&got.batch.runs()[0]).to_string(), r#"{a="b"}"#);
        assert_eq!((got.batch.all_samples()[0].t, got.batch.all_samples()[0].v), (7, 1.0));
        assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("native_histogram", 1)]);
    }

    #[test]
    fn a_series_over_a_limit_is_left_out_and_the_rest_goes_on() {
        let (mut bad, mut good, mut request) = (Vec::new(), Vec::new(), Vec::new());
        write_field(&mut bad, 1, b"\x0a\x01a\x12\x02\xff\xfe");
        write_field(&mut bad, 2, b"\x10\x07");
        write_field(&mut good, 1, b"\x0a\x01a\x12\x01b");
        write_field(&mut good, 2, b"\x10\x08");
        write_field(&mut request, 1, &bad);
        write_field(&mut request, 1, &good);
        let got = decode_message(&request, &Limits::default()).unwrap();
        assert_eq!(got.batch.runs().len(), 1);
        assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("label_not_utf8", 1)]);
        let few = Limits { pending_samples: 0, ..Limits::default() };
        assert!(matches!(decode_message(&request, &few), Err(DecodeError::TooManySamples(0))));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_new(&bytes, &Limits::default());
            let _ = decode_message(&bytes, &Limits::default());
            let _ = decode_new(&compress(&bytes), &Limits::default());
        }

        #[test]
        fn a_damaged_request_never_panics(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
            let mut message = encode_write_request(&batch());
            let len = message.len();
            message[at % len] = byte;
            let _ = decode_message(&message, &Limits::default());
            let _ = decode_message(&message[..cut % len], &Limits::default());
        }
    }
}
