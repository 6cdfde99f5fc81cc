//! How OTLP names become Prometheus', as the `otlp:` block of prometheus.yml says it. Knows no transport.

use serde::{Deserialize, Serialize};

/// The translation's settings; the defaults are Prometheus'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpSettings {
    /// Resource attributes that become labels of every series of the resource, by their OTLP names (`k8s.pod.name`).
    pub promote_resource_attributes: Vec<String>,
    /// Whether all of them become labels, but for those in `ignore_resource_attributes`.
    pub promote_all_resource_attributes: bool,
    /// Resource attributes that do not become labels although all others do.
    pub ignore_resource_attributes: Vec<String>,
    /// What happens to names that Prometheus' classic data model does not allow, and to units.
    pub translation_strategy: TranslationStrategy,
    /// Whether `target_info` keeps service.name, service.namespace and service.instance.id beside `job` and `instance`.
    pub keep_identifying_resource_attributes: bool,
    /// Whether every series gets the labels `otel_scope_name`, `otel_scope_version` and so on.
    pub promote_scope_metadata: bool,
}

/// What happens to names; the words are those of prometheus.yml.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TranslationStrategy {
    /// `http.server.duration` in `s` becomes `http_server_duration_seconds`.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// The same without units and `_total`.
    UnderscoreEscapingWithoutSuffixes,
    /// `http.server.duration_seconds`.
    NoUTF8EscapingWithSuffixes,
    /// `http.server.duration`.
    NoTranslation,
}

impl TranslationStrategy {
    /// Whether units and types become suffixes of the name.
    #[must_use]
    pub fn with_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUTF8EscapingWithSuffixes)
    }

    /// Whether characters outside of `[a-zA-Z0-9_:]` become underscores.
    #[must_use]
    pub fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }
}

impl OtlpSettings {
    /// Whether a resource attribute becomes a label.
    #[must_use]
    pub fn promotes(&self, attribute: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|name| name == attribute);
        if self.promote_all_resource_attributes {
            !has(&self.ignore_resource_attributes)
        } else {
            has(&self.promote_resource_attributes)
        }
    }
}
