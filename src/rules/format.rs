//! The shape of rule files: what YAML gives, with the place of every value.
//!
//! Reads structure only; what values mean and whether they are allowed is `validate`'s part. Every value is optional
//! here and unknown keys are kept, so that one mistake does not hide the others.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A scalar as it is written, or nothing for null.
pub(super) type Scalar = Spanned<Option<String>>;

/// One YAML document: Prometheus' rule file, or a Kubernetes resource.
#[derive(Default)]
pub(super) struct Document {
    pub(super) groups: Groups,
    pub(super) api_version: Option<Scalar>,
    pub(super) kind: Option<Scalar>,
    pub(super) spec: Option<Option<Spec>>,
    pub(super) unknown: Vec<Spanned<String>>,
}

/// The groups of a file.
pub(super) type Groups = Option<Spanned<Option<Vec<Spanned<Group>>>>>;

/// A resource's `spec`.
#[derive(Default)]
pub(super) struct Spec {
    pub(super) groups: Groups,
    pub(super) unknown: Vec<Spanned<String>>,
}

/// A group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) name: Option<Scalar>,
    pub(super) interval: Option<Scalar>,
    pub(super) query_offset: Option<Scalar>,
    pub(super) limit: Option<Scalar>,
    pub(super) labels: Option<Option<Pairs>>,
    pub(super) rules: Option<Option<Vec<Spanned<Rule>>>>,
    pub(super) unknown: Vec<Spanned<String>>,
}

/// A rule.
#[derive(Default)]
pub(super) struct Rule {
    pub(super) record: Option<Scalar>,
    pub(super) alert: Option<Scalar>,
    pub(super) expr: Option<Scalar>,
    pub(super) hold: Option<Scalar>,
    pub(super) keep_firing_for: Option<Scalar>,
    pub(super) labels: Option<Option<Pairs>>,
    pub(super) annotations: Option<Option<Pairs>>,
    pub(super) unknown: Vec<Spanned<String>>,
}

/// Names and values in the order of the file.
#[derive(Default)]
pub(super) struct Pairs(pub(super) Vec<(Spanned<String>, Scalar)>);

/// Most nodes of a file's YAML: some 500,000 rules.
const MOST_NODES: usize = 8_000_000;

/// The documents of a file, or what YAML has against it.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, serde_saphyr::Error> {
    // A file has been bounded in bytes (limits.file_bytes); a node takes two or more.
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_nodes: MOST_NODES, max_events: 4 * MOST_NODES },
    };
    serde_saphyr::from_multiple_with_options(text, options)
}

/// The bytes of a value in the file.
pub(super) fn span(location: Location) -> Range<usize> {
    let span = location.span();
    let bytes = span.byte_offset().zip(span.byte_len());
    bytes.map_or(0..0, |(start, length)| start as usize..(start + length) as usize)
}

/// Reads a mapping into a struct, field by key; keys that are none of these are kept in `unknown`.
macro_rules! mapping {
    ($target:ident, $what:literal, { $($key:literal => $field:ident),* }) => {
        impl $target {
            /// The keys that are known.
            pub(super) const KEYS: &'static [&'static str] = &[$($key),*];
        }

        impl<'de> Deserialize<'de> for $target {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Keys;
                impl<'de> Visitor<'de> for Keys {
                    type Value = $target;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$target, A::Error> {
                        let mut out = $target::default();
                        while let Some(key) = map.next_key::<Spanned<String>>()? {
                            match key.value.as_str() {
                                $($key => out.$field = Some(map.next_value()?),)*
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                    out.unknown.push(key);
                                }
                            }
                        }
                        Ok(out)
                    }
                }
                deserializer.deserialize_map(Keys)
            }
        }
    };
}

mapping!(Document, "a rule file, which is a mapping with the key groups", {
    "groups" => groups, "apiVersion" => api_version, "kind" => kind, "spec" => spec
});
mapping!(Spec, "a resource's spec", { "groups" => groups });
mapping!(Group, "a group, which is a mapping", {
    "name" => name, "interval" => interval, "query_offset" => query_offset, "limit" => limit, "labels" => labels,
    "rules" => rules
});
mapping!(Rule, "a rule, which is a mapping", {
    "record" => record, "alert" => alert, "expr" => expr, "for" => hold, "keep_firing_for" => keep_firing_for,
    "labels" => labels, "annotations" => annotations
});

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names to strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut out = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    out.push(entry);
                }
                Ok(Pairs(out))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
