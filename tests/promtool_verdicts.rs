//! Verdicts of `forewarn test rules` beside those of a real promtool: for whole test files, and for each of their checks
//! alone, since a file that fails once hides what its other checks would say.
//!
//! The promtool is that on the PATH or the one `PROMTOOL` names. Of what a version does not know yet, nothing is compared.
//! Kubernetes' rules take promtool minutes, and need version 3: with `FOREWARN_ALL_VERDICTS=1` they are compared too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/which_promtool.rs"]
mod which_promtool;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use forewarn::backtest::{TestSetup, run_tests};
use forewarn::base::Limits;
use forewarn::cli::test::{self, TestOptions};
use forewarn::rules::unit_test::{AlertTest, ExpectedValue, ExprTest, SeriesValues, TestFile, TestGroup};
use forewarn::rules::{Loaded, load_globs};

/// Files whose verdict differs for the sake of one or two of their checks, and why it does.
const DEVIATING_FILES: [(&str, &str); 5] = [
    ("unittest.yml", "native histograms are refused, by name"),
    ("negative-offset-test.yml", "a rule that looks ahead has to wait for it: its group needs a query_offset as long"),
    ("passing.yml", "NaN is equal to NaN here; promtool has no way to expect one"),
    ("no_such_file.yml", "a pattern of rule_files without a file is an error here, and a warning there"),
    ("unit_test/no_rules.yml", "a pattern of rule_files without a file is an error here, and a warning there"),
];

/// Where the verdicts of checks differ, as a part of the file's name or of the check, and why they do.
const DEVIATIONS: [(&str, &str); 4] = [
    ("x @ 1e11", "what lies more evaluations ahead than a test may have is refused; promtool sees nothing there"),
    ("nan_is_nan.yml", "NaN is equal to NaN here; promtool has no way to expect one"),
    (r#"{a=\"\"}"#, "an expected label without a value is none, as in PromQL; to promtool it can never be met"),
    ("no_values.yml", "a series without values is an error here"),
];

/// Keys of test files that only this program knows.
const OWN_KEYS: [&str; 4] = ["generate:", "file:", "alert_window_test:", "tolerance:"];

/// Functions that only this program knows.
const OWN_FUNCTIONS: [&str; 6] =
    ["predict_seasonal", "predict_quantile", "predict_anomaly", "time_until", "changed_at", "outlier_score"];

/// Whether a test, with the rules it names, is beyond promtool.
fn is_beyond(test: &str, rules: &str) -> bool {
    OWN_KEYS.iter().any(|key| test.contains(key))
        || OWN_FUNCTIONS.iter().any(|name| test.contains(name) || rules.contains(name))
}

/// What came late to promtool: a part of the text, and the first version that has it.
const LATE: [(&str, u32, u32); 4] =
    [("start_timestamp:", 3, 11), ("fuzzy_compare:", 3, 1), ("external_url:", 2, 48), ("query_offset:", 2, 53)];

/// Files that leave out an interval, for which version 2 has no default, or look at a range's left edge, which it counts in.
const OF_VERSION_3: [&str; 3] = ["no-test-group-interval.yml", "no_interval.yml", "unittest.yml"];

struct Promtool {
    program: PathBuf,
    version: (u32, u32),
}

impl Promtool {
    fn find() -> Option<Self> {
        let program = which_promtool::program();
        let output = Command::new(&program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let mut numbers = text.split("version ").nth(1)?.split('.').map(|n| n.parse().ok());
        Some(Self { program, version: (numbers.next()??, numbers.next()??) })
    }

    /// Whether each file passes, by one run over all. Verdicts stand on standard output or error, in the files' order.
    fn verdicts(&self, files: &[PathBuf], flags: &[&str]) -> Vec<bool> {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(&self.program).args(["test", "rules"]);
        let output = command.args(flags).args(files).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let verdicts: Vec<bool> = text
            .lines()
            .filter_map(|line| match line {
                "  SUCCESS" => Some(true),
                "  FAILED:" => Some(false),
                _ => None,
            })
            .collect();
        assert_eq!(verdicts.len(), files.len(), "{text}");
        verdicts
    }
}

/// Where the tests' peers are required, promtool is one of them.
fn absent() {
    corpus::skip::lacking("there is no promtool");
}

fn own_verdict(file: &Path, options: &TestOptions) -> (bool, String) {
    let mut out = Vec::new();
    let code = test::rules(&[file.to_owned()], options, &mut out).unwrap();
    (code == ExitCode::SUCCESS, String::from_utf8(out).unwrap())
}

/// The test files: others' and ours.
fn files() -> Vec<PathBuf> {
    let corpus = corpus::corpus("");
    let mut others = vec!["promtool/*.yml", "rules_fixtures/*.yaml"];
    if std::env::var_os("FOREWARN_ALL_VERDICTS").is_some() {
        others.push("unit_tests/**/*.yaml");
    }
    let in_corpus = |root: &PathBuf| others.iter().map(|p| format!("{}/{p}", root.display())).collect::<Vec<_>>();
    let others: Vec<String> = corpus.as_ref().map(in_corpus).unwrap_or_default();
    let ours = ["tests/fixtures/unit_test/**/*.yml", "rules/tests/*.yml", "examples/quickstart/*_test.yml"];
    let ours = ours.map(|p| format!("{}/{p}", env!("CARGO_MANIFEST_DIR")));
    let all = others.iter().chain(&ours).flat_map(|pattern| glob::glob(pattern).unwrap()).map(Result::unwrap);
    all.filter(|path| read(path).lines().any(|line| line.starts_with("tests:"))).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The rules that a test file names.
fn rules_text(text: &str, folder: &Path) -> String {
    let Ok(file) = TestFile::parse(text) else { return String::new() };
    load_globs(&file.rule_files, folder, &Limits::default()).files.iter().map(|path| read(path)).collect()
}

fn reason<'a>(text: &str, reasons: &[(&str, &'a str)]) -> Option<&'a str> {
    reasons.iter().find(|(part, _)| text.contains(part)).map(|(_, reason)| *reason)
}

