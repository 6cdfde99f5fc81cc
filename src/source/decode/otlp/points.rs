//! Points into the samples of series: a histogram's become `_bucket`, `_sum` and `_count`, a summary's its quantiles.
//! Knows labels only as a map that is ready; says which points it had to refuse.

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};

use super::super::{CreatedTimestamps, Dropped};
use super::delta::{Added, Delta, DeltaFault, DeltaTotals, Standing};
use super::labels::LabelMap;
use crate::base::{BatchBuilder, CounterStart, METRIC_NAME, Millis, TimeSpan, format_value, stale_nan};

/// The flag that says that there was nothing to observe (`DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`).
const NO_RECORDED_VALUE: u32 = 1;

/// Writes series and samples, and counts what it leaves out.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) builder: BatchBuilder,
    pub(super) dropped: Dropped,
    pub(super) deltas: &'a mut DeltaTotals,
    /// What becomes of start times.
    pub(super) created: CreatedTimestamps,
    /// Between which times samples are taken.
    pub(super) accepted: TimeSpan,
    /// Bytes of all labels so far, those of series that were refused among them: they are work as well.
    pub(super) label_bytes: usize,
    /// Most of them. What a resource says once, each of its points repeats.
    pub(super) label_bytes_max: usize,
    /// Whether they were reached: the message is then refused.
    pub(super) is_full: bool,
}

/// The names of a metric's series, made once for all its points.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) plain: String,
    sum: String,
    count: String,
    bucket: String,
}

impl Names {
    /// Those of a metric of this name.
    pub(super) fn new(plain: String) -> Self {
        let [sum, count, bucket] = ["sum", "count", "bucket"].map(|ending| format!("{plain}_{ending}"));
        Self { plain, sum, count, bucket }
    }
}

/// What a point says of all its series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    start: u64,
    time: u64,
    is_delta: bool,
    is_stale: bool,
    /// Whether its series only grow, from zero at `start` on.
    is_counter: bool,
}

impl Moment {
    /// Of a counter.
    fn new(start: u64, time: u64, flags: u32, temporality: i32) -> Self {
        let is_delta = temporality == AggregationTemporality::Delta as i32;
        Self { start, time, is_delta, is_stale: flags & NO_RECORDED_VALUE != 0, is_counter: true }
    }
}

/// Something of a point was left out; it is counted already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

