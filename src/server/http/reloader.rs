//! Asks whoever reloads the configuration to do so. Knows nothing of how.

use tokio::sync::{mpsc, oneshot};

/// What came of a reload: what is in force now, or every fault.
pub type ReloadOutcome = Result<String, Vec<String>>;

/// A request to reload: where the outcome goes.
pub type ReloadRequest = oneshot::Sender<ReloadOutcome>;

/// Asks for reloads.
#[derive(Clone, Debug)]
pub struct Reloader {
    requests: mpsc::Sender<ReloadRequest>,
}

impl Reloader {
    /// A handle, and the end at which whoever reloads receives.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        // One at work and a few behind it; more wait their turn.
        let (requests, receiver) = mpsc::channel(4);
        (Self { requests }, receiver)
    }

    /// Reloads.
    ///
    /// # Errors
    /// Every fault, the old configuration being in force still; or that the server is shutting down.
    pub async fn reload(&self) -> ReloadOutcome {
        let gone = || vec!["the server is shutting down".to_owned()];
        let (reply, outcome) = oneshot::channel();
        self.requests.send(reply).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outcomes_come_back_and_a_gone_host_is_a_fault() {
        let (reloader, mut requests) = Reloader::new();
        let host = async { requests.recv().await.unwrap().send(Ok("2 rules".into())).unwrap() };
        let (outcome, ()) = tokio::join!(reloader.reload(), host);
        assert_eq!(outcome, Ok("2 rules".into()));
        drop(requests);
        assert_eq!(reloader.reload().await, Err(vec!["the server is shutting down".into()]));
    }
}
