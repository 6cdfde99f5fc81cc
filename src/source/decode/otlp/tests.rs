//! Messages as senders write them, into series. That the series are Prometheus' is for `tests/otlp_prometheus.rs`.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::base::{CounterStart, Labels, Limits, TimeSpan, is_stale};
use crate::source::decode::{CreatedTimestamps, TraceExemplar};

/// As the Collector's JSON marshaler writes it: 64-bit integers as text, enums as numbers, empty fields left out.
const COLLECTOR: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[
  {"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"h1"}},
  {"key":"service.instance.id","value":{"stringValue":"i1"}}]},
 "scopeMetrics":[{"scope":{"name":"meter","version":"1"},"metrics":[
  {"name":"system.memory.usage","unit":"By","description":"d","sum":{"dataPoints":[
    {"attributes":[{"key":"state","value":{"stringValue":"used"}}],"startTimeUnixNano":"1700000000000000000",
     "timeUnixNano":"1700000010000000000","asInt":"9007199254740993"}],"aggregationTemporality":2}},
  {"name":"load","gauge":{"dataPoints":[{"timeUnixNano":"1700000010000000000","asDouble":0.5},
    {"timeUnixNano":"1700000011000000000","asDouble":"NaN"},{"timeUnixNano":1700000012000000000,"asDouble":2},
    {"timeUnixNano":"1700000013000000000","flags":1}]}},
  {"name":"latency","unit":"s","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[
    {"timeUnixNano":"1700000010000000000","count":"6","sum":1.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.1,1],
     "min":0.1,"exemplars":[{"timeUnixNano":"1","asDouble":1,"traceId":"5b8efff798038103d269b633813fc60c"}]}]}},
  {"name":"exp","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1700000010000000000",
    "count":"1","scale":1,"positive":{"offset":1,"bucketCounts":["1"]}}]}},
  {"name":"pause","summary":{"dataPoints":[{"timeUnixNano":"1700000010000000000","count":"4","sum":8,
    "quantileValues":[{"quantile":0.5,"value":2},{"quantile":1,"value":"Infinity"}]}]}}
 ],"schemaUrl":"u"}],"schemaUrl":"u","newField":{"a":[1]}}]}"#;

fn decoder(limits: &Limits) -> MetricsDecoder {
    MetricsDecoder::new(OtlpSettings::default(), CreatedTimestamps::Ignore, limits)
}

fn json(decoder: &mut MetricsDecoder, text: &str) -> TakenMetrics {
    decoder.decode(text.as_bytes(), OtlpEncoding::Json, TimeSpan::ALL).unwrap()
}

/// Series with their samples, a line each, times in seconds after 1.7e9.
fn lines(taken: &TakenMetrics) -> Vec<String> {
    let batch = &taken.decoded.batch;
    let mut lines = Vec::new();
    for run in batch.runs() {
        for sample in batch.samples(run) {
            let value = match CounterStart::of(sample.v) {
                Some(start) => format!("{start:?}"),
                None if is_stale(sample.v) => "stale".to_owned(),
                None => sample.v.to_string(),
            };
            lines.push(format!("{} {value} @{}", batch.labels(run), (sample.t - 1_700_000_000_000) as f64 / 1e3));
        }
    }
    lines
}

#[test]
fn what_the_collector_writes_becomes_series() {
    let taken = json(&mut decoder(&Limits::default()), COLLECTOR);
    let who = r#"instance="i1", job="shop""#;
    assert_eq!(
        lines(&taken),
        [
            format!("system_memory_usage_bytes{{{who}, state=\"used\"}} 9007199254740992 @10"),
            format!("load{{{who}}} 0.5 @10"),
            format!("load{{{who}}} NaN @11"),
            format!("load{{{who}}} 2 @12"),
            format!("load{{{who}}} stale @13"),
            format!("latency_seconds_sum{{{who}}} 1.5 @10"),
            format!("latency_seconds_count{{{who}}} 6 @10"),
            format!("latency_seconds_bucket{{{who}, le=\"0.1\"}} 1 @10"),
            format!("latency_seconds_bucket{{{who}, le=\"1\"}} 3 @10"),
            format!("latency_seconds_bucket{{{who}, le=\"+Inf\"}} 6 @10"),
            format!("pause_sum{{{who}}} 8 @10"),
            format!("pause_count{{{who}}} 4 @10"),
            format!("pause{{{who}, quantile=\"0.5\"}} 2 @10"),
            format!("pause{{{who}, quantile=\"1\"}} inf @10"),
            "target_info{host_name=\"h1\", instance=\"i1\", job=\"shop\"} 1 @10".to_owned(),
            "target_info{host_name=\"h1\", instance=\"i1\", job=\"shop\"} 1 @13".to_owned(),
        ]
    );
    assert_eq!(taken.decoded.dropped.iter().collect::<Vec<_>>(), [("native_histogram", 1)]);
    assert_eq!((taken.points, taken.rejected_points), (8, 1));
}

