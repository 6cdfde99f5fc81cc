//! Which decoder a topic's messages go to. Pure.

use serde::{Deserialize, Serialize};

use crate::base::{Limits, Millis, TimeSpan};
use crate::source::decode::otlp::{DeltaChanges, MetricsDecoder, OtlpEncoding, OtlpError, OtlpSettings};
use crate::source::decode::{
    CreatedTimestamps, Decoded, json_lines, prometheus_kafka_adapter, remote_write, remote_write_v2, telegraf,
};
use crate::source::watermark::drop_out_of_time;

/// What the messages of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// Prometheus remote write: a `WriteRequest` of version 1 or a `Request` of version 2, as it is or as a snappy block. Which
    /// of them is seen from the message.
    RemoteWrite,
    /// OTLP metrics as protobuf, as the OpenTelemetry Collector's Kafka exporter writes them.
    OtlpProto,
    /// The same as JSON.
    OtlpJson,
    /// Telegraf's JSON output.
    TelegrafJson,
    /// What prometheus-kafka-adapter writes as JSON.
    PrometheusKafkaAdapter,
}

/// A message that cannot be decoded; nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    /// For metrics; one of a fixed few.
    pub reason: &'static str,
    /// For people.
    pub text: String,
}

impl Poison {
    /// Some faults quote the message, which may be as large as a message can be: for people its beginning says enough, and a
    /// dead letter has to fit where the message did.
    const TEXT_BYTES_MAX: usize = 500;

