//! What `forewarn check rules` says about mistakes that users make: each fixture beside the text it must give.
//!
//! `UPDATE_GOLDEN=1 cargo test --test check_rules` writes the texts anew.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use forewarn::base::Limits;
use forewarn::cli::check::{self, CheckOptions};
use forewarn::rules::{RuleKind, Severity, load_file, load_globs};
use proptest::prelude::*;

/// Exit code and output.
fn run(paths: &[&str]) -> (ExitCode, String) {
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let mut out = Vec::new();
    let code = check::rules(&paths, &CheckOptions::default(), &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn typical_mistakes_are_shown_at_their_place() {
    // Tests run in the package's folder, so the names in the texts are the same everywhere.
    let mut fixtures: Vec<PathBuf> = glob::glob("tests/fixtures/rules/*.yml").unwrap().map(Result::unwrap).collect();
    fixtures.sort();
    assert!(fixtures.len() > 10);
    for fixture in fixtures {
        let (code, text) = run(&[fixture.to_str().unwrap()]);
        let golden = fixture.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&golden).unwrap(), "{}", fixture.display());
        let good = fixture.ends_with("good.yml");
        assert_eq!(code, if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }, "{}", fixture.display());
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("latin1.yml"), b"groups: [] # \xe9\n").unwrap();
    let (code, text) = run(&[&path("latin1.yml"), &path("absent.yml")]);
    assert_eq!(code, ExitCode::FAILURE);
    assert!(text.contains("latin1.yml: error: is not UTF-8: a bad byte at 13"), "{text}");
    assert!(text.contains("absent.yml: error: no file matches this pattern"), "{text}");
    assert!(text.ends_with("0 rules found in 1 file: 2 errors, 0 warnings\n"), "{text}");
}

#[test]
fn folders_and_patterns_are_taken() {
    let (_, all) = run(&["tests/fixtures/rules"]);
    let (_, same) = run(&["tests/fixtures/rules/*.yml"]);
    assert_eq!(all, same);
    let (code, one) = run(&["tests/fixtures/rules/go[o]d.yml"]);
    assert_eq!((code, one.as_str()), (ExitCode::SUCCESS, "2 rules found in 1 file\n"));
}

#[test]
fn warnings_alone_pass() {
    let text = "groups: [{name: g, rules: [{alert: A, expr: up, labels: {v: '{{ .Value }}'}}]}]";
    let (groups, diagnostics) = load_file("g.yml", text);
    assert_eq!(groups[0].rules.len(), 1);
    assert_eq!(diagnostics.iter().map(|d| d.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn a_good_file_gives_its_groups() {
    let text = std::fs::read_to_string("tests/fixtures/rules/good.yml").unwrap();
    let (groups, diagnostics) = load_file("good.yml", &text);
    assert_eq!(diagnostics, []);
    assert_eq!(
        groups.iter().map(|g| (g.name.as_str(), g.rules.len())).collect::<Vec<_>>(),
        [("disk", 2), ("second", 0)]
    );
    let disk = &groups[0];
    assert_eq!((disk.interval, disk.query_offset, disk.limit), (Some(60_000), None, 0));
    let rule = &disk.rules[0];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // By name, so that their order in the file means nothing.
    assert_eq!(rule.labels, [pair("severity", "page"), pair("team", "storage")]);
    let RuleKind::Alert { hold, keep_firing, annotations } = &rule.kind else { panic!("an alert") };
    assert_eq!((*hold, *keep_firing), (600_000, 900_000));
    assert_eq!(annotations, &[pair("summary", "{{ $labels.mountpoint }} is full within 4 hours")]);
    assert_eq!((rule.position.line, rule.position.column), (6, 9));
    assert_eq!(disk.rules[1].labels, [pair("team", "storage")]);
}

#[test]
fn the_content_hash_follows_contents_behind_links() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rules = |expr: &str| format!("groups: [{{name: g, rules: [{{record: r, expr: {expr}}}]}}]");
    for (version, expr) in [("..1", "a"), ("..2", "b")] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("rules.yml"), rules(expr)).unwrap();
    }
    let load = || load_globs(&["*.yml".to_owned()], folder.path(), &Limits::default());
    let link = |version: &str| {
        let _ = std::fs::remove_file(at("..data"));
        std::os::unix::fs::symlink(version, at("..data")).unwrap();
    };
    link("..1");
    std::os::unix::fs::symlink(Path::new("..data/rules.yml"), at("rules.yml")).unwrap();
    let first = load();
    assert_eq!((first.rule_set.groups[0].file.as_str(), first.has_errors()), ("rules.yml", false));
    link("..2");
    let second = load();
    assert_ne!(first.content_hash, second.content_hash);
    assert_eq!(second.content_hash, load().content_hash);
    let tight = Limits { file_bytes: 10, ..Limits::default() };
    assert!(load_globs(&["*.yml".to_owned()], folder.path(), &tight).has_errors());
    assert_eq!(
        load_globs(&["none*".to_owned()], folder.path(), &Limits::default()).diagnostics[0].severity,
        Severity::Warning
    );
}

