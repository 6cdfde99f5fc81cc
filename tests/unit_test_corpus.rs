//! Unit tests others have written get the verdicts that promtool gives them.
#![allow(clippy::unwrap_used)]

#[path = "support/corpus.rs"]
mod corpus;

use std::path::Path;

use corpus::corpus;
use forewarn::backtest::{TestReport, TestSetup, run_tests};
use forewarn::base::Limits;
use forewarn::rules::load_globs;
use forewarn::rules::unit_test::{SeriesValues, TestFile};

fn read(path: &Path) -> TestFile {
    TestFile::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The tests' reports, or what is wrong with the rule files.
fn run(path: &Path, file: &TestFile) -> Result<Vec<TestReport>, String> {
    let rules = load_globs(&file.rule_files, path.parent().unwrap(), &Limits::default());
    match rules.diagnostics.first().filter(|_| rules.has_errors()) {
        Some(fault) => Err(fault.to_string()),
        None => Ok(run_tests(file, &rules.rule_set, &TestSetup::default()).collect()),
    }
}

fn failed(reports: &[TestReport]) -> Vec<String> {
    let failures = reports.iter().flat_map(|r| r.failures.iter().map(move |f| (r, f)));
    failures.map(|(r, f)| format!("{}: {f}: {:?}", r.name, f.diff)).collect()
}

#[test]
fn tests_of_public_rules_pass() {
    let Some(root) = corpus("unit_tests") else { return };
    let files = ["kubernetes-mixin/tests/*.yaml", "thanos/examples/alerts/tests.yaml"];
    let files = files.iter().flat_map(|pattern| glob::glob(root.join(pattern).to_str().unwrap()).unwrap());
    let (mut tests, mut checks, mut wrong) = (0, 0, Vec::new());
    for path in files.map(Result::unwrap) {
        let reports = run(&path, &read(&path)).unwrap();
        tests += reports.len();
        checks += reports.iter().map(|report| report.checks).sum::<usize>();
        wrong.extend(failed(&reports).into_iter().map(|failure| format!("{}: {failure}", path.display())));
    }
    println!("{tests} tests with {checks} checks, {} failures", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tests >= 60 && checks >= 180, "{tests} tests, {checks} checks");
}

#[test]
fn promtools_own_tests_get_its_verdicts() {
    let Some(root) = corpus("promtool") else { return };
    // What must fail, as test and a part of the message; the rest of the file must pass.
    let expected: [(&str, &[(&str, &str)]); 11] = [
        ("long-period.yml", &[]),
        ("no-test-group-interval.yml", &[]),
        ("rules_run.yml", &[("wrong test", "time: 0s")]),
        ("rules_run_fuzzy.yml", &[("wrong fuzzy match", "test_low"), ("wrong fuzzy match", "test_high")]),
        ("rules_run_no_fuzzy.yml", &[("correct fuzzy match", "test_low"), ("correct fuzzy match", "test_high")]),
        (
            "failing.yml",
            &[
                ("Failing test", "expr: test, time: 0s"),
                ("Failing test", "alertname: Test, time: 0s: expected 1 firing alert, got 0"),
                ("Failing alert test", "alertname: InstanceDown, time: 5m: expected 0 firing alerts, got 1"),
                ("Failing alert test", "alertname: AlwaysFiring, time: 5m: expected 0 firing alerts, got 1"),
            ],
        ),
        ("bad-promql.yml", &[("unnamed#0", "many-to-many matching not allowed")]),
        ("bad-rules-error-test.yml", &[("unnamed#0", "rule: joined, time: 0s: found duplicate series")]),
        ("start-time-test.yml", &[]),
        ("at-modifier-test.yml", &[]),
        ("bad-input-series.yml", &[("unnamed#0", "unexpected the end, expected `,` or `}`")]),
    ];
    for (name, failures) in expected {
        let path = root.join(name);
        let got = failed(&run(&path, &read(&path)).unwrap());
        assert_eq!(got.len(), failures.len(), "{name}: {got:#?}");
        for (got, (test, part)) in got.iter().zip(failures) {
            assert!(got.starts_with(test) && got.contains(part), "{name}: {got}");
        }
    }
}

#[test]
fn what_a_stream_cannot_give_is_refused_and_the_rest_passes() {
    let Some(root) = corpus("promtool") else { return };
    for (name, words) in [
        ("bad-rules-syntax-test.yml", "the expression ends where an expression is expected"),
        ("rules_run_extrafields.yml", "unknown key namespace"),
    ] {
        let path = root.join(name);
        let fault = run(&path, &read(&path)).unwrap_err();
        assert!(fault.contains(words), "{name}: {fault}");
        println!("refused: {name}: {words}");
    }

    // The group of this one would have to wait for the samples that its rule asks for.
    let path = root.join("negative-offset-test.yml");
    let faults = failed(&run(&path, &read(&path)).unwrap());
    assert!(faults.len() == 1 && faults[0].contains("give the group query_offset: 5m or more"), "{faults:?}");
    println!("refused: negative-offset-test.yml: {}", faults[0]);

    // Of unittest.yml, one test has native histograms among its series; without them it passes like the others.
    let path = root.join("unittest.yml");
    let mut file = read(&path);
    let refused = failed(&run(&path, &file).unwrap());
    // The series that has them, and the three expressions that expect some.
    assert_eq!(refused.len(), 4, "{refused:#?}");
    assert!(refused.iter().all(|fault| fault.contains("native histograms are not supported")), "{refused:#?}");
    let first = &mut file.tests[0];
    first.input_series.retain(|input| !matches!(&input.values, SeriesValues::Notation(v) if v.value.contains("{{")));
    let before = first.promql_expr_test.len();
    first.promql_expr_test.retain(|test| test.exp_samples.iter().all(|sample| sample.histogram.is_none()));
    println!("refused: unittest.yml: {} expressions with native histograms", before - first.promql_expr_test.len());
    assert_eq!(failed(&run(&path, &file).unwrap()), Vec::<String>::new());
}
