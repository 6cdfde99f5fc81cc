//! The labels of a point's series: its attributes, what its resource and scope add, and `job` and `instance` of who sent
//! it. As Prometheus' OTLP receiver does; knows no samples.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};

use super::attributes::{find, text};
use super::names::label_name;
use super::settings::OtlpSettings;
use crate::base::{LabelError, Limits};

/// Labels by name.
pub(super) type LabelMap<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

const NAMESPACE: &str = "service.namespace";
const NAME: &str = "service.name";
const INSTANCE: &str = "service.instance.id";

/// What a resource adds to the labels of all its points, held to the limits once: its points repeat it.
#[derive(Debug)]
pub(super) struct OfResource<'a> {
    /// Attributes that are labels; a point's own attribute stands against them.
    promoted: LabelMap<'a>,
    /// `job` and `instance`, which stand against everything.
    identity: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// What all points of one scope of a resource share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    resource: &'a OfResource<'a>,
    /// `otel_scope_…`, which stand against all but the resource's identity.
    scope: LabelMap<'a>,
}

impl<'a> OfResource<'a> {
    /// What these attributes add.
    ///
    /// # Errors
    /// No series could have these labels.
    pub(super) fn new(
        attributes: &'a [KeyValue],
        settings: &OtlpSettings,
        limits: &Limits,
    ) -> Result<Self, LabelError> {
        let mut sorted: Vec<_> = attributes.iter().filter(|a| settings.promotes(&a.key)).collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        let mut promoted = LabelMap::new();
        for attribute in sorted {
            let (name, value) = labelled(attribute, settings);
            promoted.entry(name).or_insert(value);
        }
        let identity = identity(attributes);
        check(promoted.iter().chain(identity.iter().map(|(name, value)| (name, value))), limits)?;
        Ok(Self { promoted, identity })
    }

    /// The same with what a scope adds.
    ///
    /// # Errors
    /// No series could have these labels.
    pub(super) fn with_scope(
        &'a self,
        scope: Option<&'a InstrumentationScope>,
        schema_url: &'a str,
        settings: &OtlpSettings,
        limits: &Limits,
    ) -> Result<Shared<'a>, LabelError> {
        let mut labels = LabelMap::new();
        if let Some(scope) = scope.filter(|s| settings.promote_scope_metadata && !s.name.is_empty()) {
            labels.insert("otel_scope_name".into(), scope.name.as_str().into());
            labels.insert("otel_scope_version".into(), scope.version.as_str().into());
            labels.insert("otel_scope_schema_url".into(), schema_url.into());
            for attribute in &scope.attributes {
                let name = format!("otel_scope_{}", attribute.key);
                let name = label_name(&name, settings.translation_strategy).into_owned();
                labels.insert(name.into(), text(attribute.value.as_ref()));
            }
            check(labels.iter(), limits)?;
        }
        Ok(Shared { resource: self, scope: labels })
    }
}

impl<'a> Shared<'a> {
    /// The labels of a point, without a name. What is shared is borrowed, not copied.
    ///
    /// # Errors
    /// More attributes than a series may have labels: refused before work is put into them.
    pub(super) fn point(
        &'a self,
        attributes: &'a [KeyValue],
        settings: &OtlpSettings,
        labels_max: usize,
    ) -> Result<LabelMap<'a>, LabelError> {
        let mut labels = own(attributes.iter(), settings, labels_max)?;
        for (name, value) in &self.resource.promoted {
            labels.entry(Cow::Borrowed(name)).or_insert(Cow::Borrowed(value));
        }
        let identity = self.resource.identity.iter().map(|(name, value)| (name, value));
        for (name, value) in self.scope.iter().chain(identity) {
            labels.insert(Cow::Borrowed(name), Cow::Borrowed(value));
        }
        Ok(labels)
    }
}

/// Whether a series may have these labels.
fn check<'l, 'a: 'l>(
    labels: impl Iterator<Item = (&'l Cow<'a, str>, &'l Cow<'a, str>)>,
    limits: &Limits,
) -> Result<(), LabelError> {
    let mut count = 0;
    for (name, value) in labels {
        if name.is_empty() || name.len() > limits.label_name_bytes {
            return Err(LabelError::Name);
        }
        if value.len() > limits.label_value_bytes {
            return Err(LabelError::Value);
        }
        // An empty label is none.
        count += usize::from(!value.is_empty());
    }
    if count > limits.labels_per_series { Err(LabelError::TooMany) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    fn attribute(key: &str, value: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    #[test]
    fn what_is_shared_is_held_to_the_limits_once() {
        let settings = OtlpSettings {
            promote_all_resource_attributes: true,
            promote_scope_metadata: true,
            ..OtlpSettings::default()
        };
        let limits = Limits { labels_per_series: 4, label_value_bytes: 8, label_name_bytes: 24, ..Limits::default() };
        let fault = |attributes: &[KeyValue]| OfResource::new(attributes, &settings, &limits).err();
        assert_eq!(fault(&[attribute("a", "12345678")]), None);
        assert_eq!(fault(&[attribute("a", "123456789")]), Some(LabelError::Value));
        assert_eq!(fault(&[attribute(&"a".repeat(25), "")]), Some(LabelError::Name));
        let named = [attribute(NAMESPACE, "1234"), attribute(NAME, "1234")];
        assert_eq!(fault(&named), Some(LabelError::Value), "job is both");
        let many: Vec<_> = (0..5).map(|i| attribute(&format!("a{i}"), "x")).collect();
        assert_eq!(fault(&many), Some(LabelError::TooMany));
        let again = vec![attribute("a", "x"); 1_000];
        let resource = OfResource::new(&again, &settings, &limits).unwrap();
        assert_eq!(resource.promoted.len(), 1);
        let scope = |attributes: Vec<KeyValue>| {
            let scope = InstrumentationScope { name: "s".to_owned(), attributes, ..Default::default() };
            resource.with_scope(Some(&scope), "", &settings, &limits).err()
        };
        assert_eq!(scope(again.clone()), None);
        assert_eq!(scope(many), Some(LabelError::TooMany));
        assert_eq!(scope(vec![attribute("a", "123456789")]), Some(LabelError::Value));
    }
}
