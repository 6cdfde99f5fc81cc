//! OTLP metrics in JSON, into the types that protobuf gives. Unknown fields are let pass, as the protocol demands;
//! whatever we do not use is skipped.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use opentelemetry_proto::tonic::collector::metrics::v1 as collector;
use opentelemetry_proto::tonic::metrics::v1 as proto;
use serde::{Deserialize, Deserializer};

use super::json_common::{KeyValue, Resource, Scope, hex, list};
use super::json_number::{Num, enumeration, or_default};

/// Reads an `ExportMetricsServiceRequest`.
pub(super) fn metrics(bytes: &[u8]) -> Result<collector::ExportMetricsServiceRequest, serde_json::Error> {
    let request: Request = serde_json::from_slice(bytes)?;
    Ok(collector::ExportMetricsServiceRequest { resource_metrics: list(request.resource_metrics) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default, deserialize_with = "or_default")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics {
    #[serde(default, deserialize_with = "or_default")]
    resource: Option<Resource>,
    #[serde(default, deserialize_with = "or_default")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeMetrics {
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default, deserialize_with = "or_default")]
    metrics: Vec<Metric>,
    #[serde(default, deserialize_with = "or_default")]
    schema_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    unit: String,
    #[serde(default)]
    gauge: Option<Points<NumberPoint>>,
    #[serde(default)]
    sum: Option<Points<NumberPoint>>,
    #[serde(default)]
    histogram: Option<Points<HistogramPoint>>,
    #[serde(default)]
    exponential_histogram: Option<Points<AnyPoint>>,
    #[serde(default)]
    summary: Option<Points<SummaryPoint>>,
}

/// The data of a metric of any type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "P: Deserialize<'de>")]
struct Points<P> {
    #[serde(default, deserialize_with = "or_default")]
    data_points: Vec<P>,
    #[serde(default, deserialize_with = "temporality")]
    aggregation_temporality: i32,
    #[serde(default, deserialize_with = "or_default")]
    is_monotonic: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NumberPoint {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Vec<KeyValue>,
    #[serde(default)]
    start_time_unix_nano: Num<u64>,
    #[serde(default)]
    time_unix_nano: Num<u64>,
    #[serde(default)]
    as_double: Option<Num<f64>>,
    #[serde(default)]
    as_int: Option<Num<i64>>,
    #[serde(default, deserialize_with = "or_default")]
    exemplars: Vec<Exemplar>,
    #[serde(default)]
    flags: Num<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HistogramPoint {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Vec<KeyValue>,
    #[serde(default)]
    start_time_unix_nano: Num<u64>,
    #[serde(default)]
    time_unix_nano: Num<u64>,
    #[serde(default)]
    count: Num<u64>,
    #[serde(default)]
    sum: Option<Num<f64>>,
    #[serde(default, deserialize_with = "or_default")]
    bucket_counts: Vec<Num<u64>>,
    #[serde(default, deserialize_with = "or_default")]
    explicit_bounds: Vec<Num<f64>>,
    #[serde(default, deserialize_with = "or_default")]
    exemplars: Vec<Exemplar>,
    #[serde(default)]
    flags: Num<u32>,
}

/// What links a point to a trace; its value is of no use here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exemplar {
    #[serde(default)]
    time_unix_nano: Num<u64>,
    #[serde(default, deserialize_with = "hex")]
    trace_id: Vec<u8>,
}

/// A point that is only counted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyPoint {
    #[serde(default)]
    time_unix_nano: Num<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SummaryPoint {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Vec<KeyValue>,
    #[serde(default)]
    start_time_unix_nano: Num<u64>,
    #[serde(default)]
    time_unix_nano: Num<u64>,
    #[serde(default)]
    count: Num<u64>,
    #[serde(default)]
    sum: Num<f64>,
    #[serde(default, deserialize_with = "or_default")]
    quantile_values: Vec<Quantile>,
    #[serde(default)]
    flags: Num<u32>,
}

#[derive(Deserialize)]
struct Quantile {
    #[serde(default)]
    quantile: Num<f64>,
    #[serde(default)]
    value: Num<f64>,
}

fn temporality<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    enumeration(deserializer, |name| proto::AggregationTemporality::from_str_name(name).map(|t| t as i32))
}

