//! `forewarn.yml`: shaped like prometheus.yml where both have the same thing. Pure: reads no files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Labels, Limits};
use crate::engine::EngineOptions;
use crate::sink::{AlertmanagerConfig, RemoteWriteSinkConfig, SinkConfig, StdoutConfig};
use crate::source::config::{ScrapeConfig, Span};
use crate::source::decode::CreatedTimestamps;
use crate::source::decode::otlp::OtlpSettings;
use crate::source::host::HostConfig;
use crate::source::kafka::{self, KafkaConfig};
use crate::source::otlp::OtlpConfig;
use crate::source::prometheus::PrometheusConfig;
use crate::source::replay::ReplayConfig;
use crate::telemetry::TracingConfig;

use super::durable::StateConfig;
use super::topic_loop::topic_loop;
use super::trace_links::TraceLinks;
use super::web::Web;

/// The whole file. Every part may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Intervals and labels for all.
    pub global: Global,
    /// Rule files, as patterns; relative to this file.
    pub rule_files: Vec<String>,
    /// Profile files beside those the program carries, as patterns; relative to this file.
    pub model_files: Vec<String>,
    /// Where alerts go.
    pub alerting: Alerting,
    /// Targets to scrape.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Other sources.
    pub sources: Sources,
    /// How names of OpenTelemetry become Prometheus', for the OTLP receiver and for Kafka; as in prometheus.yml.
    pub otlp: OtlpSettings,
    /// What is learnt from before the start.
    pub warm_up: WarmUp,
    /// Other sinks, or `log only`.
    pub sinks: crate::sink::Sinks,
    /// Receivers of recorded series, `ALERTS` and `ALERTS_FOR_STATE`, as in prometheus.yml.
    pub remote_write: Vec<RemoteWriteSinkConfig>,
    /// What survives a restart.
    pub state: StateConfig,
    /// The HTTP server.
    pub web: Web,
    /// The engine.
    pub engine: EngineConfig,
    /// The process' own spans.
    pub tracing: TracingConfig,
    /// Bounds.
    pub limits: Limits,
}

/// `global`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Global {
    /// How often targets are scraped.
    pub scrape_interval: Span,
    /// How long a scrape may take.
    pub scrape_timeout: Span,
    /// How often groups are evaluated that do not say otherwise.
    pub evaluation_interval: Span,
    /// How long groups wait for late samples beyond the watermark, if they do not say otherwise.
    pub rule_query_offset: Span,
    /// Labels added to alerts that leave.
    pub external_labels: std::collections::BTreeMap<String, String>,
    /// What becomes of the times at which counters began, where remote write 2.0 or OTLP tell them.
    pub created_timestamps: CreatedTimestamps,
}

/// `alerting`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerting {
    /// Clusters of Alertmanagers.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// `sources`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sources {
    /// This machine's own metrics; none if left out.
    pub host: Option<HostConfig>,
    /// Recorded files, played at start.
    pub replay: Vec<ReplayConfig>,
    /// What is written to `/api/v1/write`.
    pub remote_write: RemoteWriteConfig,
    /// What is sent by OTLP; not received if left out.
    pub otlp: Option<OtlpConfig>,
    /// Topics of Kafka clusters.
    pub kafka: Vec<KafkaConfig>,
    /// Where a trace can be looked at, with `{trace_id}` in it: alerts about spans, and about series whose exemplars name a
    /// trace, link there, whichever source they came from.
    pub trace_link: Option<String>,
}

/// `warm_up`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WarmUp {
    /// History of the series that rules read, up to the start.
    pub prometheus: Option<PrometheusConfig>,
}

/// `sources.remote_write`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteWriteConfig {
    /// How far out of order samples may come; Prometheus' queues hold them for up to 5s and send in parallel.
    pub lateness: Span,
    /// Silence after which the senders no longer hold other sources back.
    pub idle_timeout: Span,
}

/// `engine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Shards; as many as there are processors, at most 8, if left out.
    pub shards: Option<usize>,
    /// How old the newest sample of a series may be before the series counts as absent.
    pub lookback_delta: Span,
    /// How long a firing alert is not sent again.
    pub resend_delay: Span,
    /// How often rule files are looked at for changes.
    pub rule_watch_interval: Span,
    /// Whether names are dropped at the end of an expression only, as with Prometheus' `promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
    /// Whether alerts of rules with predictive functions get an annotation `explanation`.
    pub explanations: bool,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

const fn seconds(n: u64) -> Span {
    Span(Duration::from_secs(n))
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval: seconds(15),
            scrape_timeout: seconds(10),
            evaluation_interval: seconds(15),
            rule_query_offset: seconds(0),
            external_labels: std::collections::BTreeMap::new(),
            created_timestamps: CreatedTimestamps::Ignore,
        }
    }
}

