//! What metrics and traces in JSON share: resources, scopes and attributes. Knows neither metrics nor spans.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use opentelemetry_proto::tonic::common::v1 as proto;
use opentelemetry_proto::tonic::resource::v1 as resource;
use serde::{Deserialize, Deserializer};

use super::json_number::{Num, or_default};

/// Each part as what protobuf gives.
pub(super) fn list<A, B: From<A>>(parts: Vec<A>) -> Vec<B> {
    parts.into_iter().map(B::from).collect()
}

/// Who sent something.
#[derive(Deserialize)]
pub(super) struct Resource {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Vec<KeyValue>,
}

/// What instrumented it.
#[derive(Deserialize)]
pub(super) struct Scope {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    version: String,
    #[serde(default, deserialize_with = "or_default")]
    attributes: Vec<KeyValue>,
}

/// An attribute.
#[derive(Deserialize)]
pub(super) struct KeyValue {
    #[serde(default, deserialize_with = "or_default")]
    key: String,
    #[serde(default)]
    value: Option<AnyValue>,
}

/// At most one of these is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue {
    #[serde(default)]
    string_value: Option<String>,
    #[serde(default)]
    bool_value: Option<bool>,
    #[serde(default)]
    int_value: Option<Num<i64>>,
    #[serde(default)]
    double_value: Option<Num<f64>>,
    #[serde(default)]
    array_value: Option<Values<AnyValue>>,
    #[serde(default)]
    kvlist_value: Option<Values<KeyValue>>,
    #[serde(default, deserialize_with = "base64")]
    bytes_value: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Values<T> {
    #[serde(default, deserialize_with = "or_default")]
    values: Vec<T>,
}

/// Base64 with padding or without, as protobuf's JSON mapping demands of who reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    // It may also be of the alphabet for URLs.
    let text = text.map(|text| text.replace('-', "+").replace('_', "/"));
    text.map(|text| BASE64.decode(text).map_err(serde::de::Error::custom)).transpose()
}

/// Identities are in hexadecimal, unlike other bytes.
pub(super) fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: String = or_default(deserializer)?;
    let digit = |c: u8| char::from(c).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8);
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    bytes.ok_or_else(|| serde::de::Error::custom("an identity is not in hexadecimal"))
}

impl From<Resource> for resource::Resource {
    fn from(from: Resource) -> Self {
        Self { attributes: list(from.attributes), ..Self::default() }
    }
}

impl From<Scope> for proto::InstrumentationScope {
    fn from(from: Scope) -> Self {
        Self { name: from.name, version: from.version, attributes: list(from.attributes), ..Self::default() }
    }
}

impl From<KeyValue> for proto::KeyValue {
    fn from(from: KeyValue) -> Self {
        Self { key: from.key, value: from.value.map(Into::into), ..Self::default() }
    }
}

impl From<AnyValue> for proto::AnyValue {
    fn from(from: AnyValue) -> Self {
        use proto::any_value::Value;
        let value = if let Some(text) = from.string_value {
            Some(Value::StringValue(text))
        } else if let Some(value) = from.bool_value {
            Some(Value::BoolValue(value))
        } else if let Some(Num(value)) = from.int_value {
            Some(Value::IntValue(value))
        } else if let Some(Num(value)) = from.double_value {
            Some(Value::DoubleValue(value))
        } else if let Some(array) = from.array_value {
            Some(Value::ArrayValue(proto::ArrayValue { values: list(array.values) }))
        } else if let Some(pairs) = from.kvlist_value {
            Some(Value::KvlistValue(proto::KeyValueList { values: list(pairs.values) }))
        } else {
            from.bytes_value.map(Value::BytesValue)
        };
        Self { value }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    #[test]
    fn bytes_are_read_of_either_alphabet_and_padded_or_not() {
        let read = |text: &str| {
            let value: Result<AnyValue, _> = serde_json::from_str(&format!(r#"{{"bytesValue":"{text}"}}"#));
            value.ok().and_then(|value| proto::AnyValue::from(value).value)
        };
        for text in ["+/8=", "+/8", "-_8=", "-_8", "-/8"] {
            assert_eq!(read(text), Some(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
        }
        assert_eq!((read("*"), read("a")), (None, None));
    }
}