#[test]
fn json_that_cannot_be_read_is_refused_not_lost() {
    let refused = |text: &str| decoder(&Limits::default()).decode(text.as_bytes(), OtlpEncoding::Json, TimeSpan::ALL);
    let point = |field: &str| {
        let head = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"#;
        format!("{head}{field}}}]}}}}]}}]}}]}}")
    };
    assert!(refused(&point(r#""asInt":"1""#)).is_ok());
    assert!(refused(&point(r#""asInt":null,"attributes":null"#)).is_ok());
    for fault in [r#""asInt":"x""#, r#""asInt":1.5"#, r#""asDouble":"x""#, r#""timeUnixNano":-1"#, r#""flags":[]"#] {
        assert!(matches!(refused(&point(fault)), Err(OtlpError::Json(_))), "{fault}");
    }
    assert!(matches!(
        refused(r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":"X"}}]}]}]}"#),
        Err(OtlpError::Json(_))
    ));
    assert_eq!(refused("{}").unwrap().points, 0);
}

fn delta(time: u64, count: u64, le: u64) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[
        {{"name":"h","histogram":{{"aggregationTemporality":1,"dataPoints":[{{"startTimeUnixNano":"{start}","timeUnixNano":"{time}",
          "count":"{count}","sum":2,"bucketCounts":["{le}","0"],"explicitBounds":[1]}}]}}}},
        {{"name":"c","sum":{{"isMonotonic":true,"aggregationTemporality":1,"dataPoints":[{{"startTimeUnixNano":"{start}",
          "timeUnixNano":"{time}","asInt":"5"}}]}}}},
        {{"name":"u","sum":{{"isMonotonic":true,"dataPoints":[{{"asInt":"5"}}]}}}}]}}]}}]}}"#,
        start = time - 10_000_000_000,
    )
}

#[test]
fn deltas_become_totals() {
    let mut decoder = decoder(&Limits::default());
    let at = |seconds: u64| (1_700_000_000 + seconds) * 1_000_000_000;
    json(&mut decoder, &delta(at(10), 3, 1));
    let second = json(&mut decoder, &delta(at(20), 4, 2));
    let totals: Vec<_> = lines(&second).into_iter().filter(|line| !line.contains(" Anew ")).collect();
    assert_eq!(
        totals,
        [
            "h_sum{} 4 @20",
            "h_count{} 7 @20",
            "h_bucket{le=\"1\"} 3 @20",
            "h_bucket{le=\"+Inf\"} 7 @20",
            "c_total{} 10 @20"
        ]
        .map(|line| line.replace("{}", ""))
    );
    let again = json(&mut decoder, &delta(at(20), 4, 2));
    assert!(again.decoded.batch.is_empty());
    let reasons: Vec<_> = again.decoded.dropped.iter().collect();
    assert_eq!(reasons, [("unknown_temporality", 1), ("delta_out_of_order", 5)]);
    assert_eq!((again.points, again.rejected_points), (3, 3));
}

#[test]
fn a_total_that_begins_says_so_for_a_minute() {
    let mut decoder = decoder(&Limits::default());
    let at = |seconds: u64| (1_700_000_000 + seconds) * 1_000_000_000;
    let counter =
        |taken: &TakenMetrics| lines(taken).into_iter().filter(|line| line.starts_with("c_total")).collect::<Vec<_>>();
    let first = json(&mut decoder, &delta(at(10), 3, 1));
    assert_eq!(counter(&first), ["c_total Anew @9.999", "c_total 5 @10"]);
    assert_eq!(first.decoded.batch.measured(), 5);
    assert_eq!(counter(&json(&mut decoder, &delta(at(20), 3, 1))), ["c_total Anew @9.999", "c_total 10 @20"]);
    assert_eq!(counter(&json(&mut decoder, &delta(at(71), 3, 1))), ["c_total 15 @71"]);
    let (created, limits) = (CreatedTimestamps::ZeroSample, Limits::default());
    let mut decoder = MetricsDecoder::new(OtlpSettings::default(), created, &limits);
    let first = json(&mut decoder, &delta(at(10), 3, 1));
    assert_eq!(counter(&first), ["c_total Created @0", "c_total Anew @9.999", "c_total 5 @10"]);
}

