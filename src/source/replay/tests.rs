//! Recordings of every format, made here and from the NAB corpus.

use std::fs;

use tokio::sync::mpsc;

use super::*;
use crate::source::SourceId;

fn config(yaml: &str) -> ReplayConfig {
    serde_saphyr::from_str(yaml).unwrap()
}

fn open(yaml: &str, base: &Path, now: Millis, room: u64) -> Result<Replay, ReplayError> {
    Replay::with_room(&config(yaml), base, now, &Limits::default(), Arc::default(), room)
}

/// `series@time=value` of every sample; asserts that time never goes back between batches.
fn play(replay: Replay) -> Result<Vec<String>, ReplayError> {
    let (mut out, mut newest) = (Vec::new(), Millis::MIN);
    for batch in replay {
        let batch = batch?;
        let oldest = batch.all_samples().iter().map(|s| s.t).min().unwrap();
        assert!(oldest > newest, "{oldest} after {newest}");
        newest = batch.newest().unwrap();
        for run in batch.runs() {
            out.extend(batch.samples(run).iter().map(|s| format!("{}@{}={}", batch.labels(run), s.t, s.v)));
        }
    }
    Ok(out)
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const MB: u64 = 1 << 20;

#[test]
fn csv_files_merge_by_time_and_are_redated() {
    let folder = folder(&[
        ("a.csv", "timestamp,value\n1970-01-01 00:01:00,1\n1970-01-01 00:03:00,3\n"),
        ("b.csv", "timestamp,value\n120,2\n240,\n180,4\n"),
    ]);
    let yaml = "{files: '*.csv', metric: m, labels: {file: '{stem}'}}";
    let got = play(open(yaml, folder.path(), 0, MB).unwrap()).unwrap();
    assert_eq!(
        got,
        [r#"m{file="a"}@60000=1"#, r#"m{file="a"}@180000=3"#, r#"m{file="b"}@120000=2"#, r#"m{file="b"}@180000=4"#]
    );
    let yaml = "{files: '*.csv', metric: m, labels: {file: '{stem}'}, redate: end_now, interval: 1m}";
    let got = play(open(yaml, folder.path(), 1_000_059_999, MB).unwrap()).unwrap();
    assert_eq!(got[3], r#"m{file="b"}@1000020000=4"#);
}

#[test]
fn a_batch_is_never_cut_within_an_instant() {
    // 3 does not divide the size of a batch.
    let lines: String = (0..9_000).map(|i| format!("m{{x=\"{}\"}} {i} {}\n", i % 3, i / 3)).collect();
    let folder = folder(&[("m.om", &format!("{lines}# EOF\n"))]);
    assert_eq!(play(open("files: m.om", folder.path(), 0, MB).unwrap()).unwrap().len(), 9_000);
}

#[test]
fn a_large_csv_is_streamed_and_must_be_sorted() {
    let rows: String = (0..20_000).map(|i| format!("{},{i}\n", 1_700_000_000 + i)).collect();
    let folder = folder(&[("big.csv", &rows), ("bad.csv", "10,1\n20,1\n15,1\n")]);
    let columns = "csv: {header: false, timestamp: '1', value: '2'}";
    let yaml = format!("{{files: big.csv, metric: m, {columns}, redate: end_now, interval: 1s}}");
    let replay = open(&yaml, folder.path(), 100_000_000, 0).unwrap();
    let total = replay.progress.total();
    assert!((19_000..21_000).contains(&total), "{total}");
    let got = play(replay).unwrap();
    assert_eq!(got.len(), 20_000);
    assert_eq!(got[19_999], "m@100000000=19999");
    let yaml = format!("{{files: bad.csv, metric: m, {columns}}}");
    let mut unsorted = open(&yaml, folder.path(), 0, 0).unwrap();
    assert_eq!(unsorted.next().unwrap().unwrap().all_samples().len(), 2, "what comes before the fault");
    assert!(matches!(unsorted.next(), Some(Err(ReplayError::Unsorted { line: 3, .. }))));
    assert!(unsorted.next().is_none());
    assert_eq!(play(open(&yaml, folder.path(), 0, MB).unwrap()).unwrap()[1], "m@15000=1");
}

#[test]
fn open_metrics_and_json_lines() {
    let folder = folder(&[
        ("a.om", "# TYPE x gauge\nx{a=\"b\"} 1 10\nx{a=\"b\"} 2 12.5\ny 3 11\n# EOF\n"),
        (
            "b.jsonl",
            concat!(
                "{\"metric\":{\"__name__\":\"v\",\"a\":\"1\"},\"values\":[1,null,3],\"timestamps\":[100000000000,100000001000,100000002000]}\n",
                "{\"labels\":{\"a\":\"2\"},\"value\":\"NaN\",\"timestamp\":\"1970-01-01T00:00:09Z\"}\n\n",
                "{\"metric\":\"named\",\"value\":5,\"timestamp\":8}\n"
            ),
        ),
    ]);
    let got = play(open("{files: a.om, labels: {a: over}}", folder.path(), 0, MB).unwrap()).unwrap();
    let mut sorted = got.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [r#"x{a="over", exported_a="b"}@10000=1"#, r#"x{a="over", exported_a="b"}@12500=2"#, r#"y{a="over"}@11000=3"#]
    );
    let got = play(open("{files: b.jsonl, metric: m}", folder.path(), 0, MB).unwrap()).unwrap();
    let mut first: Vec<_> = got[..2].to_vec();
    first.sort();
    assert_eq!(first, [r#"m{a="2"}@9000=NaN"#, "named@8000=5"]);
    assert_eq!(got[2..], [r#"v{a="1"}@100000000000=1"#, r#"v{a="1"}@100000002000=3"#]);
}

#[test]
fn bad_lines_are_skipped_up_to_a_limit() {
    let folder = folder(&[("a.csv", "timestamp,value\n1,1\nx,1\n2,y\n3\n4,4\n")]);
    let replay = open("{files: a.csv, metric: m}", folder.path(), 0, MB).unwrap();
    assert_eq!(replay.bad_lines(), 3);
    assert_eq!(play(replay).unwrap(), ["m@1000=1", "m@4000=4"]);
    let error = open("{files: a.csv, metric: m, bad_lines_max: 2}", folder.path(), 0, MB).unwrap_err();
    assert!(error.to_string().contains("a.csv:5: no column 2"), "{error}");
}

#[test]
fn mistakes_say_how_to_mend_them() {
    let folder = folder(&[("a.csv", "time,v\n1,1\n"), ("b.csv", "time,v\n1,1\n"), ("c.bin", ""), ("d.json", "{}")]);
    let fault = |yaml: &str, room| open(yaml, folder.path(), 0, room).unwrap_err().to_string();
    assert!(fault("{files: none.csv}", MB).contains("no file matches"));
    assert!(fault("{files: a.csv}", MB).contains("needs metric"));
    assert!(fault("{files: c.bin}", MB).contains("set format"));
    assert!(fault("{files: '?.csv', metric: m}", MB).contains("{stem}"));
    assert!(fault("{files: a.csv, metric: m}", MB).contains("there are: time, v"));
    assert!(fault("{files: d.json}", 0).contains("split the file"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn rows_in_any_order_come_out_complete_and_sorted(
        a in proptest::collection::vec(0i64..100_000, 0..50), b in proptest::collection::vec(0i64..100_000, 1..50)
    ) {
        let text = |times: &[i64]| times.iter().fold("timestamp,value\n".to_owned(), |s, t| s + &format!("{t},{t}\n"));
        let folder = folder(&[("a.csv", &text(&a)), ("b.csv", &text(&b))]);
        let yaml = "{files: '*.csv', metric: m, labels: {file: '{stem}'}}";
        let mut got = play(open(yaml, folder.path(), 0, MB).unwrap()).unwrap();
        let series = |file: &'static str, times: &[i64]| {
            times.iter().map(|t| format!("m{{file=\"{file}\"}}@{}={t}", t * 1000)).collect::<Vec<_>>()
        };
        let mut expected = [series("a", &a), series("b", &b)].concat();
        got.sort();
        expected.sort();
        proptest::prop_assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn the_end_is_told_even_after_an_error() {
    let folder = folder(&[("a.csv", "timestamp,value\n1,1\n2,2\n")]);
    for (files, batches) in [("a.csv", 1), ("none.csv", 0)] {
        let (queue, mut events) = mpsc::channel(4);
        let metrics = crate::telemetry::Metrics::new().unwrap();
        let config = config(&format!("{{files: {files}, metric: m}}"));
        let inlet = Inlet { id: SourceId(1), queue };
        let (base, limits, progress) = (Arc::from(folder.path()), Arc::default(), Arc::<Progress>::default());
        let result = run(inlet, config, base, 0, limits, Arc::clone(&progress), metrics.source.of("replay")).await;
        assert_eq!(result.is_ok(), batches == 1);
        assert_eq!((progress.done(), progress.total()), (2 * batches, 2 * batches));
        for _ in 0..batches {
            assert!(matches!(events.recv().await, Some(SourceEvent::Batch(SourceId(1), _))));
        }
        // What was read to its end need not be read again; what failed must be.
        if batches == 1 {
            let Some(SourceEvent::Reached(position)) = events.recv().await else { panic!("no position") };
            assert_eq!((&*position.stream, position.next), ("replay/a.csv", 1));
        }
        assert!(matches!(events.recv().await, Some(SourceEvent::End(SourceId(1)))));
    }
}

#[tokio::test]
async fn it_stops_when_nobody_awaits_it_any_more() {
    let lines: String = (1..100_000).map(|t| format!("{t},1\n")).collect();
    let folder = folder(&[("a.csv", &format!("timestamp,value\n{lines}"))]);
    let (queue, mut events) = mpsc::channel(1);
    let metrics = crate::telemetry::Metrics::new().unwrap();
    let inlet = Inlet { id: SourceId(1), queue };
    let (base, progress) = (Arc::from(folder.path()), Arc::<Progress>::default());
    let config = config("{files: a.csv, metric: m}");
    let source = metrics.source.of("replay");
    let playing = tokio::spawn(run(inlet, config, base, 0, Arc::default(), Arc::clone(&progress), source));
    assert!(matches!(events.recv().await, Some(SourceEvent::Batch(..))));
    playing.abort();
    assert!(playing.await.unwrap_err().is_cancelled());
    while let Some(event) = events.recv().await {
        assert!(matches!(event, SourceEvent::Batch(..)), "it has not come to its end");
    }
    assert!(progress.done() < progress.total() / 2, "{} of {}", progress.done(), progress.total());
}

#[test]
fn all_of_nab() {
    let base = Path::new("../shared/quality/data/nab");
    if !base.exists() {
        crate::source::testing::skipped("../shared/quality/data/nab is absent");
        return;
    }
    let yaml = "{files: 'real*/*.csv', metric: nab, labels: {file: '{stem}'}, redate: end_now, interval: 5m}";
    let now = 1_800_000_123_456;
    let replay = open(yaml, base, now, 256 * MB).unwrap();
    let (total, bad) = (replay.progress.total(), replay.bad_lines());
    let got = play(replay).unwrap();
    assert_eq!((got.len() as u64, bad), (total, 0));
    assert!(total > 200_000, "{total}");
    assert!(got.iter().any(|s| s.contains("@1800000000000=")));
}