fn numbers<T>(values: Vec<Num<T>>) -> Vec<T> {
    values.into_iter().map(|v| v.0).collect()
}

impl From<ResourceMetrics> for proto::ResourceMetrics {
    fn from(from: ResourceMetrics) -> Self {
        let (resource, scope_metrics) = (from.resource.map(Into::into), list(from.scope_metrics));
        Self { resource, scope_metrics, ..Self::default() }
    }
}

impl From<ScopeMetrics> for proto::ScopeMetrics {
    fn from(from: ScopeMetrics) -> Self {
        Self { scope: from.scope.map(Into::into), metrics: list(from.metrics), schema_url: from.schema_url }
    }
}

impl From<Metric> for proto::Metric {
    fn from(from: Metric) -> Self {
        use proto::metric::Data;
        let data = if let Some(data) = from.gauge {
            Some(Data::Gauge(proto::Gauge { data_points: list(data.data_points) }))
        } else if let Some(data) = from.sum {
            Some(Data::Sum(proto::Sum {
                aggregation_temporality: data.aggregation_temporality,
                is_monotonic: data.is_monotonic,
                data_points: list(data.data_points),
            }))
        } else if let Some(data) = from.histogram {
            let aggregation_temporality = data.aggregation_temporality;
            Some(Data::Histogram(proto::Histogram { data_points: list(data.data_points), aggregation_temporality }))
        } else if let Some(data) = from.exponential_histogram {
            let aggregation_temporality = data.aggregation_temporality;
            let data_points = list(data.data_points);
            Some(Data::ExponentialHistogram(proto::ExponentialHistogram { data_points, aggregation_temporality }))
        } else {
            from.summary.map(|data| Data::Summary(proto::Summary { data_points: list(data.data_points) }))
        };
        Self { name: from.name, unit: from.unit, data, ..Self::default() }
    }
}

impl From<NumberPoint> for proto::NumberDataPoint {
    fn from(from: NumberPoint) -> Self {
        use proto::number_data_point::Value;
        Self {
            attributes: list(from.attributes),
            start_time_unix_nano: from.start_time_unix_nano.0,
            time_unix_nano: from.time_unix_nano.0,
            value: from.as_double.map(|v| Value::AsDouble(v.0)).or(from.as_int.map(|v| Value::AsInt(v.0))),
            exemplars: list(from.exemplars),
            flags: from.flags.0,
        }
    }
}

impl From<HistogramPoint> for proto::HistogramDataPoint {
    fn from(from: HistogramPoint) -> Self {
        Self {
            attributes: list(from.attributes),
            start_time_unix_nano: from.start_time_unix_nano.0,
            time_unix_nano: from.time_unix_nano.0,
            count: from.count.0,
            sum: from.sum.map(|v| v.0),
            bucket_counts: numbers(from.bucket_counts),
            explicit_bounds: numbers(from.explicit_bounds),
            exemplars: list(from.exemplars),
            flags: from.flags.0,
            ..Self::default()
        }
    }
}

impl From<Exemplar> for proto::Exemplar {
    fn from(from: Exemplar) -> Self {
        Self { time_unix_nano: from.time_unix_nano.0, trace_id: from.trace_id, ..Self::default() }
    }
}

impl From<AnyPoint> for proto::ExponentialHistogramDataPoint {
    fn from(from: AnyPoint) -> Self {
        Self { time_unix_nano: from.time_unix_nano.0, ..Self::default() }
    }
}

impl From<SummaryPoint> for proto::SummaryDataPoint {
    fn from(from: SummaryPoint) -> Self {
        let quantile =
            |q: Quantile| proto::summary_data_point::ValueAtQuantile { quantile: q.quantile.0, value: q.value.0 };
        Self {
            attributes: list(from.attributes),
            start_time_unix_nano: from.start_time_unix_nano.0,
            time_unix_nano: from.time_unix_nano.0,
            count: from.count.0,
            sum: from.sum.0,
            quantile_values: from.quantile_values.into_iter().map(quantile).collect(),
            flags: from.flags.0,
        }
    }
}
