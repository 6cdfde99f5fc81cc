//! Rates, errors and durations of spans as series, under the names of the Collector's spanmetrics connector. Pure: spans
//! and instants are handed in.
//!
//! <https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/connector/spanmetricsconnector>. A series
//! begins with zero, so that `increase` sees its first spans, and ends with a staleness marker when no span has come for a
//! while. Counts are of this process: after a restart they begin anew, which to `rate` is the reset of a counter.

use hashbrown::HashMap;

use super::super::decode::otlp::EndedSpan;
use crate::base::{Batch, BatchBuilder, Labels, Limits, METRIC_NAME, Millis, format_value, stale_nan};

/// Upper bounds of the histogram's buckets, milliseconds: the connector's.
const BOUNDS_MS: [f64; 16] = [
    2.0, 4.0, 6.0, 8.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1_000.0, 1_400.0, 2_000.0, 5_000.0, 10_000.0, 15_000.0,
];

/// Name and service of spans for which there was no room of their own.
pub(super) const OVERFLOW: &str = "overflow";

/// A span is slow above the share of its series' spans that lies below.
const SLOW_ABOVE: f64 = 0.95;

/// Below so many spans nobody knows what is slow.
const SPANS_TO_JUDGE: u64 = 20;

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    job: String,
    service: String,
    name: String,
    kind: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Default)]
struct Red {
    /// Spans in each bucket, the last of them above all bounds.
    buckets: [u64; BOUNDS_MS.len() + 1],
    calls: u64,
    sum_ms: f64,
    last_seen: Millis,
    /// Whether its zeros have been written.
    has_begun: bool,
}

/// What became of a span.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    /// Whether there was no room for a series of its own.
    pub(super) is_overflow: bool,
    /// The labels of its series, if it is worth to be looked at: it failed, or is slow for such a span.
    pub(super) worth_a_look: Option<Labels>,
}

/// The series of all spans.
#[derive(Debug)]
pub(super) struct RedSeries {
    series: HashMap<Key, Red>,
    /// How many series each name of a span has, by service.
    names: HashMap<String, HashMap<String, usize>>,
    series_max: usize,
    names_max: usize,
    limits: Limits,
}

impl RedSeries {
    /// None yet.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            series: HashMap::new(),
            names: HashMap::new(),
            series_max: limits.span_series,
            names_max: limits.span_names,
            limits: limits.clone(),
        }
    }

    /// Counts a span that arrived at `now`.
    pub(super) fn count(&mut self, span: &EndedSpan<'_>, now: Millis) -> Counted {
        let (key, is_overflow) = self.place(span);
        let red = match self.series.get_mut(&key) {
            Some(red) => red,
            None => self.series.entry(key.clone()).or_default(),
        };
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < span.duration_ms);
        let is_slow = red.is_slow(bucket);
        red.buckets[bucket] += 1;
        red.calls += 1;
        red.sum_ms += span.duration_ms;
        red.last_seen = now;
        Counted { is_overflow, worth_a_look: (span.is_error() || is_slow).then(|| labels(&key)) }
    }

    /// The series at an instant; those without a span for `expiry` end with it.
    pub(super) fn flush(&mut self, at: Millis, expiry: Millis) -> Batch {
        let mut builder = BatchBuilder::new(&self.limits);
        // In an order that does not depend on the map's.
        let mut all: Vec<(&Key, &mut Red)> = self.series.iter_mut().collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.parts().cmp(&b.parts()));
        let mut ended = Vec::new();
        for (key, red) in all {
            let has_ended = at.saturating_sub(red.last_seen) > expiry;
            let has_begun = if has_ended { None } else { Some(red.has_begun) };
            write(&mut builder, key, red, has_begun, at);
            red.has_begun = true;
            if has_ended {
                ended.push(key.clone());
            }
        }
        ended.iter().for_each(|key| self.forget(key));
        builder.finish()
    }

    /// Which series a span belongs to: its own if there is room, else the overflow of its service or of all services; and
    /// whether it is an overflow.
    fn place(&mut self, span: &EndedSpan<'_>) -> (Key, bool) {
        let bytes_max = self.limits.label_value_bytes;
        let job_bytes = match span.namespace {
            "" => span.service.len(),
            namespace => namespace.len().saturating_add(1 + span.service.len()),
        };
        // Measured before anything is copied: what a resource says once, all its spans repeat.
        if job_bytes.max(span.name.len()) <= bytes_max {
            let key = Key::own(span);
            if self.series.contains_key(&key) {
                return (key, false);
            }
            let names = self.names.get(&key.service);
            let has_room = names.is_none_or(|names| names.len() < self.names_max || names.contains_key(&key.name));
            if self.series.len() < self.series_max && has_room {
                *self.names.entry(key.service.clone()).or_default().entry(key.name.clone()).or_default() += 1;
                return (key, false);
            }
        }
        if span.service.len() <= bytes_max && self.names.contains_key(span.service) {
            let key = Key::overflow(span.service, span);
            // A bound of its own, so that a service whose names are many is still told from others when all is full.
            if self.series.len() < self.series_max.saturating_mul(2) || self.series.contains_key(&key) {
                return (key, true);
            }
        }
        (Key::overflow(OVERFLOW, span), true)
    }

    fn forget(&mut self, key: &Key) {
        self.series.remove(key);
        let Some(names) = self.names.get_mut(&key.service) else { return };
        if let Some(series) = names.get_mut(&key.name) {
            *series -= 1;
            if *series == 0 {
                names.remove(&key.name);
            }
        }
        if names.is_empty() {
            self.names.remove(&key.service);
        }
    }
}

