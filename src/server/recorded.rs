//! Where recorded samples go: to the lanes of all sinks that want them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::base::{LabelsRef, Record, Recorded};
use crate::promql::{Selector, series_selector};
use crate::sink::{LaneState, RecordedLane, RecordedMetrics, SinkConfig, remote_write, start_recorded, waits_for};
use crate::telemetry::Metrics;

use super::StartError;
use super::config::Config;
use super::sinks::origin;
use super::told_since::ToldSince;

/// How long the last checkpoint waits for what is recorded to leave: a part of the time that it has.
const FINISH: Duration = Duration::from_secs(2);

/// All lanes.
#[derive(Debug)]
pub(in crate::server) struct RecordedLanes {
    lanes: Vec<RecordedLane>,
    /// What was recorded of instants before is history, known to whoever has followed.
    since: ToldSince,
}

impl RecordedLanes {
    /// Starts a lane for each sink that wants recorded samples; none in a dry run.
    pub(in crate::server) fn start(
        config: &Config,
        metrics: &Metrics,
        dry_run: bool,
        since: ToldSince,
    ) -> Result<Self, StartError> {
        let counted = RecordedMetrics::register(metrics.registry()).map_err(|e| StartError::System(e.to_string()))?;
        let mut lanes = Vec::new();
        if !dry_run {
            let origin = origin(config);
            for target in &config.remote_write {
                let wanted = selected(&target.matches).map_err(StartError::Config)?;
                let lane = remote_write::start(target, &origin, wanted, &counted);
                lanes.push(lane.map_err(|e| StartError::Config(e.to_string()))?);
            }
            for sink in config.sinks.iter() {
                if let SinkConfig::Kafka(kafka) = sink
                    && kafka.recorded.is_some()
                {
                    lanes.extend(start_recorded(kafka, &kafka.name, &origin, &counted));
                }
            }
        }
        Ok(Self { lanes, since })
    }

    /// Hands samples over; never waits.
    pub(in crate::server) fn put(&self, mut recorded: Vec<Recorded>) {
        let since = self.since.get();
        recorded.retain(|r| r.t >= since);
        if !recorded.is_empty() {
            self.lanes.iter().for_each(|lane| lane.put(&recorded));
        }
    }

    /// What waits, as records of a checkpoint.
    pub(in crate::server) fn waiting(&self) -> Vec<Record> {
        self.lanes.iter().filter_map(RecordedLane::waiting).collect()
    }

    /// Takes up what waited at a checkpoint.
    pub(in crate::server) fn restore(&self, records: &[Record]) {
        for sink in records.iter().filter_map(waits_for) {
            if !self.lanes.iter().any(|lane| lane.name() == sink) {
                tracing::warn!(sink, "recorded samples that waited are dropped: their sink is not there any more");
            }
        }
        self.lanes.iter().for_each(|lane| lane.restore(records));
    }

    /// How they are at any time.
    pub(in crate::server) fn states(&self) -> impl Fn() -> Vec<LaneState> + Send + Sync + 'static {
        let states: Vec<_> = self.lanes.iter().map(RecordedLane::state).collect();
        move || states.iter().map(|state| state()).collect()
    }

    /// Sends what waits at once, before the last checkpoint would keep it: a restart would send it a second time. Nothing may
    /// be put in after that.
    pub(in crate::server) async fn finish(&self) {
        let end = Instant::now() + FINISH;
        for lane in &self.lanes {
            lane.close();
        }
        for lane in &self.lanes {
            lane.finish(end.saturating_duration_since(Instant::now())).await;
        }
    }

    /// Sends what waits, all lanes at once, for at most `limit`, whoever still holds them.
    pub(in crate::server) async fn shutdown(&self, limit: Duration, is_kept: bool) {
        let end = Instant::now() + limit;
        for lane in &self.lanes {
            lane.close();
        }
        for lane in &self.lanes {
            lane.shutdown(end.saturating_duration_since(Instant::now()), is_kept).await;
        }
    }
}

