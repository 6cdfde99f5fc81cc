//! Prometheus remote write 2.0: a snappy block that holds an `io.prometheus.write.v2.Request`.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>. Strings stand once, in a table; series name them by number.
//! Read from the borrowed bytes into the batch's columns, as version 1 is. Metadata is skipped; native histograms are counted.
//! Exemplars are kept if they name a trace, created timestamps if they are asked for. These stand with a series, or, since the
//! specification's fourth candidate, with each of its samples.

mod symbols;

use self::symbols::{Refs, symbols};
use super::protobuf::{Reader, Value, WireError};
use super::remote_write::{DecodeError, decompress};
use super::trace_exemplar::{TRACES_MAX, TraceExemplar, is_trace_id};
use super::{CreatedTimestamps, Decoded, Dropped};
use crate::base::{BatchBuilder, CounterStart, Limits, Millis};

/// Labels of an exemplar that name a trace: OpenTelemetry's, and the one common before.
const TRACE_LABELS: [&[u8]; 2] = [b"trace_id", b"traceID"];

/// Decompresses and decodes one request. `scratch` holds the decompressed bytes and is reused between calls.
///
/// # Errors
/// The request is malformed or breaks a limit; nothing of it is taken.
pub fn decode(
    compressed: &[u8],
    limits: &Limits,
    created: CreatedTimestamps,
    scratch: &mut Vec<u8>,
) -> Result<Decoded, DecodeError> {
    let len = decompress(compressed, limits, scratch)?;
    decode_message(&scratch[..len], limits, created)
}

/// Whether a message is of this version, and not of the first: no field of theirs has the same number, so that they can be
/// told apart.
#[must_use]
pub fn is_version_2(message: &[u8]) -> bool {
    let first = Reader::new(message).field();
    matches!(first, Ok(Some((request::SYMBOLS | request::TIMESERIES, Value::Bytes(_)))))
}

/// Decodes a request that is already decompressed.
///
/// # Errors
/// The message is malformed or breaks a limit; nothing of it is taken.
pub fn decode_message(message: &[u8], limits: &Limits, created: CreatedTimestamps) -> Result<Decoded, DecodeError> {
    let (builder, symbols) = (BatchBuilder::new(limits), symbols(message)?);
    let mut out =
        Out { builder, dropped: Dropped::default(), traces: vec![], symbols, created, exemplars: 0, label_bytes: 0 };
    out.builder.reserve(message.len(), message.len() / 32, message.len() / 32);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        if request::VERSION_1.contains(&field) {
            return Err(DecodeError::Symbols("it has fields of version 1"));
        }
        if field == request::TIMESERIES {
            out.time_series(value.bytes(field)?)?;
            if out.builder.sample_count() > limits.pending_samples {
                return Err(DecodeError::TooManySamples(limits.pending_samples));
            }
            // One byte can stand for a label of thousands, also in series that are refused.
            if out.label_bytes > limits.decompressed_bytes {
                return Err(DecodeError::TooManyLabels(limits.decompressed_bytes));
            }
        }
    }
    Ok(Decoded { batch: out.builder.finish(), dropped: out.dropped, traces: out.traces, exemplars: out.exemplars })
}

// Field numbers of prometheus/prometheus prompb/io/prometheus/write/v2/types.proto.
mod request {
    /// Reserved, so that a request of version 1 is not taken for an empty one.
    pub const VERSION_1: std::ops::RangeInclusive<u32> = 1..=3;
    pub const SYMBOLS: u32 = 4;
    pub const TIMESERIES: u32 = 5;
}
mod series {
    pub const LABELS_REFS: u32 = 1;
    pub const SAMPLES: u32 = 2;
    pub const HISTOGRAMS: u32 = 3;
    pub const EXEMPLARS: u32 = 4;
    pub const CREATED_TIMESTAMP: u32 = 6;
}
mod sample {
    pub const VALUE: u32 = 1;
    pub const TIMESTAMP: u32 = 2;
    pub const START_TIMESTAMP: u32 = 3;
}
mod exemplar {
    pub const LABELS_REFS: u32 = 1;
    pub const TIMESTAMP: u32 = 3;
}

struct Out<'a> {
    builder: BatchBuilder,
    dropped: Dropped,
    traces: Vec<TraceExemplar>,
    symbols: Vec<&'a [u8]>,
    created: CreatedTimestamps,
    /// Exemplars of series that were taken.
    exemplars: u64,
    /// Bytes of all labels that series have named.
    label_bytes: usize,
}