impl Key {
    fn own(span: &EndedSpan<'_>) -> Self {
        let job = match span.namespace {
            "" => span.service.to_owned(),
            namespace => format!("{namespace}/{}", span.service),
        };
        let (service, name) = (span.service.to_owned(), span.name.to_owned());
        Self { job, service, name, kind: span.kind, status: span.status }
    }

    /// What all spans of a service share for which there is no room.
    fn overflow(service: &str, span: &EndedSpan<'_>) -> Self {
        let [job, service, name] = [service, service, OVERFLOW].map(str::to_owned);
        Self { job, service, name, kind: span.kind, status: span.status }
    }

    fn parts(&self) -> (&str, &str, &str, &str, &str) {
        (&self.job, &self.service, &self.name, self.kind, self.status)
    }
}

impl Red {
    fn is_slow(&self, bucket: usize) -> bool {
        let below: u64 = self.buckets[..bucket].iter().sum();
        self.calls >= SPANS_TO_JUDGE && below as f64 >= SLOW_ABOVE * self.calls as f64
    }
}

fn labels(key: &Key) -> Labels {
    let Key { job, service, name, kind, status } = key;
    Labels::from_pairs([
        ("job", job.as_str()),
        ("service_name", service.as_str()),
        ("span_name", name.as_str()),
        ("span_kind", kind),
        ("status_code", status),
    ])
}

