//! The labels of a point's series: its attributes, what its resource and scope add, and `job` and `instance` of who sent
//! it. As Prometheus' OTLP receiver does; knows no samples.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};

use super::attributes::{find, text};
use super::names::label_name;
use super::settings::OtlpSettings;
use crate::base::LabelError;

/// Labels by name.
pub(super) type LabelMap<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

const NAMESPACE: &str = "service.namespace";
const NAME: &str = "service.name";
const INSTANCE: &str = "service.instance.id";

/// What all points of one scope of a resource share.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared<'a> {
    /// Resource attributes that are labels; a point's own attribute stands against them.
    promoted: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `otel_scope_…`, `job` and `instance`, which stand against everything.
    fixed: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Shared<'a> {
    /// What a resource adds.
    pub(super) fn of_resource(attributes: &'a [KeyValue], settings: &OtlpSettings) -> Self {
        let mut promoted: Vec<_> = attributes.iter().filter(|a| settings.promotes(&a.key)).collect();
        promoted.sort_by(|a, b| a.key.cmp(&b.key));
        let promoted = promoted.into_iter().map(|a| labelled(a, settings)).collect();
        Self { promoted, fixed: identity(attributes) }
    }

    /// The same with what a scope adds.
    pub(super) fn with_scope(
        &self,
        scope: Option<&'a InstrumentationScope>,
        schema_url: &'a str,
        settings: &OtlpSettings,
    ) -> Self {
        let mut shared = self.clone();
        if let Some(scope) = scope.filter(|s| settings.promote_scope_metadata && !s.name.is_empty()) {
            let mut of_scope: Vec<(Cow<'a, str>, Cow<'a, str>)> = vec![
                ("otel_scope_name".into(), scope.name.as_str().into()),
                ("otel_scope_version".into(), scope.version.as_str().into()),
                ("otel_scope_schema_url".into(), schema_url.into()),
            ];
            for attribute in &scope.attributes {
                let name = format!("otel_scope_{}", attribute.key);
                let name = label_name(&name, settings.translation_strategy).into_owned();
                of_scope.push((name.into(), text(attribute.value.as_ref())));
            }
            shared.fixed.splice(0..0, of_scope);
        }
        shared
    }

    /// The labels of a point, without a name.
    ///
    /// # Errors
    /// More attributes than a series may have labels: refused before work is put into them.
    pub(super) fn point(
        &self,
        attributes: &'a [KeyValue],
        settings: &OtlpSettings,
        labels_max: usize,
    ) -> Result<LabelMap<'a>, LabelError> {
        let mut labels = own(attributes.iter(), settings, labels_max)?;
        for (name, value) in &self.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        labels.extend(self.fixed.iter().cloned());
        Ok(labels)
    }
}

/// The labels of a resource's `target_info`; none if it would say nothing, or not of whom.
///
/// # Errors
/// More attributes than a series may have labels.
pub(super) fn target_info<'a>(
    attributes: &'a [KeyValue],
    settings: &OtlpSettings,
    labels_max: usize,
) -> Result<Option<LabelMap<'a>>, LabelError> {
    let is_identity = |a: &&KeyValue| [NAMESPACE, NAME, INSTANCE].contains(&a.key.as_str());
    if attributes.iter().all(|a| is_identity(&a)) {
        return Ok(None);
    }
    let shown = attributes.iter().filter(|a| settings.keep_identifying_resource_attributes || !is_identity(a));
    let mut labels = own(shown, settings, labels_max)?;
    labels.extend(identity(attributes));
    Ok((labels.contains_key("job") || labels.contains_key("instance")).then_some(labels))
}

/// `job` and `instance`.
fn identity(attributes: &[KeyValue]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let value = |key| find(attributes, key).map(|a| text(a.value.as_ref()));
    let job = value(NAME).map(|name| match value(NAMESPACE) {
        Some(namespace) => Cow::Owned(format!("{namespace}/{name}")),
        None => name,
    });
    let pairs = [("job", job), ("instance", value(INSTANCE))];
    pairs.into_iter().filter_map(|(name, value)| Some((Cow::Borrowed(name), value?))).collect()
}

/// Attributes as labels; those that differ only in what a name may not have are joined, in the order of their names.
fn own<'a>(
    attributes: impl Iterator<Item = &'a KeyValue>,
    settings: &OtlpSettings,
    labels_max: usize,
) -> Result<LabelMap<'a>, LabelError> {
    let mut sorted: Vec<&KeyValue> = attributes.collect();
    if sorted.len() > labels_max {
        return Err(LabelError::TooMany);
    }
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels = LabelMap::new();
    for attribute in sorted {
        let (name, value) = labelled(attribute, settings);
        if name.is_empty() {
            return Err(LabelError::Name);
        }
        labels
            .entry(name)
            .and_modify(|there| *there = Cow::Owned(format!("{there};{value}")))
            .or_insert_with(|| value.clone());
    }
    Ok(labels)
}

fn labelled<'a>(attribute: &'a KeyValue, settings: &OtlpSettings) -> (Cow<'a, str>, Cow<'a, str>) {
    (label_name(&attribute.key, settings.translation_strategy), text(attribute.value.as_ref()))
}
