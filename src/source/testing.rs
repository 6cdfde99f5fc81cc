//! What tests with real servers share.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// A server that is ended when the test is over, however it ends.
pub(super) struct Running(Child);

impl Running {
    /// Starts a program quietly; where it is not installed the test is told to skip itself.
    pub(super) fn start(command: &mut Command) -> Option<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match quiet.spawn() {
            Ok(child) => Some(Self(child)),
            Err(e) => {
                lacking(&format!("cannot start {}: {e}", command.get_program().display()));
                None
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program is missing that the running test needs: says on standard error that it is skipped, because cargo shows
/// nothing of what a passing test prints.
///
/// # Panics
/// Where `CI=true` or `FOREWARN_REQUIRE_PEERS=1` makes such programs a must.
pub(super) fn lacking(why: &str) {
    let is_set = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    let is_must = is_set("CI", "true") || is_set("FOREWARN_REQUIRE_PEERS", "1");
    assert!(!is_must, "{why}, and this run requires it (`make test` installs it)");
    skipped(why);
}

/// Says that the running test is skipped: on standard error, and in the file that `make test` shows at its end.
pub(super) fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(format!("SKIPPED {line}").as_bytes());
    if let Some(list) = std::env::var_os("FOREWARN_SKIPPED") {
        let list = std::fs::File::options().append(true).create(true).open(list);
        let _ = list.and_then(|mut list| list.write_all(line.as_bytes()));
    }
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
