//! What dependencies must be: under licences that Apache-2.0 programs may ship, from crates.io, and one version only where
//! a second would be a second copy of something large. Why not cargo-deny: docs/decisions/0008.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Permissive licences: keep the notice, nothing more.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Large ones, and those whose types or global state would be there twice.
const ONLY_ONCE: &[&str] =
    &["tokio", "hyper", "http", "axum", "reqwest", "rustls", "ring", "serde", "regex", "prometheus", "tracing-core"];

#[test]
fn dependencies_are_permissive_from_a_registry_and_not_there_twice() {
    let packages = dependencies();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        let text = |key: &str| package[key].as_str().unwrap_or("");
        let (name, version) = (text("name"), text("version"));
        versions.entry(name).or_default().insert(version);
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        if !is_allowed(text("license")) {
            faults.push(format!("{name} {version}: licence {:?} is not allowed", text("license")));
        }
        // Not from a git repository, nor from a folder; Cargo.lock names the registry.
        if !text("source").starts_with("registry+") {
            faults.push(format!("{name} {version}: comes from {:?}, not from a registry", text("source")));
        }
    }
    for name in ONLY_ONCE {
        let there = versions.get(name).cloned().unwrap_or_default();
        if there.len() > 1 {
            faults.push(format!("{name} is there in several versions: {there:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn licence_expressions_are_understood() {
    for good in [
        "MIT",
        "MIT OR Apache-2.0",
        "MIT/GPL-3.0",
        "GPL-2.0-only OR (MIT AND ISC)",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND MPL-2.0",
        "MIT WITH Classpath-exception-2.0",
        "(MIT",
        "MIT ISC",
    ] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

/// All packages that are part of a build for this machine, tests included.
fn dependencies() -> Vec<Value> {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let args = ["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<String> = nodes.iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect();
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("no packages") };
    packages.retain(|package| used.contains(package["id"].as_str().unwrap()));
    packages
}

/// Whether an SPDX expression can be met with allowed licences alone. Anything it cannot read is not allowed.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words) == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> Option<bool> {
    let mut met = all(words)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words)?;
    }
    Some(met)
}

fn all(words: &mut Words<'_>) -> Option<bool> {
    let mut met = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words)?;
    }
    Some(met)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let met = any(words)?;
        return (words.next()? == ")").then_some(met);
    }
    if words.next_if_eq(&"WITH").is_some() {
        return Some(ALLOWED.contains(&format!("{word} WITH {}", words.next()?).as_str()));
    }
    Some(ALLOWED.contains(&word))
}
