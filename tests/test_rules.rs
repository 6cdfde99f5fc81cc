//! What `forewarn test rules` says: each fixture beside the text it must give, and the verdicts of promtool's own tests.
//!
//! `UPDATE_GOLDEN=1 cargo test --test test_rules` writes the texts anew.
#![allow(clippy::unwrap_used)]

#[path = "support/skip.rs"]
mod skip;
#[path = "support/which_promtool.rs"]
mod which_promtool;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use forewarn::cli::test::{self, TestOptions};
use forewarn::engine::builtin_profiles;

/// Whether it passed, and the output.
fn run(files: &[PathBuf], options: &TestOptions) -> (bool, String) {
    let mut out = Vec::new();
    let code = test::rules(files, options, &mut out).unwrap();
    (code == ExitCode::SUCCESS, String::from_utf8(out).unwrap())
}

fn fixture(name: &str) -> PathBuf {
    // Tests run in the package's folder, so the names in the texts are the same everywhere.
    Path::new("tests/fixtures/unit_test").join(name)
}

#[test]
fn verdicts_are_shown_with_their_differences() {
    let names = ["passing.yml", "failing.yml", "unknown_key.yml", "no_rules.yml", "beyond/failing.yml"];
    for (name, passes) in names.map(|name| (name, name == "passing.yml")) {
        let (passed, text) = run(&[fixture(name)], &with_profiles());
        let golden = fixture(name).with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&golden).unwrap(), "{name}");
        assert_eq!(passed, passes, "{name}");
    }
}

#[test]
fn several_files_are_one_verdict_and_one_junit_report() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("report.xml");
    let options = TestOptions { junit: Some(junit.clone()), ..TestOptions::default() };
    let (passed, text) = run(&[fixture("passing.yml"), fixture("failing.yml"), fixture("absent.yml")], &options);
    assert!(!passed && text.contains("SUCCESS") && text.contains("absent.yml: cannot be read"), "{text}");
    let report = std::fs::read_to_string(junit).unwrap();
    assert!(report.contains("<testsuites tests=\"9\" failures=\"5\" errors=\"0\" time=\""), "{report}");
    assert!(
        report
            .contains("<testcase name=\"this one passes\" classname=\"tests/fixtures/unit_test/failing.yml\" time=\"")
    );
    assert!(report.contains("{alertname=&quot;Down&quot;, instance=&quot;3&quot;"), "{report}");
}

fn with_profiles() -> TestOptions {
    TestOptions { profiles: builtin_profiles(), ..TestOptions::default() }
}

#[test]
fn expressions_may_be_predictive() {
    let (_, text) = run(&[fixture("predictive.yml")], &with_profiles());
    let failures: Vec<&str> = text.lines().filter(|line| line.contains("expr: ")).collect();
    assert_eq!(failures.len(), 4, "{text}");
    assert!(failures[0].contains("eval_time must be a multiple of evaluation_interval"), "{text}");
    assert!(failures[1..3].iter().all(|failure| failure.contains("cannot look ahead")), "{text}");
    assert!(
        failures[3].contains("x @ 1e11, time: 2m: more than 100000000 evaluations up to 1157407d9h46m40s"),
        "{text}"
    );
}

#[test]
fn members_are_compared_with_their_peers() {
    let (passed, text) = run(&[fixture("peers.yml")], &with_profiles());
    assert!(passed, "{text}");
}

/// The examples in docs/rule-tests.md, by the program itself.
#[test]
fn generated_and_recorded_series_drive_predictive_rules() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("report.xml");
    let files = ["disk.yml", "traffic.yml", "sensor.yml"].map(|name| fixture("beyond").join(name));
    let mut program = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    let output = program.args(["test", "rules", "--debug", "--junit"]).arg(&junit).args(&files).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.ends_with("3 tests with 12 checks in 3 files: 3 passed, 0 failed\n"), "{text}");
    assert!(text.contains("25m  inactive -> firing   {alertname=\"SensorSilent\"}"), "{text}");
    assert!(!text.contains('\x1b'), "no colours but on a terminal");
    let report = std::fs::read_to_string(junit).unwrap();
    assert!(report.contains("<testsuites tests=\"3\" failures=\"0\""), "{report}");
    assert!(report.contains("<testcase name=\"a silent sensor is noticed\" classname=\""), "{report}");
    // What the documentation shows is what was tested.
    let documentation = std::fs::read_to_string("docs/rule-tests.md").unwrap();
    for file in files {
        let example = std::fs::read_to_string(&file).unwrap();
        assert!(documentation.contains(&example), "{} is not in docs/rule-tests.md", file.display());
    }
}

