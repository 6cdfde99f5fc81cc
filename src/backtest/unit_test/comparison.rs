//! Label sets that were expected beside those that came: which are the same, which only nearly so and in what, which are
//! missing and which too many.

use std::collections::BTreeMap;

use crate::base::{LabelsRef, METRIC_NAME};

/// Most pairs that are looked at for likeness. Beyond, differences are listed without.
const PAIRS_MAX: usize = 1_000_000;

/// Something with labels that was expected or came.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    /// Labels.
    pub labels: LabelsRef<'a>,
    /// What stands behind them on their line.
    pub value: String,
    /// What stands below them, by name.
    pub below: BTreeMap<&'a str, &'a str>,
}

/// The lines of a difference: `  ` before what is as expected, `- ` before what is missing, `+ ` before what is too many,
/// `~ ` before what a nearly right one differs in. `same` says of an expected and a given entry with equal labels whether
/// all is as it should be.
pub(super) fn compare(expected: &[Entry<'_>], got: &[Entry<'_>], same: impl Fn(usize, usize) -> bool) -> Vec<String> {
    let mut free: Vec<bool> = vec![true; got.len()];
    let mut partner: Vec<Option<usize>> = vec![None; expected.len()];
    for (e, entry) in expected.iter().enumerate() {
        let found = (0..got.len()).find(|&g| free[g] && got[g].labels == entry.labels && same(e, g));
        if let Some(g) = found {
            (free[g], partner[e]) = (false, Some(g));
        }
    }
    let is_right: Vec<bool> = partner.iter().map(Option::is_some).collect();
    let missing: Vec<usize> = (0..expected.len()).filter(|&e| !is_right[e]).collect();
    let excess = free.iter().filter(|free| **free).count();
    if missing.len().saturating_mul(excess) <= PAIRS_MAX {
        pair(&missing, expected, got, &mut free, &mut partner);
    }
    let mut out = Vec::new();
    for (e, entry) in expected.iter().enumerate() {
        match partner[e] {
            Some(g) if is_right[e] => out.push(format!("  {}", got[g].line())),
            Some(g) => entry.differences(&got[g], &mut out),
            None => entry.alone('-', &mut out),
        }
    }
    got.iter().zip(free).filter(|(_, free)| *free).for_each(|(entry, _)| entry.alone('+', &mut out));
    out
}

/// Gives each missing entry the one that came and is most like it, the likest pairs first.
fn pair(
    missing: &[usize],
    expected: &[Entry<'_>],
    got: &[Entry<'_>],
    free: &mut [bool],
    partner: &mut [Option<usize>],
) {
    let mut pairs = Vec::new();
    for &e in missing {
        for g in (0..got.len()).filter(|&g| free[g]) {
            pairs.push((std::cmp::Reverse(likeness(expected[e].labels, got[g].labels)), e, g));
        }
    }
    pairs.retain(|(std::cmp::Reverse(likeness), ..)| *likeness > 0);
    pairs.sort();
    for (_, e, g) in pairs {
        if partner[e].is_none() && free[g] {
            (free[g], partner[e]) = (false, Some(g));
        }
    }
}

/// 0 where nothing but the name is shared; more, the more labels are, and most of all if all are.
fn likeness(a: LabelsRef<'_>, b: LabelsRef<'_>) -> usize {
    if a == b {
        return usize::MAX;
    }
    a.iter().filter(|(name, value)| !is_name(name) && b.get(name) == Some(value)).count()
}

fn is_name(label: &str) -> bool {
    label == METRIC_NAME || label == "alertname"
}

impl Entry<'_> {
    fn line(&self) -> String {
        if self.value.is_empty() { self.labels.to_string() } else { format!("{} {}", self.labels, self.value) }
    }

    fn alone(&self, sign: char, out: &mut Vec<String>) {
        out.push(format!("{sign} {}", self.line()));
        out.extend(self.below.iter().map(|(name, text)| format!("{sign}     {name}: {text:?}")));
    }

    /// This one was expected, the other came.
    fn differences(&self, got: &Self, out: &mut Vec<String>) {
        if self.line() == got.line() {
            out.push(format!("  {}", self.line()));
        } else {
            out.extend([format!("- {}", self.line()), format!("+ {}", got.line())]);
        }
        out.extend(changes("label ", &self.labels.iter().collect(), &got.labels.iter().collect()));
        out.extend(changes("", &self.below, &got.below));
    }
}

/// What differs between two sets of names and texts.
fn changes(what: &str, expected: &BTreeMap<&str, &str>, got: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut out = Vec::new();
    for (name, text) in expected {
        match got.get(name) {
            Some(other) if other == text => {}
            Some(other) => out.push(format!("~     {what}{name}: expected {text:?}, got {other:?}")),
            None => out.push(format!("~     {what}{name}: expected {text:?}, got none")),
        }
    }
    let excess = got.iter().filter(|(name, _)| !expected.contains_key(*name));
    out.extend(excess.map(|(name, text)| format!("~     {what}{name}: expected none, got {text:?}")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Labels;

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split(',').filter_map(|pair| pair.split_once('=')))
    }

    /// Entries as `a=1,b=2 value`, equal if their values are.
    fn shown(expected: &[&str], got: &[&str]) -> Vec<String> {
        let parts = |list: &[&str]| -> Vec<(Labels, String)> {
            list.iter().map(|s| s.split_once(' ').map(|(l, v)| (labels(l), v.to_owned())).unwrap()).collect()
        };
        let (expected, got) = (parts(expected), parts(got));
        let entries = |parts: &'static [(Labels, String)]| -> Vec<Entry<'static>> {
            let entry = |(labels, value): &'static (Labels, String)| Entry {
                labels: labels.as_ref(),
                value: value.clone(),
                below: BTreeMap::new(),
            };
            parts.iter().map(entry).collect()
        };
        let (expected, got) = (entries(expected.leak()), entries(got.leak()));
        compare(&expected, &got, |e, g| expected[e].value == got[g].value)
    }

    #[test]
    fn the_likest_are_compared_with_one_another() {
        assert_eq!(shown(&["a=1 5"], &["a=1 5"]), [r#"  {a="1"} 5"#]);
        assert_eq!(shown(&["a=1 5"], &["a=1 6"]), [r#"- {a="1"} 5"#, r#"+ {a="1"} 6"#]);
        assert_eq!(
            shown(&["a=1,b=1,c=1 5", "a=2,b=1,c=1 6"], &["a=2,b=1,c=1 6", "a=1,b=2 5", "d=1 5"]),
            [
                r#"- {a="1", b="1", c="1"} 5"#,
                r#"+ {a="1", b="2"} 5"#,
                r#"~     label b: expected "1", got "2""#,
                r#"~     label c: expected "1", got none"#,
                r#"  {a="2", b="1", c="1"} 6"#,
                r#"+ {d="1"} 5"#,
            ]
        );
        assert_eq!(shown(&["alertname=A,x=1 "], &["alertname=A,x=2 "]).len(), 2, "the name alone is no likeness");
        assert_eq!(shown(&["a=1 5", "a=1 5"], &["a=1 5"]), [r#"  {a="1"} 5"#, r#"- {a="1"} 5"#]);
        assert_eq!(shown(&[], &[]), [""; 0]);
    }
}
