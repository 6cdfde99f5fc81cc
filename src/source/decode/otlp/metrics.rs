//! A message of metrics into a batch. Holds the running totals of delta series; knows no transport and no clock.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, ResourceMetrics};
use prost::Message as _;

use super::super::{Decoded, Dropped};
use super::delta::{DeltaChanges, DeltaTotals};
use super::labels::{Shared, target_info};
use super::names::{MetricKind, metric_name};
use super::points::{Refused, Writer, millis};
use super::settings::OtlpSettings;
use super::{OtlpEncoding, OtlpError, density, json};
use crate::base::{BatchBuilder, LabelError, Limits, Millis, TimeSpan};

/// Half of Prometheus' look-back: so often `target_info` has a sample between the first and the last of a message.
const TARGET_INFO_EVERY_MS: Millis = 150_000;

/// At most so many of them in one message, the newest: one wrong time would ask for millions.
const TARGET_INFO_SAMPLES: Millis = 1_000;

/// Decodes messages of one stream of metrics.
#[derive(Debug)]
pub struct MetricsDecoder {
    settings: OtlpSettings,
    limits: Limits,
    deltas: DeltaTotals,
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
    /// What it has changed in the running totals, for [`MetricsDecoder::undo`].
    pub changes: DeltaChanges,
}

impl MetricsDecoder {
    /// A decoder without running totals.
    #[must_use]
    pub fn new(settings: OtlpSettings, limits: &Limits) -> Self {
        Self { settings, limits: limits.clone(), deltas: DeltaTotals::new(limits) }
    }

    /// Decodes an `ExportMetricsServiceRequest`, which is also `MetricsData`; samples outside of `accepted` are left out.
    ///
    /// # Errors
    /// The message is malformed or breaks a limit; nothing of it is taken.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        encoding: OtlpEncoding,
        accepted: TimeSpan,
    ) -> Result<TakenMetrics, OtlpError> {
        if bytes.len() > self.limits.otlp_bytes {
            return Err(OtlpError::TooLarge { bytes: bytes.len(), limit: self.limits.otlp_bytes });
        }
        let request = match encoding {
            OtlpEncoding::Protobuf => {
                density::check_metrics(bytes)?;
                ExportMetricsServiceRequest::decode(bytes)?
            }
            OtlpEncoding::Json => {
                density::check_json(bytes)?;
                json::metrics(bytes)?
            }
        };
        self.take(&request, accepted)
    }

    /// The same of a message that has been read.
    ///
    /// # Errors
    /// More samples than are taken at once; nothing is.
    pub fn take(
        &mut self,
        request: &ExportMetricsServiceRequest,
        accepted: TimeSpan,
    ) -> Result<TakenMetrics, OtlpError> {
        let outcome = self.walk(request, accepted);
        let changes = self.deltas.changes();
        match outcome {
            Ok(taken) => Ok(TakenMetrics { changes, ..taken }),
            Err(error) => {
                self.deltas.undo(changes);
                Err(error)
            }
        }
    }

    /// Takes back what a message has added to running totals: it could not be kept, and will come again.
    pub fn undo(&mut self, changes: DeltaChanges) {
        self.deltas.undo(changes);
    }

    fn walk(&mut self, request: &ExportMetricsServiceRequest, accepted: TimeSpan) -> Result<TakenMetrics, OtlpError> {
        let builder = BatchBuilder::new(&self.limits);
        let writer = Writer {
            builder,
            dropped: Dropped::default(),
            deltas: &mut self.deltas,
            accepted,
            label_bytes_max: self.limits.decompressed_bytes,
            is_full: false,
        };
        let mut walk = Walk { settings: &self.settings, limits: &self.limits, writer, points: 0, rejected: 0 };
        for resource in &request.resource_metrics {
            walk.resource(resource)?;
        }
        let decoded = Decoded { batch: walk.writer.builder.finish(), dropped: walk.writer.dropped };
        let (points, rejected_points) = (walk.points, walk.rejected);
        Ok(TakenMetrics { decoded, points, rejected_points, ..TakenMetrics::default() })
    }
}

struct Walk<'a> {
    settings: &'a OtlpSettings,
    limits: &'a Limits,
    writer: Writer<'a>,
    points: u64,
    rejected: u64,
}

impl Walk<'_> {
    fn resource(&mut self, resource: &ResourceMetrics) -> Result<(), OtlpError> {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| r.attributes.as_slice());
        let of_resource = Shared::of_resource(attributes, self.settings);
        let mut span: Option<(Millis, Millis)> = None;
        for scope in &resource.scope_metrics {
            let shared = of_resource.with_scope(scope.scope.as_ref(), &scope.schema_url, self.settings);
            for metric in &scope.metrics {
                self.metric(metric, &shared);
                if self.writer.builder.sample_count() > self.limits.pending_samples {
                    return Err(OtlpError::TooManySamples(self.limits.pending_samples));
                }
                if self.writer.is_full {
                    return Err(OtlpError::TooManyLabels(self.limits.decompressed_bytes));
                }
                for t in times(metric) {
                    let (first, last) = span.unwrap_or((t, t));
                    span = Some((first.min(t), last.max(t)));
                }
            }
        }
        if let Some((first, last)) = span {
            self.target_info(resource, first.max(self.writer.accepted.oldest), last.min(self.writer.accepted.newest));
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

    fn metric(&mut self, metric: &Metric, shared: &Shared<'_>) {
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
        let (settings, labels_max) = (self.settings, self.limits.labels_per_series);
        match data {
            Data::Sum(sum) if !is_usable(sum.aggregation_temporality) => self.refuse_temporality(data),
            Data::Histogram(histogram) if !is_usable(histogram.aggregation_temporality) => {
                self.refuse_temporality(data);
            }
            Data::Gauge(gauge) => {
                for point in &gauge.data_points {
                    let labels = shared.point(&point.attributes, settings, labels_max);
                    self.point(labels, |writer, labels| writer.number(&name, labels, point, CUMULATIVE));
                }
            }
            Data::Sum(sum) => {
                for point in &sum.data_points {
                    let labels = shared.point(&point.attributes, settings, labels_max);
                    let temporality = sum.aggregation_temporality;
                    self.point(labels, |writer, labels| writer.number(&name, labels, point, temporality));
                }
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let labels = shared.point(&point.attributes, settings, labels_max);
                    let temporality = histogram.aggregation_temporality;
                    self.point(labels, |writer, labels| writer.histogram(&name, labels, point, temporality));
                }
            }
            Data::Summary(summary) => {
                for point in &summary.data_points {
                    let labels = shared.point(&point.attributes, settings, labels_max);
                    self.point(labels, |writer, labels| writer.summary(&name, labels, point));
                }
            }
            Data::ExponentialHistogram(_) => self.refuse(count(data), |dropped, n| dropped.histograms += n),
        }
    }

    fn point<'b>(
        &mut self,
        labels: Result<super::labels::LabelMap<'b>, LabelError>,
        write: impl FnOnce(&mut Writer<'_>, &super::labels::LabelMap<'b>) -> Result<(), Refused>,
    ) {
        self.points += 1;
        let outcome = match labels {
            Ok(labels) => write(&mut self.writer, &labels),
            Err(fault) => {
                self.writer.dropped.series(fault, 1);
                Err(Refused)
            }
        };
        self.rejected += u64::from(outcome.is_err());
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

fn is_usable(temporality: i32) -> bool {
    temporality == CUMULATIVE || temporality == AggregationTemporality::Delta as i32
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
