//! What the status page shows of the parts besides the engine: sources, sinks, the last reload.

use std::sync::{Arc, Mutex, PoisonError};

use super::board::Board;
use super::http::{ReloadReport, Summary};
use super::sink_status::statuses;
use crate::sink::{LaneState, SinkState};
use crate::source::clock;

/// The last reload, for the status page.
pub(super) type LastReload = Arc<Mutex<Option<ReloadReport>>>;

/// What the page shows of the parts besides the engine.
pub(super) fn summary(
    board: Board,
    last: LastReload,
    sinks: impl Fn() -> Vec<SinkState> + Send + Sync + 'static,
    lanes: impl Fn() -> Vec<LaneState> + Send + Sync + 'static,
) -> Arc<dyn Fn() -> Summary + Send + Sync> {
    Arc::new(move || {
        let (now, reload) = (clock::now(), last.lock().unwrap_or_else(PoisonError::into_inner).clone());
        Summary { sources: board.list(now), sinks: statuses(sinks(), lanes(), now), reload }
    })
}
