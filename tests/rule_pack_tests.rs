//! The rule packs in `rules/` pass their tests in `rules/tests/`, and there is no rule that no test makes speak.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use forewarn::cli::test::{self, TestOptions};
use forewarn::engine::Profiles;
use forewarn::model::Profile;
use forewarn::promql::parse;
use forewarn::rules::unit_test::TestFile;
use forewarn::rules::{RuleKind, Severity, load_file};

/// Files of a folder by pattern, sorted. Tests run in the package's folder.
fn files(pattern: &str) -> Vec<PathBuf> {
    glob::glob(pattern).unwrap().map(Result::unwrap).collect()
}

fn profiles() -> Profiles {
    let read = |path: &PathBuf| Profile::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    files("models/*.yaml").iter().map(read).map(|profile| (profile.name.clone(), Arc::new(profile))).collect()
}

#[test]
fn the_packs_pass_their_tests() {
    let mut wrong = String::new();
    let tests = files("rules/tests/*.yml");
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

/// Names that tests expect something of, by rule file: alerts that fire, and metrics that have samples.
fn spoken() -> BTreeMap<PathBuf, BTreeSet<String>> {
    let mut spoken: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for path in files("rules/tests/*.yml") {
        let file = TestFile::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let folder = path.parent().unwrap();
        let alerts = file.tests.iter().flat_map(|test| &test.alert_rule_test);
        let firing = alerts.filter(|test| !test.exp_alerts.is_empty()).map(|test| test.alertname.value.clone());
        let exprs = file.tests.iter().flat_map(|test| &test.promql_expr_test);
        let with_samples = exprs.filter(|test| !test.exp_samples.is_empty());
        let names: BTreeSet<String> = firing.chain(with_samples.flat_map(|test| metrics(&test.expr.value))).collect();
        for pattern in &file.rule_files {
            for rules in files(folder.join(pattern).to_str().unwrap()) {
                spoken.entry(rules.canonicalize().unwrap()).or_default().extend(names.iter().cloned());
            }
        }
    }
    spoken
}

/// Words of an expression; among them are the names of its metrics.
fn metrics(expr: &str) -> Vec<String> {
    assert!(parse(expr).is_ok(), "{expr}");
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.map(str::to_owned).collect()
}

#[test]
fn every_rule_of_every_pack_has_a_test_that_makes_it_speak() {
    let spoken = spoken();
    let (mut rules, mut silent) = (0, Vec::new());
    for path in files("rules/*.yml") {
        let (groups, faults) = load_file(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        assert!(faults.iter().all(|fault| fault.severity < Severity::Error), "{faults:?}");
        let names = spoken.get(&Path::new(&path).canonicalize().unwrap()).cloned().unwrap_or_default();
        for rule in groups.iter().flat_map(|group| &group.rules) {
            rules += 1;
            if !names.contains(&rule.name) {
                let kind = if rule.kind == RuleKind::Record { "record" } else { "alert" };
                silent.push(format!("{}:{}: {kind} {}", path.display(), rule.position.line, rule.name));
            }
        }
    }
    println!("{rules} rules, {} without such a test", silent.len());
    assert!(silent.is_empty(), "no test expects anything of these:\n{}", silent.join("\n"));
}
