//! The dry run: logs what receivers would be told, and tells nobody.

use crate::base::{Millis, format_rfc3339};

use super::failure::Failure;
use super::pending::Outgoing;
use super::worker::Receiver;

/// Takes the place of a receiver in a dry run.
#[derive(Debug)]
pub(super) struct DryRun {
    /// The sink that would have sent.
    pub(super) sink: String,
}

impl Receiver for DryRun {
    async fn deliver(&self, batch: &[Outgoing], _now: Millis) -> Result<(), Failure> {
        for sent in batch {
            let t = &sent.transition;
            let (sink, alert, labels, at) = (&self.sink, &t.rule.alert, &t.labels, format_rfc3339(t.at));
            tracing::info!(%sink, firing = sent.is_firing(), %alert, %labels, %at, "dry run: not sent");
        }
        Ok(())
    }
}