impl Promtool {
    /// Why a text is nothing to compare with this version.
    fn lacks(&self, name: &str, text: &str) -> Option<String> {
        let late = LATE.iter().find(|(part, major, minor)| text.contains(part) && self.version < (*major, *minor));
        if let Some((part, major, minor)) = late {
            return Some(format!("{part} is known from {major}.{minor} on"));
        }
        let is_old = self.version < (3, 0) && OF_VERSION_3.iter().any(|part| name.contains(part));
        is_old.then(|| "version 3 evaluates it otherwise".to_owned())
    }
}

#[test]
fn whole_files_get_promtools_verdict() {
    let Some(promtool) = Promtool::find() else { return absent() };
    let files = files();
    let theirs = promtool.verdicts(&files, &[]);
    let (mut equal, mut wrong, mut told) = (0, Vec::new(), BTreeMap::new());
    for (file, theirs) in files.iter().zip(theirs) {
        let (name, text) = (file.display().to_string(), read(file));
        let rules = rules_text(&text, file.parent().unwrap());
        if let Some(why) = promtool.lacks(&name, &format!("{text}{rules}")) {
            told.insert(name, why);
            continue;
        }
        let (ours, output) = own_verdict(file, &TestOptions::default());
        if is_beyond(&text, &rules) {
            assert!(!theirs, "{name} is beyond promtool, which takes it");
            told.insert(name, "beyond promtool, which refuses it".to_owned());
            continue;
        }
        match reason(&name, &DEVIATING_FILES).or_else(|| reason(&name, &DEVIATIONS)) {
            _ if ours == theirs => equal += 1,
            Some(why) => _ = told.insert(name, why.to_owned()),
            None => wrong.push(format!("{name}: passes {ours}, with promtool {theirs}\n{output}")),
        }
    }
    let version = promtool.version;
    println!("promtool {}.{}: {equal} of {} files have equal verdicts", version.0, version.1, files.len());
    told.iter().for_each(|(name, why)| println!("  {name}: {why}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(equal >= 10, "{equal}");
}

#[test]
fn each_check_gets_promtools_verdict() {
    let Some(promtool) = Promtool::find() else { return absent() };
    let folder = tempfile::tempdir().unwrap();
    let mut cases: Vec<(String, PathBuf, Vec<String>)> = Vec::new();
    for path in files() {
        let name = path.display().to_string();
        let text = read(&path);
        // Where whole files are nothing to compare, most of their checks may be: only what is unknown is left out.
        let Ok(mut file) = TestFile::parse(&text) else { continue };
        file.tests.iter_mut().for_each(drop_histograms);
        let rules_text = rules_text(&text, path.parent().unwrap());
        let rules = load_globs(&file.rule_files, path.parent().unwrap(), &Limits::default());
        for test in &file.tests {
            for (check, alone) in checks(&file, test, path.parent().unwrap()) {
                let is_late = promtool.lacks(&name, &format!("{check}{rules_text}")).is_some();
                if is_late || is_beyond(&check, &rules_text) {
                    continue;
                }
                let single = folder.path().join(format!("{}.yml", cases.len()));
                std::fs::write(&single, &check).unwrap();
                let failures = if rules.has_errors() {
                    vec!["rules do not load".to_owned()]
                } else {
                    failures(&file, &alone, &rules)
                };
                cases.push((format!("{name}\n{check}"), single, failures));
            }
        }
    }
    let paths: Vec<PathBuf> = cases.iter().map(|(_, path, _)| path.clone()).collect();
    let theirs = promtool.verdicts(&paths, &[]);
    let (mut passed, mut failed, mut wrong, mut told) = (0, 0, Vec::new(), BTreeMap::<&str, usize>::new());
    for ((check, _, failures), theirs) in cases.iter().zip(theirs) {
        let ours = failures.is_empty();
        match reason(check, &DEVIATIONS) {
            _ if ours == theirs => *(if ours { &mut passed } else { &mut failed }) += 1,
            Some(why) => *told.entry(why).or_default() += 1,
            None => wrong.push(format!("{check}\n: passes {ours}, with promtool {theirs}\n{failures:?}")),
        }
    }
    let version = promtool.version;
    println!(
        "promtool {}.{}: of {} checks {passed} pass and {failed} fail with both",
        version.0,
        version.1,
        cases.len()
    );
    told.iter().for_each(|(why, count)| println!("  {count} differ: {why}"));
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed >= 30 && failed >= 20, "{passed} {failed}");
}

/// Version 3 knows flags besides.
#[test]
fn flags_mean_what_they_mean_to_promtool() {
    let Some(promtool) = Promtool::find() else { return absent() };
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/unit_test").join(name);
    let extra = fixture("promtool/unknown_rule_key.yml");
    let lenient = TestOptions { ignore_unknown_fields: true, ..TestOptions::default() };
    let only = |pattern: &str| TestOptions { only: vec![pattern.parse().unwrap()], ..TestOptions::default() };
    assert!(!own_verdict(&extra, &TestOptions::default()).0 && own_verdict(&extra, &lenient).0);
    let failing = fixture("failing.yml");
    assert!(!own_verdict(&failing, &only("^diff")).0 && own_verdict(&failing, &only("one passes")).0);
    if promtool.version < (3, 0) {
        return corpus::skip::lacking("this promtool has neither --run nor --ignore-unknown-fields");
    }
    assert_eq!(promtool.verdicts(std::slice::from_ref(&extra), &[]), [false]);
    assert_eq!(promtool.verdicts(&[extra], &["--ignore-unknown-fields"]), [true]);
    assert_eq!(promtool.verdicts(std::slice::from_ref(&failing), &["--run", "^diff"]), [false]);
    assert_eq!(promtool.verdicts(&[failing], &["--run", "one passes"]), [true]);
}

/// Native histograms are refused and would hide the rest.
fn drop_histograms(test: &mut TestGroup) {
    test.input_series.retain(|input| !matches!(&input.values, SeriesValues::Notation(v) if v.value.contains("{{")));
    test.promql_expr_test.retain(|check| check.exp_samples.iter().all(|sample| sample.histogram.is_none()));
}

/// What fails of a test.
fn failures(file: &TestFile, test: &TestGroup, rules: &Loaded) -> Vec<String> {
    let alone = TestFile { tests: vec![test.clone()], ..file.clone() };
    let setup = TestSetup::default();
    let reports = run_tests(&alone, &rules.rule_set, &setup);
    reports.flat_map(|report| report.failures).map(|failure| failure.to_string()).collect()
}

/// A test file for each check of a test, and a test with nothing else.
fn checks(file: &TestFile, test: &TestGroup, folder: &Path) -> Vec<(String, TestGroup)> {
    let mut head = String::new();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let rules = file.rule_files.iter().map(|f| quoted(&folder.join(f).display().to_string())).collect::<Vec<_>>();
    writeln!(head, "rule_files: [{}]", rules.join(", ")).unwrap();
    writeln!(head, "evaluation_interval: {}ms", file.evaluation_interval).unwrap();
    writeln!(head, "group_eval_order: {}", serde_json::to_string(&file.group_eval_order).unwrap()).unwrap();
    if file.fuzzy_compare {
        head.push_str("fuzzy_compare: true\n");
    }
    writeln!(head, "tests:\n- interval: {}ms", test.interval.unwrap_or(file.evaluation_interval)).unwrap();
    writeln!(head, "  external_labels: {}", serde_json::to_string(&test.external_labels).unwrap()).unwrap();
    if !test.external_url.is_empty() {
        writeln!(head, "  external_url: {}", quoted(&test.external_url)).unwrap();
    }
    if test.start_timestamp != 0 {
        writeln!(head, "  start_timestamp: {}", test.start_timestamp as f64 / 1e3).unwrap();
    }
    head.push_str("  input_series:\n");
    for input in &test.input_series {
        let values = match &input.values {
            SeriesValues::Notation(values) => format!("values: {}", quoted(&values.value)),
            // Marks the check as none of promtool's.
            _ => "generate: ".to_owned(),
        };
        writeln!(head, "  - {{series: {}, {values}}}", quoted(&input.series.value)).unwrap();
    }
    let bare = TestGroup { alert_rule_test: vec![], promql_expr_test: vec![], ..test.clone() };
    let alerts = test.alert_rule_test.iter().map(|check| {
        (format!("{head}{}", alert_check(check)), TestGroup { alert_rule_test: vec![check.clone()], ..bare.clone() })
    });
    let exprs = test.promql_expr_test.iter().map(|check| {
        (format!("{head}{}", expr_check(check)), TestGroup { promql_expr_test: vec![check.clone()], ..bare.clone() })
    });
    alerts.chain(exprs).collect()
}

fn alert_check(test: &AlertTest) -> String {
    let AlertTest { eval_time, alertname, exp_alerts } = test;
    let alerts: Vec<serde_json::Value> = exp_alerts
        .iter()
        .map(|a| serde_json::json!({"exp_labels": a.exp_labels, "exp_annotations": a.exp_annotations}))
        .collect();
    let alerts = serde_json::to_string(&alerts).unwrap();
    format!("  alert_rule_test: [{{eval_time: {eval_time}ms, alertname: {}, exp_alerts: {alerts}}}]\n", alertname.value)
}

fn expr_check(test: &ExprTest) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let samples: Vec<String> = test
        .exp_samples
        .iter()
        .map(|sample| {
            let value = match sample.value {
                ExpectedValue::Near(v, None) if v.is_nan() => ".nan".to_owned(),
                ExpectedValue::Near(v, None) if v.is_infinite() => format!("{}.inf", if v > 0.0 { "" } else { "-" }),
                ExpectedValue::Near(v, None) => format!("{v:e}"),
                // Marks the check as none of promtool's.
                _ => "tolerance:".to_owned(),
            };
            let histogram = sample.histogram.as_ref().map_or(String::new(), |h| format!(", histogram: {}", quoted(h)));
            format!("{{labels: {}, value: {value}{histogram}}}", quoted(&sample.labels))
        })
        .collect();
    let (expr, time) = (quoted(&test.expr.value), test.eval_time);
    format!("  promql_expr_test: [{{expr: {expr}, eval_time: {time}ms, exp_samples: [{}]}}]\n", samples.join(", "))
}
