//! How a test says that it is skipped.

use std::io::Write;

/// Says that the running test is skipped, and why: straight to standard error, because cargo shows nothing of what a
/// passing test prints.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {why}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