    /// Because of this; a long text is cut.
    #[must_use]
    pub fn new(reason: &'static str, mut text: String) -> Self {
        if text.len() > Self::TEXT_BYTES_MAX {
            let end = (0..=Self::TEXT_BYTES_MAX).rfind(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        Self { reason, text }
    }
}

/// Why messages cannot be decoded, as metric label values.
pub const UNDECODED: [&str; 5] = ["too_large", "too_many_samples", "malformed", "compression", "unknown_partition"];

/// A message that was decoded.
#[derive(Debug)]
pub struct Read {
    /// Its samples.
    pub decoded: Decoded,
    /// What it has changed in the running totals.
    pub changes: DeltaChanges,
}

/// The decoder of one partition.
#[derive(Debug)]
pub struct Decoding {
    form: Form,
    created: CreatedTimestamps,
}

/// OTLP's decoder keeps the running totals of delta series, whose points come in order within a partition.
#[derive(Debug)]
enum Form {
    RemoteWrite,
    TelegrafJson,
    PrometheusKafkaAdapter,
    Otlp(Box<MetricsDecoder>, OtlpEncoding),
}

impl Decoder {
    /// A decoder for one partition.
    #[must_use]
    pub fn start(self, otlp: &OtlpSettings, created: CreatedTimestamps, limits: &Limits) -> Decoding {
        let otlp = |encoding| Form::Otlp(Box::new(MetricsDecoder::resuming(otlp.clone(), created, limits)), encoding);
        let form = match self {
            Self::OtlpProto => otlp(OtlpEncoding::Protobuf),
            Self::OtlpJson => otlp(OtlpEncoding::Json),
            Self::RemoteWrite => Form::RemoteWrite,
            Self::TelegrafJson => Form::TelegrafJson,
            Self::PrometheusKafkaAdapter => Form::PrometheusKafkaAdapter,
        };
        Decoding { form, created }
    }
}

impl Decoding {
    /// Takes the deltas of a message back out of the totals that will be read again.
    pub fn undo(&mut self, changes: DeltaChanges) {
        if let Form::Otlp(decoder, _) = &mut self.form {
            decoder.undo(changes);
        }
    }

    /// Decodes one message that is read at `now`; samples too far from there are left out and counted. `scratch` is reused
    /// between calls.
    ///
    /// # Errors
    /// The message is at fault, or breaks a limit.
    pub fn decode(
        &mut self,
        message: &[u8],
        now: Millis,
        limits: &Limits,
        scratch: &mut Vec<u8>,
    ) -> Result<Read, Poison> {
        if message.len() > limits.request_bytes {
            let text = format!("{} bytes, more than limits.request_bytes ({})", message.len(), limits.request_bytes);
            return Err(Poison::new("too_large", text));
        }
        let decoded = match &mut self.form {
            Form::Otlp(decoder, encoding) => {
                let taken = decoder.decode(message, *encoding, TimeSpan::around(now, limits))?;
                return Ok(Read { decoded: taken.decoded, changes: taken.changes });
            }
            Form::TelegrafJson => telegraf::decode(message, limits)?,
            Form::PrometheusKafkaAdapter => prometheus_kafka_adapter::decode(message, limits)?,
            Form::RemoteWrite => any_remote_write(message, self.created, limits, scratch)?,
        };
        Ok(Read { decoded: drop_out_of_time(decoded, now, limits), changes: DeltaChanges::default() })
    }
}

/// Who writes remote write into Kafka seldom says whether it is compressed. A message is not both: a block begins with its
/// length, and what unpacks to just that many bytes of a `WriteRequest` is one.
fn any_remote_write(
    message: &[u8],
    created: CreatedTimestamps,
    limits: &Limits,
    scratch: &mut Vec<u8>,
) -> Result<Decoded, Poison> {
    use remote_write::DecodeError as E;
    let either = |message: &[u8]| match remote_write_v2::is_version_2(message) {
        true => remote_write_v2::decode_message(message, limits, created),
        false => remote_write::decode_message(message, limits),
    };
    let unpacked = remote_write::decompress(message, limits, scratch);
    let fault = match unpacked.and_then(|len| either(&scratch[..len])) {
        Ok(decoded) => return Ok(decoded),
        Err(fault) => fault,
    };
    match (either(message), fault) {
        (Ok(decoded), _) => Ok(decoded),
        // It was a block, whatever is wrong with what it holds.
        (Err(_), fault @ (E::Protobuf(_) | E::TooManySamples(_) | E::TooManyLabels(_) | E::Symbols(_))) => {
            Err(fault.into())
        }
        // A bomb is worth knowing of; otherwise it is told what both readings say. A message begins with its first field.
        (Err(_), fault @ E::TooLarge { .. }) if ![Some(&0x0a), Some(&0x22)].contains(&message.first()) => {
            Err(fault.into())
        }
        (Err(plain), block) => {
            let poison = Poison::from(plain);
            Err(Poison::new(poison.reason, format!("{}; nor is it compressed: {block}", poison.text)))
        }
    }
}

impl From<remote_write::DecodeError> for Poison {
    fn from(error: remote_write::DecodeError) -> Self {
        use remote_write::DecodeError as E;
        let reason = match &error {
            E::Snappy(_) | E::Implausible { .. } => "compression",
            E::TooLarge { .. } => "too_large",
            E::Protobuf(_) | E::Symbols(_) => "malformed",
            E::TooManySamples(_) | E::TooManyLabels(_) => "too_many_samples",
        };
        Self::new(reason, error.to_string())
    }
}

impl From<OtlpError> for Poison {
    fn from(error: OtlpError) -> Self {
        let reason = match &error {
            OtlpError::TooLarge { .. } | OtlpError::Hollow { .. } => "too_large",
            OtlpError::TooManySamples(_) | OtlpError::TooManyLabels(_) => "too_many_samples",
            OtlpError::Protobuf(_) | OtlpError::Wire(_) | OtlpError::Json(_) => "malformed",
        };
        Self::new(reason, error.to_string())
    }
}

impl From<json_lines::JsonLinesError> for Poison {
    fn from(error: json_lines::JsonLinesError) -> Self {
        use json_lines::JsonLinesError as E;
        let reason = match &error {
            E::Json { .. } | E::Value { .. } | E::Nothing => "malformed",
            E::TooManySamples(_) => "too_many_samples",
        };
        Self::new(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::encode::{compress, encode_write_request, encode_write_request_v2};
    use crate::base::{Batch, BatchBuilder, CounterStart};

    fn request(series: usize) -> Vec<u8> {
        encode_write_request(&batch(series))
    }

    fn batch(series: usize) -> Batch {
        let mut builder = BatchBuilder::new(&Limits::default());
        for i in 0..series {
            builder.label("__name__", "up");
            builder.label("i", &i.to_string());
            builder.end_labels().unwrap();
            builder.sample(1_000, 1.0);
        }
        builder.finish()
    }

    fn decode(message: &[u8], limits: &Limits) -> Result<usize, Poison> {
        let mut decoding = Decoder::RemoteWrite.start(&OtlpSettings::default(), CreatedTimestamps::Ignore, limits);
        let decoded = decoding.decode(message, 1_000, limits, &mut Vec::new())?.decoded;
        Ok(decoded.batch.all_samples().len())
    }

    #[test]
    fn remote_write_is_read_compressed_or_not() {
        for series in [1, 2, 5, 300] {
            let plain = request(series);
            assert_eq!(decode(&plain, &Limits::default()), Ok(series));
            assert_eq!(decode(&compress(&plain), &Limits::default()), Ok(series));
            let second = encode_write_request_v2(&batch(series));
            assert_eq!(decode(&second, &Limits::default()), Ok(series));
            assert_eq!(decode(&compress(&second), &Limits::default()), Ok(series));
        }
        assert_eq!(decode(&[], &Limits::default()), Ok(0), "an empty message is an empty request");
    }

    #[test]
    fn counters_begin_in_version_2_if_that_is_asked_for() {
        let limits = Limits::default();
        let mut builder = BatchBuilder::new(&limits);
        builder.label("__name__", "x_total");
        builder.end_labels().unwrap();
        builder.counter_start(400, CounterStart::Created);
        builder.sample(1_000, 1.0);
        let message = compress(&encode_write_request_v2(&builder.finish()));
        for (created, begins) in [(CreatedTimestamps::ZeroSample, true), (CreatedTimestamps::Ignore, false)] {
            let mut decoding = Decoder::RemoteWrite.start(&OtlpSettings::default(), created, &limits);
            let got = decoding.decode(&message, 1_000, &limits, &mut Vec::new()).unwrap().decoded.batch;
            let starts: Vec<_> = got.all_samples().iter().map(|s| (s.t, CounterStart::of(s.v).is_some())).collect();
            assert_eq!(starts, [(400, true), (1_000, false)][usize::from(!begins)..]);
            assert_eq!(got.measured(), 1);
            // Read again by the decoder of another process: the same.
            let again = Decoder::RemoteWrite.start(&OtlpSettings::default(), created, &limits);
            let again = { again }.decode(&message, 1_000, &limits, &mut Vec::new()).unwrap().decoded.batch;
            let bits = |batch: &Batch| batch.all_samples().iter().map(|s| (s.t, s.v.to_bits())).collect::<Vec<_>>();
            assert_eq!(bits(&again), bits(&got));
        }
    }

    #[test]
    fn a_fault_that_quotes_the_message_is_cut() {
        let limits = Limits::default();
        let text = |decoder: Decoder, message: String| {
            let mut decoding = decoder.start(&OtlpSettings::default(), CreatedTimestamps::Ignore, &limits);
            decoding.decode(message.as_bytes(), 1_000, &limits, &mut Vec::new()).unwrap_err().text
        };
        for decoder in [Decoder::PrometheusKafkaAdapter, Decoder::TelegrafJson] {
            for beginning in ["", "x"] {
                let long = beginning.to_owned() + &"é".repeat(100_000);
                let stamp = format!(r#"{{"name":"m","fields":{{}},"labels":{{}},"value":"1","timestamp":"{long}"}}"#);
                let text = text(decoder, stamp);
                assert!(text.starts_with("document 1: ") && text.ends_with("é…"), "{text}");
                assert!((500..=503).contains(&text.len()), "{}", text.len());
            }
        }
        let shape = format!(r#"{{"timestamp":1,"value":"1","labels":"{}"}}"#, "x".repeat(100_000));
        let text = text(Decoder::PrometheusKafkaAdapter, shape);
        assert!(text.contains("invalid type: string") && text.len() < 510, "{text}");
    }

    #[test]
    fn deltas_that_another_process_may_have_read_are_told_one_by_one() {
        let limits = Limits::default();
        let message = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"c","sum":{"isMonotonic":true,
            "aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":"5"}]}}]}]}]}"#;
        let mut decoding = Decoder::OtlpJson.start(&OtlpSettings::default(), CreatedTimestamps::Ignore, &limits);
        let batch = decoding.decode(message, 1_700_000_001_000, &limits, &mut Vec::new()).unwrap().decoded.batch;
        let starts: Vec<_> = batch.all_samples().iter().map(|s| CounterStart::of(s.v)).collect();
        assert_eq!(starts[..2], [Some(CounterStart::Increment), None]);
    }

    #[test]
    fn poison_is_told_apart() {
        let small = Limits { request_bytes: 100, decompressed_bytes: 1_000, pending_samples: 3, ..Limits::default() };
        let reason = |message: &[u8]| {
            let reason = decode(message, &small).unwrap_err().reason;
            assert!(UNDECODED.contains(&reason), "{reason}");
            reason
        };
        assert_eq!(reason(&[7; 101]), "too_large");
        assert_eq!(reason(&compress(&[b'a'; 1_100])), "too_large");
        assert_eq!(reason(b"not a request"), "malformed");
        assert_eq!(reason(&compress(b"not a request")), "malformed");
        assert_eq!(reason(&compress(&request(4))), "too_many_samples");
        assert_eq!(reason(&compress(&encode_write_request_v2(&batch(4)))), "too_many_samples");
        let mut without_symbols = Vec::new();
        crate::base::encode::write_field(&mut without_symbols, 5, &[0x08, 0x03, 0x08, 0x04]);
        let unknown = decode(&compress(&without_symbols), &small).unwrap_err();
        assert!(unknown.reason == "malformed" && unknown.text.contains("symbol"), "{unknown:?}");
        let both = decode(b"not a request", &small).unwrap_err().text;
        assert!(both.contains("WriteRequest") && both.contains("nor is it compressed"), "{both}");
    }
}
