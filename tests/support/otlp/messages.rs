//! Random OTLP metrics with everything that the translation has to deal with: names, units and attributes with characters
//! that Prometheus does not allow, names that become equal, all types of points, points without a value.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

const WORDS: &[&str] = &[
    "http.server.duration",
    "system.cpu.time",
    "total",
    "a.total.b",
    "ratio.x",
    "9lives",
    "_under",
    "dash-ed",
    "two__bars",
    "sp ace",
    "ünï.cödé",
    "bytes",
    "seconds.per_second",
    "colon:ed",
    "UPPER.Case",
    "percent",
    "x",
];
const UNITS: &[&str] = &[
    "",
    "1",
    "s",
    "ms",
    "By",
    "By/s",
    "{request}/s",
    "%",
    "KiBy/min",
    "{fault}",
    "m/s",
    "1/s",
    " s ",
    "foo",
    "foo/bar",
    "k$",
    "_x_",
    "/s",
    "s/",
    "By/{x}",
    "Cel",
    "d/mo",
];
const KEYS: &[&str] = &[
    "http.method",
    "http_method",
    "http-method",
    "1st",
    "_private",
    "__double",
    "key.with.ünïcode",
    "plain",
    "CamelCase",
    "job",
    "instance",
    "a:b",
];
const RESOURCE_KEYS: &[&str] =
    &["host.name", "k8s.pod.name", "os-type", "http.method", "1st", "service.version", "job"];

/// Rounds of messages about the same series.
pub struct Messages {
    rng: fastrand::Rng,
    now: i64,
    start: i64,
    is_delta: bool,
    resources: Vec<ResourceMetrics>,
}

impl Messages {
    /// Messages from `start` on.
    pub fn new(seed: u64, start: i64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let resources = (0..6).map(|i| resource(&mut rng, i)).collect();
        Self { rng, now: start, start, is_delta: false, resources }
    }

    /// The same with all sums and histograms as deltas. All points have a value, and it is a double, and histograms a sum:
    /// Prometheus' totals count what stands beside the flag that there is none, those of integers wrap around, and sums
    /// begin anew after a point without.
    #[must_use]
    pub fn delta(mut self) -> Self {
        self.is_delta = true;
        for metric in self.resources.iter_mut().flat_map(|r| &mut r.scope_metrics).flat_map(|s| &mut s.metrics) {
            match metric.data.as_mut().unwrap() {
                Data::Sum(sum) => sum.aggregation_temporality = 1,
                Data::Histogram(histogram) => histogram.aggregation_temporality = 1,
                _ => {}
            }
        }
        self
    }

    /// Whether sums and histograms are deltas.
    pub fn is_delta(&self) -> bool {
        self.is_delta
    }