/// Writes all series of a key: their counts, or zeros where they have not begun, or their end (`None`).
fn write(builder: &mut BatchBuilder, key: &Key, red: &Red, has_begun: Option<bool>, at: Millis) {
    let labels = labels(key);
    let mut sample = |name: &str, le: Option<&str>, value: f64| {
        builder.label(METRIC_NAME, name);
        le.into_iter().for_each(|le| builder.label("le", le));
        labels.as_ref().iter().for_each(|(name, value)| builder.label(name, value));
        // Only limits tighter than these few labels can refuse them.
        if builder.end_labels().is_ok() {
            builder.sample(
                at,
                match has_begun {
                    Some(true) => value,
                    Some(false) => 0.0,
                    None => stale_nan(),
                },
            );
        }
    };
    sample("traces_span_metrics_calls_total", None, red.calls as f64);
    sample("traces_span_metrics_duration_milliseconds_count", None, red.calls as f64);
    sample("traces_span_metrics_duration_milliseconds_sum", None, red.sum_ms);
    let mut below = 0;
    for (bound, count) in BOUNDS_MS.iter().zip(red.buckets) {
        below += count;
        sample("traces_span_metrics_duration_milliseconds_bucket", Some(&format_value(*bound)), below as f64);
    }
    sample("traces_span_metrics_duration_milliseconds_bucket", Some("+Inf"), red.calls as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::is_stale;

    fn span<'a>(service: &'a str, name: &'a str, ms: f64, failed: bool) -> EndedSpan<'a> {
        EndedSpan {
            service,
            namespace: "",
            name,
            kind: "SPAN_KIND_SERVER",
            status: if failed { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" },
            duration_ms: ms,
            end: 0,
            trace_id: &[1; 16],
        }
    }

    fn value(batch: &Batch, series: &str) -> Option<f64> {
        let run = batch.runs().iter().find(|run| batch.labels(run).to_string() == series)?;
        Some(batch.samples(run)[0].v)
    }

    #[test]
    fn a_series_begins_with_zero_counts_and_ends() {
        let mut red = RedSeries::new(&Limits::default());
        red.count(&span("shop", "GET /", 30.0, false), 0);
        red.count(&span("shop", "GET /", 50.0, false), 0);
        red.count(&span("shop", "GET /", 50.1, false), 0);
        let calls = "traces_span_metrics_calls_total{job=\"shop\", service_name=\"shop\", span_kind=\"SPAN_KIND_SERVER\", \
                     span_name=\"GET /\", status_code=\"STATUS_CODE_UNSET\"}";
        let bucket = |le: &str| {
            let name = "traces_span_metrics_duration_milliseconds_bucket";
            let rest = calls.trim_start_matches("traces_span_metrics_calls_total{job=\"shop\", ");
            format!("{name}{{job=\"shop\", le=\"{le}\", {rest}")
        };
        let first = red.flush(15_000, 60_000);
        assert_eq!(value(&first, calls), Some(0.0));
        assert_eq!(first.runs().len(), 3 + 17);
        let second = red.flush(30_000, 60_000);
        assert_eq!((value(&second, calls), value(&second, &bucket("10"))), (Some(3.0), Some(0.0)));
        assert_eq!((value(&second, &bucket("50")), value(&second, &bucket("+Inf"))), (Some(2.0), Some(3.0)));
        let last = red.flush(60_001, 60_000);
        assert!(is_stale(value(&last, calls).unwrap()));
        assert_eq!((red.series.len(), red.names.len()), (0, 0));
        assert!(red.flush(75_000, 60_000).is_empty());
    }

    #[test]
    fn names_and_series_are_bounded() {
        let mut red = RedSeries::new(&Limits { span_names: 2, span_series: 4, ..Limits::default() });
        let mut place = |service: &str, name: &str| {
            let counted = red.count(&span(service, name, 1.0, true), 0);
            let labels = counted.worth_a_look.unwrap();
            let of = |name: &str| labels.as_ref().get(name).unwrap().to_owned();
            (of("service_name"), of("span_name"), counted.is_overflow)
        };
        let is = |service: &str, name: &str, overflow| (service.to_owned(), name.to_owned(), overflow);
        assert_eq!(place("a", "x"), is("a", "x", false));
        assert_eq!(place("a", "y"), is("a", "y", false));
        assert_eq!(place("a", "z"), is("a", OVERFLOW, true));
        assert_eq!(place("b", "x"), is("b", "x", false));
        assert_eq!(place("b", "y"), is("b", OVERFLOW, true));
        assert_eq!(place("c", "x"), is(OVERFLOW, OVERFLOW, true));
        assert_eq!(place("a", "x"), is("a", "x", false));
        assert_eq!(red.series.len(), 6);
    }

    #[test]
    fn namespaces_without_end_share_the_overflow_of_their_service() {
        let mut red = RedSeries::new(&Limits { span_series: 10, ..Limits::default() });
        for i in 0..1_000 {
            let (service, namespace) = (format!("s{}", i % 20), format!("eu{i}"));
            for kind in ["SPAN_KIND_SERVER", "SPAN_KIND_CLIENT"] {
                red.count(&EndedSpan { namespace: &namespace, kind, ..span(&service, "x", 1.0, false) }, 0);
            }
        }
        // Ten of their own, of five services; for either kind the overflow of all others, and that of as many as twice ten hold.
        assert_eq!(red.series.len(), 10 + 2 + 4 * 2);
        let long = "n".repeat(10_000);
        let key = red.place(&EndedSpan { namespace: &long, ..span("s1", "x", 1.0, false) }).0;
        assert_eq!((key.job.as_str(), key.service.as_str(), key.name.as_str()), ("s1", "s1", OVERFLOW));
        for i in 0..20 {
            let status = ["STATUS_CODE_OK", "STATUS_CODE_ERROR"][i % 2];
            red.count(&EndedSpan { status, ..span(&format!("s{i}"), "y", 1.0, false) }, 0);
        }
        assert_eq!(red.series.len(), 20 + 2, "there is no room for further overflows but that of all");
    }

    #[test]
    fn overlong_texts_are_not_copied_for_each_span() {
        let mut red = RedSeries::new(&Limits::default());
        red.count(&span("shop", "x", 1.0, false), 0);
        let (long, begun) = ("x".repeat(8 << 20), std::time::Instant::now());
        for _ in 0..10_000 {
            for of in [span(&long, "x", 1.0, false), EndedSpan { namespace: &long, ..span("bank", "x", 1.0, false) }] {
                assert!(red.count(&of, 0).is_overflow);
            }
        }
        assert!(red.count(&span("shop", &long, 1.0, false), 0).is_overflow);
        assert_eq!(red.series.len(), 3);
        // Copies would be hundreds of gigabytes.
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn failing_and_slow_spans_are_worth_a_look() {
        let mut red = RedSeries::new(&Limits::default());
        for _ in 0..19 {
            assert_eq!(red.count(&span("a", "x", 1.0, false), 0).worth_a_look, None);
        }
        assert_eq!(red.count(&span("a", "x", 900.0, false), 0).worth_a_look, None, "too few to know");
        let slow = red.count(&span("a", "x", 900.0, false), 0).worth_a_look.unwrap();
        assert_eq!(slow.as_ref().get("span_name"), Some("x"));
        assert_eq!(red.count(&span("a", "x", 3.0, false), 0).worth_a_look, None);
        assert!(red.count(&span("a", "x", 1.0, true), 0).worth_a_look.is_some());
    }
}