/// The one-line forms of what is wrong with a text.
fn faults(text: &str) -> Vec<String> {
    load_file("f.yml", text).1.iter().map(ToString::to_string).collect()
}

#[test]
fn several_documents_and_resources_are_taken() {
    let rules = "[{name: g, rules: [{record: r, expr: up}]}]";
    assert_eq!(faults(""), [""; 0]);
    assert_eq!(faults("groups:\n"), [""; 0]);
    assert_eq!(
        faults(&format!("groups: {rules}\n---\ngroups: {rules}\n")),
        ["f.yml:3:17: error: the group name \"g\" is given twice in this file"]
    );
    let resource = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: n}\n";
    let text = format!(
        "{resource}spec:\n  groups: [{{name: a, partial_response_strategy: warn, rules: []}}]\n---\nkind: Service\n"
    );
    assert_eq!(faults(&text), ["f.yml:7:7: warning: skipped: a Service holds no rules [not-rules]"]);
    let other = resource.replace("/v1", "/v2");
    assert_eq!(faults(&other), ["f.yml:1:13: error: a PrometheusRule has apiVersion monitoring.coreos.com/v1"]);
    assert_eq!(faults("groups: []\ngroups: []\n"), ["f.yml:2:1: error: the key groups is given twice"]);
    assert_eq!(faults("é: [\"x\n")[0].split(": ").take(2).collect::<Vec<_>>(), ["f.yml:1:5", "error"]);
    assert!(faults("- a\n")[0].starts_with("f.yml:1:1: error: "));
    assert!(faults("groups: {a: b}\n")[0].starts_with("f.yml:1:9: error: "));
}

#[test]
fn one_fault_of_yaml_hides_no_other() {
    let text = "\
groups:
  - name: a
    rules:
      - alert: A
        expr: up
        labels: [a]
      - alert: B
        expr: rat(x[5m])
      - alert: C
        expr: up
        annotations:
          summary: {{ $value }}
      - alert: D
        expr: up
         for: 5m
  - name: b
    rules: {}
  - name: c
    rules:
      - record: r
        expr: up
        for: 1m
";
    let lines: Vec<usize> = load_file("f.yml", text).1.iter().map(|d| d.position.map_or(0, |p| p.line)).collect();
    assert_eq!(lines, [6, 8, 12, 15, 17, 22], "{:#?}", faults(text));
    // What is left of the groups is of no use by itself, but nothing else of it is wrong.
    assert_eq!(load_file("f.yml", text).0.len(), 2);
}

#[test]
fn values_of_other_types_are_read_as_they_are_written() {
    let text = "groups: [{name: 5, limit: 3, rules: [{record: r, expr: 1e3, labels: {a: 010, b: yes, c: ~}}]}]";
    let (groups, diagnostics) = load_file("f.yml", text);
    assert_eq!(diagnostics, []);
    let rule = &groups[0].rules[0];
    assert_eq!((groups[0].name.as_str(), groups[0].limit, rule.expr.as_str()), ("5", 3, "1e3"));
    let labels: Vec<(&str, &str)> = rule.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("a", "010"), ("b", "yes"), ("c", "")]);
}

proptest! {
    #[test]
    fn damaged_files_give_diagnostics_and_no_panic(
        at in 0usize..600,
        length in 0usize..40,
        with in "[a-z:{}\\[\\]\"'|>&*#é \n\t-]{0,8}",
    ) {
        let mut text = std::fs::read_to_string("tests/fixtures/rules/good.yml").unwrap();
        let (at, end) = (at.min(text.len()), (at + length).min(text.len()));
        text.replace_range(at..end, &with);
        for diagnostic in load_file("damaged.yml", &text).1 {
            prop_assert!(diagnostic.render(true).contains(&diagnostic.message.replace('\n', " ")));
        }
    }
}
