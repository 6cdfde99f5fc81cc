//! What `check rules` says to mistakes, one by one: expressions, templates and files, most of them broken, each beside what
//! is said. And whether Prometheus' own checker agrees that they are.
//!
//! `UPDATE_GOLDEN=1 cargo test --test broken_rules` writes the texts anew.
#![allow(clippy::unwrap_used)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/which_promtool.rs"]
mod which_promtool;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use forewarn::rules::{Severity, check_file, load_file};

/// A case: its name, and a rule file.
fn cases(kind: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(format!("tests/fixtures/broken/{kind}.txt")).unwrap();
    let quoted = |line: &str| serde_json::to_string(line).unwrap();
    let rule = |rest: String| format!("groups:\n- name: g\n  rules:\n  - alert: A\n{rest}");
    match kind {
        "expressions" => {
            text.lines().map(|line| (line.to_owned(), rule(format!("    expr: {}\n", quoted(line))))).collect()
        }
        "templates" => text
            .lines()
            .map(|line| (line.to_owned(), rule(format!("    expr: up == 0\n    labels: {{a: {}}}\n", quoted(line)))))
            .collect(),
        _ => text
            .split("=== ")
            .skip(1)
            .map(|case| case.split_once('\n').unwrap())
            .map(|(name, file)| (name.to_owned(), file.to_owned()))
            .collect(),
    }
}

/// What is said about a file, each with the text that it points at.
fn said(file: &str) -> String {
    let mut out = String::new();
    let (_, diagnostics) = load_file("f.yml", file);
    for d in diagnostics {
        let kind = if d.severity == Severity::Error { "" } else { "warning: " };
        let at = d.position.unwrap();
        let _ = writeln!(out, "    {kind}{} «{}» {}:{}", d.message, &file[d.span.clone()], at.line, at.column);
        if let Some(help) = d.help {
            let _ = writeln!(out, "        help: {help}");
        }
    }
    if out.is_empty() { "    (taken)\n".to_owned() } else { out }
}

#[test]
fn every_mistake_is_answered_with_its_place_and_a_way_out() {
    for kind in ["expressions", "templates", "files"] {
        let text: String = cases(kind).iter().map(|(name, file)| format!("{name}\n{}", said(file))).collect();
        let golden = format!("tests/fixtures/broken/{kind}.golden");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        for (line, (got, wanted)) in text.lines().zip(expected.lines()).enumerate() {
            assert_eq!(got, wanted, "{golden}, line {}", line + 1);
        }
        assert_eq!(text.len(), expected.len(), "{golden}");
    }
}

#[test]
fn no_place_lies_outside_of_the_file_and_no_text_is_the_parsers_own() {
    for (name, file) in ["expressions", "templates", "files"].into_iter().flat_map(cases) {
        for d in check_file("f.yml", &file, &forewarn::rules::LintOptions::default()).1 {
            assert!(file.get(d.span.clone()).is_some() && d.position.is_some() && d.end().is_some(), "{name}");
            for raw in
                ["argument(s)", "expected type", "did not find", "mapping start", "sequence start", "BOOL", "serde"]
            {
                assert!(!d.message.contains(raw), "{name}: {}", d.message);
            }
        }
    }
}

/// Refused here and not by promtool, by beginnings of what is said: what Prometheus finds only when it evaluates, or what
/// forewarn does not have. docs/decisions/0001-promql-parser.md gives the reasons.
const STRICTER: [&str; 11] = [
    "a rule needs an instant vector or a scalar",
    "count_values needs the name of a label",
    "label_replace() needs the name of the label",
    "label_join() needs the name of the label",
    "not a regular expression",
    "histogram_count() works on native histograms",
    "the rule ",
    "not a number of alerts or samples: -1",
    "not a number of alerts or samples: 1.5",
    "unexpected `m`, expected `]`",
    "a mapping is expected here",
];

/// Taken here and refused by promtool 3.5: an experimental function, functions of templates that Prometheus has since, and
/// Kubernetes' resources. The other way round: promtool reads a file's first document only.
const OTHERWISE: [&str; 6] =
    ["mad_over_time(x[5m])", "{{ now }}", "{{ toDuration 5 }}", "{{ urlQueryEscape \"a\" }}", "k8s", "two docs"];

#[test]
fn promtool_agrees() {
    let Ok(version) = Command::new(which_promtool::program()).arg("--version").output() else {
        corpus::skip::lacking("promtool is not installed");
        return;
    };
    if !String::from_utf8_lossy(&version.stdout).contains("version 3.") {
        corpus::skip::lacking("promtool is older than 3.0");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut agreed, mut wrong) = (0, Vec::new());
    let mut all: Vec<(String, String)> = ["expressions", "templates", "files"].into_iter().flat_map(cases).collect();
    all.extend(corpus());
    for (name, file) in all {
        let theirs = is_taken_by_promtool(&folder.path().join("f.yml"), &file);
        let (_, diagnostics) = load_file("f.yml", &file);
        let errors: Vec<&str> =
            diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.message.as_str()).collect();
        let by_design = OTHERWISE.contains(&name.as_str())
            || match (theirs, errors.as_slice()) {
                (true, errors @ [_, ..]) => errors.iter().all(|e| STRICTER.iter().any(|s| e.starts_with(s))),
                (false, []) => false,
                _ => {
                    agreed += 1;
                    true
                }
            };
        if !by_design {
            wrong.push(format!("{name}: promtool takes it: {theirs}; here: {errors:?}"));
        }
    }
    println!("promtool agrees on {agreed} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agreed > 350, "{agreed}");
}

fn is_taken_by_promtool(path: &Path, file: &str) -> bool {
    std::fs::write(path, file).unwrap();
    // Its own lint is another matter.
    Command::new(which_promtool::program())
        .args(["check", "rules", "--lint=none"])
        .arg(path)
        .output()
        .unwrap()
        .status
        .success()
}

/// Prometheus' and Thanos' own fixtures, sound and broken.
fn corpus() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for folder in ["promtool", "rules_fixtures"].into_iter().filter_map(corpus::corpus) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
                out.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out
}
