//! The signals that mean something to the process. What they mean is `run`'s matter.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

/// Signals that come so soon after the first mean the same one: `timeout` sends to the process and to its group, a terminal
/// and a supervisor may both pass on one key.
const SAME: Duration = Duration::from_secs(1);

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

/// Waits for another such signal, given by somebody who has lost patience.
pub(super) async fn interrupted_again(interrupt: &mut Signal, terminate: &mut Signal) {
    let same = Instant::now() + SAME;
    while timeout_at(same, interrupted(interrupt, terminate)).await.is_ok() {}
    interrupted(interrupt, terminate).await;
}
