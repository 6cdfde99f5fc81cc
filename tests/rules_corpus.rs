//! Rule files others have written load as Prometheus loads them.

#![allow(clippy::unwrap_used)]

#[path = "support/corpus.rs"]
mod corpus;

use std::path::{Path, PathBuf};

use forewarn::alert::Template;
use forewarn::rules::{Diagnostic, RuleKind, Severity, load_file};

fn yaml_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            out.push(path);
        }
    }
}

fn load(path: &Path) -> (usize, Vec<Diagnostic>) {
    let text = std::fs::read_to_string(path).unwrap();
    let (groups, diagnostics) = load_file(&path.display().to_string(), &text);
    (groups.iter().map(|group| group.rules.len()).sum(), diagnostics)
}

fn errors(path: &Path) -> Vec<String> {
    let (_, diagnostics) = load(path);
    diagnostics.iter().filter(|d| d.severity == Severity::Error).map(Diagnostic::to_string).collect()
}

/// Whether the file is one of unit tests, of Sloth's own format, or in MetricsQL, rather than a rule file.
fn is_no_rule_file(text: &str) -> bool {
    !text.lines().any(|line| line.starts_with("groups:") || line.starts_with("spec:"))
        || text.contains("\nversion: \"prometheus/v1\"")
        || text.contains("histogram_share(")
}

#[test]
fn public_rule_files_load_without_errors() {
    let Some(root) = corpus::corpus("") else { return };
    let mut files = Vec::new();
    for folder in ["rules_yaml", "unit_tests", "rules_fixtures", "promtool"] {
        yaml_files(&root.join(folder), &mut files);
    }
    files.sort();
    let (mut rules, mut read, mut wrong) = (0, 0, Vec::new());
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        let text = std::fs::read_to_string(path).unwrap();
        if BAD.iter().any(|(bad, _)| *bad == name) || NEEDS_TEMPLATES == name || is_no_rule_file(&text) {
            continue;
        }
        let (found, diagnostics) = load(path);
        read += 1;
        rules += found;
        for diagnostic in diagnostics {
            println!("{diagnostic}");
            if diagnostic.severity == Severity::Error {
                wrong.push(diagnostic.to_string());
            }
        }
    }
    println!("{rules} rules in {read} files of {}", files.len());
    assert!(rules > 1_500, "{rules}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn templates_of_public_rule_files_are_planned() {
    let Some(root) = corpus::corpus("") else { return };
    let mut files = Vec::new();
    for folder in ["rules_yaml", "unit_tests", "rules_fixtures", "promtool"] {
        yaml_files(&root.join(folder), &mut files);
    }
    files.sort();
    let (mut templates, mut querying, mut queries, mut refused) = (0, 0, 0, Vec::new());
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let (groups, diagnostics) = load_file(&path.display().to_string(), &text);
        for rule in groups.iter().flat_map(|group| &group.rules) {
            let RuleKind::Alert { annotations, .. } = &rule.kind else { continue };
            for (_, text) in rule.labels.iter().chain(annotations) {
                let Ok(template) = Template::parse(text) else { continue };
                let asked = template.queries().len();
                templates += usize::from(template.is_static().is_none());
                querying += usize::from(asked > 0);
                queries += asked;
            }
        }
        refused.extend(diagnostics.iter().map(Diagnostic::to_string).filter(|d| d.contains("query of this template")));
    }
    println!("{templates} templates; {querying} of them make {queries} queries, {} not planned", refused.len());
    refused.iter().for_each(|why| println!("{why}"));
    assert!(templates > 1_000 && queries > 0, "{templates} {queries}");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Files that are refused, and with what words.
const BAD: [(&str, &str); 7] = [
    ("bad-rules-syntax.yml", "the expression ends where an expression is expected"),
    ("rules_duplicates.yml", "twice"),
    ("prometheus-rules.lint.yml", "twice"),
    ("rules_large.yml", "twice"),
    ("rules_extrafields.yml", "unknown key namespace in a group"),
    ("invalid_rules.yaml", "unknown key unexpected_field in a rule"),
    ("bad-sd-file-format.yml", "mapping"),
];

/// Its fault is an undefined variable in a template.
const NEEDS_TEMPLATES: &str = "rules-bad.yml";

#[test]
fn bad_rule_files_are_refused() {
    let Some(root) = corpus::corpus("") else { return };
    for (name, words) in BAD {
        let folder = if name.ends_with(".yaml") { "rules_fixtures" } else { "promtool" };
        let errors = errors(&root.join(folder).join(name));
        assert!(errors.iter().any(|e| e.contains(words)), "{name}: {errors:?}");
    }
}
