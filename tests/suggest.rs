//! `forewarn suggest` through the program: text and JSON of recorded files, what is left out, and mistakes that say how to
//! mend them.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn suggest(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewarn")).arg("suggest").args(args).current_dir(dir).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Two weeks at ten minutes.
fn csv(mut value: impl FnMut(f64) -> f64) -> String {
    let mut text = "timestamp,value\n".to_owned();
    for i in 0..14 * 144 {
        let _ = writeln!(text, "{},{:.3}", 1_700_006_400 + 600 * i, value(f64::from(i) / 144.0));
    }
    text
}

fn recordings(dir: &Path) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut noise = move || rng.f64() - 0.5;
    std::fs::create_dir_all(dir.join("data/more")).unwrap();
    let files = [
        ("requests.csv", csv(|day| 100.0 + 40.0 * (std::f64::consts::TAU * day).sin() + 4.0 * noise())),
        ("more/disk_used_bytes.csv", csv(|day| 1e9 * (1.0 + day / 20.0))),
        ("flat.csv", csv(|_| 3.0)),
    ];
    for (name, text) in files {
        std::fs::write(dir.join("data").join(name), text).unwrap();
    }
}

#[test]
fn each_recording_gets_a_profile_a_reason_and_rules() {
    let dir = tempfile::tempdir().unwrap();
    recordings(dir.path());
    let text = stdout(&suggest(dir.path(), &["--data", "data"]));
    assert!(
        text.starts_with("3 series in 3 groups\n\nfilling: profile saturation, time_until, predict_anomaly\n"),
        "{text}"
    );
    assert!(
        text.contains(r#"expr: 'time_until(disk_used_bytes, 1700000000, 0.5, "saturation") < 4 * 3600'"#),
        "{text}"
    );
    assert!(text.contains("\ntraffic: profile traffic") && text.contains("\nconstant: profile default"), "{text}");
    let json: Value = serde_json::from_str(&stdout(&suggest(dir.path(), &["--json", "--data", "data"]))).unwrap();
    assert_eq!((&json["series"], &json["points_left_out"]), (&Value::from(3), &Value::from(0)));
    let kinds: Vec<&str> = json["groups"].as_array().unwrap().iter().map(|g| g["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["filling", "traffic", "constant"]);
    let traffic = &json["groups"][1]["members"][0];
    assert_eq!((&traffic["series"], &traffic["features"]["interval_seconds"]), (&"requests".into(), &600.0.into()));
    assert!(traffic["features"]["daily"].as_f64().unwrap() > 0.9, "{traffic}");
    // Files one by one, in another order, say the same.
    let files = ["data/requests.csv", "data/flat.csv", "data/more/disk_used_bytes.csv"];
    let again = stdout(&suggest(dir.path(), &[&["--data"], &files[..]].concat()));
    assert_eq!(again, text);
}

#[test]
fn what_is_left_out_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for series in 0..501 {
        let _ = writeln!(
            lines,
            r#"{{"metric":{{"__name__":"m","i":"{series}"}},"values":[1],"timestamps":[1700006400000]}}"#
        );
    }
    std::fs::write(dir.path().join("many.jsonl"), lines).unwrap();
    let rows: String = (0..40_321).map(|i| format!("{},1\n", 1_700_006_400 + 60 * i)).collect();
    std::fs::write(dir.path().join("long.csv"), format!("timestamp,value\n{rows}")).unwrap();
    let many = stdout(&suggest(dir.path(), &["--data", "many.jsonl"]));
    assert!(many.starts_with("500 series in 1 group\nwarning: 1 series left out: 500 are the most\n"), "{many}");
    assert!(many.contains("  and 488 more\n"), "{many}");
    let long = stdout(&suggest(dir.path(), &["--data", "long.csv"]));
    assert!(long.contains("warning: 1 points left out: the newest 40320 of each series are looked at\n"), "{long}");
}

#[test]
fn mistakes_say_how_to_mend_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "when,value\n1,1\n").unwrap();
    std::fs::write(dir.path().join("empty.csv"), "timestamp,value\n").unwrap();
    for (args, want) in [
        (&["--data", "none"][..], "none"),
        (&["--data", "a.csv"], "no column \"timestamp\" (there are: when, value)"),
        (&["--data", "empty.csv"], "empty.csv: no sample in there"),
        (&[], "--data"),
    ] {
        let output = suggest(dir.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(want), "{args:?}: {said}");
    }
}
