//! `sources.kafka`: what to read from which cluster, and how. Reads no file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decoder::Decoder;
use crate::base::{Millis, format_rfc3339, parse_instant};
use crate::http_client::{Secret, TlsConfig};
use crate::kafka_client::{Connection, KafkaConfigError, Role, Sasl};
use crate::source::config::Span;
use crate::source::decode::otlp::OtlpSettings;

/// Topics of one cluster, read by one consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Name in metrics, on the status page, and of the positions in checkpoints: one that changes begins anew.
    #[serde(default = "kafka")]
    pub name: String,
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    /// Consumer group.
    #[serde(default = "forewarn")]
    pub group_id: String,
    /// The topics.
    pub topics: Vec<TopicConfig>,
    /// Where to begin with partitions of which no checkpoint knows.
    #[serde(default)]
    pub start: Start,
    /// Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// TLS; `{}` for TLS with the system's certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Where messages go that cannot be decoded; without it they are counted, and told of in the log.
    #[serde(default)]
    pub dead_letter: DeadLetterConfig,
    /// How far out of order the samples of a partition may come.
    #[serde(default = "ten_seconds")]
    pub lateness: Span,
    /// Silence after which a partition that is read to its end no longer holds the others back.
    #[serde(default = "a_minute")]
    pub idle_timeout: Span,
    /// How long evaluation waits for partitions that cannot be read. Until then no rule is evaluated; what comes after it may be
    /// too late for its rules.
    #[serde(default = "two_minutes")]
    pub patience: Span,
    /// How far one partition may be ahead of the others in event time while there is more to read.
    #[serde(default = "five_minutes")]
    pub max_drift: Span,
    /// How OTLP names become Prometheus'; as `otlp` beside `sources` says it if left out.
    #[serde(default)]
    pub otlp: Option<OtlpSettings>,
    /// KiB of messages fetched ahead.
    #[serde(default = "sixteen_mebibytes")]
    pub fetched_ahead_kib: u32,
    /// Further settings of librdkafka by their names; those that forewarn sets are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Secret>,
}

/// A topic, or several by a pattern, and what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Instead of the name: a regular expression that whole names must match. Topics that come later are found within minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// What its messages are.
    pub decoder: Decoder,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Where the group left off; at the beginning if it never was there.
    #[default]
    Checkpoint,
    /// At the oldest message.
    Earliest,
    /// With what comes from now on.
    Latest,
    /// At the first message of this instant or later, by the messages' own timestamps.
    Timestamp(Millis),
}

/// Where messages go that cannot be decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// A topic of the same cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Instead of the topic: a file of JSON lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Bytes up to which the file grows; 100 MiB if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}

fn kafka() -> String {
    "kafka".to_owned()
}

fn forewarn() -> String {
    "forewarn".to_owned()
}

const fn ten_seconds() -> Span {
    Span(Duration::from_secs(10))
}

const fn a_minute() -> Span {
    Span(Duration::from_secs(60))
}

/// Enough for a broker to restart and for its partitions to find new leaders; half of an alert's life at its receiver.
const fn two_minutes() -> Span {
    Span(Duration::from_secs(120))
}

const fn five_minutes() -> Span {
    Span(Duration::from_secs(300))
}

const fn sixteen_mebibytes() -> u32 {
    16 << 10
}

/// Checks all of them: each, and that they have names of their own.
///
/// # Errors
/// The first fault, with the name of its source.
pub fn validate(all: &[KafkaConfig]) -> Result<(), KafkaConfigError> {
    for (i, config) in all.iter().enumerate() {
        config.validate().map_err(|e| KafkaConfigError(format!("{:?}: {e}", config.name)))?;
        if all[..i].iter().any(|before| before.name == config.name) {
            return Err(KafkaConfigError(format!("{:?}: two have this name; give each its own", config.name)));
        }
    }
    Ok(())
}

impl KafkaConfig {
    /// How to reach the cluster.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection {
            brokers: self.brokers.clone(),
            sasl: self.sasl.clone(),
            tls: self.tls.clone(),
            options: self.options.clone(),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let topics: Vec<&str> = self.topics.iter().filter_map(|t| t.name.as_deref().or(t.pattern.as_deref())).collect();
        format!("Kafka {}: {}", self.brokers.join(", "), topics.join(", "))
    }

    /// Makes relative file names relative to `dir`, the folder of the configuration file.
    pub fn resolve_paths(&mut self, dir: &Path) {
        Connection::resolve_paths(&mut self.sasl, &mut self.tls, dir);
        if let Some(file) = &mut self.dead_letter.file {
            *file = dir.join(&*file);
        }
    }

    /// Checks what can be checked without a file and without the cluster.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), KafkaConfigError> {
        let fault = |text: String| Err(KafkaConfigError(text));
        self.connection().validate(Role::Source)?;
        if self.name.is_empty() || self.name.contains('/') || self.group_id.is_empty() {
            return fault("name and group_id must not be empty, nor the name contain a slash".to_owned());
        }
        if self.topics.is_empty() {
            return fault("topics: name at least one".to_owned());
        }
        for topic in &self.topics {
            topic.subscription()?;
        }
        if self.fetched_ahead_kib == 0 || self.fetched_ahead_kib > 2_097_151 {
            return fault("fetched_ahead_kib must lie between 1 and 2097151".to_owned());
        }
        let letters = &self.dead_letter;
        if letters.topic.is_some() && letters.file.is_some() {
            return fault("dead_letter: give either topic or file".to_owned());
        }
        if let Some(letters) = &letters.topic
            && self.topics.iter().any(|topic| topic.has(letters))
        {
            return fault(format!("dead_letter: topic {letters:?} is among those that are read"));
        }
        Ok(())
    }
}

