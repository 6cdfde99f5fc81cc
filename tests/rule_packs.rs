//! The rule packs in `rules/` load without a word and pass their tests in `rules/tests/` (and the quick start its own); every rule has a test that makes
//! it speak, every alert one that keeps it silent; and every alert says what is wrong, what to do, and how bad it is.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use forewarn::cli::check;
use forewarn::cli::test::{self, TestOptions};
use forewarn::engine::Profiles;
use forewarn::model::Profile;
use forewarn::promql::parse;
use forewarn::rules::unit_test::{Fires, TestFile};
use forewarn::rules::{Rule, RuleKind, load_file};

/// The one alert that is never silent.
const ALWAYS_FIRES: &str = "Watchdog";

/// Files of a folder by pattern, sorted. Tests run in the package's folder.
fn files(pattern: &str) -> Vec<PathBuf> {
    glob::glob(pattern).unwrap().map(Result::unwrap).collect()
}

fn profiles() -> Profiles {
    let read = |path: &PathBuf| Profile::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    files("models/*.yaml").iter().map(read).map(|profile| (profile.name.clone(), Arc::new(profile))).collect()
}

/// Every rule of every pack, with its file.
fn rules() -> Vec<(PathBuf, Rule)> {
    let mut rules = Vec::new();
    for path in files("rules/*.yml") {
        let (groups, faults) = load_file(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        assert!(faults.is_empty(), "{faults:?}");
        rules.extend(groups.into_iter().flat_map(|group| group.rules).map(|rule| (path.clone(), rule)));
    }
    assert!(rules.len() > 40, "{} rules", rules.len());
    rules
}

/// Names that tests expect something of, and alerts that they expect nothing of.
#[derive(Default)]
struct Expected {
    /// Alerts that fire, and words of expressions that have samples.
    speaking: BTreeSet<String>,
    silent: BTreeSet<String>,
}

/// What the tests expect, by rule file.
fn expected() -> BTreeMap<PathBuf, Expected> {
    let mut all: BTreeMap<PathBuf, Expected> = BTreeMap::new();
    for path in files("rules/tests/*.yml") {
        let file = TestFile::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let folder = path.parent().unwrap();
        for rules in file.rule_files.iter().flat_map(|pattern| files(folder.join(pattern).to_str().unwrap())) {
            let expected = all.entry(rules.canonicalize().unwrap()).or_default();
            for case in file.tests.iter().flat_map(|test| &test.alert_rule_test) {
                let names = if case.exp_alerts.is_empty() { &mut expected.silent } else { &mut expected.speaking };
                names.insert(case.alertname.value.clone());
            }
            for case in file.tests.iter().flat_map(|test| &test.alert_window_test) {
                let names = if case.fires == Fires::Never { &mut expected.silent } else { &mut expected.speaking };
                names.insert(case.alertname.value.clone());
            }
            let exprs = file.tests.iter().flat_map(|test| &test.promql_expr_test);
            let with_samples = exprs.filter(|test| !test.exp_samples.is_empty());
            expected.speaking.extend(with_samples.flat_map(|test| words(&test.expr.value)));
        }
    }
    all
}

/// Words of an expression; among them are the names of its metrics.
fn words(expr: &str) -> Vec<String> {
    assert!(parse(expr).is_ok(), "{expr}");
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.map(str::to_owned).collect()
}

fn is_predictive(rule: &Rule) -> bool {
    ["predict_", "time_until", "changed_at", "outlier_score"].iter().any(|name| rule.expr.contains(name))
}

#[test]
fn they_load_without_warnings() {
    let mut out = Vec::new();
    let paths = files("rules/*.yml");
    let code =
        check::rules(&paths, &check::CheckOptions { deny_warnings: true, ..Default::default() }, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, ExitCode::SUCCESS, "{text}");
    assert!(text.ends_with(&format!("rules found in {} files\n", paths.len())), "{text}");
}

#[test]
fn they_pass_their_tests() {
    let mut wrong = String::new();
    let mut tests = files("rules/tests/*.yml");
    tests.extend(files("examples/quickstart/*_test.yml"));
    for path in &tests {
        let mut out = Vec::new();
        let options = TestOptions { profiles: profiles(), ..TestOptions::default() };
        if test::rules(std::slice::from_ref(path), &options, &mut out).unwrap() != ExitCode::SUCCESS {
            wrong.push_str(&String::from_utf8(out).unwrap());
        }
    }
    println!("{} files of tests", tests.len());
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_rule_has_a_test_that_makes_it_speak_and_every_alert_one_that_keeps_it_silent() {
    let expected = expected();
    let mut missing = Vec::new();
    for (path, rule) in rules() {
        let Some(expected) = expected.get(&Path::new(&path).canonicalize().unwrap()) else {
            missing.push(format!("{}: no tests at all", path.display()));
            continue;
        };
        let place = format!("{}:{}: {}", path.display(), rule.position.line, rule.name);
        if !expected.speaking.contains(&rule.name) {
            missing.push(format!("{place} has no test that makes it speak"));
        }
        if rule.kind != RuleKind::Record && rule.name != ALWAYS_FIRES && !expected.silent.contains(&rule.name) {
            missing.push(format!("{place} has no test that keeps it silent"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_alert_says_what_is_wrong_what_to_do_and_how_bad_it_is() {
    for (_, rule) in rules() {
        let RuleKind::Alert { annotations, keep_firing, .. } = &rule.kind else { continue };
        let names: Vec<&str> = annotations.iter().map(|(name, _)| name.as_str()).collect();
        let is_point = rule.expr.contains("changed_at");
        let marks: &[&str] = if is_point { &["__point__", "__time__"] } else { &[] };
        assert_eq!(names, [&["summary", "description"], marks].concat(), "{}", rule.name);
        let severity = &rule.labels.iter().find(|(name, _)| name == "severity").unwrap().1;
        let known = ["critical", "warning", "info"].contains(&severity.as_str());
        assert!(known || (severity == "none" && rule.name == ALWAYS_FIRES), "{}: {severity}", rule.name);
        // A forecast or score that flickers must not send a page and its end every few minutes.
        assert!(!is_predictive(&rule) || is_point || *keep_firing > 0, "{} flickers", rule.name);
        // What is only unusual wakes nobody.
        let is_unusual = is_point || rule.expr.contains("predict_anomaly");
        assert!(!is_unusual || severity != "critical", "{}", rule.name);
    }
}

/// The table in docs/rule-packs.md names every rule and none besides.
#[test]
fn the_documentation_names_them_all() {
    let text = std::fs::read_to_string("docs/rule-packs.md").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let named: BTreeSet<String> = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect();
    let rules: BTreeSet<String> = rules().into_iter().map(|(_, rule)| rule.name).collect();
    assert_eq!(named, rules);
}