#[test]
fn a_stream_that_goes_on_is_told_delta_by_delta_up_to_where_nobody_can_have_read() {
    let at = |seconds: u64| (1_700_000_000 + seconds) * 1_000_000_000;
    let mut decoder = MetricsDecoder::resuming(OtlpSettings::default(), CreatedTimestamps::Ignore, &Limits::default());
    let mut counter = |seconds: u64, newest: i64| {
        let accepted = TimeSpan { oldest: 0, newest: 1_700_000_000_000 + newest };
        let message = delta(at(seconds), 3, 1);
        let taken = decoder.decode(message.as_bytes(), OtlpEncoding::Json, accepted).unwrap();
        lines(&taken).into_iter().filter(|line| line.starts_with("c_total")).collect::<Vec<_>>()
    };
    assert_eq!(counter(10, 20_000), ["c_total Increment @10", "c_total 5 @10"]);
    // The first message says how far another process can have come; later ones are read later.
    assert_eq!(counter(20, 90_000), ["c_total Increment @20", "c_total 5 @20"]);
    assert_eq!(counter(30, 90_000), ["c_total Anew @29.999", "c_total 5 @30"]);
    assert_eq!(counter(40, 90_000), ["c_total Anew @29.999", "c_total 10 @40"]);
}

/// Points of all types with a start time; of the counters among them it says where they began.
const STARTED: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
  {"name":"c","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[
    {"startTimeUnixNano":"1700000003500000000","timeUnixNano":"1700000010000000000","asInt":"7"},
    {"startTimeUnixNano":"1700000011000000000","timeUnixNano":"1700000011000000000","asInt":"7"},
    {"startTimeUnixNano":"1600000000000000000","timeUnixNano":"1700000012000000000","asInt":"8"},
    {"startTimeUnixNano":"1700000012000000000","timeUnixNano":"1700000013000000000","flags":1}]}},
  {"name":"u","sum":{"aggregationTemporality":2,"dataPoints":[
    {"startTimeUnixNano":"1700000003500000000","timeUnixNano":"1700000010000000000","asInt":"7"}]}},
  {"name":"g","gauge":{"dataPoints":[
    {"startTimeUnixNano":"1700000003500000000","timeUnixNano":"1700000010000000000","asInt":"7"}]}},
  {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
    {"startTimeUnixNano":"1700000003500000000","timeUnixNano":"1700000010000000000","count":"1","bucketCounts":["1"]}]}},
  {"name":"s","summary":{"dataPoints":[
    {"startTimeUnixNano":"1700000003500000000","timeUnixNano":"1700000010000000000","count":"1","sum":2,
     "quantileValues":[{"quantile":1,"value":2}]}]}}]}]}]}"#;

#[test]
fn counters_begin_at_their_start_times() {
    let (created, limits) = (CreatedTimestamps::ZeroSample, Limits::default());
    let taken = json(&mut MetricsDecoder::new(OtlpSettings::default(), created, &limits), STARTED);
    let bucket = "h_bucket{le=\"+Inf\"}";
    assert_eq!(
        lines(&taken),
        [
            "c_total Created @3.5",
            "c_total 7 @10",
            // Equal times: the sender does not know. Long ago: Prometheus would not take it either.
            "c_total 7 @11",
            "c_total 8 @12",
            "c_total stale @13",
            "u 7 @10",
            "g 7 @10",
            "h_count Created @3.5",
            "h_count 1 @10",
            &format!("{bucket} Created @3.5"),
            &format!("{bucket} 1 @10"),
            "s_sum Created @3.5",
            "s_sum 2 @10",
            "s_count Created @3.5",
            "s_count 1 @10",
            "s{quantile=\"1\"} 2 @10",
        ]
    );
    let ignored = json(&mut decoder(&limits), STARTED);
    assert_eq!(ignored.decoded.batch.all_samples().len() as u64, taken.decoded.batch.measured());
}

