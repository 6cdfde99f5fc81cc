//! A message of metrics into a batch. Pure: the running totals of delta series are an argument; knows no transport and no clock.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Exemplar, Metric, ResourceMetrics};
use prost::Message as _;

use super::super::trace_exemplar::{TRACES_MAX, trace_id};
use super::super::{CreatedTimestamps, Decoded, Dropped, TraceExemplar};
use super::delta::{DeltaChanges, DeltaTotals};
use super::labels::{LabelMap, OfResource, Shared, target_info};
use super::names::{MetricKind, metric_name};
use super::points::{Names, Refused, Writer, millis};
use super::settings::OtlpSettings;
use super::{OtlpEncoding, OtlpError, density, json};
use crate::base::{BatchBuilder, LabelError, Limits, Millis, TimeSpan};

/// Half of Prometheus' look-back: so often `target_info` has a sample between the first and the last of a message.
const TARGET_INFO_EVERY_MS: Millis = 150_000;

/// At most so many of them in one message, the newest: one wrong time would ask for millions.
const TARGET_INFO_SAMPLES: Millis = 1_000;

/// Reads messages. What it has to remember from one to the next is an argument, for sources that share it.
#[derive(Clone, Debug)]
pub struct MetricsReader {
    settings: OtlpSettings,
    created: CreatedTimestamps,
    limits: Limits,
}

/// What was taken of a message.
#[derive(Debug, Default)]
pub struct TakenMetrics {
    /// Its samples, and which were left out.
    pub decoded: Decoded,
    /// Points of the message.
    pub points: u64,
    /// Points of which something was left out.
    pub rejected_points: u64,
    /// What it has changed in the running totals, for [`DeltaTotals::undo`].
    pub changes: DeltaChanges,
}

impl MetricsReader {
    /// A reader.
    #[must_use]
    pub fn new(settings: OtlpSettings, created: CreatedTimestamps, limits: &Limits) -> Self {
        Self { settings, created, limits: limits.clone() }
    }

    /// Reads an `ExportMetricsServiceRequest`, which is also `MetricsData`.
    ///
    /// # Errors
    /// The message is malformed or breaks a limit.
    pub fn read(&self, bytes: &[u8], encoding: OtlpEncoding) -> Result<ExportMetricsServiceRequest, OtlpError> {
        if bytes.len() > self.limits.otlp_bytes {
            return Err(OtlpError::TooLarge { bytes: bytes.len(), limit: self.limits.otlp_bytes });
        }
        Ok(match encoding {
            OtlpEncoding::Protobuf => {
                density::check_metrics(bytes)?;
                ExportMetricsServiceRequest::decode(bytes)?
            }
            OtlpEncoding::Json => {
                density::check_json(bytes)?;
                json::metrics(bytes)?
            }
        })
    }

    /// Takes a message that has been read; samples outside of `accepted` are left out.
    ///
    /// # Errors
    /// More samples or labels than are taken at once; nothing is.
    pub fn take(
        &self,
        request: &ExportMetricsServiceRequest,
        accepted: TimeSpan,
        deltas: &mut DeltaTotals,
    ) -> Result<TakenMetrics, OtlpError> {
        let outcome = self.walk(request, accepted, deltas);
        let changes = deltas.changes();
        match outcome {
            Ok(taken) => Ok(TakenMetrics { changes, ..taken }),
            Err(error) => {
                deltas.undo(changes);
                Err(error)
            }
        }
    }

    fn walk(
        &self,
        request: &ExportMetricsServiceRequest,
        accepted: TimeSpan,
        deltas: &mut DeltaTotals,
    ) -> Result<TakenMetrics, OtlpError> {
        let writer = Writer {
            builder: BatchBuilder::new(&self.limits),
            dropped: Dropped::default(),
            deltas,
            created: self.created,
            accepted,
            label_bytes: 0,
            label_bytes_max: self.limits.decompressed_bytes,
            is_full: false,
        };
        let (settings, limits) = (&self.settings, &self.limits);
        let mut walk = Walk { settings, limits, writer, traces: Vec::new(), points: 0, rejected: 0 };
        for resource in &request.resource_metrics {
            walk.resource(resource)?;
        }
        let Walk { writer, traces, points, rejected: rejected_points, .. } = walk;
        let decoded = Decoded { batch: writer.builder.finish(), dropped: writer.dropped, traces, ..Decoded::default() };
        Ok(TakenMetrics { decoded, points, rejected_points, ..TakenMetrics::default() })
    }
}

