//! Questions to the engine, with a bound: it answers between batches, and a long catch-up keeps it busy.

use std::time::Duration;

use crate::server::EngineGone;

/// For clients of the API.
pub(super) const API_PATIENCE: Duration = Duration::from_secs(20);

/// For the status page, which has other things to show.
pub(super) const PAGE_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    /// It works on something else.
    #[error("the engine is busy catching up and did not answer in time")]
    Busy,
    /// It has ended.
    #[error(transparent)]
    Gone(#[from] EngineGone),
}

/// The answer, if it comes in time.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, EngineGone>>,
) -> Result<T, Unanswered> {
    Ok(tokio::time::timeout(patience, answer).await.map_err(|_| Unanswered::Busy)??)
}
