//! What both formats read and refuse.

use proptest::prelude::*;

use super::*;

fn read(format: Format, text: &str) -> Result<Vec<String>, TextError> {
    let target = TargetLabels::default();
    let options = TextOptions { format, default_time: 1_000, honor_timestamps: true, target: &target };
    let batch = decode(text.as_bytes(), &options, &Limits::default())?.batch;
    let line = |run| batch.samples(run).iter().map(|s| format!("{} {} @{}", batch.labels(run), s.v, s.t)).collect();
    Ok(batch.runs().iter().map(|run| -> Vec<String> { line(run) }).collect::<Vec<_>>().concat())
}

fn problem(format: Format, text: &str) -> (usize, Problem) {
    let e = read(format, text).unwrap_err();
    (e.line, e.problem)
}

#[test]
fn prometheus_text() {
    let text = concat!(
        "# HELP http_requests_total The \\n total.\n# TYPE http_requests_total counter\n\n",
        "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n",
        "path{p=\"C:\\\\DIR\\\\F.TXT\", e=\"a \\\"b\\\"\\nc\\d\",} 1.458255915e9\r\n",
        "  metric_without 12.47\nsomething_weird {problem=\"x\"}\t+Inf -3982045\n#comment\n",
        "{\"my.metric\", \"quoted label\"=\"x\"} NaN\n",
    );
    assert_eq!(
        read(Format::Prometheus, text).unwrap(),
        [
            r#"http_requests_total{code="200", method="post"} 1027 @1395066363000"#,
            r#"path{e="a \"b\"\nc\\d", p="C:\\DIR\\F.TXT"} 1458255915 @1000"#,
            "metric_without 12.47 @1000",
            r#"something_weird{problem="x"} inf @-3982045"#,
            r#"my.metric{quoted label="x"} NaN @1000"#,
        ]
    );
}

#[test]
fn open_metrics_with_exemplars_created_and_seconds() {
    let text = concat!(
        "# TYPE foo histogram\n# UNIT foo seconds\n",
        "foo_bucket{le=\"1\"} 8 1520879607.789 # {id=\"a b\"} 0.67 1520879607.1\n",
        "foo_bucket{le=\"+Inf\"} 9 # {} 0.67\nfoo_created 1.5\n# TYPE bar gauge\nbar{le=\"1\"} 2\n# EOF\n"
    );
    assert_eq!(
        read(Format::OpenMetrics, text).unwrap(),
        [
            r#"foo_bucket{le="1.0"} 8 @1520879607789"#,
            r#"foo_bucket{le="+Inf"} 9 @1000"#,
            "foo_created 1.5 @1000",
            r#"bar{le="1"} 2 @1000"#
        ]
    );
}

#[test]
fn faults_name_their_line() {
    use Format::{OpenMetrics, Prometheus};
    assert_eq!(problem(Prometheus, "a 1\nb one\n"), (2, Problem::Value("one".into())));
    assert_eq!(problem(Prometheus, "a 1 1.5"), (1, Problem::Timestamp("1.5".into())));
    assert_eq!(problem(Prometheus, "a 1 1 1"), (1, Problem::Trailing));
    assert_eq!(problem(Prometheus, "a 1 # {} 1"), (1, Problem::Trailing));
    assert_eq!(problem(Prometheus, "a{b=\"c} 1"), (1, Problem::Unclosed));
    assert_eq!(problem(Prometheus, "a{b=c} 1"), (1, Problem::LabelValue("b".into())));
    assert_eq!(problem(Prometheus, "a{b} 1"), (1, Problem::LabelValue("b".into())));
    assert_eq!(problem(Prometheus, "a{b=\"c\" d=\"e\"} 1"), (1, Problem::Separator));
    assert_eq!(problem(Prometheus, "{a=\"b\"} 1"), (1, Problem::MetricName));
    assert_eq!(problem(Prometheus, "a{é=\"b\"} 1"), (1, Problem::LabelName));
    assert_eq!(problem(Prometheus, "# TYPE a wrong"), (1, Problem::Type("wrong".into())));
    assert_eq!(problem(Prometheus, "a"), (1, Problem::Value(String::new())));
    assert_eq!(problem(OpenMetrics, "a 1\n"), (1, Problem::MissingEof));
    assert_eq!(problem(OpenMetrics, "# EOF\na 1\n"), (2, Problem::AfterEof));
    let target = TargetLabels::default();
    let options = TextOptions { format: Prometheus, default_time: 0, honor_timestamps: false, target: &target };
    let e = decode(b"a 1\nb\xff 1\n", &options, &Limits::default()).unwrap_err();
    assert_eq!(e.to_string(), "line 2: not UTF-8");
    let few = Limits { scrape_samples: 1, ..Limits::default() };
    assert_eq!(decode(b"a 1\nb 1\n", &options, &few).unwrap_err().problem, Problem::TooManySamples(1));
}

#[test]
fn target_labels_timestamps_and_refused_series() {
    let target = TargetLabels::new([("job", "node"), ("instance", "h:1")], false);
    let options = TextOptions { format: Format::Prometheus, default_time: 7, honor_timestamps: false, target: &target };
    let got = decode(b"up{job=\"x\"} 1 99\nb{c=\"1\",c=\"2\"} 1\n", &options, &Limits::default()).unwrap();
    let run = &got.batch.runs()[0];
    assert_eq!(got.batch.labels(run).to_string(), r#"up{exported_job="x", instance="h:1", job="node"}"#);
    assert_eq!(got.batch.samples(run)[0].t, 7);
    assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("duplicate_label", 1)]);
}

#[test]
fn content_types() {
    let om = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(Format::from_content_type(om), Format::OpenMetrics);
    assert_eq!(Format::from_content_type("text/plain; version=0.0.4"), Format::Prometheus);
}

proptest! {
    #[test]
    fn random_text_never_panics(text in r#"[a-z"{}=,#\\ \n0-9.é-]{0,80}"#, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let target = TargetLabels::new([("job", "a")], false);
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let options = TextOptions { format, default_time: 0, honor_timestamps: true, target: &target };
            let _ = decode(text.as_bytes(), &options, &Limits::default());
            let _ = decode(&bytes, &options, &Limits::default());
        }
    }
}