impl TopicConfig {
    /// What librdkafka subscribes to; a pattern begins with `^` there.
    ///
    /// # Errors
    /// Neither name nor pattern, both, or a pattern that is none.
    pub fn subscription(&self) -> Result<String, KafkaConfigError> {
        match (&self.name, &self.pattern) {
            (Some(name), None) if !name.is_empty() && !name.starts_with('^') => Ok(name.clone()),
            (None, Some(pattern)) => match whole(pattern) {
                Ok(_) => Ok(format!("^({pattern})$")),
                Err(error) => Err(KafkaConfigError(format!("topics: pattern {pattern:?}: {error}"))),
            },
            _ => Err(KafkaConfigError("topics: give each either a name or a pattern".to_owned())),
        }
    }

    /// Whether a topic is one of these.
    #[must_use]
    pub fn has(&self, topic: &str) -> bool {
        match (&self.name, &self.pattern) {
            (Some(name), _) => name == topic,
            (None, Some(pattern)) => whole(pattern).is_ok_and(|regex| regex.is_match(topic)),
            (None, None) => false,
        }
    }
}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Checkpoint => serializer.serialize_str("checkpoint"),
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Latest => serializer.serialize_str("latest"),
            Self::Timestamp(t) => serializer.serialize_str(&format_rfc3339(*t)),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "checkpoint" => Self::Checkpoint,
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            other => Self::Timestamp(parse_instant(other).ok_or_else(|| {
                D::Error::custom(format!(
                    "start {other:?}: write checkpoint, earliest, latest, or an instant as 2026-01-31T12:00:00Z"
                ))
            })?),
        })
    }
}

impl schemars::JsonSchema for Start {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "kafka_start".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "checkpoint, earliest, latest, or an instant: 2026-01-31T12:00:00Z.",
            "minLength": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<KafkaConfig, String> {
        let config: KafkaConfig = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_whole_one_is_read_and_shows_no_secret() {
        let yaml = "
name: metrics
brokers: ['k1:9093', 'k2:9093']
group_id: fw
topics: [{name: a, decoder: remote_write}, {pattern: 'telegraf\\..*', decoder: telegraf_json}]
start: '2026-01-31T12:00:00Z'
sasl: {mechanism: SCRAM-SHA-512, username: u, password: hunter2}
tls: {ca_file: ca.pem}
dead_letter: {topic: dead}
options: {client.rack: hunter2}";
        let mut config = read(yaml).unwrap();
        config.resolve_paths(Path::new("/etc"));
        assert_eq!(config.start, Start::Timestamp(1_769_860_800_000));
        assert_eq!(config.tls.as_ref().unwrap().ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(config.topics[1].subscription().unwrap(), "^(telegraf\\..*)$");
        assert!(config.topics[1].has("telegraf.cpu") && !config.topics[1].has("xtelegraf.cpu"));
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn mistakes_are_named() {
        let with = |more: &str| read(&format!("brokers: ['k:9092']\n{more}")).unwrap_err();
        assert!(with("topics: []").contains("at least one"));
        assert!(with("topics: [{decoder: remote_write}]").contains("either a name or a pattern"));
        assert!(with("topics: [{pattern: '(', decoder: remote_write}]").contains("pattern"));
        assert!(with("topics: [{name: a, decoder: avro}]").contains("avro"));
        assert!(with("topics: [{name: a, decoder: remote_write}]\nstart: now").contains("start \"now\""));
        assert!(with("topics: [{name: a, decoder: remote_write}]\nname: a/b").contains("slash"));
        let option = "topics: [{name: a, decoder: remote_write}]\noptions: ";
        assert!(with(&format!("{option}{{group.id: x}}")).contains("group.id cannot be given here: group_id says it"));
        assert!(with(&format!("{option}{{enable.auto.commit: 'true'}}")).contains("enable.auto.commit"));
        assert!(with(&format!("{option}{{security.protocol: sasl_ssl}}")).contains("the blocks tls and sasl say it"));
        let own = "topics: [{pattern: '.*', decoder: remote_write}]\ndead_letter: {topic: dead}";
        assert!(with(own).contains("among those that are read"));
        assert!(read("topics: [{name: a, decoder: remote_write}]").unwrap_err().contains("brokers"));
        let one = read("brokers: ['k:9092']\ntopics: [{name: a, decoder: otlp_proto}]").unwrap();
        assert_eq!(validate(std::slice::from_ref(&one)), Ok(()));
        assert!(validate(&[one.clone(), one]).unwrap_err().0.contains("two have this name"));
    }
}