#[test]
fn tests_are_chosen_by_name_and_a_bad_pattern_is_refused() {
    let run = |args: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        let output = program.args(["test", "rules"]).args(args).arg(fixture("failing.yml")).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (passed, text) = run(&["--diff", "--run", "^this one", "--run", "no such"]);
    assert!(passed && text.contains("1 test with 1 check in 1 file: 1 passed, 0 failed"), "{text}");
    let (passed, text) = run(&["--run", "("]);
    assert!(!passed && text.contains("--run") && text.contains("unclosed group"), "{text}");
}

/// A month of 100 series, a sample every 15 s: 17 million samples. Unoptimised, an hour of it.
#[test]
fn a_long_test_takes_its_series_as_it_goes() {
    let (end, samples) = if cfg!(debug_assertions) { ("1h", 24_100) } else { ("30d", 17_280_100) };
    let mut text = format!(
        "rule_files: [rules.yml]\ntests:\n- interval: 15s\n  promql_expr_test:\n  - {{expr: count(instance:requests:rate5m), eval_time: {end}, exp_samples: [{{value: 100}}]}}\n  alert_window_test: [{{alertname: Low, to: {end}, fires: never}}]\n  input_series:\n"
    );
    for i in 0..100 {
        let values = match i {
            0 => {
                "generate: &traffic {sum: [constant: 100, seasonal: {amplitude: 40, period: 1d}, noise: {sd: 5}], counter: true}"
            }
            _ => "generate: *traffic",
        };
        text.push_str(&format!("  - series: requests_total{{instance=\"{i}\"}}\n    {values}\n"));
    }
    let rules = "groups: [{name: g, rules: [{record: 'instance:requests:rate5m', expr: 'rate(requests_total[5m])'}, {alert: Low, expr: 'instance:requests:rate5m < 1', for: 10m}, {record: f, expr: 'predict_quantile(0.5, sum(instance:requests:rate5m), 4h)'}]}]";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let path = folder.path().join("long.yml");
    std::fs::write(&path, text).unwrap();
    let (passed, text) = run(&[path], &TestOptions { debug: true, ..with_profiles() });
    assert!(passed && text.contains(&format!("unnamed#0: {samples} samples")), "{text}");
}

/// Its verdicts are the reference, where there is one of version 3; older ones have other windows.
#[test]
fn promtool_agrees_on_the_fixtures() {
    let promtool = which_promtool::program();
    let output = |args: &[&str]| Command::new(&promtool).args(args).output();
    let version = output(&["--version"]).map(|o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned());
    if !version.as_ref().is_ok_and(|text| text.contains("version 3.")) {
        return skip::lacking("there is no promtool of version 3; PROMTOOL may name one");
    }
    // Before 3.11 it knows no start_timestamp, and to it NaN is not equal to itself.
    let text = std::fs::read_to_string(fixture("passing.yml")).unwrap();
    let (kept, _) = text.split_once("  - name: groups follow").unwrap();
    let kept: Vec<&str> = kept.lines().filter(|line| !line.contains("value: .nan")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passing.yml");
    std::fs::copy(fixture("rules.yml"), folder.path().join("rules.yml")).unwrap();
    std::fs::write(&path, kept.join("\n")).unwrap();
    let agreed = output(&["test", "rules", path.to_str().unwrap()]).unwrap();
    assert!(agreed.status.success(), "{}", String::from_utf8_lossy(&agreed.stderr));
    let refused = output(&["test", "rules", fixture("failing.yml").to_str().unwrap()]).unwrap();
    assert!(!refused.status.success());
}
