//! What `forewarn test rules` says: each fixture beside the text it must give, and the verdicts of promtool's own tests.
//!
//! `UPDATE_GOLDEN=1 cargo test --test test_rules` writes the texts anew.
#![allow(clippy::unwrap_used)]

#[path = "support/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use forewarn::cli::test::{self, TestOptions};
use forewarn::model::Profile;

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
    for (name, passes) in
        [("passing.yml", true), ("failing.yml", false), ("unknown_key.yml", false), ("no_rules.yml", false)]
    {
        let (passed, text) = run(&[fixture(name)], &TestOptions::default());
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

#[test]
fn expressions_may_be_predictive() {
    let profile = Profile::parse("name: default\n").unwrap();
    let profiles = [("default".to_owned(), Arc::new(profile))].into();
    let (_, text) = run(&[fixture("predictive.yml")], &TestOptions { profiles, ..TestOptions::default() });
    let failures: Vec<&str> = text.lines().filter(|line| line.contains("expr: ")).collect();
    assert_eq!(failures.len(), 1, "{text}");
    assert!(failures[0].contains("eval_time must be a multiple of evaluation_interval"), "{text}");
}

/// Its verdicts are the reference, where there is one of version 3; older ones have other windows.
#[test]
fn promtool_agrees_on_the_fixtures() {
    let promtool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    let output = |args: &[&str]| Command::new(&promtool).args(args).output();
    let version = output(&["--version"]).map(|o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned());
    if !version.as_ref().is_ok_and(|text| text.contains("version 3.")) {
        return skip::skipped("there is no promtool of version 3; PROMTOOL may name one");
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
