//! Values of attributes as label values: text as it is, everything else as the Collector's `AsString` writes it, which is
//! Go's JSON. Knows nothing of labels.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::base::format_value;

/// An attribute's value as text; empty where it has none.
pub(super) fn text(value: Option<&AnyValue>) -> Cow<'_, str> {
    let Some(value) = value.and_then(|v| v.value.as_ref()) else { return Cow::Borrowed("") };
    Cow::Owned(match value {
        Value::StringValue(s) => return Cow::Borrowed(s),
        Value::BytesValue(bytes) => STANDARD.encode(bytes),
        Value::DoubleValue(v) if !v.is_finite() => format!("json: unsupported value: {}", format_value(*v)),
        value => json(value),
    })
}

/// The attribute of this name.
pub(super) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a KeyValue> {
    attributes.iter().find(|a| a.key == key)
}

fn json(value: &Value) -> String {
    let mut out = String::new();
    write_json(Some(value), &mut out);
    out
}

fn write_json(value: Option<&Value>, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match value {
        None | Some(Value::StringValueStrindex(_)) => write!(out, "null"),
        Some(Value::BoolValue(b)) => write!(out, "{b}"),
        Some(Value::IntValue(i)) => write!(out, "{i}"),
        Some(Value::DoubleValue(v)) => write!(out, "{}", go_float(*v)),
        Some(Value::StringValue(s)) => {
            write_text(s, out);
            Ok(())
        }
        Some(Value::BytesValue(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        Some(Value::ArrayValue(array)) => {
            out.push('[');
            for (i, v) in array.values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(v.value.as_ref(), out);
            }
            out.push(']');
            Ok(())
        }
        Some(Value::KvlistValue(list)) => {
            let mut pairs: Vec<_> = list.values.iter().collect();
            // Go sorts the keys of a map, and the last of equal ones stands.
            pairs.sort_by(|a, b| a.key.cmp(&b.key));
            out.push('{');
            let last = |i: usize| pairs.get(i + 1).is_none_or(|next| next.key != pairs[i].key);
            let mut is_first = true;
            for (_, pair) in pairs.iter().enumerate().filter(|(i, _)| last(*i)) {
                if !is_first {
                    out.push(',');
                }
                is_first = false;
                write_text(&pair.key, out);
                out.push(':');
                write_json(pair.value.as_ref().and_then(|v| v.value.as_ref()), out);
            }
            out.push('}');
            Ok(())
        }
    };
}

/// A JSON string with the characters escaped that Go escapes for the sake of HTML.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest text of a number, with an exponent where Go's JSON has one.
fn go_float(v: f64) -> String {
    let size = v.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{v:e}");
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    v.to_string()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn numbers_and_bytes_read_as_go_writes_them() {
        let of = |value| text(Some(&any(value))).into_owned();
        assert_eq!(of(Value::DoubleValue(1.0)), "1");
        assert_eq!(of(Value::DoubleValue(1e21)), "1e+21");
        assert_eq!(of(Value::DoubleValue(2.5e-7)), "2.5e-7");
        assert_eq!(of(Value::DoubleValue(f64::INFINITY)), "json: unsupported value: +Inf");
        assert_eq!(of(Value::IntValue(-3)), "-3");
        assert_eq!(of(Value::BytesValue(vec![1, 2])), "AQI=");
        assert_eq!(text(None), "");
    }

    #[test]
    fn maps_are_sorted_and_nested() {
        let pair = |key: &str, value| KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() };
        let list = ArrayValue { values: vec![any(Value::BoolValue(true)), AnyValue { value: None }] };
        let map = KeyValueList {
            values: vec![pair("b", Value::ArrayValue(list)), pair("a", Value::StringValue("<\n".to_owned()))],
        };
        assert_eq!(text(Some(&any(Value::KvlistValue(map)))), r#"{"a":"\u003c\n","b":[true,null]}"#);
    }
}
