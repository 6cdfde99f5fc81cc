//! What the status page shows of the parts besides the engine: sources, sinks, rule files, the last reload.

use std::sync::{Arc, Mutex, PoisonError};

use super::board::Board;
use super::config::Config;
use super::http::{ReloadReport, RuleFile, SinkStatus, Summary};
use crate::sink::SinkConfig;
use crate::source::clock;

/// The last reload, for the status page.
pub(super) type LastReload = Arc<Mutex<(Option<ReloadReport>, Vec<RuleFile>)>>;

/// What the page shows of the parts besides the engine.
pub(super) fn summary(config: &Config, board: Board, last: LastReload) -> Arc<dyn Fn() -> Summary + Send + Sync> {
    let sinks: Vec<SinkStatus> = config.all_sinks().iter().flat_map(sink_status).collect();
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
        Summary { sources: board.list(clock::now()), sinks: sinks.clone(), rule_files, reload: last.0.clone() }
    })
}

fn sink_status(sink: &SinkConfig) -> Vec<SinkStatus> {
    let status =
        |kind: &str, detail: String| SinkStatus { name: kind.into(), kind: kind.into(), detail, ..Default::default() };
    match sink {
        SinkConfig::Stdout(_) => vec![status("stdout", "standard output".to_owned())],
        // The URL of a webhook is a secret.
        SinkConfig::Webhook(_) => vec![status("webhook", "see forewarn_sink_* in the metrics".to_owned())],
        SinkConfig::Grafana(config) => {
            vec![status("grafana", config.url.as_ref().map_or_else(String::new, ToString::to_string))]
        }
        SinkConfig::Alertmanager(config) => {
            let targets = config.static_configs.iter().flat_map(|group| group.targets.clone());
            targets.map(|target| status("alertmanager", target)).collect()
        }
        SinkConfig::Kafka(config) => vec![status("kafka", config.brokers.join(", "))],
    }
}
