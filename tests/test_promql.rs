//! What `forewarn test promql` says: each fixture beside the text it must give, and the exit codes of the program itself.
//!
//! `UPDATE_GOLDEN=1 cargo test --test test_promql` writes the texts anew.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    // Tests run in the package's folder, so the names in the texts are the same everywhere.
    Path::new("tests/fixtures/promql_scripts").join(name)
}

fn forewarn(args: &[&str], files: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    command.args(["test", "promql"]).args(args).args(files.iter().map(|name| fixture(name))).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn verdicts_are_shown_with_their_differences() {
    for (name, code) in [("passing.test", 0), ("failing.test", 1), ("refused.test", 0), ("broken.test", 1)] {
        let output = forewarn(&[], &[name]);
        let golden = fixture(name).with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, text(&output)).unwrap();
        }
        assert_eq!(text(&output), std::fs::read_to_string(&golden).unwrap(), "{name}");
        assert_eq!(output.status.code(), Some(code), "{name}");
        assert!(output.stderr.is_empty(), "{name}");
    }
}

#[test]
fn refusals_fail_where_they_are_denied() {
    let output = forewarn(&["--deny-refused"], &["refused.test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("FAILED: 1 passed, 4 refused, 0 failed"), "{}", text(&output));
    assert_eq!(forewarn(&["--deny-refused"], &["passing.test"]).status.code(), Some(0));
}

#[test]
fn several_files_are_one_verdict_and_one_junit_report() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("report.xml");
    let args = ["--junit", junit.to_str().unwrap()];
    let output = forewarn(&args, &["passing.test", "refused.test", "failing.test", "absent.test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("absent.test: cannot be read"), "{}", text(&output));
    let report = std::fs::read_to_string(&junit).unwrap();
    let suite = |name: &str, counts: &str| {
        let line = format!("<testsuite name=\"tests/fixtures/promql_scripts/{name}\" {counts} time=\"");
        assert!(report.contains(&line), "{line}\n{report}");
    };
    suite("passing.test", "tests=\"9\" failures=\"0\" errors=\"0\" skipped=\"0\"");
    suite("refused.test", "tests=\"5\" failures=\"0\" errors=\"0\" skipped=\"4\"");
    suite("failing.test", "tests=\"15\" failures=\"14\" errors=\"0\" skipped=\"0\"");
    suite("absent.test", "tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\"");
    assert!(
        report.contains("<skipped message=\"native histograms are not supported (loaded at line 3)\"/>"),
        "{report}"
    );
    assert!(report.contains("name=\"line 28: up + on () up\""), "{report}");

    let denied = forewarn(&["--deny-refused", args[0], args[1]], &["refused.test"]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(std::fs::read_to_string(&junit).unwrap().contains("failures=\"4\" errors=\"0\" skipped=\"0\""));
}

#[test]
fn our_own_scripts_pass() {
    let mut files: Vec<_> =
        std::fs::read_dir("tests/fixtures/promql").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    let output = command.args(["test", "promql", "--deny-refused"]).args(&files).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).matches("SUCCESS: ").count(), files.len(), "{}", text(&output));
}

#[test]
fn names_are_dropped_late_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("late.test");
    let text =
        "load 1m\n  x 1x5\n\neval instant at 1m label_replace(abs(x), \"was\", \"$1\", \"__name__\", \"(.*)\")\n  ";
    std::fs::write(&script, format!("{text}{{was=\"x\"}} 1\n")).unwrap();
    let script = script.to_str().unwrap();
    let code = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        command.args(["test", "promql", script]).args(args).output().unwrap().status.code()
    };
    assert_eq!((code(&[]), code(&["--drop-names-at-once"])), (Some(0), Some(1)));
}

#[test]
fn files_must_be_named() {
    let output = forewarn(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("<FILES>..."));
}
