//! Labels a source adds to everything it reads (`job`, `instance`, what the configuration says), and what happens
//! when a series has a label of the same name already.
//!
//! As in prometheus/prometheus `scrape/target.go` and the `honor_labels` setting: with it the series' own label stands,
//! even an empty one; without it the series' own label moves to `exported_<name>`.

use std::borrow::Cow;

/// A label while a line is read.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The labels to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetLabels {
    labels: Vec<Added>,
    honor: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Added {
    name: String,
    value: String,
    exported: String,
}

impl TargetLabels {
    /// Adds these pairs; `honor` as in `honor_labels`.
    pub fn new<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>, honor: bool) -> Self {
        let labels = pairs.into_iter().map(|(name, value)| {
            let name = name.into();
            Added { exported: format!("exported_{name}"), name, value: value.into() }
        });
        Self { labels: labels.collect(), honor }
    }

    /// The pairs to add.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|l| (l.name.as_str(), l.value.as_str()))
    }

    /// Adds the labels to those of a series; the result is sorted by name.
    pub fn apply<'a>(&'a self, pairs: &mut Vec<Pair<'a>>) {
        for label in &self.labels {
            let own = pairs.iter().position(|(name, _)| *name == label.name);
            match own {
                Some(_) if self.honor => continue,
                Some(at) if pairs[at].1.is_empty() => pairs[at].1 = Cow::Borrowed(label.value.as_str()),
                Some(at) => {
                    let name = self.free_name(label, pairs);
                    let value = std::mem::replace(&mut pairs[at].1, Cow::Borrowed(label.value.as_str()));
                    pairs.push((name, value));
                }
                None => pairs.push((Cow::Borrowed(label.name.as_str()), Cow::Borrowed(label.value.as_str()))),
            }
        }
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }

    /// `exported_<name>`, with as many more prefixes as it takes to clash with nothing.
    fn free_name<'a>(&'a self, label: &'a Added, pairs: &[Pair<'a>]) -> Cow<'a, str> {
        let mut name = Cow::Borrowed(label.exported.as_str());
        while pairs.iter().any(|(n, _)| *n == name) || self.labels.iter().any(|l| l.name == name) {
            name = Cow::Owned(format!("exported_{name}"));
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(own: &[(&'static str, &'static str)], honor: bool) -> String {
        let target = TargetLabels::new([("job", "j"), ("instance", "i")], honor);
        let mut pairs: Vec<Pair<'_>> = own.iter().map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v))).collect();
        target.apply(&mut pairs);
        pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn conflicts_are_settled_as_in_prometheus() {
        assert_eq!(applied(&[("a", "1")], false), "a=1 instance=i job=j");
        assert_eq!(applied(&[("job", "own")], false), "exported_job=own instance=i job=j");
        assert_eq!(
            applied(&[("exported_job", "x"), ("job", "own")], false),
            "exported_exported_job=own exported_job=x instance=i job=j"
        );
        assert_eq!(applied(&[("job", "own")], true), "instance=i job=own");
        assert_eq!(applied(&[("instance", "")], true), "instance= job=j");
        assert_eq!(applied(&[("instance", "")], false), "instance=i job=j");
    }
}
