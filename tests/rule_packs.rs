//! The rule packs that forewarn ships load without a word, and every rule has a firing and a silent test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use forewarn::cli::check;
use forewarn::rules::{RuleKind, load_file};

#[test]
fn they_load_without_warnings() {
    let mut out = Vec::new();
    let paths = ["rules/host.yml", "rules/prometheus.yml"].map(PathBuf::from);
    let code = check::rules(&paths, false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, ExitCode::SUCCESS, "{text}");
    assert!(text.ends_with("rules found in 2 files\n"), "{text}");
}

#[test]
fn every_alert_has_a_firing_and_a_silent_test() {
    for pack in ["host", "prometheus"] {
        let text = std::fs::read_to_string(format!("rules/{pack}.yml")).unwrap();
        let (groups, _) = load_file(pack, &text);
        let alerts =
            groups.iter().flat_map(|group| &group.rules).filter(|rule| matches!(rule.kind, RuleKind::Alert { .. }));
        let tests = std::fs::read_to_string(format!("rules/tests/{pack}_test.yml")).unwrap();
        let tests: serde_json::Value = serde_saphyr::from_str(&tests).unwrap();
        let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
        for test in tests["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().into_iter().flatten() {
                let name = case["alertname"].as_str().unwrap().to_owned();
                let fires = case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
                if fires {
                    firing.insert(name)
                } else {
                    silent.insert(name)
                };
            }
        }
        for alert in alerts {
            assert!(firing.contains(&alert.name), "{} has no firing test", alert.name);
            assert!(silent.contains(&alert.name), "{} has no silent test", alert.name);
        }
    }
}
