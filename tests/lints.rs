//! Every lint does what docs/lints.md says: it speaks in its example, at a place within the rule, and not in the mended one;
//! comments and options switch it off.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

use forewarn::base::parse_duration;
use forewarn::cli::check::{self, CheckOptions};
use forewarn::cli::findings::Format;
use forewarn::rules::{Lint, LintOptions, check_file};

fn all() -> LintOptions {
    LintOptions { on: Lint::all().collect(), ..LintOptions::default() }
}

/// The codes of what all lints say, each with the text that it points at.
fn found(file: &str) -> Vec<(&'static str, String)> {
    let (_, diagnostics) = check_file("f.yml", file, &all());
    diagnostics.into_iter().map(|d| (d.code, file[d.span].to_owned())).collect()
}

fn codes(file: &str) -> Vec<&'static str> {
    found(file).into_iter().map(|(code, _)| code).collect()
}

/// A rule file around a list of rules.
fn file(rules: &str) -> String {
    if rules.starts_with("groups:") {
        return rules.to_owned();
    }
    let rules: String = rules.lines().map(|line| format!("      {line}\n")).collect();
    format!("groups:\n  - name: g\n    rules:\n{rules}")
}

/// An alert with this expression, quoted.
fn alert(expr: &str) -> String {
    file(&format!("- alert: A\n  expr: {}", serde_json::to_string(expr).unwrap()))
}

/// The lints that are on by default and speak about an alert.
fn about(expr: &str) -> Vec<&'static str> {
    let on = codes(&alert(expr));
    on.into_iter().filter(|code| code.parse().is_ok_and(Lint::is_default)).collect()
}

#[test]
fn examples_of_the_documentation_hold() {
    for lint in Lint::all() {
        let section = lint.explanation();
        let examples: Vec<&str> =
            section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        let [bad, mended] = examples.as_slice() else { panic!("{}: {} examples", lint.code(), examples.len()) };
        assert!(codes(&file(bad)).contains(&lint.code()), "{}: {:?}", lint.code(), codes(&file(bad)));
        let left: Vec<&str> = codes(&file(mended));
        assert!(!left.contains(&lint.code()), "{}: the mended example has it too", lint.code());
        // Nor does mending one thing bring about another.
        let defaults: Vec<&&str> = left.iter().filter(|code| code.parse().is_ok_and(Lint::is_default)).collect();
        assert!(defaults.is_empty(), "{}: {defaults:?}", lint.code());
    }
}

#[test]
fn sound_rules_are_left_alone() {
    for expr in [
        "vector(1)",
        "up == 0",
        "absent(up{job=\"a\"})",
        "sum(rate(x_total[5m])) == 0",
        "count(up == 0) > 0",
        "(sum by (job) (x) or vector(0)) > 3",
        "node_state{state=\"failed\"}",
        "ALERTS{alertstate=\"firing\"}",
        "job:errors:ratio",
        "sum by (job) (a) / on (job) group_left (owner) b > 1",
        "a{x=\"1\"} / ignoring (x) b > 1",
        "a / b{mode=\"idle\"} > 1",
        "sum by (job) (a{mode=\"idle\"}) / sum by (job) (b) > 1",
        "sum(a) / scalar(b{x=\"1\"}) > 2",
        "(a or b{x=\"1\"}) unless on (job) c > 0",
        "histogram_quantile(0.9, job:latency_bucket:rate5m) > 1",
        "histogram_quantile(0.9, rate(x_bucket[5m])) > 1",
        "predict_linear(a[6h], 3600) < 0 and a < 5",
        "a < 5 and predict_linear(a[6h], 3600) < 0",
        "predict_quantile(0.5, a, 0) > 2",
        "time_until(a, 0)",
        "time_until(a, 0) < 3600",
        "up{job=~\"a|\"} == 0",
        "up{job=~\"a\\\\.b\"} == 0",
        "up{job=~\"^a|b$\"} == 0",
        "up{job=~\"a$\", instance=~\"x\\\\$y.*\"} == 0 or up{path=\"/a$\"} == 0",
        "x{job!=\"a\", job!=\"b\"} > 0",
        "x{job=~\"a.*\", job!=\"ab\"} > 0",
        "increase(x_total[5m]) == 0",
        "rate(http_requests_count[5m]) > 0",
        "rate(mysql_global_status_questions[5m]) > 1",
        "delta(room_temperature_celsius[1h]) > 1",
        "nodes_offline_total > 0",
        "max_over_time(x[10s]) > 0",
        "x > 5 and x < 8",
        "x > 5 < 8",
        "1 < x",
    ] {
        let expected: &[&str] = if expr.contains("\"a$\"") { &["redundant-anchor"] } else { &[] };
        assert_eq!(about(expr), expected, "{expr}");
    }
}

