//! How a test says that it is skipped.
//!
//! A corpus that others keep may be absent anywhere. A program that a test needs may be absent from a developer's machine;
//! where `CI=true` or `FOREWARN_REQUIRE_PEERS=1` is set that is a failure.

use std::io::Write;

/// Says that the running test is skipped, and why: straight to standard error, because cargo shows nothing of what a
/// passing test prints, and into the file that `FOREWARN_SKIPPED` names, which `make test` shows at its end.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(format!("SKIPPED {line}").as_bytes());
    if let Some(list) = std::env::var_os("FOREWARN_SKIPPED") {
        let list = std::fs::File::options().append(true).create(true).open(list);
        let _ = list.and_then(|mut list| list.write_all(line.as_bytes()));
    }
}

/// As [`skipped`], for want of a program; panics where nothing may be skipped for that.
#[allow(dead_code, clippy::panic)] // not every test needs a program
pub fn lacking(why: &str) {
    let is_set = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    assert!(!is_set("CI", "true") && !is_set("FOREWARN_REQUIRE_PEERS", "1"), "this run must skip nothing, but {why}");
    skipped(why);
}
