//! Label sets as serde writes them into saved state: their canonical bytes, checked when they are read back. For
//! `#[serde(with = "label_bytes")]`; without it a set is an object of strings, as people read it.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

use super::Labels;

/// Writes the bytes.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(labels.as_bytes())
}

/// Reads the bytes.
///
/// # Errors
/// Bytes that are no canonical set.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    deserializer.deserialize_bytes(Canonical)
}

struct Canonical;

impl Visitor<'_> for Canonical {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the canonical bytes of a label set")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Labels, E> {
        Labels::read(bytes).ok_or_else(|| E::custom("no canonical label set"))
    }
}
