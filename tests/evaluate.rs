//! `forewarn evaluate` through the program: scores in the scorers' shape, figures, and mistakes that say where.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::path::Path;
use std::process::{Command, Output};

fn evaluate(dir: &Path, args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .arg("evaluate")
        .args(args.split(' '))
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Ten days at one in five minutes with a daily season; a spike on the ninth, and a missing value.
fn series() -> String {
    let mut text = "TimeStamp,Value,Label\n".to_owned();
    let mut rng = fastrand::Rng::with_seed(5);
    for i in 0..2_880 {
        let t = 1_530_576_000 + 300 * i;
        let season = (f64::from(i) / 288.0 * std::f64::consts::TAU).sin();
        let spike = if i == 2_500 { 40.0 } else { 0.0 };
        let value = if i == 2_000 { String::new() } else { format!("{:.3}", 50.0 + 5.0 * season + rng.f64() + spike) };
        text += &format!("{t},{value},{}\n", u8::from(i == 2_500));
    }
    text
}

#[test]
fn every_point_gets_a_score_and_the_figures_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data/one")).unwrap();
    std::fs::create_dir_all(dir.path().join("data/labels")).unwrap();
    std::fs::write(dir.path().join("data/LICENSE"), "").unwrap();
    std::fs::write(dir.path().join("data/one/a.csv"), series()).unwrap();
    let output = evaluate(dir.path(), "--data data --out scores --forecasts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let scores = std::fs::read_to_string(dir.path().join("scores/one/a.csv")).unwrap();
    let rows: Vec<&str> = scores.lines().collect();
    assert_eq!((rows.len(), rows[0], rows[2_001]), (2_881, "anomaly_score", "0"));
    let scores: Vec<f64> = rows[1..].iter().map(|row| row.parse().unwrap()).collect();
    assert!(scores[2_500] > 1.0, "{}", scores[2_500]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("detector: 1 series, 2880 points, 1.4 series-weeks\n"), "{text}");
    assert!(text.contains("pages on a series' first day: 0.00\n") && text.contains("state "), "{text}");
    assert!(
        text.contains("   1h ahead, 1 series: error / last value") && text.contains("ramps of 24 h, φ 0.9: "),
        "{text}"
    );
}

#[test]
fn simulated_breaches_need_no_data_and_give_the_same_figures_again() {
    let dir = tempfile::tempdir().unwrap();
    let figures = || {
        let output = evaluate(dir.path(), "--breaches --made-up 1");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = figures();
    assert!(
        text.starts_with("breaches: 28 simulated series of three weeks, noise of 4 series, 4 made up; seed 2\n"),
        "{text}"
    );
    for part in
        ["time_until(v, limit) < 4h, for 10m", "predict_linear(v[6h], 4h) >= limit", "  RisingSawtooth", "recall"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text, figures());
}

#[test]
fn mistakes_say_where() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("data/one")).unwrap();
    std::fs::create_dir_all(dir.path().join("empty")).unwrap();
    std::fs::write(dir.path().join("data/one/a.csv"), "t,v\n1,1\n2,x\n").unwrap();
    for (args, want) in [
        ("--data data", "a.csv:3: the second column is no number"),
        ("--data empty", "no CSV file"),
        ("--data data --profile nonesuch", "the program carries default, latency"),
    ] {
        let output = evaluate(dir.path(), args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(want), "{args}: {text}");
    }
}
