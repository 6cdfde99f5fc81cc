//! The signals that mean something to the process. What they mean is `run`'s matter.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that mean something here.
pub(super) struct Signals {
    pub(super) hangup: Signal,
    pub(super) interrupt: Signal,
    pub(super) terminate: Signal,
}

impl Signals {
    /// From here on they no longer kill.
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Waits for a signal that ends the process.
pub(super) async fn interrupted(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
