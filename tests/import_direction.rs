//! Holds what ARCHITECTURE.md promises: which module may import which, that the core has no clock, no I/O and no threads,
//! and that files stay small and say what they are for. The table in ARCHITECTURE.md is the one place where directions
//! are written down; this test reads it.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules whose code is a pure function of what it is handed.
const CORE: &[&str] = &["base", "promql", "window", "model", "alert", "rules", "engine"];

/// Files of the core that are its edge.
const EDGES: &[(&str, &str)] = &[("rules/load.rs", "reads rule files; what they say is judged by the rest of rules/")];

/// What only the edge may touch: the crates, and modules of `std`.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
    "tokio",
    "reqwest",
    "hyper",
    "axum",
    "rayon",
    "rand",
    "fastrand",
];

/// Longest file.
const LINES: usize = 450;

/// Which modules each module may import.
type Directions = BTreeMap<String, BTreeSet<String>>;

#[test]
fn sources_keep_to_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directions = directions(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    assert!(files.len() > 100, "only {} files", files.len());
    let mut faults = Vec::new();
    let mut modules = BTreeSet::new();
    for file in files {
        let name = file.strip_prefix(root.join("src")).unwrap().to_str().unwrap().replace('\\', "/");
        let text = std::fs::read_to_string(&file).unwrap();
        modules.extend(module_path(&name).first().cloned());
        faults.extend(check(&directions, &name, &text).into_iter().map(|fault| format!("src/{name}{fault}")));
    }
    let known: BTreeSet<String> = directions.keys().cloned().collect();
    assert_eq!(modules, known, "the modules under src/ and the table in ARCHITECTURE.md differ");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn directions_have_no_circle() {
    let mut left =
        directions(&std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md")).unwrap());
    while !left.is_empty() {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, imports| imports.iter().any(|i| names.contains(i)));
        assert!(left.len() < before, "a circle within {names:?}");
    }
}

#[test]
fn bad_files_are_found() {
    let table = "| `base/` | x | nothing |\n| `engine/` | x | base |\n| `server/` | x | base, engine |\n| `cli/` | x | everything |\n";
    let directions = directions(table);
    assert_eq!(directions["cli"], ["base", "engine", "server"].map(str::to_owned).into());
    let faults = |name: &str, text: &str| check(&directions, name, text);
    let clean: [&str; 0] = [];
    assert_eq!(faults("server/a.rs", "//! A.\nuse crate::engine::Engine;\nuse crate::server::b;\n"), clean);
    assert_eq!(faults("engine/a.rs", "//! A.\nuse crate::server::b;\n"), [":2: engine may not import server"]);
    assert_eq!(
        faults("engine/b/c.rs", "//! A.\nuse super::super::super::server::b;\n"),
        [":2: engine may not import server"]
    );
    assert_eq!(
        faults("engine/b/mod.rs", "//! A.\nuse super::super::server::b;\n"),
        [":2: engine may not import server"]
    );
    assert_eq!(faults("engine/b/c.rs", "//! A.\nuse super::super::server;\n"), clean, "a submodule of its own");
    assert_eq!(
        faults("engine/a.rs", "//! A.\nuse crate::{base, server};\n"),
        [":2: one `use crate::…` for each module"]
    );
    assert_eq!(
        faults("base/a.rs", "//! A.\n#[cfg(test)]\nmod tests { use crate :: engine; }\n"),
        [":3: base may not import engine"]
    );
    assert_eq!(faults("engine/a.rs", "fn f() {}\n"), [":1: begins without `//!`"]);
    assert_eq!(
        faults("engine/a.rs", "//! A.\nlet t = std::time::Instant::now();\n"),
        [":2: the core has no std::time", ":2: the core has no now"]
    );
    assert_eq!(faults("engine/a.rs", "//! A.\n\nuse std::{fs, io};\n"), [":3: the core has no std::{"]);
    assert_eq!(
        faults("engine/a.rs", "//! A.\nuse std::fs::File;\nasync { tokio::spawn() };\n"),
        [":2: the core has no std::fs", ":3: the core has no tokio"]
    );
    assert_eq!(faults("server/a.rs", "//! A.\nuse std::fs::File;\n"), clean);
    assert_eq!(faults("main.rs", "//! A.\nforewarn::engine::run()\n"), [":2: main and lib know only cli"]);
    let long = format!("//! A.\n{}", "\n".repeat(LINES));
    assert_eq!(faults("server/a.rs", &long), [format!(": {} lines; {LINES} are the most", LINES + 1)]);
    // What is no code names nothing.
    let text = "//! crate::server\n// std::fs\n/* tokio /* rand */ tokio */\nlet s = \"crate::server \\\" tokio\";\nlet r = r#\"\n\"tokio\"#;\nlet c = '\"'; let l: &'static str = \"\"; let brand = operand;\n";
    assert_eq!(faults("engine/a.rs", text), clean);
    assert_eq!(faults("engine/a.rs", &format!("{text}tokio")), [":8: the core has no tokio"], "code after all that");
}

/// Reads the table: `| `name/` | what it is | what it may import |`.
fn directions(markdown: &str) -> Directions {
    let rows: Vec<(String, &str)> = markdown
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
            let name = cells[0].strip_suffix("/`")?;
            Some((name.to_owned(), *cells.get(2)?))
        })
        .collect();
    let all: BTreeSet<String> = rows.iter().map(|r| r.0.clone()).collect();
    let imports = |name: &str, cell: &str| match cell {
        "nothing" => BTreeSet::new(),
        "everything" => all.iter().filter(|n| *n != name).cloned().collect(),
        list => list.split(", ").map(str::to_owned).collect(),
    };
    let directions: Directions = rows.iter().map(|(name, cell)| (name.clone(), imports(name, cell))).collect();
    for (name, imports) in &directions {
        assert!(imports.is_subset(&all), "{name} may import what is not in the table: {imports:?}");
    }
    directions
}

