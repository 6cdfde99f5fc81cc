//! Templates expand as promtool 3.5 expands them: the tables that the tests compare with are what the real one says.
//!
//! With `FOREWARN_WRITE=1` the tables are written anew from the promtool that `PROMTOOL` names, or the first in the PATH.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

#[path = "support/skip.rs"]
mod skip;
#[path = "support/which_promtool.rs"]
mod which_promtool;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use forewarn::cli::test::TestOptions;

/// A row of a table: what `$value` is, the template, and what is expected of it.
struct Row {
    value: String,
    template: String,
    expected: String,
}

/// A table: its head (comments; `#| ` is YAML of every test), and rows.
struct Table {
    path: PathBuf,
    head: String,
    rows: Vec<Row>,
}

impl Table {
    fn read(path: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        let (comments, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
        let head = comments.iter().fold(String::new(), |head, line| head + line + "\n");
        let row = |pair: &[&str]| {
            let (value, template) = pair[0].split_once('\t').unwrap();
            let expected = (*pair.get(1).unwrap_or(&"")).to_owned();
            Row { value: value.to_owned(), template: template.to_owned(), expected }
        };
        Self { path, head, rows: lines.chunks(2).map(row).collect() }
    }

    /// YAML that stands in every test of this table.
    fn yaml(&self) -> String {
        self.head.lines().filter_map(|line| line.strip_prefix("#| ")).map(|line| format!("{line}\n")).collect()
    }
}

/// The texts of a rule file and of its test; the alert is named A and its text is in the annotation x.
fn files(row: &Row, yaml: &str, number: usize) -> (String, String) {
    let template = serde_json::to_string(&row.template).unwrap();
    let rules = format!(
        "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: metric\n    annotations:\n      x: {template}\n"
    );
    let test = format!(
        "rule_files: [r{number}.yml]\nevaluation_interval: 1m\ntests:\n- {}\n",
        yaml.replace("VALUE", &row.value).trim_end().replace('\n', "\n  ")
    );
    (rules, test)
}

/// What a unit test's output says of the alert's text: `= "…"` in JSON, or `refused`.
fn outcome(output: &str) -> String {
    let Some((_, after)) = output.split_once("Annotations:{x=\"") else {
        assert!(!output.contains("SUCCESS") && output.contains("annotation \"x\""), "{output}");
        return "refused".to_owned();
    };
    format!("= {}", serde_json::to_string(&unquote(after)).unwrap())
}

/// Undoes Go's `strconv.Quote`, up to the closing quote.
fn unquote(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().unwrap() {
            '"' => return out,
            '\\' => {
                let escape = chars.next().unwrap();
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                if digits > 0 {
                    let code: String = chars.by_ref().take(digits).collect();
                    out.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
                    continue;
                }
                out.push(match escape {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    other => other,
                });
            }
            c => out.push(c),
        }
    }
}

/// What promtool makes of every row.
fn ask_promtool(promtool: &Path, table: &Table) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let yaml = table.yaml();
    let mut names = Vec::new();
    for (i, row) in table.rows.iter().enumerate() {
        let (rules, test) = files(row, &yaml, i);
        std::fs::write(folder.path().join(format!("r{i}.yml")), rules).unwrap();
        std::fs::write(folder.path().join(format!("t{i}.yml")), test).unwrap();
        names.push(format!("t{i}.yml"));
    }
    let output =
        Command::new(promtool).args(["test", "rules"]).args(&names).current_dir(folder.path()).output().unwrap();
    // Every test fails, as it expects no alert.
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let parts: Vec<&str> = text.split("  FAILED:\n").skip(1).collect();
    assert_eq!(parts.len(), names.len(), "{text}");
    parts.iter().map(|part| outcome(part)).collect()
}

fn promtool() -> Option<PathBuf> {
    let promtool = which_promtool::program();
    let version = Command::new(&promtool).arg("--version").output();
    let version = version.map(|o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned());
    if version.as_ref().is_ok_and(|text| text.contains("version 3.5")) {
        return Some(promtool);
    }
    skip::lacking("there is no promtool 3.5; PROMTOOL may name one");
    None
}

/// `~` before a text says that it is an error whose words are ours.
fn same(expected: &str, got: &str) -> bool {
    expected == got || (expected.starts_with('~') && got.starts_with("= \"<error expanding template"))
}

fn check_or_write(path: &str) {
    let Some(promtool) = promtool() else { return };
    let table = Table::read(path);
    let got = ask_promtool(&promtool, &table);
    if std::env::var_os("FOREWARN_WRITE").is_some() {
        let mut text = table.head.clone();
        for (row, got) in table.rows.iter().zip(&got) {
            let got = if row.expected.starts_with('~') { got.replacen('=', "~", 1) } else { got.clone() };
            let _ = write!(text, "{}\t{}\n{got}\n", row.value, row.template);
        }
        std::fs::write(&table.path, text).unwrap();
        return;
    }
    let differs = |(row, got): &(&Row, &String)| !same(&row.expected, got);
    let wrong: Vec<String> = (table.rows.iter().zip(&got))
        .filter(differs)
        .map(|(row, got)| format!("{}\n  table    {}\n  promtool {got}", row.template, row.expected))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("promtool agrees with {} rows of {path}", table.rows.len());
}

/// `forewarn test rules` with the table's texts as what is expected.
fn check_forewarn(path: &str, labels: &str) {
    let table = Table::read(path);
    let yaml = table.yaml();
    let folder = tempfile::tempdir().unwrap();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (i, row) in table.rows.iter().enumerate() {
        let Some(text) = row.expected.strip_prefix("= ") else { continue };
        let alerts = format!("exp_alerts: [{{exp_labels: {labels}, exp_annotations: {{x: {text}}}}}]");
        let (rules, test) = files(row, &yaml.replace("exp_alerts: []", &alerts), i);
        std::fs::write(folder.path().join(format!("r{i}.yml")), rules).unwrap();
        let test_path = folder.path().join(format!("t{i}.yml"));
        std::fs::write(&test_path, test).unwrap();
        let mut out = Vec::new();
        let code = forewarn::cli::test::rules(&[test_path], &TestOptions::default(), &mut out).unwrap();
        checked += 1;
        if code != ExitCode::SUCCESS {
            wrong.push(format!("{}\n{}", row.template, String::from_utf8(out).unwrap()));
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 30, "{checked}");
    println!("forewarn agrees with {checked} rows of {path}");
}

const TEMPLATES: &str = "src/alert/template/promtool.txt";

const QUERIES: &str = "tests/fixtures/templates/queries.txt";

#[test]
fn promtool_agrees_with_the_templates() {
    check_or_write(TEMPLATES);
}

#[test]
fn promtool_agrees_with_the_queries() {
    check_or_write(QUERIES);
}

#[test]
fn templates_in_unit_tests_expand_as_in_promtool() {
    check_forewarn(TEMPLATES, r#"{instance: "web-1.example.com:9100", job: node, path: "/a b<c>"}"#);
}

#[test]
fn queries_in_unit_tests_are_answered_as_in_promtool() {
    check_forewarn(QUERIES, "{instance: a, job: node}");
}
