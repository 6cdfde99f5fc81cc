//! Messages in JSON as the Collector's marshaler writes them: 64-bit integers and what is not finite as text, enums as
//! numbers, `asDouble` and the like beside the other fields.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, NumberDataPoint, SummaryDataPoint};
use serde_json::{Value, json};

/// The text of a message.
pub fn to_collector_json(request: &ExportMetricsServiceRequest) -> String {
    let resources = request.resource_metrics.iter().map(|resource| {
        let scopes = resource.scope_metrics.iter().map(|scope| {
            let named = scope.scope.as_ref().unwrap();
            json!({
                "scope": {"name": named.name, "version": named.version},
                "metrics": scope.metrics.iter().map(metric).collect::<Vec<_>>(),
                "schemaUrl": scope.schema_url,
            })
        });
        let resource = attributes(&resource.resource.as_ref().unwrap().attributes);
        json!({"resource": {"attributes": resource}, "scopeMetrics": scopes.collect::<Vec<_>>()})
    });
    json!({"resourceMetrics": resources.collect::<Vec<_>>()}).to_string()
}

fn metric(metric: &Metric) -> Value {
    let (kind, data) = match metric.data.as_ref().unwrap() {
        Data::Gauge(data) => ("gauge", json!({"dataPoints": list(&data.data_points, number)})),
        Data::Sum(data) => (
            "sum",
            json!({
                "dataPoints": list(&data.data_points, number),
                "aggregationTemporality": data.aggregation_temporality,
                "isMonotonic": data.is_monotonic,
            }),
        ),
        Data::Histogram(data) => (
            "histogram",
            json!({
                "dataPoints": list(&data.data_points, histogram),
                "aggregationTemporality": data.aggregation_temporality,
            }),
        ),
        Data::Summary(data) => ("summary", json!({"dataPoints": list(&data.data_points, summary)})),
        Data::ExponentialHistogram(_) => unreachable!(),
    };
    json!({"name": metric.name, "unit": metric.unit, kind: data})
}

fn number(point: &NumberDataPoint) -> Value {
    let mut json = common(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
    match point.value {
        Some(Number::AsDouble(v)) => json["asDouble"] = double(v),
        Some(Number::AsInt(v)) => json["asInt"] = json!(v.to_string()),
        None => {}
    }
    json
}

fn histogram(point: &HistogramDataPoint) -> Value {
    let mut json = common(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
    json["count"] = json!(point.count.to_string());
    if let Some(sum) = point.sum {
        json["sum"] = double(sum);
    }
    json["bucketCounts"] = list(&point.bucket_counts, |n| json!(n.to_string()));
    json["explicitBounds"] = list(&point.explicit_bounds, |v| double(*v));
    json
}

fn summary(point: &SummaryDataPoint) -> Value {
    let mut json = common(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, point.flags);
    (json["count"], json["sum"]) = (json!(point.count.to_string()), double(point.sum));
    let quantile = |q: &opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile| json!({"quantile": q.quantile, "value": q.value});
    json["quantileValues"] = list(&point.quantile_values, quantile);
    json
}

fn common(own: &[KeyValue], start: u64, time: u64, flags: u32) -> Value {
    let (start, time) = (start.to_string(), time.to_string());
    json!({"attributes": attributes(own), "startTimeUnixNano": start, "timeUnixNano": time, "flags": flags})
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Value) -> Value {
    items.iter().map(one).collect()
}

fn attributes(attributes: &[KeyValue]) -> Value {
    list(attributes, |pair| json!({"key": pair.key, "value": any(pair.value.as_ref())}))
}

fn any(value: Option<&AnyValue>) -> Value {
    match value.and_then(|v| v.value.as_ref()) {
        Some(Any::StringValue(s)) => json!({"stringValue": s}),
        Some(Any::BoolValue(b)) => json!({"boolValue": b}),
        Some(Any::IntValue(i)) => json!({"intValue": i.to_string()}),
        Some(Any::DoubleValue(v)) => json!({"doubleValue": double(*v)}),
        Some(Any::ArrayValue(array)) => json!({"arrayValue": {"values": list(&array.values, |v| any(Some(v)))}}),
        Some(Any::KvlistValue(pairs)) => json!({"kvlistValue": {"values": attributes(&pairs.values)}}),
        Some(_) => unreachable!(),
        None => json!({}),
    }
}

fn double(v: f64) -> Value {
    match v {
        v if v.is_finite() => json!(v),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!("NaN"),
    }
}