#[test]
fn the_newest_trace_of_a_point_is_kept() {
    let traced = |exemplars: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
            "scopeMetrics":[{{"metrics":[
            {{"name":"c","sum":{{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{{
              "attributes":[{{"key":"code","value":{{"stringValue":"500"}}}}],
              "timeUnixNano":"1700000010000000000","asInt":"7","exemplars":[{exemplars}]}}]}}}},
            {{"name":"h","histogram":{{"aggregationTemporality":2,"dataPoints":[{{
              "timeUnixNano":"1700000010000000000","count":"1","bucketCounts":["0","1"],"explicitBounds":[1],
              "exemplars":[{exemplars}]}}]}}}}]}}]}}]}}"#
        )
    };
    let exemplar = |seconds: u64, trace: &str| {
        format!(
            r#"{{"timeUnixNano":"{seconds}000000000","asDouble":1,"traceId":"{trace}","spanId":"eee19b7ec3c1b174"}}"#
        )
    };
    let (old, new) = ("5b8efff798038103d269b633813fc60c", "00000000000000000000000000000001");
    let many = [exemplar(1_700_000_009, new), exemplar(1_700_000_008, old), exemplar(1_700_000_009, &"0".repeat(32))];
    let text = traced(&many.join(","));
    let want = |pairs: &[(&str, &str)], at| TraceExemplar {
        labels: Labels::from_pairs(pairs.iter().copied()),
        trace_id: new.to_owned(),
        at,
    };
    let job = ("job", "shop");
    let expected = [want(&[("code", "500"), job], 1_700_000_009_000), want(&[job], 1_700_000_009_000)];
    assert_eq!(json(&mut decoder(&Limits::default()), &text).decoded.traces, expected);
    let bytes = super::json::metrics(text.as_bytes()).unwrap().encode_to_vec();
    let from_protobuf = decoder(&Limits::default()).decode(&bytes, OtlpEncoding::Protobuf, TimeSpan::ALL).unwrap();
    assert_eq!(from_protobuf.decoded.traces, expected);
    // One whose time cannot be is of the point's.
    let ahead = json(&mut decoder(&Limits::default()), &traced(&exemplar(1_900_000_000, new)));
    assert_eq!(ahead.decoded.traces[0].at, 1_700_000_010_000);
    let none = json(&mut decoder(&Limits::default()), &traced(&exemplar(1_700_000_009, "")));
    assert!(none.decoded.traces.is_empty());
}

#[test]
fn limits_hold() {
    let few = |limits: Limits| decoder(&limits).decode(COLLECTOR.as_bytes(), OtlpEncoding::Json, TimeSpan::ALL);
    assert!(matches!(few(Limits { otlp_bytes: 100, ..Limits::default() }), Err(OtlpError::TooLarge { .. })));
    assert!(matches!(few(Limits { pending_samples: 2, ..Limits::default() }), Err(OtlpError::TooManySamples(2))));
    // What the resource says once is in the labels of each of its sixteen series.
    assert!(matches!(few(Limits { decompressed_bytes: 300, ..Limits::default() }), Err(OtlpError::TooManyLabels(300))));
    let taken = few(Limits { labels_per_series: 3, ..Limits::default() }).unwrap();
    assert!(taken.decoded.dropped.iter().any(|(reason, n)| reason == "too_many_labels" && n >= 5));
    let now = 1_700_000_000_000 + 11_000;
    let limits = Limits { past_seconds: 0, future_seconds: 0, ..Limits::default() };
    let accepted = TimeSpan::around(now, &limits);
    let taken = decoder(&limits).decode(COLLECTOR.as_bytes(), OtlpEncoding::Json, accepted).unwrap();
    assert_eq!(taken.decoded.batch.newest(), Some(now));
    assert_eq!(taken.rejected_points, 7);
}

#[test]
fn what_is_said_once_and_too_long_is_refused_before_each_point_repeats_it() {
    let limits = Limits { label_value_bytes: 9, decompressed_bytes: 2_000, ..Limits::default() };
    let message = |service: &str, name: &str, points: usize| {
        let point = r#"{"timeUnixNano":"1700000010000000000","count":"1","sum":1,"bucketCounts":["1"]}"#;
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
            "scopeMetrics":[{{"metrics":[{{"name":"{name}","histogram":{{"aggregationTemporality":2,"dataPoints":[{}]}}}}]}}]}}]}}"#,
            vec![point; points].join(",")
        )
    };
    let taken = |service: &str, name: &str| {
        let taken = json(&mut decoder(&limits), &message(service, name, 2));
        assert_eq!((taken.points, taken.rejected_points), (2, 2));
        taken.decoded.dropped.iter().collect::<Vec<_>>()
    };
    // A point that was looked at would be three series.
    assert_eq!(taken("overlong-service", "m"), [("label_value_too_long", 2)]);
    assert_eq!(taken("shop", "overlong_metric"), [("label_value_too_long", 2)]);
    // Series that are refused are work, and bounded as those that are taken.
    let text = message("shop", "eight_ch", 100);
    let refused = decoder(&limits).decode(text.as_bytes(), OtlpEncoding::Json, TimeSpan::ALL);
    assert!(matches!(refused, Err(OtlpError::TooManyLabels(2_000))), "{refused:?}");
    // What is out of time needs no labels.
    let crowded = Limits { labels_per_series: 2, past_seconds: 0, ..Limits::default() };
    let late = TimeSpan::around(1_800_000_000_000, &crowded);
    let three = COLLECTOR.replace(r#"{"key":"state""#, r#"{"key":"a"},{"key":"b"},{"key":"state""#);
    let taken = decoder(&crowded).decode(three.as_bytes(), OtlpEncoding::Json, late).unwrap();
    let reasons: Vec<_> = taken.decoded.dropped.iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["native_histogram", "too_old"]);
}

