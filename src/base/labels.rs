//! Label sets in their canonical bytes.
//!
//! A label set is its pairs sorted by name, each as `varint(len) name varint(len) value`. The bytes are the
//! identity: equal sets have equal bytes, whatever source they came from, and one hash over them names the series.
//! An empty value is the same as no label, as in Prometheus, and is never stored.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// An owned label set.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Box<[u8]>);

/// A borrowed label set: canonical bytes, see the module's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a [u8]);

/// Collects pairs in any order; the last value given to a name stands.
#[derive(Clone, Debug, Default)]
pub struct LabelBuilder(Vec<(String, String)>);

impl Labels {
    /// The set of these pairs.
    ///
    /// ```
    /// use forewarn::base::Labels;
    /// let labels = Labels::from_pairs([("job", "node"), ("__name__", "up"), ("empty", "")]);
    /// assert_eq!(labels.to_string(), r#"up{job="node"}"#);
    /// assert_eq!(labels.as_ref().get("job"), Some("node"));
    /// ```
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// The set of bytes that somebody kept; None unless they are canonical.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (mut rest, mut before) = (bytes, None);
        while !rest.is_empty() {
            let (name, value) = (take_string(&mut rest)?, take_string(&mut rest)?);
            if before.is_some_and(|before| name <= before) || value.is_empty() {
                return None;
            }
            before = Some(name);
        }
        Some(Self(bytes.into()))
    }

    /// Borrows the set.
    #[must_use]
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> LabelsRef<'a> {
    /// Takes bytes that are already canonical, as [`Self::as_bytes`] gave them or a batch built them.
    #[must_use]
    pub fn from_canonical(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Copies into an owned set.
    #[must_use]
    pub fn to_labels(self) -> Labels {
        Labels(self.0.into())
    }

    /// The pairs, sorted by name.
    #[must_use]
    pub fn iter(self) -> Pairs<'a> {
        Pairs(self.0)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The metric's name, or the empty string.
    #[must_use]
    pub fn metric_name(self) -> &'a str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Whether there is no label at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The identity of the series: 128 bits of XXH3 over the canonical bytes.
    #[must_use]
    pub fn key(self) -> u128 {
        xxh3_128(self.0)
    }

    /// The hash that places a series on a shard: of the labels without `__name__` and `le`, so that ratios of
    /// metrics with equal labels and the buckets of one histogram stay together.
    #[must_use]
    pub fn shard_hash(self) -> u64 {
        let mut kept = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if name != METRIC_NAME && name != "le" {
                push_pair(&mut kept, name, value);
            }
        }
        xxh3_64(&kept)
    }

    /// The set with only the pairs for which `keep` holds.
    pub fn filter(self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let mut kept = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                push_pair(&mut kept, name, value);
            }
        }
        Labels(kept.into())
    }

    /// A builder that starts from this set.
    #[must_use]
    pub fn to_builder(self) -> LabelBuilder {
        LabelBuilder(self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }
}

impl LabelBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(pair) => pair.1 = value,
            None => self.0.push((name, value)),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.0.retain(|(n, _)| n != name);
        self
    }

    /// The value set for a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The canonical set.
    #[must_use]
    pub fn build(mut self) -> Labels {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        let mut bytes = Vec::new();
        for (name, value) in &self.0 {
            if !value.is_empty() {
                push_pair(&mut bytes, name, value);
            }
        }
        Labels(bytes.into())
    }
}

/// Iterator over the pairs of a label set.
#[derive(Clone, Debug)]
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = take_string(&mut self.0)?;
        let value = take_string(&mut self.0)?;
        Some((name, value))
    }
}

pub(super) fn push_pair(bytes: &mut Vec<u8>, name: &str, value: &str) {
    push_bytes(bytes, name.as_bytes());
    push_bytes(bytes, value.as_bytes());
}

#[inline]
pub(super) fn push_bytes(bytes: &mut Vec<u8>, s: &[u8]) {
    let mut len = s.len();
    while len >= 0x80 {
        bytes.push((len as u8) | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(s);
}

/// Whether every string within encoded pairs is UTF-8.
pub(super) fn is_utf8(mut pairs: &[u8]) -> bool {
    // Lengths below 128 are ASCII themselves, so the common case is one pass over everything.
    pairs.is_ascii() || {
        while !pairs.is_empty() {
            if take_string(&mut pairs).is_none() {
                return false;
            }
        }
        true
    }
}

fn take_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (mut len, mut shift) = (0usize, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
        if shift > 28 {
            return None; // no string is that long
        }
    }
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(head).ok()
}

impl Borrow<[u8]> for Labels {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for LabelsRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As Prometheus prints a series: `name{a="b", c="d"}`, values escaped.
impl fmt::Display for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        f.write_str(name)?;
        let mut open = false;
        for (n, v) in self.iter().filter(|(n, _)| *n != METRIC_NAME) {
            f.write_str(if open { ", " } else { "{" })?;
            open = true;
            write!(f, "{n}={v:?}")?;
        }
        match (open, name.is_empty()) {
            (true, _) => f.write_str("}"),
            (false, true) => f.write_str("{}"),
            (false, false) => Ok(()),
        }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Serialised as a JSON object of strings.
impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.as_ref().iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_pairs_does_not_matter_and_empty_values_vanish() {
        let a = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", "")]);
        let b = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(a, b);
        assert_eq!(a.as_ref().key(), b.as_ref().key());
    }

    #[test]
    fn name_and_le_do_not_move_a_series_to_another_shard() {
        let a = Labels::from_pairs([("__name__", "x_bucket"), ("le", "0.5"), ("job", "j")]);
        let b = Labels::from_pairs([("__name__", "x_count"), ("job", "j")]);
        assert_eq!(a.as_ref().shard_hash(), b.as_ref().shard_hash());
        assert_ne!(a.as_ref().key(), b.as_ref().key());
    }

    #[test]
    fn long_values_survive() {
        let long = "x".repeat(70_000);
        let labels = Labels::from_pairs([("a", long.as_str()), ("b", "y")]);
        assert_eq!(labels.as_ref().get("a").map(str::len), Some(70_000));
        assert_eq!(labels.as_ref().get("b"), Some("y"));
    }
}