#[test]
fn doubtful_expressions_are_found() {
    for (expr, code, place) in [
        ("0 == count(up)", "never-true", "0 == count(up)"),
        ("x > 5 and x < 3", "never-true", "x > 5 and x < 3"),
        ("up > 1", "never-true", "up > 1"),
        ("rate(x_total[5m]) < 0", "never-true", "rate(x_total[5m]) < 0"),
        ("absent(sum(x) or vector(0))", "never-true", "absent(sum(x) or vector(0))"),
        ("sum(x == 0) > 0", "never-true", "sum(x == 0) > 0"),
        ("x > 3 or vector(0) > 3", "never-true", "vector(0) > 3"),
        ("hour() == 24", "never-true", "hour() == 24"),
        ("1", "always-fires", "1"),
        ("sum(x) or vector(0)", "always-fires", "sum(x) or vector(0)"),
        ("rate(x_total[5m]) >= 0", "always-fires", "rate(x_total[5m]) >= 0"),
        ("x > bool 1", "always-fires", "> bool"),
        ("up{job=\"a\"}", "no-condition", "up{job=\"a\"}"),
        ("sum(up) > 0 or sum(x)", "no-condition", "sum(up) > 0 or sum(x)"),
        ("a{x=\"1\"} / on (x) sum by (y) (b) > 1", "never-matches", "/ on (x)"),
        ("a / ignoring (x) b and c{x=\"1\"} > 1", "never-matches", "and"),
        ("sum by (a) (x) unless sum by (b) (y) > 1", "never-matches", "unless"),
        ("rate(x_total[10s]) > 1", "range-too-short", "x_total[10s]"),
        ("deriv(sum(x)[5m:4m]) > 1", "range-too-short", "sum(x)[5m:4m]"),
        ("rate(job:requests_total:sum[5m]) > 1", "rate-of-aggregate", "job:requests_total:sum[5m]"),
        ("sum by (a) (rate(used_ratio[5m])) > 1", "rate-of-gauge", "used_ratio[5m]"),
        ("predict_linear(x_total[1h], 3600) > 1 and x > 1", "gauge-function-of-counter", "x_total[1h]"),
        ("sum(x_errors_total) > 3", "raw-counter", "sum(x_errors_total) > 3"),
        ("sum(increase(x_total[5m])) == 3", "extrapolated-equality", "sum(increase(x_total[5m])) == 3"),
        ("histogram_quantile(0.9, sum(rate(x_bucket[5m]))) > 1", "buckets-dropped", "sum(rate(x_bucket[5m]))"),
        ("histogram_quantile(0.9, sum by (le) (rate(x_sum[5m]))) > 1", "buckets-dropped", "x_sum[5m]"),
        ("quantile_over_time(99, x[5m]) > 1", "quantile-range", "99"),
        ("predict_linear(x[1h], 4) < 0 and x < 3", "forecast-horizon", "4"),
        ("max(predict_linear(x[1h], 4h)) > 90", "forecast-without-gate", "predict_linear(x[1h], 4h)"),
        ("x{a=~\"b\"} > 1", "plain-regex", "a=~\"b\""),
        ("x{a!~\"\"} > 1", "plain-regex", "a!~\"\""),
        ("x{a=\"b\", a!~\"b|c\"} > 1", "contradictory-matchers", "a=\"b\", a!~\"b|c\""),
        ("x{a=~\"${b}\"} > 1", "dashboard-variable", "a=~\"${b}\""),
        ("x{a!~\".*\"} > 1", "useless-matcher", "a!~\".*\""),
    ] {
        let text = alert(expr);
        let (codes, places): (Vec<&str>, Vec<String>) =
            found(&text).into_iter().filter(|(code, _)| code.parse().is_ok_and(Lint::is_default)).unzip();
        assert_eq!((codes.as_slice(), places[0].replace('\\', "").as_str()), (&[code][..], place), "{expr}");
    }
}