impl Default for RemoteWriteConfig {
    fn default() -> Self {
        Self { lateness: seconds(10), idle_timeout: seconds(60) }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            shards: None,
            lookback_delta: seconds(300),
            resend_delay: seconds(60),
            rule_watch_interval: seconds(5),
            delayed_name_removal: false,
            explanations: true,
        }
    }
}

impl Config {
    /// Reads a configuration; relative paths in it start from `dir`.
    ///
    /// ```
    /// use forewarn::server::Config;
    /// let config = Config::parse("global: {evaluation_interval: 5s}", std::path::Path::new("/etc/forewarn")).unwrap();
    /// assert_eq!(config.web.listen_address, "127.0.0.1:9190");
    /// assert!(Config::parse("rules_files: []", std::path::Path::new("")).is_err());
    /// ```
    ///
    /// # Errors
    /// Unknown fields, values of the wrong kind, and settings that cannot work, with line and column where known.
    pub fn parse(yaml: &str, dir: &Path) -> Result<Self, ConfigError> {
        let mut config = if yaml.trim().is_empty() {
            Self::default()
        } else {
            serde_saphyr::from_str::<Self>(yaml).map_err(|e| ConfigError(e.to_string()))?
        };
        config.sinks.iter_mut().for_each(|sink| sink.resolve_paths(dir));
        config.remote_write.iter_mut().for_each(|target| target.resolve_paths(dir));
        config.alerting.alertmanagers.iter_mut().for_each(|a| a.resolve_paths(dir));
        config.scrape_configs.iter_mut().for_each(|scrape| scrape.resolve_paths(dir));
        config.tracing.http_config.resolve_paths(dir);
        config.sources.kafka.iter_mut().for_each(|kafka| kafka.resolve_paths(dir));
        config.warm_up.prometheus.iter_mut().for_each(|prometheus| prometheus.resolve_paths(dir));
        config.state.resolve_paths(dir);
        config.web.resolve_paths(dir);
        config.check()?;
        Ok(config)
    }

    /// Whether nobody is to be told, `told_to` being what the command line says.
    #[must_use]
    pub fn is_dry_run(&self, told_to: bool) -> bool {
        told_to || self.sinks.is_log_only()
    }

    /// All sinks: the Alertmanagers first, then the others; standard output if nothing is said of sinks, and in a dry run.
    #[must_use]
    pub fn all_sinks(&self, dry_run: bool) -> Vec<SinkConfig> {
        let alertmanagers = self.alerting.alertmanagers.iter().cloned();
        let named = alertmanagers.map(|a| SinkConfig::Alertmanager(Box::new(a))).chain(self.sinks.iter().cloned());
        let mut sinks: Vec<SinkConfig> = named.collect();
        // In a dry run somebody wants to see what comes of it, also where the log shows warnings only.
        let shows = sinks.iter().any(|sink| matches!(sink, SinkConfig::Stdout(_)));
        if sinks.is_empty() || (dry_run && !shows) {
            sinks.push(SinkConfig::Stdout(StdoutConfig::default()));
        }
        sinks
    }

    /// The engine's settings, on a machine with so many processors.
    #[must_use]
    pub fn engine_options(&self, processors: usize) -> EngineOptions {
        EngineOptions {
            shards: self.engine.shards.unwrap_or(processors.clamp(1, 8)),
            lookback: self.engine.lookback_delta.millis(),
            evaluation_interval: self.global.evaluation_interval.millis(),
            query_offset: self.global.rule_query_offset.millis(),
            resend_delay: self.engine.resend_delay.millis(),
            delayed_name_removal: self.engine.delayed_name_removal,
            external_labels: Labels::from_pairs(self.global.external_labels.clone()),
            external_url: self.web.external_url(),
            limits: self.limits.clone(),
            explain_alerts: self.engine.explanations,
            collect_recorded: !self.remote_write.is_empty() || self.sinks.iter().any(SinkConfig::wants_recorded),
            ..EngineOptions::default()
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fault = |text: String| Err(ConfigError(text));
        let positive = [
            ("global.scrape_interval", self.global.scrape_interval),
            ("global.scrape_timeout", self.global.scrape_timeout),
            ("global.evaluation_interval", self.global.evaluation_interval),
            ("engine.lookback_delta", self.engine.lookback_delta),
            ("engine.rule_watch_interval", self.engine.rule_watch_interval),
            ("sources.remote_write.idle_timeout", self.sources.remote_write.idle_timeout),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, span)| span.0.is_zero()) {
            return fault(format!("{name} must be above zero"));
        }
        if self.engine.shards.is_some_and(|n| n == 0 || n > 256) {
            return fault("engine.shards must be from 1 to 256".to_owned());
        }
        if self.limits.requests_bytes < self.limits.request_bytes.max(self.limits.otlp_bytes) {
            return fault(
                "limits.requests_bytes must be at least limits.request_bytes and limits.otlp_bytes".to_owned(),
            );
        }
        self.web.validate().map_err(|e| ConfigError(format!("web.{e}")))?;
        if let Some(host) = &self.sources.host {
            host.validate().map_err(|e| ConfigError(format!("sources.host.{e}")))?;
        }
        for sink in self.all_sinks(false) {
            sink.validate().map_err(|e| ConfigError(e.to_string()))?;
        }
        super::recorded::validate(self).map_err(ConfigError)?;
        for scrape in &self.scrape_configs {
            scrape
                .targets(self.global.scrape_interval, self.global.scrape_timeout)
                .map_err(|e| ConfigError(e.to_string()))?;
        }
        if let Some(prometheus) = &self.warm_up.prometheus {
            prometheus.validate().map_err(|e| ConfigError(format!("warm_up.prometheus: {e}")))?;
        }
        kafka::validate(&self.sources.kafka).map_err(|e| ConfigError(format!("sources.kafka {e}")))?;
        if let Some(text) = topic_loop(&self.sources.kafka, self.sinks.iter()) {
            return fault(text);
        }
        if let Some(link) = &self.sources.trace_link {
            TraceLinks::check(link).map_err(|e| ConfigError(format!("sources.trace_link: {e}")))?;
        }
        if let Some(otlp) = &self.sources.otlp {
            otlp.validate().map_err(|e| ConfigError(format!("sources.otlp.{e}")))?;
        }
        self.tracing.validate().map_err(ConfigError)?;
        self.state.validate(self.limits.request_bytes).map_err(|e| ConfigError(format!("state.{e}")))?;
        let names: Vec<&str> = self.scrape_configs.iter().map(|s| s.job_name.as_str()).collect();
        if let Some(twice) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            return fault(format!("scrape_configs: two jobs are called {:?}", twice.1));
        }
        Ok(())
    }
}