/// What is wrong with a file, named as below `src/`.
fn check(directions: &Directions, name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(":1: begins without `//!`".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES {
        faults.push(format!(": {lines} lines; {LINES} are the most"));
    }
    let tokens = tokens(text);
    let path = module_path(name);
    let Some(own) = path.first() else {
        for (i, (line, token)) in tokens.iter().enumerate() {
            if token == "forewarn" && tokens.get(i + 2).is_none_or(|t| t.1 != "cli") {
                faults.push(format!(":{line}: main and lib know only cli"));
            }
        }
        return faults;
    };
    let is_core = CORE.contains(&own.as_str()) && !EDGES.iter().any(|(edge, _)| *edge == name);
    for i in 0..tokens.len() {
        match reference(&tokens, i, path.len()) {
            Some("{") => faults.push(format!(":{}: one `use crate::…` for each module", tokens[i].0)),
            Some(other) if other != own && directions.contains_key(other) && !directions[own].contains(other) => {
                faults.push(format!(":{}: {own} may not import {other}", tokens[i].0));
            }
            _ => {}
        }
        if is_core {
            faults.extend(forbidden(&tokens, i).map(|used| format!(":{}: the core has no {used}", tokens[i].0)));
        }
    }
    faults
}

/// The token after a path to the crate's root that begins at `i`: a module's name, or the brace of a list.
fn reference(tokens: &[(usize, String)], i: usize, depth: usize) -> Option<&str> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|t| t.1 == text);
    if is(i, "crate") && is(i + 1, "::") {
        return tokens.get(i + 2).map(|t| t.1.as_str());
    }
    // Only where the chain begins. Within an inline module, one `super` more is needed to get to the root; it is taken for
    // a way there all the same, which can only find too much.
    if !is(i, "super") || (i > 0 && is(i - 1, "::")) {
        return None;
    }
    let supers = (0..).take_while(|n| is(i + 2 * n, "super") && is(i + 2 * n + 1, "::")).count();
    let next = tokens.get(i + 2 * supers)?.1.as_str();
    (supers >= depth && next != "{").then_some(next)
}

/// Which of the forbidden things stands at `i`. A call of anything's `now` is a clock, whoever's it is.
fn forbidden(tokens: &[(usize, String)], i: usize) -> Option<String> {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.1.as_str());
    let name = match (text(i), text(i + 1)) {
        ("std", "::") => format!("std::{}", text(i + 2)),
        ("::", "now") => "now".to_owned(),
        (word, _) => word.to_owned(),
    };
    // Lists could hide what is forbidden.
    (name == "now" && text(i) == "::" || name == "std::{" || FORBIDDEN_IN_CORE.contains(&&*name)).then_some(name)
}

/// `engine/eval/mod.rs` is `[engine, eval]`, `engine/shard.rs` is `[engine, shard]`, `main.rs` is `[]`.
fn module_path(name: &str) -> Vec<String> {
    let parts = name.trim_end_matches(".rs").split('/');
    parts.filter(|part| !["mod", "main", "lib"].contains(part)).map(str::to_owned).collect()
}

/// Words, `::` and single signs of Rust code, with their lines; comments, strings and characters left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let token = regex::Regex::new(concat!(
        r####"(?s)//[^\n]*|(?P<block>/\*)|b?r(?P<hash>#*)"|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^\n]+?|[^\\'\n])'|'\w+"####,
        r"|(?P<word>\w+|::|[^\s\w])"
    ))
    .unwrap();
    let mut tokens = Vec::new();
    let (mut at, mut line, mut counted) = (0, 1, 0);
    while let Some(found) = token.captures_at(text, at) {
        let whole = found.get(0).unwrap();
        at = whole.end();
        if found.name("block").is_some() {
            at = end_of_comment(text, at);
        } else if let Some(hash) = found.name("hash") {
            let end = format!("\"{}", hash.as_str());
            at = text[at..].find(&end).map_or(text.len(), |n| at + n + end.len());
        } else if let Some(word) = found.name("word") {
            line += text[counted..word.start()].matches('\n').count();
            counted = word.start();
            tokens.push((line, word.as_str().to_owned()));
        }
    }
    tokens
}

/// Where a block comment ends whose opening lies before `at`; they nest.
fn end_of_comment(text: &str, mut at: usize) -> usize {
    let mut depth = 1;
    while depth > 0 {
        let rest = &text[at..];
        match (rest.find("*/"), rest.find("/*")) {
            (Some(close), Some(open)) if open < close => (depth, at) = (depth + 1, at + open + 2),
            (Some(close), _) => (depth, at) = (depth - 1, at + close + 2),
            (None, _) => return text.len(),
        }
    }
    at
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
}