#[test]
fn a_hollow_message_is_refused_before_memory_is_taken() {
    let points = [0x0a, 0x00].repeat(100_000);
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.extend_from_slice(bytes);
        out
    };
    let message = field(1, &field(2, &field(2, &field(9, &points))));
    let refused = decoder(&Limits::default()).decode(&message, OtlpEncoding::Protobuf, TimeSpan::ALL);
    assert!(matches!(refused, Err(OtlpError::Hollow { parts: 100_004, .. })));
    let text = format!(r#"{{"resourceMetrics":[{{}}{}]}}"#, ",{}".repeat(100_000));
    let refused = decoder(&Limits::default()).decode(text.as_bytes(), OtlpEncoding::Json, TimeSpan::ALL);
    assert!(matches!(refused, Err(OtlpError::Hollow { parts: 100_003, .. })));
}

#[test]
fn json_and_protobuf_give_the_same() {
    let request = super::json::metrics(COLLECTOR.as_bytes()).unwrap();
    let bytes = request.encode_to_vec();
    let from_protobuf = decoder(&Limits::default()).decode(&bytes, OtlpEncoding::Protobuf, TimeSpan::ALL).unwrap();
    assert_eq!(lines(&from_protobuf), lines(&json(&mut decoder(&Limits::default()), COLLECTOR)));
}

#[test]
fn attributes_promoted_and_of_scopes_are_labels() {
    let settings = OtlpSettings {
        promote_resource_attributes: vec!["host.name".to_owned()],
        promote_scope_metadata: true,
        keep_identifying_resource_attributes: true,
        ..OtlpSettings::default()
    };
    let taken = json(&mut MetricsDecoder::new(settings, CreatedTimestamps::Ignore, &Limits::default()), COLLECTOR);
    let lines = lines(&taken);
    let scope = r#"otel_scope_name="meter", otel_scope_schema_url="u", otel_scope_version="1""#;
    assert_eq!(lines[1], format!("load{{host_name=\"h1\", instance=\"i1\", job=\"shop\", {scope}}} 0.5 @10"));
    let info =
        r#"target_info{host_name="h1", instance="i1", job="shop", service_instance_id="i1", service_name="shop"}"#;
    assert_eq!(lines[14], format!("{info} 1 @10"));
}

fn message() -> Vec<u8> {
    super::json::metrics(COLLECTOR.as_bytes()).unwrap().encode_to_vec()
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [OtlpEncoding::Protobuf, OtlpEncoding::Json] {
            let _ = decoder(&Limits::default()).decode(&bytes, encoding, TimeSpan::ALL);
        }
    }

    #[test]
    fn a_damaged_message_never_panics(at in 0usize..2000, byte in any::<u8>(), cut in 0usize..2000) {
        let mut message = message();
        let len = message.len();
        message[at % len] = byte;
        for part in [&message[..], &message[..cut % len]] {
            let _ = decoder(&Limits::default()).decode(part, OtlpEncoding::Protobuf, TimeSpan::ALL);
        }
        let mut text = COLLECTOR.as_bytes().to_vec();
        let len = text.len();
        text[at % len] = byte;
        let _ = decoder(&Limits::default()).decode(&text, OtlpEncoding::Json, TimeSpan::ALL);
    }

    #[test]
    fn any_name_and_unit_is_translated(name in ".{0,20}", unit in ".{0,8}") {
        let metric = Metric { name, unit, ..Metric::default() };
        let scope = ScopeMetrics { metrics: vec![metric.clone()], ..ScopeMetrics::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
        let message = request.encode_to_vec();
        prop_assert!(decoder(&Limits::default()).decode(&message, OtlpEncoding::Protobuf, TimeSpan::ALL).is_ok());
        for kind in [MetricKind::Gauge, MetricKind::Counter, MetricKind::Other] {
            let name = metric_name(&metric.name, &metric.unit, kind, TranslationStrategy::default());
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'), "{name}");
        }
    }
}