/// Checks what of the configuration is about recorded samples.
///
/// # Errors
/// The first fault.
pub(in crate::server) fn validate(config: &Config) -> Result<(), String> {
    let mut names = HashSet::new();
    for target in &config.remote_write {
        target.validate().map_err(|e| format!("remote_write: {e}"))?;
        selected(&target.matches).map(drop).map_err(|e| format!("remote_write: sink {}: {e}", target.name))?;
        if !names.insert(target.name.as_str()) {
            return Err(format!("remote_write: two entries are called {:?}; give each a name", target.name));
        }
    }
    for sink in config.sinks.iter() {
        // What waits in a checkpoint goes to the sink of its name.
        if let SinkConfig::Kafka(kafka) = sink
            && kafka.recorded.is_some()
            && !names.insert(kafka.name.as_str())
        {
            return Err(format!("sinks: two sinks of recorded series are called {:?}; give each a name", kafka.name));
        }
    }
    Ok(())
}

/// Whether any of these selectors matches a series; any series if there are none.
pub(in crate::server) fn selected(
    selectors: &[String],
) -> Result<impl Fn(LabelsRef<'_>) -> bool + Send + Sync + 'static, String> {
    let read = |text: &String| series_selector(text).map_err(|e| format!("match: {text:?}: {e}"));
    let selectors: Vec<Selector> = selectors.iter().map(read).collect::<Result<_, _>>()?;
    Ok(move |labels: LabelsRef<'_>| selectors.is_empty() || selectors.iter().any(|s| s.matches(labels)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Labels;

    #[test]
    fn names_do_not_clash() {
        let entries = |second: &str| {
            let yaml = format!("remote_write: [{{url: 'http://a/'}}, {{url: 'http://b/'{second}}}]");
            Config::parse(&yaml, std::path::Path::new("")).map(drop).map_err(|e| e.to_string())
        };
        assert!(entries("").unwrap_err().contains("two entries are called \"remote_write\""));
        assert_eq!(entries(", name: b"), Ok(()));
        let kafka = |name: &str| {
            let sink = |name: &str| format!("{{kafka: {{brokers: ['k:9092'], recorded: {{topic: r}}{name}}}}}");
            let yaml = format!("remote_write: [{{url: 'http://a/'}}]\nsinks: [{}, {}]", sink(""), sink(name));
            Config::parse(&yaml, std::path::Path::new("")).map(drop).map_err(|e| e.to_string())
        };
        assert!(kafka("").unwrap_err().contains("two sinks of recorded series are called \"kafka\""));
        assert!(kafka(", name: remote_write").is_err());
        assert_eq!(kafka(", name: b"), Ok(()));
        assert!(entries(", name: b, match: ['sum(x)']").unwrap_err().contains("sink b: match: \"sum(x)\""));
    }

    #[test]
    fn any_of_the_selectors_is_enough() {
        let labels = Labels::from_pairs([("__name__", "job:up:sum"), ("job", "node")]);
        let matches = |selectors: &[&str]| {
            let selectors: Vec<String> = selectors.iter().map(ToString::to_string).collect();
            selected(&selectors).map(|selected| selected(labels.as_ref()))
        };
        assert_eq!(matches(&[]), Ok(true));
        assert_eq!(matches(&["other", r#"{__name__=~"job:.*"}"#]), Ok(true));
        assert_eq!(matches(&[r#"{__name__=~"job.*", job!="node"}"#, "up"]), Ok(false));
        for (wrong, want) in [
            ("{}", "every series"),
            ("sum(up)", "selector"),
            ("up[5m]", "selector"),
            ("up offset 5m", "selector"),
            ("up{", "up{"),
        ] {
            let error = matches(&[wrong]).unwrap_err();
            assert!(error.contains(want), "{wrong}: {error}");
        }
    }
}
