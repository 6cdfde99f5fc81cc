//! What the lints say about rules others have written: how often each speaks. docs/lints.md states the counts;
//! `LINT_HITS=CODE cargo test --test lint_corpus -- --nocapture` shows where one of them spoke (or `all`).

#[path = "support/corpus.rs"]
mod corpus;

use std::collections::{BTreeMap, BTreeSet};

use forewarn::base::Limits;
use forewarn::rules::{Diagnostic, Lint, LintOptions, check_file, check_globs};

fn all() -> LintOptions {
    LintOptions { on: Lint::all().collect(), ..LintOptions::default() }
}

/// Counts of each lint, and, if the environment asks for one, its hits.
fn count(diagnostics: &[Diagnostic]) -> BTreeMap<&'static str, usize> {
    let asked = std::env::var("LINT_HITS").unwrap_or_default();
    let codes: BTreeSet<&str> = Lint::all().map(Lint::code).collect();
    let mut counts = BTreeMap::new();
    for diagnostic in diagnostics.iter().filter(|d| codes.contains(d.code)) {
        *counts.entry(diagnostic.code).or_default() += 1;
        if diagnostic.code == asked || asked == "all" {
            println!("HIT {}\n{}", diagnostic.code, diagnostic.render(false));
        }
    }
    counts
}

#[test]
fn lints_of_public_rule_files() {
    let Some(root) = corpus::corpus("") else { return };
    let mut patterns: Vec<String> =
        ["rules_yaml/**/*.y*ml", "unit_tests/**/*.y*ml"].iter().map(|p| root.join(p).display().to_string()).collect();
    patterns.push("rules/*.yml".to_owned());
    let loaded = check_globs(&patterns, std::path::Path::new(""), &Limits::default(), &all());
    let rules: usize = loaded.rule_set.groups.iter().map(|g| g.rules.len()).sum();
    println!("{rules} rules in {} files", loaded.files.len());
    for (code, n) in count(&loaded.diagnostics) {
        println!("{n:5}  {code}");
    }
    assert!(rules > 1_500, "{rules}");
}

#[test]
fn lints_of_public_expressions() {
    let Some(root) = corpus::corpus("") else { return };
    let text = std::fs::read_to_string(root.join("exprs_unique.txt")).expect("a file of the corpus");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut alerts = 0;
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(kind), Some(_), Some(expr)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let key = if kind == "alert" { "alert" } else { "record" };
        alerts += usize::from(kind == "alert");
        let expr = serde_json::to_string(expr).expect("a string");
        let file = format!("groups: [{{name: g, rules: [{{{key}: A, expr: {expr}}}]}}]");
        let (_, diagnostics) = check_file("x.yml", &file, &all());
        for (code, n) in count(&diagnostics) {
            *counts.entry(code).or_default() += n;
        }
    }
    println!("{} expressions, {alerts} of alerts", text.lines().count());
    for (code, n) in &counts {
        println!("{n:5}  {code}");
    }
    assert!(alerts > 1_000, "{alerts}");
}