impl Writer<'_> {
    /// A point of a gauge or sum.
    pub(super) fn number(
        &mut self,
        name: &str,
        labels: &LabelMap<'_>,
        point: &NumberDataPoint,
        (temporality, is_counter): (i32, bool),
    ) -> Result<(), Refused> {
        let moment = Moment::new(point.start_time_unix_nano, point.time_unix_nano, point.flags, temporality);
        let moment = Moment { is_counter, ..moment };
        let value = match point.value {
            Some(Value::AsDouble(v)) => v,
            Some(Value::AsInt(v)) => v as f64,
            None => 0.0,
        };
        self.series(name, labels, None, moment, value)
    }

    /// A point of a histogram with explicit bounds. Its buckets count what lies in each; Prometheus' what lies below.
    pub(super) fn histogram(
        &mut self,
        names: &Names,
        labels: &LabelMap<'_>,
        point: &HistogramDataPoint,
        temporality: i32,
    ) -> Result<(), Refused> {
        let moment = Moment::new(point.start_time_unix_nano, point.time_unix_nano, point.flags, temporality);
        let mut outcome = Ok(());
        if let Some(sum) = point.sum {
            outcome = self.series(&names.sum, labels, None, moment, sum);
        }
        outcome = outcome.and(self.series(&names.count, labels, None, moment, point.count as f64));
        let bucket = &names.bucket;
        let mut below = 0u64;
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            below = below.saturating_add(*count);
            // The last bucket has no bound; who writes one all the same says it twice.
            if *bound == f64::INFINITY {
                continue;
            }
            let le = format_value(*bound);
            outcome = outcome.and(self.series(bucket, labels, Some(("le", &le)), moment, below as f64));
        }
        outcome.and(self.series(bucket, labels, Some(("le", "+Inf")), moment, point.count as f64))
    }

    /// A point of a summary.
    pub(super) fn summary(
        &mut self,
        names: &Names,
        labels: &LabelMap<'_>,
        point: &SummaryDataPoint,
    ) -> Result<(), Refused> {
        let moment = Moment::new(point.start_time_unix_nano, point.time_unix_nano, point.flags, 0);
        let mut outcome = self.series(&names.sum, labels, None, moment, point.sum);
        outcome = outcome.and(self.series(&names.count, labels, None, moment, point.count as f64));
        let moment = Moment { is_counter: false, ..moment };
        for at in &point.quantile_values {
            let quantile = format_value(at.quantile);
            outcome = outcome.and(self.series(&names.plain, labels, Some(("quantile", &quantile)), moment, at.value));
        }
        outcome
    }

    /// A sample that no point says in so many words.
    pub(super) fn sample(&mut self, name: &str, labels: &LabelMap<'_>, t: Millis, v: f64) {
        if self.accepted.contains(t) && self.begin(name, labels, None).is_ok() {
            self.builder.sample(t, v);
        }
    }

    fn series(
        &mut self,
        name: &str,
        labels: &LabelMap<'_>,
        extra: Option<(&str, &str)>,
        moment: Moment,
        value: f64,
    ) -> Result<(), Refused> {
        let t = millis(moment.time);
        if !self.accepted.contains(t) {
            *(if t > self.accepted.newest { &mut self.dropped.future } else { &mut self.dropped.too_old }) += 1;
            return Err(Refused);
        }
        self.begin(name, labels, extra)?;
        let key = self.builder.last_key().unwrap_or_default();
        if moment.is_stale {
            if moment.is_delta {
                self.deltas.end(key);
            }
            self.builder.sample(t, stale_nan());
            return Ok(());
        }
        let mut added = Added { value, standing: Standing::Total, is_first: true };
        if moment.is_delta {
            added = self.total(key, moment, value)?;
        }
        if moment.is_counter {
            // In the order of time: the second is before the sample by as little as can be.
            if let Some(begin) = self.created.begin(millis(moment.start), t).filter(|_| added.is_first) {
                self.builder.counter_start(begin, CounterStart::Created);
            }
            match added.standing {
                Standing::Total => {}
                Standing::Anew(first) => {
                    self.builder.counter_start(millis(first).saturating_sub(1), CounterStart::Anew)
                }
                Standing::Increment => self.builder.counter_start(t, CounterStart::Increment),
            }
        }
        self.builder.sample(t, added.value);
        Ok(())
    }

    fn total(&mut self, series: u128, moment: Moment, value: f64) -> Result<Added, Refused> {
        let Moment { start, time, is_counter, .. } = moment;
        self.deltas.add(series, Delta { start, time, value, is_counter }).map_err(|fault| {
            match fault {
                DeltaFault::OutOfOrder => self.dropped.delta_out_of_order += 1,
                DeltaFault::TooMany => self.dropped.delta_series += 1,
            }
            Refused
        })
    }

    /// Begins a series. The name stands against an attribute of that name; one called `le` makes a bucket ambiguous, and
    /// is refused as Prometheus refuses it.
    fn begin(&mut self, name: &str, labels: &LabelMap<'_>, extra: Option<(&str, &str)>) -> Result<(), Refused> {
        if self.label_bytes > self.label_bytes_max {
            self.is_full = true;
            return Err(Refused);
        }
        let others = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        let others = others.map(|(label, value)| (label.as_ref(), value.as_ref()));
        for (label, value) in std::iter::once((METRIC_NAME, name)).chain(extra).chain(others) {
            self.label_bytes += label.len() + value.len();
            self.builder.label(label, value);
        }
        self.builder.end_labels().map_err(|fault| {
            self.dropped.series(fault, 1);
            Refused
        })
    }
}

/// Milliseconds since the epoch.
pub(super) fn millis(nanos: u64) -> Millis {
    (nanos / 1_000_000) as Millis
}
