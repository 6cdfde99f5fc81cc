//! Incidents: what really happened in the history that rules are tried on, as a person wrote it down.
//!
//! Knows the format; what an incident says about a rule is `score`'s part. Opens no file.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::base::{Labels, Millis, format_rfc3339, parse_duration, parse_instant};

/// Something that went wrong, from one instant to another, both included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Name, for people.
    pub name: String,
    /// When it began to hurt.
    #[serde(deserialize_with = "instant")]
    pub start: Millis,
    /// When it was over.
    #[serde(deserialize_with = "instant")]
    pub end: Millis,
    /// Labels that an alert about it has; none means that any alert may be about it.
    #[serde(default, rename = "match")]
    pub labels: BTreeMap<String, String>,
    /// Names of the alerts that ought to find it; none means any.
    #[serde(default)]
    pub rules: Vec<String>,
    /// How long before its start a page counts as an early warning of it; None means as everywhere.
    #[serde(default, rename = "lead_window", deserialize_with = "span")]
    pub lead_window: Option<Millis>,
}

/// What is wrong with a list of incidents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IncidentError(String);

/// Reads a list of incidents.
///
/// ```
/// let text = "- {name: disk, start: 2026-01-02T03:00:00Z, end: 2026-01-02 04:00, match: {host: db-1}, rules: [DiskFullSoon]}";
/// assert_eq!(forewarn::backtest::parse_incidents(text).unwrap()[0].name, "disk");
/// ```
///
/// # Errors
/// Not YAML, an unknown or missing key, a time that is none, an end before the start.
pub fn parse_incidents(yaml: &str) -> Result<Vec<Incident>, IncidentError> {
    if yaml.trim().is_empty() {
        return Ok(vec![]);
    }
    let incidents: Vec<Incident> = serde_saphyr::from_str(yaml).map_err(|e| IncidentError(e.to_string()))?;
    match incidents.iter().find(|incident| incident.end < incident.start) {
        None => Ok(incidents),
        Some(Incident { name, start, end, .. }) => {
            let (start, end) = (format_rfc3339(*start), format_rfc3339(*end));
            Err(IncidentError(format!("incident {name:?} ends ({end}) before it starts ({start})")))
        }
    }
}

impl Incident {
    /// Whether alerts of this name ought to find it.
    #[must_use]
    pub fn concerns(&self, alert: &str) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|rule| rule == alert)
    }

    /// Whether an alert with these labels can be about it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(name, value)| labels.as_ref().get(name).unwrap_or("") == value)
    }
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_instant(&text)
        .ok_or_else(|| D::Error::custom(format!("not a time: {text:?}; write it like 2026-01-31T08:30:00Z")))
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Millis>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let text = "
- name: disk of db-1
  start: 1970-01-01T01:00:00Z
  end: 1970-01-01 02:00
  match: {host: db-1, severity: ''}
  rules: [DiskFull]
  lead_window: 6h
- {name: all, start: 10, end: '20'}
";
        let read = parse_incidents(text).unwrap();
        assert_eq!((read[0].start, read[0].end, read[0].lead_window), (3_600_000, 7_200_000, Some(21_600_000)));
        assert_eq!((read[1].start, read[1].end, read[1].lead_window), (10_000, 20_000, None));
        let labels = Labels::from_pairs([("host", "db-1"), ("x", "y")]);
        assert!(read[0].matches(&labels) && read[0].concerns("DiskFull") && !read[0].concerns("Other"));
        assert!(!read[0].matches(&Labels::from_pairs([("host", "db-1"), ("severity", "page")])));
        assert!(read[1].matches(&labels) && read[1].concerns("Other"));
        assert_eq!(parse_incidents(" \n"), Ok(vec![]));
    }

    #[test]
    fn mistakes_say_what_and_where() {
        for (text, want) in [
            ("- {name: a, start: 2026-01-02, end: 2026-01-01}", "before it starts"),
            ("- {name: a, start: soon, end: 2026-01-01}", "not a time: \"soon\""),
            ("- {name: a, start: 1, end: 2, labels: {}}", "labels"),
            ("- {name: a, start: 1}", "end"),
            ("- {name: a, start: 1, end: 2, lead_window: 4}", "not a duration"),
        ] {
            let error = parse_incidents(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