/// Whether a message has points whose totals have to be known.
#[must_use]
pub fn has_deltas(request: &ExportMetricsServiceRequest) -> bool {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).any(|metric| match &metric.data {
        Some(Data::Sum(data)) => data.aggregation_temporality == DELTA,
        Some(Data::Histogram(data)) => data.aggregation_temporality == DELTA,
        _ => false,
    })
}

struct Walk<'a> {
    settings: &'a OtlpSettings,
    limits: &'a Limits,
    writer: Writer<'a>,
    traces: Vec<TraceExemplar>,
    points: u64,
    rejected: u64,
}

impl Walk<'_> {
    fn resource(&mut self, resource: &ResourceMetrics) -> Result<(), OtlpError> {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| r.attributes.as_slice());
        let of_resource = OfResource::new(attributes, self.settings, self.limits);
        let mut span: Option<(Millis, Millis)> = None;
        for scope in &resource.scope_metrics {
            let shared = of_resource.as_ref().map_err(|fault| *fault).and_then(|resource| {
                resource.with_scope(scope.scope.as_ref(), &scope.schema_url, self.settings, self.limits)
            });
            for metric in &scope.metrics {
                self.metric(metric, &shared);
                self.within_limits()?;
                for t in times(metric) {
                    let (first, last) = span.unwrap_or((t, t));
                    span = Some((first.min(t), last.max(t)));
                }
            }
        }
        if let Some((first, last)) = span {
            self.target_info(resource, first.max(self.writer.accepted.oldest), last.min(self.writer.accepted.newest));
        }
        self.within_limits()
    }

    fn within_limits(&self) -> Result<(), OtlpError> {
        if self.writer.builder.sample_count() > self.limits.pending_samples {
            return Err(OtlpError::TooManySamples(self.limits.pending_samples));
        }
        if self.writer.is_full {
            return Err(OtlpError::TooManyLabels(self.limits.decompressed_bytes));
        }
        Ok(())
    }

    /// What is known of who sent this, as a series of value 1.
    fn target_info(&mut self, resource: &ResourceMetrics, first: Millis, last: Millis) {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| r.attributes.as_slice());
        match target_info(attributes, self.settings, self.limits.labels_per_series) {
            Ok(Some(labels)) if first <= last => {
                let mut t = first.max(last.saturating_sub(TARGET_INFO_SAMPLES * TARGET_INFO_EVERY_MS));
                while t < last {
                    self.writer.sample("target_info", &labels, t, 1.0);
                    t += TARGET_INFO_EVERY_MS;
                }
                self.writer.sample("target_info", &labels, last, 1.0);
            }
            Ok(_) => {}
            Err(fault) => self.writer.dropped.series(fault, 1),
        }
    }

    fn metric(&mut self, metric: &Metric, shared: &Result<Shared<'_>, LabelError>) {
        let Some(data) = &metric.data else { return };
        let strategy = self.settings.translation_strategy;
        let kind = match data {
            Data::Gauge(_) => MetricKind::Gauge,
            Data::Sum(sum) if sum.is_monotonic => MetricKind::Counter,
            _ => MetricKind::Other,
        };
        let name = metric_name(&metric.name, &metric.unit, kind, strategy);
        if name.is_empty() {
            return self.refuse(count(data), |dropped, n| dropped.series(LabelError::Name, n));
        }
        if name.len() > self.limits.label_value_bytes {
            return self.refuse(count(data), |dropped, n| dropped.series(LabelError::Value, n));
        }
        let shared = match shared {
            Ok(shared) => shared,
            Err(fault) => return self.refuse(count(data), |dropped, n| dropped.series(*fault, n)),
        };
        let names = Names::new(name);
        match data {
            Data::Sum(sum) if !is_usable(sum.aggregation_temporality) => self.refuse_temporality(data),
            Data::Histogram(histogram) if !is_usable(histogram.aggregation_temporality) => {
                self.refuse_temporality(data);
            }
            Data::Gauge(gauge) => {
                for point in &gauge.data_points {
                    let write = |writer: &mut Writer<'_>, labels: &LabelMap<'_>| {
                        writer.number(&names.plain, labels, point, (CUMULATIVE, false))
                    };
                    self.point(shared, &point.attributes, point.time_unix_nano, &point.exemplars, write);
                }
            }
            Data::Sum(sum) => {
                for point in &sum.data_points {
                    let kind = (sum.aggregation_temporality, sum.is_monotonic);
                    let write = |writer: &mut Writer<'_>, labels: &LabelMap<'_>| {
                        writer.number(&names.plain, labels, point, kind)
                    };
                    self.point(shared, &point.attributes, point.time_unix_nano, &point.exemplars, write);
                }
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let temporality = histogram.aggregation_temporality;
                    let write = |writer: &mut Writer<'_>, labels: &LabelMap<'_>| {
                        writer.histogram(&names, labels, point, temporality)
                    };
                    self.point(shared, &point.attributes, point.time_unix_nano, &point.exemplars, write);
                }
            }
            Data::Summary(summary) => {
                for point in &summary.data_points {
                    let write = |writer: &mut Writer<'_>, labels: &LabelMap<'_>| writer.summary(&names, labels, point);
                    self.point(shared, &point.attributes, point.time_unix_nano, &[], write);
                }
            }
            Data::ExponentialHistogram(_) => self.refuse(count(data), |dropped, n| dropped.histograms += n),
        }
    }

    fn point(
        &mut self,
        shared: &Shared<'_>,
        attributes: &[KeyValue],
        time: u64,
        exemplars: &[Exemplar],
        write: impl FnOnce(&mut Writer<'_>, &LabelMap<'_>) -> Result<(), Refused>,
    ) {
        // The message is refused.
        if self.writer.is_full {
            return;
        }
        self.points += 1;
        // One out of time is refused before its labels are looked at: no work for them.
        let labels = match self.writer.accepted.contains(millis(time)) {
            true => shared.point(attributes, self.settings, self.limits.labels_per_series),
            false => Ok(LabelMap::new()),
        };
        let outcome = match labels {
            Ok(labels) => write(&mut self.writer, &labels).inspect(|()| self.trace(time, exemplars)),
            Err(fault) => {
                self.writer.dropped.series(fault, 1);
                Err(Refused)
            }
        };
        self.rejected += u64::from(outcome.is_err());
    }

    /// Keeps the newest trace of the point that was written last.
    fn trace(&mut self, time: u64, exemplars: &[Exemplar]) {
        let named = exemplars.iter().filter_map(|e| Some((e.time_unix_nano, trace_id(&e.trace_id)?)));
        let Some((at, trace_id)) = named.max() else { return };
        if let Some(labels) = self.writer.builder.last_labels().filter(|_| self.traces.len() < TRACES_MAX) {
            // One from the future would stay the newest for good.
            self.traces.extend(TraceExemplar::new(labels, trace_id, millis(at.min(time))));
        }
    }

    fn refuse(&mut self, points: u64, count: impl FnOnce(&mut Dropped, u64)) {
        self.points += points;
        self.rejected += points;
        count(&mut self.writer.dropped, points);
    }

    fn refuse_temporality(&mut self, data: &Data) {
        self.refuse(count(data), |dropped, n| dropped.temporality += n);
    }
}

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
const DELTA: i32 = AggregationTemporality::Delta as i32;

