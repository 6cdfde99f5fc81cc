//! Which decoder a topic's messages go to. Pure.

use serde::{Deserialize, Serialize};

use crate::base::{Limits, Millis, TimeSpan};
use crate::source::decode::otlp::{DeltaChanges, MetricsDecoder, OtlpEncoding, OtlpError, OtlpSettings};
use crate::source::decode::{Decoded, json_lines, prometheus_kafka_adapter, remote_write, telegraf};
use crate::source::watermark::drop_out_of_time;

/// What the messages of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// Prometheus remote write 1.0: a protobuf `WriteRequest`, as it is or as a snappy block.
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

/// The decoder of one partition. OTLP's keeps the running totals of delta series, whose points come in order within a
/// partition.
#[derive(Debug)]
pub enum Decoding {
    /// Of formats in which messages stand alone.
    Stateless(Decoder),
    /// Of OTLP.
    Otlp(Box<MetricsDecoder>, OtlpEncoding),
}

impl Decoder {
    /// A decoder for one partition.
    #[must_use]
    pub fn start(self, otlp: &OtlpSettings, limits: &Limits) -> Decoding {
        let otlp = |encoding| Decoding::Otlp(Box::new(MetricsDecoder::new(otlp.clone(), limits)), encoding);
        match self {
            Self::OtlpProto => otlp(OtlpEncoding::Protobuf),
            Self::OtlpJson => otlp(OtlpEncoding::Json),
            Self::RemoteWrite | Self::TelegrafJson | Self::PrometheusKafkaAdapter => Decoding::Stateless(self),
        }
    }
}

impl Decoding {
    /// Takes the deltas of a message back out of the totals that will be read again.
    pub fn undo(&mut self, changes: DeltaChanges) {
        if let Self::Otlp(decoder, _) = self {
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
            return Err(Poison { reason: "too_large", text });
        }
        let decoded = match self {
            Self::Otlp(decoder, encoding) => {
                let taken = decoder.decode(message, *encoding, TimeSpan::around(now, limits))?;
                return Ok(Read { decoded: taken.decoded, changes: taken.changes });
            }
            Self::Stateless(Decoder::TelegrafJson) => telegraf::decode(message, limits)?,
            Self::Stateless(Decoder::PrometheusKafkaAdapter) => prometheus_kafka_adapter::decode(message, limits)?,
            Self::Stateless(_) => any_remote_write(message, limits, scratch)?,
        };
        Ok(Read { decoded: drop_out_of_time(decoded, now, limits), changes: DeltaChanges::default() })
    }
}

/// Who writes remote write into Kafka seldom says whether it is compressed. A message is not both: a block begins with its
/// length, and what unpacks to just that many bytes of a `WriteRequest` is one.
fn any_remote_write(message: &[u8], limits: &Limits, scratch: &mut Vec<u8>) -> Result<Decoded, Poison> {
    let fault = match remote_write::decode(message, limits, scratch) {
        Ok(decoded) => return Ok(decoded),
        Err(fault) => fault,
    };
    match (remote_write::decode_message(message, limits), fault) {
        (Ok(decoded), _) => Ok(decoded),
        // It was a block, whatever is wrong with what it holds.
        (Err(_), fault @ (remote_write::DecodeError::Protobuf(_) | remote_write::DecodeError::TooManySamples(_))) => {
            Err(fault.into())
        }
        // A bomb is worth knowing of; otherwise it is told what both readings say.
        (Err(_), fault @ remote_write::DecodeError::TooLarge { .. }) if message.first() != Some(&0x0a) => {
            Err(fault.into())
        }
        (Err(plain), block) => {
            let poison = Poison::from(plain);
            Err(Poison { text: format!("{}; nor is it compressed: {block}", poison.text), ..poison })
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
        Self { reason, text: error.to_string() }
    }
}

impl From<OtlpError> for Poison {
    fn from(error: OtlpError) -> Self {
        let reason = match &error {
            OtlpError::TooLarge { .. } | OtlpError::Hollow { .. } => "too_large",
            OtlpError::TooManySamples(_) | OtlpError::TooManyLabels(_) => "too_many_samples",
            OtlpError::Protobuf(_) | OtlpError::Wire(_) | OtlpError::Json(_) => "malformed",
        };
        Self { reason, text: error.to_string() }
    }
}

impl From<json_lines::JsonLinesError> for Poison {
    fn from(error: json_lines::JsonLinesError) -> Self {
        use json_lines::JsonLinesError as E;
        let reason = match &error {
            E::Json { .. } | E::Value { .. } | E::Nothing => "malformed",
            E::TooManySamples(_) => "too_many_samples",
        };
        Self { reason, text: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BatchBuilder;
    use crate::source::encode::{compress, encode_write_request};

    fn request(series: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(&Limits::default());
        for i in 0..series {
            builder.label("__name__", "up");
            builder.label("i", &i.to_string());
            builder.end_labels().unwrap();
            builder.sample(1_000, 1.0);
        }
        encode_write_request(&builder.finish())
    }

    fn decode(message: &[u8], limits: &Limits) -> Result<usize, Poison> {
        let mut decoding = Decoder::RemoteWrite.start(&OtlpSettings::default(), limits);
        let decoded = decoding.decode(message, 1_000, limits, &mut Vec::new())?.decoded;
        Ok(decoded.batch.all_samples().len())
    }

    #[test]
    fn remote_write_is_read_compressed_or_not() {
        for series in [1, 2, 5, 300] {
            let plain = request(series);
            assert_eq!(decode(&plain, &Limits::default()), Ok(series));
            assert_eq!(decode(&compress(&plain), &Limits::default()), Ok(series));
        }
        assert_eq!(decode(&[], &Limits::default()), Ok(0), "an empty message is an empty request");
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
        let both = decode(b"not a request", &small).unwrap_err().text;
        assert!(both.contains("WriteRequest") && both.contains("nor is it compressed"), "{both}");
    }
}
