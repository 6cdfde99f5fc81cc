//! What the status page shows of the parts besides the engine: sources, sinks, rule files, the last reload.

use std::sync::{Arc, Mutex, PoisonError};

use super::board::Board;
use super::config::Config;
use super::http::{ReloadReport, RuleFile, Summary};
use super::sink_status::statuses;
use crate::sink::{LaneState, SinkState};
use crate::source::clock;

/// The last reload, for the status page.
pub(super) type LastReload = Arc<Mutex<(Option<ReloadReport>, Vec<RuleFile>)>>;

/// What the page shows of the parts besides the engine.
pub(super) fn summary(
    config: &Config,
    board: Board,
    last: LastReload,
    sinks: impl Fn() -> Vec<SinkState> + Send + Sync + 'static,
    lanes: impl Fn() -> Vec<LaneState> + Send + Sync + 'static,
) -> Arc<dyn Fn() -> Summary + Send + Sync> {
    let files = config.rule_files.clone();
    Arc::new(move || {
        let last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = match last.0.as_ref().map(|r| &r.outcome) {
            Some(Err(faults)) => faults.clone(),
            _ => vec![],
        };
        let files = files.iter().map(|path| RuleFile { path: path.clone(), faults: vec![] });
        let mut rule_files: Vec<RuleFile> = files.collect();
        if let Some(first) = rule_files.first_mut() {
            first.faults = faults;
        }
        let now = clock::now();
        let sinks = statuses(sinks(), lanes(), now);
        Summary { sources: board.list(now), sinks, rule_files, reload: last.0.clone() }
    })
}
