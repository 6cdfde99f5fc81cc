//! OTLP spans in JSON, into the types that protobuf gives, as far as we use them; the rest is skipped.

use opentelemetry_proto::tonic::collector::trace::v1 as collector;
use opentelemetry_proto::tonic::trace::v1 as proto;
use serde::{Deserialize, Deserializer};

use super::json_common::{Resource, hex, list};
use super::json_number::{Num, enumeration, or_default};

/// Reads an `ExportTraceServiceRequest`.
pub(super) fn traces(bytes: &[u8]) -> Result<collector::ExportTraceServiceRequest, serde_json::Error> {
    let request: Request = serde_json::from_slice(bytes)?;
    Ok(collector::ExportTraceServiceRequest { resource_spans: list(request.resource_spans) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default, deserialize_with = "or_default")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    resource: Option<Resource>,
    #[serde(default, deserialize_with = "or_default")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default, deserialize_with = "or_default")]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(default, deserialize_with = "hex")]
    trace_id: Vec<u8>,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "kind")]
    kind: i32,
    #[serde(default)]
    start_time_unix_nano: Num<u64>,
    #[serde(default)]
    end_time_unix_nano: Num<u64>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "code")]
    code: i32,
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| proto::span::SpanKind::from_str_name(name).map(|k| k as i32))
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| proto::status::StatusCode::from_str_name(name).map(|c| c as i32))
}

impl From<ResourceSpans> for proto::ResourceSpans {
    fn from(from: ResourceSpans) -> Self {
        let (resource, scope_spans) = (from.resource.map(Into::into), list(from.scope_spans));
        Self { resource, scope_spans, ..Self::default() }
    }
}

impl From<ScopeSpans> for proto::ScopeSpans {
    fn from(from: ScopeSpans) -> Self {
        Self { spans: list(from.spans), ..Self::default() }
    }
}

impl From<Span> for proto::Span {
    fn from(from: Span) -> Self {
        Self {
            trace_id: from.trace_id,
            name: from.name,
            kind: from.kind,
            start_time_unix_nano: from.start_time_unix_nano.0,
            end_time_unix_nano: from.end_time_unix_nano.0,
            status: from.status.map(|status| proto::Status { code: status.code, ..Default::default() }),
            ..Self::default()
        }
    }
}