fn is_usable(temporality: i32) -> bool {
    temporality == CUMULATIVE || temporality == DELTA
}

fn count(data: &Data) -> u64 {
    let points = match data {
        Data::Gauge(data) => data.data_points.len(),
        Data::Sum(data) => data.data_points.len(),
        Data::Histogram(data) => data.data_points.len(),
        Data::ExponentialHistogram(data) => data.data_points.len(),
        Data::Summary(data) => data.data_points.len(),
    };
    points as u64
}

/// Times of a metric's points.
fn times(metric: &Metric) -> Box<dyn Iterator<Item = Millis> + '_> {
    match &metric.data {
        Some(Data::Gauge(data)) => Box::new(data.data_points.iter().map(|p| millis(p.time_unix_nano))),
        Some(Data::Sum(data)) => Box::new(data.data_points.iter().map(|p| millis(p.time_unix_nano))),
        Some(Data::Histogram(data)) => Box::new(data.data_points.iter().map(|p| millis(p.time_unix_nano))),
        Some(Data::ExponentialHistogram(data)) => Box::new(data.data_points.iter().map(|p| millis(p.time_unix_nano))),
        Some(Data::Summary(data)) => Box::new(data.data_points.iter().map(|p| millis(p.time_unix_nano))),
        None => Box::new(std::iter::empty()),
    }
}