/// The folder that a configuration file's relative paths start from.
#[must_use]
pub fn base_dir(file: &Path) -> PathBuf {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<Config, String> {
        Config::parse(yaml, Path::new("/etc/forewarn")).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        assert_eq!(parse("").unwrap(), Config::default());
        assert_eq!(parse("").unwrap().web.external_url(), "http://127.0.0.1:9190");
    }

    #[test]
    fn faults_name_their_place() {
        let unknown = parse("global:\n  scrape_intervall: 5s\n").unwrap_err();
        assert!(unknown.contains("scrape_intervall") && unknown.contains("line 2"), "{unknown}");
        assert!(parse("global: {evaluation_interval: 0s}").unwrap_err().contains("evaluation_interval"));
        assert!(parse("engine: {shards: 0}").unwrap_err().contains("shards"));
        assert!(parse("warm_up: {prometheus: {url: 'ftp://x'}}").unwrap_err().contains("warm_up.prometheus: url"));
        let spans = parse("sources: {otlp: {spans: {interval: 0s}}}").unwrap_err();
        assert!(spans.contains("sources.otlp.spans.interval must be 1s or more"), "{spans}");
        let link = parse("sources: {trace_link: 'http://jaeger/'}").unwrap_err();
        assert!(link.contains("sources.trace_link") && link.contains("{trace_id}"), "{link}");
        parse("sources: {trace_link: 'https://jaeger/trace/{trace_id}'}").unwrap();
        let twice = "scrape_configs: [{job_name: a}, {job_name: a}]";
        assert!(parse(twice).unwrap_err().contains("two jobs"));
    }

    #[test]
    fn alertmanagers_come_before_other_sinks() {
        let yaml =
            "alerting: {alertmanagers: [{static_configs: [{targets: ['localhost:9093']}]}]}\nsinks: [stdout: {}]";
        let config = parse(yaml).unwrap();
        for dry_run in [false, true] {
            let sinks = config.all_sinks(dry_run);
            assert!(matches!(sinks[..], [SinkConfig::Alertmanager(_), SinkConfig::Stdout(_)]), "once");
        }
        // Alerts must go somewhere.
        assert!(matches!(parse("").unwrap().all_sinks(false)[..], [SinkConfig::Stdout(_)]));
        assert!(!config.is_dry_run(false) && config.is_dry_run(true));
    }

    #[test]
    fn a_dry_run_shows_what_comes_of_it_however_it_was_asked_for() {
        let targets = "alerting: {alertmanagers: [{static_configs: [{targets: ['localhost:9093']}]}]}";
        for sinks in ["", "\nsinks: [webhook: {url: 'http://localhost:1/'}]", "\nsinks: log only"] {
            let config = parse(&format!("{targets}{sinks}")).unwrap();
            let shown = config.all_sinks(true);
            let count = shown.iter().filter(|sink| matches!(sink, SinkConfig::Stdout(_))).count();
            assert_eq!((count, shown.len()), (1, 2 + usize::from(sinks.contains("webhook"))), "{sinks}");
            assert!(config.is_dry_run(sinks.contains("log only")) == sinks.contains("log only"));
        }
    }
}
