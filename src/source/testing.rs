//! What tests with real servers share.

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
                println!("skipped: cannot start {:?}: {e}", command.get_program());
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

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