    /// The next message, ten seconds after the one before.
    pub fn next_request(&mut self) -> ExportMetricsServiceRequest {
        self.now += 10_000;
        let (now, start) = (self.now as u64 * 1_000_000 + 123_456, self.start as u64 * 1_000_000);
        for metric in self.resources.iter_mut().flat_map(|r| &mut r.scope_metrics).flat_map(|s| &mut s.metrics) {
            step(metric, &mut self.rng, start, now, self.is_delta);
        }
        ExportMetricsServiceRequest { resource_metrics: self.resources.clone() }
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn value(rng: &mut fastrand::Rng, depth: usize) -> AnyValue {
    let texts = ["GET", "", "with \"quotes\" & <tags>", "line\nbreak", "ünïcode", "a;b", "\u{2028}\t\u{1}"];
    let doubles = [0.5, 1.0, -0.0, 1e21, 2.5e-7, 1e300, f64::NAN, f64::INFINITY, 123_456_789.25, 1e-6];
    any(match rng.u8(0..if depth == 0 { 7 } else { 5 }) {
        0 | 1 => Value::StringValue(texts[rng.usize(..texts.len())].to_owned()),
        2 => Value::BoolValue(rng.bool()),
        3 => Value::IntValue(rng.i64(..)),
        // Inside of others Go's JSON cannot write what is not finite.
        4 if depth == 0 => Value::DoubleValue(doubles[rng.usize(..doubles.len())]),
        4 => Value::DoubleValue(f64::from(rng.i32(..)) / 8.0),
        5 => Value::ArrayValue(ArrayValue { values: (0..rng.usize(..3)).map(|_| value(rng, 1)).collect() }),
        _ => {
            let keys = ["z", "a<b", "m"];
            Value::KvlistValue(KeyValueList {
                values: keys[..rng.usize(..3)].iter().map(|key| pair(key, value(rng, 1))).collect(),
            })
        }
    })
}

fn some_of(rng: &mut fastrand::Rng, keys: &[&str]) -> Vec<KeyValue> {
    let chosen: Vec<_> = keys.iter().filter(|_| rng.u8(..3) == 0).collect();
    chosen.into_iter().map(|key| pair(key, value(rng, 0))).collect()
}

fn resource(rng: &mut fastrand::Rng, number: usize) -> ResourceMetrics {
    let mut attributes = some_of(rng, RESOURCE_KEYS);
    // One sends nothing that says who it is; each other one is itself by its instance.
    if number > 0 {
        attributes.push(pair("service.instance.id", any(Value::StringValue(format!("i{number}")))));
        if rng.bool() {
            attributes.push(pair("service.name", any(Value::StringValue("shop".to_owned()))));
        }
        if rng.bool() {
            attributes.push(pair("service.namespace", any(Value::StringValue("eu".to_owned()))));
        }
    }
    rng.shuffle(&mut attributes);
    let scope = InstrumentationScope { name: "scope".to_owned(), version: "1".to_owned(), ..Default::default() };
    let metrics = (0..25).map(|i| metric(rng, number * 100 + i)).collect();
    let scopes = ScopeMetrics { scope: Some(scope), metrics, schema_url: "https://example.org".to_owned() };
    let resource = Some(Resource { attributes, ..Resource::default() });
    ResourceMetrics { resource, scope_metrics: vec![scopes], ..ResourceMetrics::default() }
}

fn metric(rng: &mut fastrand::Rng, number: usize) -> Metric {
    let word = |rng: &mut fastrand::Rng| WORDS[rng.usize(..WORDS.len())];
    // The number keeps names apart that differ only in what is escaped.
    let name = format!("{}.m{number}.{}", word(rng), word(rng));
    let unit = UNITS[rng.usize(..UNITS.len())].to_owned();
    let attributes = |rng: &mut fastrand::Rng, i: usize| {
        let mut attributes = some_of(rng, KEYS);
        attributes.push(pair("n", any(Value::IntValue(i as i64))));
        rng.shuffle(&mut attributes);
        attributes
    };
    let points = rng.usize(1..4);
    let numbers = |rng: &mut fastrand::Rng| {
        (0..points).map(|i| NumberDataPoint { attributes: attributes(rng, i), ..Default::default() }).collect()
    };
    let data = match rng.u8(..6) {
        0 => Data::Gauge(Gauge { data_points: numbers(rng) }),
        1 => Data::Sum(Sum { data_points: numbers(rng), aggregation_temporality: 2, is_monotonic: false }),
        2 | 3 => Data::Sum(Sum { data_points: numbers(rng), aggregation_temporality: 2, is_monotonic: true }),
        4 => {
            let bounds = [vec![], vec![0.1, 1.0, 2.5], vec![1e-7, 10.0, 1e22], vec![5.0]];
            let point = |rng: &mut fastrand::Rng, i: usize| HistogramDataPoint {
                attributes: attributes(rng, i),
                explicit_bounds: bounds[rng.usize(..4)].clone(),
                ..Default::default()
            };
            let data_points = (0..points).map(|i| point(rng, i)).collect();
            Data::Histogram(Histogram { data_points, aggregation_temporality: 2 })
        }
        _ => {
            let point = |rng: &mut fastrand::Rng, i: usize| SummaryDataPoint {
                attributes: attributes(rng, i),
                ..Default::default()
            };
            Data::Summary(Summary { data_points: (0..points).map(|i| point(rng, i)).collect() })
        }
    };
    Metric { name, unit, data: Some(data), ..Metric::default() }
}

/// New values; now and then none, but for deltas: see [`Messages::delta`].
fn step(metric: &mut Metric, rng: &mut fastrand::Rng, start: u64, now: u64, is_delta: bool) {
    let flags = |rng: &mut fastrand::Rng| u32::from(!is_delta && rng.u8(..5) == 0);
    match metric.data.as_mut().unwrap() {
        Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
            for point in data_points {
                (point.start_time_unix_nano, point.time_unix_nano, point.flags) = (start, now, flags(rng));
                point.value = match if is_delta { 9 } else { rng.u8(..9) } {
                    0 => None,
                    1 => Some(Number::AsDouble(f64::NAN)),
                    2 => Some(Number::AsDouble(f64::NEG_INFINITY)),
                    3 | 4 => Some(Number::AsInt(rng.i64(..))),
                    5 => Some(Number::AsDouble(1e-9)),
                    _ => Some(Number::AsDouble(rng.f64() * 1e6)),
                };
            }
        }
        Data::Histogram(histogram) => {
            for point in &mut histogram.data_points {
                (point.start_time_unix_nano, point.time_unix_nano, point.flags) = (start, now, flags(rng));
                point.bucket_counts = (0..=point.explicit_bounds.len()).map(|_| rng.u64(..1000)).collect();
                point.count = point.bucket_counts.iter().sum();
                point.sum = (is_delta || rng.bool()).then(|| rng.f64() * 100.0);
            }
        }
        Data::Summary(summary) => {
            for point in &mut summary.data_points {
                (point.start_time_unix_nano, point.time_unix_nano, point.flags) = (start, now, flags(rng));
                (point.count, point.sum) = (rng.u64(..1000), rng.f64() * 100.0);
                let quantiles = [0.0, 0.5, 0.99, 1.0];
                let at = |quantile: &f64| ValueAtQuantile { quantile: *quantile, value: *quantile * 3.0 };
                point.quantile_values = quantiles.iter().map(at).collect();
            }
        }
        Data::ExponentialHistogram(_) => unreachable!(),
    }
}
