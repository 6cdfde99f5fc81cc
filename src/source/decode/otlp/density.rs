//! Whether a message is worth the memory that it would take when decoded: two bytes can stand for an empty point, which
//! takes a hundred times as much. Knows the shape of OTLP, none of its meaning.

use super::super::protobuf::{Reader, Value, WireError};
use super::OtlpError;

/// The least bytes of a part with content: an attribute with a name and an empty value takes seven.
const BYTES_PER_PART: usize = 6;

/// The least bytes of an object or array in JSON with content: an attribute takes some twenty for each of its two objects, and
/// arrays are fewer than objects.
const BYTES_PER_BRACKET: usize = 10;

/// Which fields of a message hold messages that are worth counting.
struct Shape(&'static [(u32, &'static Shape)]);

static LEAF: Shape = Shape(&[]);
static ATTRIBUTES: Shape = Shape(&[(1, &LEAF), (3, &LEAF)]);
// Attributes stand in field 7, 9 or 1, exemplars in 5, 8 or 11, according to the type of the point.
static POINT: Shape = Shape(&[(1, &LEAF), (5, &LEAF), (7, &LEAF), (8, &LEAF), (9, &LEAF), (11, &LEAF)]);
static DATA: Shape = Shape(&[(1, &POINT)]);
static METRIC: Shape = Shape(&[(5, &DATA), (7, &DATA), (9, &DATA), (10, &DATA), (11, &DATA), (12, &LEAF)]);
static SCOPE_METRICS: Shape = Shape(&[(1, &ATTRIBUTES), (2, &METRIC)]);
static RESOURCE_METRICS: Shape = Shape(&[(1, &ATTRIBUTES), (2, &SCOPE_METRICS)]);
static METRICS: Shape = Shape(&[(1, &RESOURCE_METRICS)]);

// Attributes, events and links.
static SPAN: Shape = Shape(&[(9, &LEAF), (11, &LEAF), (13, &LEAF)]);
static SCOPE_SPANS: Shape = Shape(&[(1, &ATTRIBUTES), (2, &SPAN)]);
static RESOURCE_SPANS: Shape = Shape(&[(1, &ATTRIBUTES), (2, &SCOPE_SPANS)]);
static TRACES: Shape = Shape(&[(1, &RESOURCE_SPANS)]);

/// Refuses a message of metrics that is mostly empty parts.
pub(super) fn check_metrics(message: &[u8]) -> Result<(), OtlpError> {
    check(message, &METRICS)
}

/// The same of a message of spans.
pub(super) fn check_traces(message: &[u8]) -> Result<(), OtlpError> {
    check(message, &TRACES)
}

/// The same of a message in JSON, where the reader takes an empty array for an empty object. Brackets within strings count as
/// well; no real message has so many.
pub(super) fn check_json(text: &[u8]) -> Result<(), OtlpError> {
    let parts = text.iter().filter(|c| matches!(**c, b'{' | b'[')).count();
    if parts > 64 + text.len() / BYTES_PER_BRACKET {
        return Err(OtlpError::Hollow { parts, bytes: text.len() });
    }
    Ok(())
}

fn check(message: &[u8], shape: &Shape) -> Result<(), OtlpError> {
    let parts = count(message, shape)?;
    if parts > 64 + message.len() / BYTES_PER_PART {
        return Err(OtlpError::Hollow { parts, bytes: message.len() });
    }
    Ok(())
}

fn count(message: &[u8], shape: &Shape) -> Result<usize, WireError> {
    let (mut reader, mut parts) = (Reader::new(message), 0);
    while let Some((field, value)) = reader.field()? {
        let inner = shape.0.iter().find(|(number, _)| *number == field);
        if let (Some((_, inner)), Value::Bytes(bytes)) = (inner, value) {
            parts += 1;
            if !inner.0.is_empty() {
                parts += count(bytes, inner)?;
            }
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_objects_and_arrays_are_hollow_and_short_ones_are_not() {
        let parts = |part: &str| {
            let text = vec![part; 10_000].join(",");
            check_json(format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{text}]}}]}}]}}"#).as_bytes())
                .is_ok()
        };
        assert!(!parts("{}") && !parts("[]") && !parts("[[]]"));
        assert!(parts(r#"{"name":"a"}"#));
        // The shortest that says anything: of one attribute, with an array of short numbers, in a histogram without attributes.
        assert!(parts(
            r#"{"name":"a","gauge":{"dataPoints":[{"attributes":[{"key":"k","value":{"intValue":1}}],"asInt":1}]}}"#
        ));
        assert!(parts(
            r#"{"key":"a","value":{"arrayValue":{"values":[{"intValue":1},{"intValue":2},{"intValue":3}]}}}"#
        ));
        assert!(parts(
            r#"{"name":"h","histogram":{"dataPoints":[{"count":1,"bucketCounts":[1],"explicitBounds":[]}]}}"#
        ));
    }
}
