//! A message of spans, one span after the other, with what a rate, an error ratio and a latency need of each. Knows no
//! series and no clock.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use super::attributes::{find, text};
use super::points::millis;
use super::{OtlpEncoding, OtlpError, density, json_traces};
use crate::base::{Limits, Millis};

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedSpan<'a> {
    /// `service.name`; empty if its resource has none.
    pub service: &'a str,
    /// `service.namespace`.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `SPAN_KIND_SERVER` and so on.
    pub kind: &'static str,
    /// `STATUS_CODE_UNSET`, `…_OK` or `…_ERROR`.
    pub status: &'static str,
    /// Milliseconds from its start to its end.
    pub duration_ms: f64,
    /// When it ended.
    pub end: Millis,
    /// Its trace, 16 bytes unless the sender is at fault.
    pub trace_id: &'a [u8],
}

impl EndedSpan<'_> {
    /// Whether it failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status == StatusCode::Error.as_str_name()
    }
}

/// Reads a message of spans.
///
/// # Errors
/// The message is malformed or breaks a limit.
pub fn read_traces(
    bytes: &[u8],
    encoding: OtlpEncoding,
    limits: &Limits,
) -> Result<ExportTraceServiceRequest, OtlpError> {
    if bytes.len() > limits.otlp_bytes {
        return Err(OtlpError::TooLarge { bytes: bytes.len(), limit: limits.otlp_bytes });
    }
    Ok(match encoding {
        OtlpEncoding::Protobuf => {
            density::check_traces(bytes)?;
            ExportTraceServiceRequest::decode(bytes)?
        }
        OtlpEncoding::Json => {
            density::check_json(bytes)?;
            json_traces::traces(bytes)?
        }
    })
}

/// Visits the spans of a message, in its order. What a resource says is text once for all its spans.
pub fn each_span(request: &ExportTraceServiceRequest, mut visit: impl FnMut(&EndedSpan<'_>)) {
    for resource in &request.resource_spans {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| r.attributes.as_slice());
        let of = |key| find(attributes, key).map(|a| text(a.value.as_ref())).unwrap_or_default();
        let (service, namespace) = (of("service.name"), of("service.namespace"));
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let status = span.status.as_ref().map_or(0, |status| status.code);
            let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
            visit(&EndedSpan {
                service: &service,
                namespace: &namespace,
                name: &span.name,
                kind: SpanKind::try_from(span.kind).unwrap_or(SpanKind::Unspecified).as_str_name(),
                status: StatusCode::try_from(status).unwrap_or(StatusCode::Unset).as_str_name(),
                duration_ms: nanos as f64 / 1e6,
                end: millis(span.end_time_unix_nano),
                trace_id: &span.trace_id,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the Collector writes it, but for the kind, which some senders write by name.
    const JSON: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
      "scopeSpans":[{"scope":{},"spans":[
       {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"","name":"GET /",
        "kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000250000000",
        "attributes":[{"key":"a","value":{"intValue":"1"}}],"events":[{"name":"x"}],"status":{"message":"no","code":2}},
       {"name":"later","kind":3,"startTimeUnixNano":1700000001000000000,"endTimeUnixNano":"1700000000000000000",
        "status":{}}]}]}]}"#;

    #[test]
    fn json_and_protobuf_give_the_same_spans() {
        let limits = Limits::default();
        let request = read_traces(JSON.as_bytes(), OtlpEncoding::Json, &limits).unwrap();
        let again = read_traces(&request.encode_to_vec(), OtlpEncoding::Protobuf, &limits).unwrap();
        let all = |request| {
            let mut all = Vec::new();
            each_span(request, |span| all.push(format!("{span:?} {}", span.is_error())));
            all
        };
        assert_eq!(all(&request), all(&again));
        let first = EndedSpan {
            service: "shop",
            namespace: "",
            name: "GET /",
            kind: "SPAN_KIND_SERVER",
            status: "STATUS_CODE_ERROR",
            duration_ms: 250.0,
            end: 1_700_000_000_250,
            trace_id: b"\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c",
        };
        let (name, kind, status) = ("later", "SPAN_KIND_CLIENT", "STATUS_CODE_UNSET");
        // Two clocks that disagree make no negative latency.
        let (duration_ms, end) = (0.0, 1_700_000_000_000);
        let later = EndedSpan { name, kind, status, duration_ms, end, trace_id: &[], ..first.clone() };
        assert_eq!(all(&request), [format!("{first:?} true"), format!("{later:?} false")]);
    }

    #[test]
    fn what_is_no_message_of_spans_is_refused() {
        let limits = Limits { otlp_bytes: 600, ..Limits::default() };
        let read = |bytes: &[u8], encoding| read_traces(bytes, encoding, &limits).err();
        assert!(matches!(read(JSON.as_bytes(), OtlpEncoding::Json), Some(OtlpError::TooLarge { .. })));
        let bad_id = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#;
        assert!(matches!(read(bad_id, OtlpEncoding::Json), Some(OtlpError::Json(_))));
        let hollow = [vec![0x0a, 0xe4, 0x03, 0x12, 0xe1, 0x03], [0x12, 0x00].repeat(240), vec![0x12, 0x00]].concat();
        assert!(matches!(read(&hollow, OtlpEncoding::Protobuf), Some(OtlpError::Wire(_) | OtlpError::Hollow { .. })));
        assert!(read(b"", OtlpEncoding::Protobuf).is_none());
    }
}