#[test]
fn texts_are_held_against_the_labels_of_the_result() {
    let text = |expr: &str, summary: &str| {
        let summary = serde_json::to_string(summary).unwrap();
        found(&format!("{}\n        annotations: {{summary: {summary}}}\n", alert(expr)))
            .into_iter()
            .filter(|(code, _)| *code == "label-dropped")
            .map(|(_, at)| at)
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(
        text("sum by (job) (x) > 1", "{{ $labels.instance }} {{ .Labels.pod }}"),
        ["$labels.instance", ".Labels.pod"]
    );
    assert_eq!(text("sum by (job) (x) > 1", "{{ $labels.job }}{{ if $labels.pod }}{{ $labels.pod }}{{ end }}"), none);
    assert_eq!(text("x > 1", "{{ $labels.anything }}"), none);
    assert_eq!(text("sum without (pod) (x) > 1", "{{ $labels.pod }} {{ $labels.job }}"), ["$labels.pod"]);
    assert_eq!(text("absent(up{job=\"a\"})", "{{ $labels.job }} {{ $labels.instance }}"), ["$labels.instance"]);
    assert_eq!(text("sum by (a) (x) * on (a) group_left (b) y > 1", "{{ $labels.b }} {{ $labels.c }}"), ["$labels.c"]);
    let (_, diagnostics) = check_file(
        "f.yml",
        &file("- alert: A\n  expr: sum by (instance) (x) > 1\n  annotations: {summary: '{{ $labels.instnce }}'}"),
        &LintOptions::default(),
    );
    assert_eq!(diagnostics[0].help.as_deref(), Some("did you mean instance?"));
    assert!(diagnostics[0].message.contains("keeps instance only"), "{}", diagnostics[0].message);
}

#[test]
fn comments_switch_lints_off() {
    let bad = "- alert: A\n  expr: up > 1\n- alert: B\n  expr: up > 2\n";
    let defaults = |text: &str| -> Vec<(usize, &str)> {
        let (_, found) = check_file("f.yml", text, &LintOptions::default());
        found.iter().map(|d| (d.position.unwrap().line, d.code)).collect()
    };
    assert_eq!(defaults(&file(bad)), [(5, "never-true"), (7, "never-true")]);
    let with = |from: &str, to: &str| defaults(&file(&bad.replacen(from, to, 1)));
    assert_eq!(with("- alert: A", "# forewarn:disable never-true why\n- alert: A"), [(8, "never-true")]);
    assert_eq!(with("up > 1", "up > 1 # forewarn:disable never-true"), [(7, "never-true")]);
    assert_eq!(with("- alert: B", "  # forewarn:disable never-true\n- alert: B"), [(8, "never-true")]);
    assert_eq!(with("- alert: B", "# forewarn:disable never-true\n- alert: B"), [(5, "never-true")]);
    assert_eq!(with("up > 1", "|\n    # forewarn:disable never-true\n    up > 1"), [(9, "never-true")]);
    assert_eq!(with("up > 1", "up > 1 # forewarn:disable-file plain-regex, never-true"), []);
    assert_eq!(with("up > 1", "up > 1 # forewarn:disable no-condition"), [(5, "never-true"), (7, "never-true")]);
    let group = file(bad).replace("- name: g", "- name: g # forewarn:disable never-true");
    assert_eq!(defaults(&group), []);
    assert_eq!(
        with("up > 1", "up > 1 # forewarn:disable never-treu"),
        [(5, "never-true"), (5, "unknown-lint"), (7, "never-true")]
    );
    let nowhere = format!("# forewarn:disable never-true\n{}", file(bad));
    assert_eq!(defaults(&nowhere)[0], (1, "unknown-lint"));
}

#[test]
fn an_alias_is_judged_where_it_is_used() {
    let text = file("- alert: A\n  expr: &e up > 1\n  # forewarn:disable never-true\n- alert: B\n  expr: *e");
    assert_eq!(codes(&text).iter().filter(|code| **code == "never-true").count(), 1);
}

#[test]
fn intervals_of_the_configuration_count() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("r.yml"), file("- alert: A\n  expr: rate(x_total[1m]) > 1")).unwrap();
    let config = |text: &str| {
        std::fs::write(at("forewarn.yml"), text).unwrap();
        let mut out = Vec::new();
        check::config(&at("forewarn.yml"), &CheckOptions::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap().contains("range-too-short")
    };
    assert!(!config("rule_files: [r.yml]\n"));
    assert!(config("global: {scrape_interval: 1m}\nrule_files: [r.yml]\n"));
    let options = LintOptions { scrape_interval: parse_duration("1m").unwrap(), ..LintOptions::default() };
    let mut out = Vec::new();
    check::rules(&[at("r.yml")], &CheckOptions { lints: options, ..CheckOptions::default() }, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("[range-too-short]"));
}