impl<'a> Out<'a> {
    /// One series. The wire allows labels after samples, so it is walked twice.
    fn time_series(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let (mut reader, mut samples, mut exemplars, mut created) = (Reader::new(message), 0, 0, 0);
        let mut refs = Refs::default();
        while let Some((field, value)) = reader.field()? {
            match field {
                series::LABELS_REFS => {
                    let Self { symbols, builder, label_bytes, .. } = self;
                    refs.read(field, value, symbols, |name, value| {
                        *label_bytes += name.len() + value.len();
                        builder.label_bytes(name, value);
                    })?;
                }
                series::SAMPLES => samples += 1,
                series::HISTOGRAMS => self.dropped.histograms += 1,
                series::EXEMPLARS => exemplars += 1,
                series::CREATED_TIMESTAMP => created = value.int64(field)?,
                _ => {}
            }
        }
        refs.end()?;
        if let Err(fault) = self.builder.end_labels() {
            // The samples are still read: a malformed request is refused whole.
            self.dropped.series(fault, samples);
            self.samples(message, created, false)?;
            return Ok(());
        }
        self.samples(message, created, true)?;
        if exemplars > 0 { self.exemplars(message) } else { Ok(()) }
    }

    fn samples(&mut self, message: &[u8], created: Millis, is_taken: bool) -> Result<(), WireError> {
        let (mut reader, mut begun) = (Reader::new(message), None);
        while let Some((field, value)) = reader.field()? {
            if field != series::SAMPLES {
                continue;
            }
            let (mut t, mut v, mut created) = (0, 0.0, created);
            let mut fields = Reader::new(value.bytes(field)?);
            while let Some((field, value)) = fields.field()? {
                match field {
                    sample::VALUE => v = value.double(field)?,
                    sample::TIMESTAMP => t = value.int64(field)?,
                    sample::START_TIMESTAMP => {
                        created = Some(value.int64(field)?).filter(|start| *start != 0).unwrap_or(created);
                    }
                    _ => {}
                }
            }
            if is_taken {
                if let Some(begin) = self.created.begin(created, t).filter(|begin| begun != Some(*begin)) {
                    self.builder.counter_start(begin, CounterStart::Created);
                    begun = Some(begin);
                }
                self.builder.sample(t, v);
            }
        }
        Ok(())
    }

