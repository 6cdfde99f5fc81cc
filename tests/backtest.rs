//! `forewarn backtest` on histories made for it, through the program: figures counted by hand, the shape of the JSON, and a
//! page that is one file and runs nothing of others.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// 2026-01-01T00:00:00Z in seconds.
const BEGIN: i64 = 1_767_225_600;

const RULES: &str = r#"
groups:
  - name: disk
    interval: 1m
    rules:
      - alert: DiskFull
        expr: disk_free_bytes / 1e9 < 10
        for: 5m
        labels: {severity: page}
        annotations: {summary: '{{ $labels.host }} has {{ $value }} GB'}
      - alert: HighLoad
        expr: load > 8
"#;

/// One day, a sample a minute. a's disk loses 1 GB every 10 minutes from 06:00 on, from 50 GB, until 15:00, when it has 50
/// again. b's falls to 5 GB for 4 minutes (too short for `for`), and at 20:00 for 30 minutes. Load of a has spikes.
fn history() -> String {
    let mut text = String::new();
    for minute in 0..24 * 60 {
        let t = BEGIN + 60 * minute;
        let since = (minute - 360) as f64;
        let a = if (360..900).contains(&minute) { (50.0 - since / 10.0).max(1.0) } else { 50.0 };
        let b = if (600..604).contains(&minute) || (1200..1230).contains(&minute) { 5.0 } else { 80.0 };
        let load = if [100, 110, 111, 500].contains(&minute) { 9 } else { 1 };
        writeln!(text, "disk_free_bytes{{host=\"a\"}} {}e9 {t}", a).unwrap();
        writeln!(text, "disk_free_bytes{{host=\"b\"}} {}e9 {t}", b).unwrap();
        writeln!(text, "load{{host=\"a\"}} {load} {t}").unwrap();
    }
    text + "# EOF\n"
}

const INCIDENTS: &str = "
- {name: disk of a, start: 2026-01-01T14:00:00Z, end: 2026-01-01T15:00:00Z, match: {host: a}, rules: [DiskFull]}
- {name: load, start: 2026-01-01T01:45:00Z, end: 2026-01-01T02:00:00Z, rules: [HighLoad]}
- {name: unseen, start: 2026-01-01T22:00:00Z, end: 2026-01-01T22:30:00Z, match: {host: a}, rules: [DiskFull, HighLoad]}
";

#[path = "support/skip.rs"]
mod skip;

struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir }
    }

    fn usual() -> Self {
        Self::new(&[("rules.yml", RULES), ("day.om", &history()), ("incidents.yml", INCIDENTS)])
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .arg("backtest")
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    fn stdout(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "no bar without a terminal: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }
}

#[test]
fn the_table_is_the_one_counted_by_hand() {
    let case = Case::usual();
    // DiskFull: a is below 10 GB from 12:41 (50 - 401/10 = 9.9), fires at 12:46, until 15:00: 134 minutes, 74 before the
    // incident. b fires from 20:05 to 20:30, for nothing. HighLoad: 01:40 to 01:41, 01:50 to 01:52 (a flap) in the incident,
    // 08:20 to 08:21.
    let table = case.stdout(&["--rules", "rules.yml", "--data", "day.om", "--incidents", "incidents.yml"]);
    let expected = "\
2026-01-01T00:00:00.000Z to 2026-01-01T23:59:00.000Z (23h59m)
4320 samples that the rules read, of 3 series at most at a time

ALERT     PAGES  FIRING  FLAPS  PRECISION     RECALL  MEDIAN LEAD
DiskFull      2   2h39m      0  50% (1/2)  50% (1/2)        1h14m
HighLoad      3      4m      1  67% (2/3)  50% (1/2)           5m
all           5   2h43m      1  60% (3/5)  67% (2/3)       39m30s
";
    assert_eq!(table, expected);
}

#[test]
fn findings_before_the_start_do_not_count_and_what_lies_outside_is_not_read() {
    let case = Case::usual();
    let run = |further: &[&str]| {
        case.stdout(&[&["--rules", "rules.yml", "--data", "day.om", "--json", "r.json"], further].concat());
        let report = case.json("r.json");
        (report["rules"][0]["score"]["pages"].as_u64().unwrap(), report["samples"].as_u64().unwrap())
    };
    assert_eq!(run(&["--start", "2026-01-01T13:00:00Z", "--warm-up", "2h"]), (1, 3 * 780));
    assert_eq!(run(&["--start", "2026-01-01T12:44:00Z", "--warm-up", "10m"]), (2, 3 * 686));
    // `for` begins anew where nothing is learnt before.
    assert_eq!(run(&["--start", "2026-01-01T13:00:00Z", "--warm-up", "0"]), (2, 3 * 660));
    assert_eq!(run(&["--end", "2026-01-01T12:45:59Z"]), (0, 3 * 766));
    assert_eq!(run(&["--end", "2026-01-01T12:46:00Z"]), (1, 3 * 767));
}

#[test]
fn the_json_keeps_its_shape() {
    let case = Case::usual();
    let changed = RULES.replace("for: 5m", "for: 3m").replace("load > 8", "load > 10");
    std::fs::write(case.path("changed.yml"), changed).unwrap();
    case.stdout(&[
        "--rules",
        "rules.yml",
        "--compare",
        "changed.yml",
        "--data",
        "day.om",
        "--incidents",
        "incidents.yml",
        "--json",
        "r.json",
    ]);
    let got = std::fs::read_to_string(case.path("r.json")).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backtest/report.json");
    if std::env::var_os("FOREWARN_BLESS").is_some() {
        std::fs::write(&fixture, &got).unwrap();
    }
    assert_eq!(
        got,
        std::fs::read_to_string(&fixture).unwrap(),
        "FOREWARN_BLESS=1 writes it anew, if the change is meant"
    );
}

#[test]
fn a_change_of_rules_shows_what_it_would_have_paged() {
    let case = Case::usual();
    // With `for: 3m` b's four minutes are a page, and all else fires two minutes earlier; the load rule is gone.
    let changed = RULES.replace("for: 5m", "for: 3m").replace("load > 8", "load > 10");
    std::fs::write(case.path("changed.yml"), changed).unwrap();
    let table = case.stdout(&["--rules", "rules.yml", "--compare", "changed.yml", "--data", "day.om"]);
    let expected = "
with changed.yml instead of rules.yml
ALERT      PAGES          FIRING  NEW  GONE
DiskFull  2 -> 3  2h39m -> 2h44m   +1    -0
HighLoad  3 -> 0        4m -> 0s   +0    -3
+ 2026-01-01T10:03:00.000Z  {alertname=\"DiskFull\", host=\"b\", severity=\"page\"}
- 2026-01-01T01:40:00.000Z  {alertname=\"HighLoad\", host=\"a\"}
- 2026-01-01T01:50:00.000Z  {alertname=\"HighLoad\", host=\"a\"}
- 2026-01-01T08:20:00.000Z  {alertname=\"HighLoad\", host=\"a\"}
";
    assert!(table.ends_with(expected), "{table}");
}

#[test]
fn mistakes_say_what_is_wrong() {
    let case = Case::usual();
    std::fs::write(case.path("bad.yml"), "groups: [{name: g, rules: [{alert: A, expr: 'rat(x[5m]) > 1'}]}]").unwrap();
    std::fs::write(case.path("bad_incidents.yml"), "- {name: a, start: 2, end: 1}").unwrap();
    for (args, want) in [
        (vec!["--rules", "bad.yml", "--data", "day.om"], "unknown function rat()"),
        (vec!["--rules", "none.yml", "--data", "day.om"], "no file matches"),
        (vec!["--rules", "rules.yml", "--data", "none.om"], "no file matches"),
        (vec!["--rules", "rules.yml", "--data", "incidents.yml"], "does not tell the format"),
        (vec!["--rules", "rules.yml", "--data", "day.om", "--incidents", "bad_incidents.yml"], "before it starts"),
        (
            vec!["--rules", "rules.yml", "--data", "day.om", "--start", "2026-02-01", "--end", "2026-01-01"],
            "is before --start",
        ),
        (vec!["--rules", "rules.yml", "--data", "day.om", "--start", "2027-01-01"], "no sample that the rules read"),
    ] {
        let output = case.run(&args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(want), "{args:?}: {text}");
    }
}

#[test]
fn a_folder_of_files_is_one_history() {
    let case = Case::usual();
    std::fs::create_dir(case.path("data")).unwrap();
    let rows = |v: f64| (0..60).map(|i| format!("{},{v}\n", BEGIN + 60 * i)).collect::<String>();
    std::fs::write(case.path("data/load.csv"), format!("time,load\n{}", rows(9.0))).unwrap();
    std::fs::write(case.path("data/disk_free_bytes.csv"), format!("time,load\n{}", rows(5e9))).unwrap();
    std::fs::write(case.path("data/notes.txt"), "nothing").unwrap();
    let args =
        "--rules rules.yml --data data --label host={stem} --timestamp-column time --value-column load --json r.json";
    case.stdout(&args.split(' ').collect::<Vec<_>>());
    let rules = case.json("r.json")["rules"].clone();
    assert_eq!(rules[0]["alerts"][0]["labels"]["host"], "disk_free_bytes");
    assert_eq!(rules[1]["alerts"][0]["labels"]["host"], "load");
    assert_eq!(rules[1]["alerts"][0]["resolvedAt"], Value::Null);
}

/// What tries to become markup or script.
const EVIL: &str = r#"</script><script>document.title='broken'</script><img src=x onerror="document.title='broken'">"#;

fn page(case: &Case) -> String {
    let rules = format!("{RULES}        annotations: {{summary: {}}}\n", serde_json::to_string(EVIL).unwrap());
    let history =
        history().replace("load{host=\"a\"}", &format!("load{{host={}}}", serde_json::to_string(EVIL).unwrap()));
    let incidents =
        format!("{INCIDENTS}- {{name: {}, start: 1767225600, end: 1767225900}}", serde_json::to_string(EVIL).unwrap());
    for (name, text) in [("rules.yml", rules), ("day.om", history), ("incidents.yml", incidents)] {
        std::fs::write(case.path(name), text).unwrap();
    }
    case.stdout(&["--rules", "rules.yml", "--data", "day.om", "--incidents", "incidents.yml", "--html", "r.html"]);
    std::fs::read_to_string(case.path("r.html")).unwrap()
}

#[test]
fn the_page_is_one_file_whose_data_stay_data() {
    let page = page(&Case::usual());
    for reference in
        ["http:", "https:", "src=", "url(", "@import", "import(", "fetch(", "XMLHttp", "innerHTML", "<link rel=\"style"]
    {
        // The data are text and may hold anything.
        let (before, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
        let (data, after) = rest.split_once("</script>").unwrap();
        assert!(!before.contains(reference) && !after.contains(reference), "{reference}");
        assert!(!data.contains('<'));
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["rules"][1]["alerts"][0]["annotations"][0][1], EVIL);
        assert_eq!(data["rules"][1]["alerts"][0]["labels"]["host"], EVIL);
        let chart = &data["rules"][0]["charts"][0];
        assert_eq!(chart["labels"]["host"], "a");
        assert_eq!(chart["threshold"]["at"], 10.0);
        let low = chart["low"].as_array().unwrap();
        // A day at one a minute does not fit into 1,024 buckets, so that each has two.
        assert_eq!((low.len(), &chart["width"]), (720, &Value::from(120_000)));
        assert_eq!(low.iter().filter_map(Value::as_f64).fold(f64::INFINITY, f64::min), 1.0);
    }
}

#[test]
fn a_browser_draws_the_page() {
    let Some(chromium) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|browser| Command::new(browser).arg("--version").output().is_ok_and(|output| output.status.success()))
    else {
        return skip::lacking("no chromium is installed");
    };
    let case = Case::usual();
    page(&case);
    let url = format!("file://{}", case.path("r.html").display());
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom", &url])
        .env("HOME", case.dir.path())
        .output()
        .unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    assert!(dom.contains("<title>forewarn backtest</title>"), "script of others has run, or nothing: {dom:.300}");
    assert_eq!(dom.matches("<canvas").count(), 3, "two disks' alerts and one of load");
    assert!(dom.contains("<td>67%</td>") && dom.contains(">DiskFull</a>"));
    assert!(!dom.contains("<img"));
}