/// What `check config` writes about a configuration that names r.yml, and its exit code.
fn checked(config: &str, rules: &str) -> (ExitCode, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.yml"), rules).unwrap();
    let file = folder.path().join("forewarn.yml");
    std::fs::write(&file, config).unwrap();
    let mut out = Vec::new();
    let code = check::config(&file, &CheckOptions::default(), &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn mistakes_of_a_configuration_are_shown_at_their_place() {
    let (code, text) = checked("global:\n  scrap_interval: 1m\n", "");
    assert_eq!(code, ExitCode::FAILURE);
    assert!(text.contains("forewarn.yml:2:3: error: unknown key scrap_interval\n"), "{text}");
    assert!(text.contains("  scrap_interval: 1m\n") && text.contains("help: did you mean scrape_interval?"), "{text}");
    let (code, text) = checked("scrape_configs: [{job_name: a, scrape_timeout: 20s}]\n", "");
    assert_eq!(code, ExitCode::FAILURE);
    assert!(text.contains("forewarn.yml: error: ") && text.contains("longer than scrape_interval"), "{text}");
    let (code, text) = checked("model_files: [r.yml]\n", "nothing_known: [\n");
    assert!(code == ExitCode::FAILURE && text.contains("r.yml: error: "), "{text}");
}

#[test]
fn profiles_of_a_configuration_are_known() {
    let rules = |profile: &str| file(&format!("- alert: A\n  expr: predict_anomaly(x, \"{profile}\") > 1"));
    let (code, text) = checked("rule_files: [r.yml]\n", &rules("defualt"));
    assert_eq!(code, ExitCode::FAILURE);
    assert!(
        text.contains("r.yml:5:34: error: there is no profile \"defualt\"")
            && text.contains("did you mean \"default\"?"),
        "{text}"
    );
    assert_eq!(checked("rule_files: [r.yml]\n", &rules("default")).0, ExitCode::SUCCESS);
    assert_eq!(output(&rules("of_a_file_to_come"), Format::Text, true).0, ExitCode::SUCCESS);
}

/// What `check rules` writes about one file in some format, and its exit code.
fn output(text: &str, format: Format, deny_warnings: bool) -> (ExitCode, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a, b.yml");
    std::fs::write(&path, text).unwrap();
    let options = CheckOptions { format, deny_warnings, ..CheckOptions::default() };
    let mut out = Vec::new();
    let code = check::rules(&[path], &options, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn machines_can_read_findings() {
    let text = file(
        "- alert: A\n  expr: |\n    up{a=~\"é\"}\n      > rat(x[5m])\n- alert: B\n  expr: up{é=\"x\"}\n- alert: C\n  expr: up > 1",
    );
    let (code, json) = output(&text, Format::Json, false);
    assert_eq!(code, ExitCode::FAILURE);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["errors"].as_u64(), json["warnings"].as_u64(), json["rules"].as_u64()),
        (Some(2), Some(1), Some(1))
    );
    let first = &json["diagnostics"][0];
    let number = |key: &str| first[key].as_u64().unwrap();
    assert_eq!((number("line"), number("column"), number("end_line"), number("end_column")), (7, 15, 7, 18));
    assert_eq!((first["severity"].as_str(), first["code"].as_str()), (Some("error"), Some("promql")));
    assert_eq!(first["help"].as_str(), Some("did you mean rate()?"));
    assert_eq!(json["diagnostics"][2]["code"], "never-true");

    let (_, github) = output(&text, Format::Github, false);
    let last = github.lines().last().unwrap();
    assert!(
        last.starts_with("::warning file=") && last.contains("a%2C b.yml,line=11,col=15,endLine=11,endColumn=21"),
        "{last}"
    );
    assert!(last.contains(",title=never-true::") && last.contains("%0Ahelp: "), "{last}");

    let (_, sarif) = output(&text, Format::Sarif, false);
    let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    let result = &sarif["runs"][0]["results"][2];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("never-true"), Some("warning")));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 11);
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let text = file("- alert: C\n  expr: up > 1");
    assert_eq!(output(&text, Format::Text, false).0, ExitCode::SUCCESS);
    assert_eq!(output(&text, Format::Text, true).0, ExitCode::FAILURE);
    assert_eq!(output(&file("- alert: C\n  expr: up == 1"), Format::Json, true).0, ExitCode::SUCCESS);
    let mut out = Vec::new();
    check::explain("never-true".parse().unwrap(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("never-true (on)\n\nA comparison that no value can satisfy."), "{text}");
}