    /// Counts the exemplars of a series, and keeps the newest trace that they name.
    fn exemplars(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let (mut reader, mut newest) = (Reader::new(message), None);
        while let Some((field, value)) = reader.field()? {
            if field != series::EXEMPLARS {
                continue;
            }
            let (mut at, mut trace, mut refs) = (0, None, Refs::default());
            let mut fields = Reader::new(value.bytes(field)?);
            while let Some((field, value)) = fields.field()? {
                match field {
                    exemplar::LABELS_REFS => refs.read(field, value, &self.symbols, |name, value| {
                        if TRACE_LABELS.contains(&name) {
                            trace = std::str::from_utf8(value).ok();
                        }
                    })?,
                    exemplar::TIMESTAMP => at = value.int64(field)?,
                    _ => {}
                }
            }
            refs.end()?;
            self.exemplars += 1;
            newest = newest.max(trace.filter(|id| is_trace_id(id)).map(|id| (at, id)));
        }
        if let (Some((at, trace)), Some(labels)) = (newest, self.builder.last_labels())
            && self.traces.len() < TRACES_MAX
        {
            self.traces.extend(TraceExemplar::new(labels, trace.to_owned(), at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Labels;
    use crate::base::encode::{compress, write_field};

    /// A request with these symbols, and series whose parts are given as fields.
    fn request(symbols: &[&str], series: &[&[(u32, &[u8])]]) -> Vec<u8> {
        let mut request = Vec::new();
        symbols.iter().for_each(|s| write_field(&mut request, 4, s.as_bytes()));
        for parts in series {
            let mut one = Vec::new();
            parts.iter().for_each(|(field, bytes)| write_field(&mut one, *field, bytes));
            write_field(&mut request, 5, &one);
        }
        request
    }

    const TRACE: &str = "0123456789abcdefABCDEF0123456789";
    const SYMBOLS: [&str; 7] = ["", "__name__", "up", "job", "j", "trace_id", TRACE];
    /// `1.0` at 7 ms.
    const SAMPLE: &[u8] = b"\x09\0\0\0\0\0\0\xf0\x3f\x10\x07";
    const LABELS: &[u8] = &[1, 2, 3, 4];

    fn read(message: &[u8]) -> Result<Decoded, DecodeError> {
        read_as(CreatedTimestamps::Ignore, message)
    }

    fn read_as(created: CreatedTimestamps, message: &[u8]) -> Result<Decoded, DecodeError> {
        decode(&compress(message), &Limits::default(), created, &mut Vec::new())
    }

    #[test]
    fn series_samples_and_traces_are_read() {
        let exemplar: &[u8] = &[0x0a, 2, 5, 6, 0x18, 9];
        let series: &[(u32, &[u8])] = &[(2, SAMPLE), (4, exemplar), (1, LABELS), (3, b""), (5, b"\x08\x01"), (2, b"")];
        let got = read(&request(&SYMBOLS, &[series])).unwrap();
        let batch = &got.batch;
        assert_eq!(batch.labels(&batch.runs()[0]).to_string(), r#"up{job="j"}"#);
        let samples: Vec<_> = batch.all_samples().iter().map(|s| (s.t, s.v)).collect();
        assert_eq!(samples, [(7, 1.0), (0, 0.0)]);
        assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("native_histogram", 1)]);
        let trace = TraceExemplar { labels: Labels::from_pairs([("job", "j")]), trace_id: TRACE.to_owned(), at: 9 };
        assert_eq!(got.traces, [trace]);
    }

    #[test]
    fn only_identities_of_traces_are_taken() {
        let exemplar: &[u8] = &[0x0a, 2, 5, 6, 0x18, 9];
        let taken = |trace: &str| {
            let mut symbols = SYMBOLS;
            symbols[6] = trace;
            let got = read(&request(&symbols, &[&[(1, LABELS), (2, SAMPLE), (4, exemplar)]])).unwrap();
            assert_eq!(got.exemplars, 1, "{trace}");
            got.traces.len()
        };
        assert_eq!((taken(TRACE), taken(&TRACE[..16])), (1, 1));
        for other in ["", "abc", &TRACE[..31], "../../../0123456", "0123456789abcde&", "0123456789abcdéf"] {
            assert_eq!(taken(other), 0, "{other}");
        }
    }

    #[test]
    fn the_newest_trace_of_a_series_is_kept_unless_its_labels_are_long() {
        let other = TRACE.replace('0', "f");
        let traces = |job: &str| {
            let symbols = ["", "__name__", "up", "job", job, "trace_id", TRACE, &other];
            let [old, new, between] = [(6, 7), (7, 9), (6, 8)].map(|(trace, at)| [0x0a, 2, 5, trace, 0x18, at]);
            let series: &[(u32, &[u8])] = &[(1, LABELS), (2, SAMPLE), (4, &old), (4, &new), (4, &between)];
            read(&request(&symbols, &[series])).unwrap().traces
        };
        let kept: Vec<_> = traces("j").into_iter().map(|trace| (trace.trace_id, trace.at)).collect();
        assert_eq!(kept, [(other.clone(), 9)]);
        assert_eq!(traces(&"j".repeat(4_000)).len(), 1);
        assert!(traces(&"j".repeat(4_100)).is_empty());
    }

    #[test]
    fn references_may_come_one_by_one() {
        let mut one = Vec::new();
        [1, 2].iter().for_each(|r| one.extend([0x08, *r]));
        write_field(&mut one, 2, SAMPLE);
        let mut message = request(&SYMBOLS, &[]);
        write_field(&mut message, 5, &one);
        let got = read(&message).unwrap();
        assert_eq!(got.batch.labels(&got.batch.runs()[0]).to_string(), "up");
    }

    #[test]
    fn symbols_that_are_not_there_and_half_labels_are_refused() {
        let with = |labels: &[u8]| read(&request(&SYMBOLS, &[&[(1, labels), (2, SAMPLE)]]));
        assert!(with(LABELS).is_ok());
        assert!(matches!(with(&[1, 9]), Err(DecodeError::Symbols(_))));
        assert!(matches!(with(&[1, 2, 3]), Err(DecodeError::Symbols(_))));
        assert!(matches!(read(&request(&["x"], &[])), Err(DecodeError::Symbols(_))));
        let twice = with(&[1, 2, 1, 2]).unwrap();
        assert_eq!(twice.dropped.iter().collect::<Vec<_>>(), [("duplicate_label", 1)]);
        assert!(twice.batch.is_empty());
    }

    #[test]
    fn more_symbols_than_can_differ_are_refused() {
        let with = |symbols: &[&str]| read(&request(symbols, &[]));
        assert!(matches!(with(&[""; 1_000]), Err(DecodeError::Symbols(_))));
        assert!(matches!(with(&["", "a"].repeat(1_000)), Err(DecodeError::Symbols(_))));
        // All that there are of no more than two characters.
        let of_one: Vec<String> = (0..128u8).map(|c| char::from(c).to_string()).collect();
        let of_two: Vec<String> = of_one.iter().flat_map(|a| of_one.iter().map(move |b| format!("{a}{b}"))).collect();
        let mut all = vec![""];
        all.extend(of_one.iter().map(String::as_str));
        assert!(with(&all).is_ok());
        all.extend(of_two.iter().map(String::as_str));
        assert!(with(&all).is_ok());
    }

    /// A sample of value 1 at `t`, of a counter that began at `start`; 0 where its sender does not say.
    fn sample(t: u8, start: u8) -> Vec<u8> {
        [b"\x09\0\0\0\0\0\0\xf0\x3f\x10".as_slice(), &[t, 0x18, start]].concat()
    }

    #[test]
    fn counters_begin_where_the_series_or_its_samples_say() {
        let of_series = |created: u8, samples: &[Vec<u8>]| {
            let mut one = Vec::new();
            write_field(&mut one, 1, LABELS);
            samples.iter().for_each(|sample| write_field(&mut one, 2, sample));
            one.extend([0x30, created]);
            let mut message = request(&SYMBOLS, &[]);
            write_field(&mut message, 5, &one);
            message
        };
        let got = |message: &[u8]| -> Vec<(Millis, Option<CounterStart>)> {
            let batch = read_as(CreatedTimestamps::ZeroSample, message).unwrap().batch;
            batch.all_samples().iter().map(|s| (s.t, CounterStart::of(s.v))).collect()
        };
        let created = Some(CounterStart::Created);
        let message = of_series(3, &[sample(7, 0), sample(9, 0)]);
        assert_eq!(got(&message), [(3, created), (7, None), (9, None)]);
        assert_eq!(read(&message).unwrap().batch.all_samples().len(), 2, "they are not asked for");
        let anew = of_series(0, &[sample(5, 3), sample(7, 3), sample(9, 8)]);
        assert_eq!(got(&anew), [(3, created), (5, None), (7, None), (8, created), (9, None)]);
        assert_eq!(got(&of_series(0, &[sample(7, 7), sample(8, 9)])), [(7, None), (8, None)]);
    }

    #[test]
    fn versions_are_told_apart_by_their_first_field() {
        let mut first = Vec::new();
        write_field(&mut first, 1, b"");
        for (message, is_second) in [(&first[..], false), (&[], false), (b"\x20\x01", false), (b"\xff", false)] {
            assert_eq!(is_version_2(message), is_second, "{message:?}");
        }
        assert!(is_version_2(&request(&SYMBOLS, &[])));
        assert!(is_version_2(&request(&[], &[&[]])));
    }

    #[test]
    fn few_bytes_cannot_name_much_memory() {
        let long = "x".repeat(8_000);
        let series: &[(u32, &[u8])] = &[(1, &[1, 2])];
        let message = request(&["", "a", &long], &[series; 100]);
        let limits = Limits { decompressed_bytes: 100_000, ..Limits::default() };
        assert!(matches!(
            decode_message(&message, &limits, CreatedTimestamps::Ignore),
            Err(DecodeError::TooManyLabels(_))
        ));
        // Nor can one series, nor many that are refused.
        let one: &[(u32, &[u8])] = &[(1, &[1, 2].repeat(100))];
        let refused: &[(u32, &[u8])] = &[(1, &[1, 2, 1, 2])];
        for series in [&[one][..], &[refused; 50]] {
            assert!(matches!(
                decode_message(&request(&["", "a", &long], series), &limits, CreatedTimestamps::Ignore),
                Err(DecodeError::TooManyLabels(_))
            ));
        }
        let got = decode_message(&request(&["", "a", &long], &[one]), &Limits::default(), CreatedTimestamps::Ignore);
        assert_eq!(got.unwrap().batch.measured(), 0);
    }

    proptest! {
        #[test]
        fn a_damaged_request_never_panics(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
            let series: &[(u32, &[u8])] = &[(1, LABELS), (2, SAMPLE), (4, &[0x0a, 2, 5, 6])];
            let mut message = request(&SYMBOLS, &[series; 3]);
            let len = message.len();
            message[at % len] = byte;
            for part in [&message[..], &message[..cut % len]] {
                let _ = decode_message(part, &Limits::default(), CreatedTimestamps::ZeroSample);
            }
        }
    }
}
