//! Which profile and which functions suit recorded series: series of one kind are put together, and each group gets a
//! suggestion with its reason and rules to begin with.
//!
//! Pure and deterministic: series in, groups out. A batch fit over a record, for a person who writes rules; nothing of it
//! runs in the engine. Knows nothing of files.

mod features;
mod group;
mod kind;
mod robust;
mod season;
mod snippet;
#[cfg(test)]
mod tests;

pub use features::{Features, features};
pub use kind::Kind;

use serde::Serialize;

use crate::base::{Labels, METRIC_NAME, Millis};

/// Ends of names that Prometheus' conventions give to counters.
const COUNTER_ENDS: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];
/// Share of a counter's steps that do not fall.
const COUNTER_STEPS: f64 = 0.95;
/// Members from which peers can be compared (`outlier_score`).
const PEERS_MIN: usize = 3;

/// Recorded points of a series, in order of time.
#[derive(Clone, Debug)]
pub struct NamedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its points.
    pub points: Vec<(Millis, f64)>,
}

/// Series of one kind, and what suits them.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Their kind, by the medians of their features.
    pub kind: Kind,
    /// The profile that suits.
    pub profile: &'static str,
    /// The functions that suit, the first first.
    pub functions: &'static [&'static str],
    /// Why, in a sentence.
    pub reason: String,
    /// Rules for the typical member, as a list in YAML.
    pub rules: String,
    /// The member that is nearest to all others.
    pub typical: String,
    /// All members.
    pub members: Vec<Member>,
}

/// A series of a group.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Its name and labels.
    pub series: String,
    /// Whether it is a counter; its features are those of its rates.
    pub counter: bool,
    /// Its kind, were it alone.
    pub kind: Kind,
    /// What it is like.
    pub features: Features,
}

/// A limit for a rule.
#[derive(Clone, Copy, Debug)]
struct Limit {
    value: f64,
    /// Whether it follows from the kind, and is not only the highest value seen.
    is_known: bool,
}

/// Groups of series: by kind, the larger first. The order of the series makes no difference.
#[must_use]
pub fn suggest(series: &[NamedSeries]) -> Vec<Group> {
    let mut series: Vec<&NamedSeries> = series.iter().collect();
    series.sort_by_key(|one| one.labels.to_string());
    let counters: Vec<bool> = series.iter().map(|one| is_counter(one)).collect();
    let all: Vec<Features> = series
        .iter()
        .zip(&counters)
        .map(|(one, is_counter)| if *is_counter { features(&rates(&one.points)) } else { features(&one.points) })
        .collect();
    let mut groups: Vec<Group> =
        group::groups(&all).iter().map(|members| one_group(members, &series, &counters, &all)).collect();
    groups.sort_by(|a, b| {
        a.kind.cmp(&b.kind).then(b.members.len().cmp(&a.members.len())).then(a.typical.cmp(&b.typical))
    });
    groups
}

fn one_group(members: &[usize], series: &[&NamedSeries], counters: &[bool], all: &[Features]) -> Group {
    let medians = Features::typical(&members.iter().map(|i| all[*i]).collect::<Vec<_>>());
    let kind = Kind::of(&medians);
    let typical = group::typical(members, all);
    let metric = series[typical].labels.as_ref().metric_name();
    let selector = snippet::selector(metric);
    let expr = if counters[typical] { format!("rate({selector}[5m])") } else { selector };
    let labels: Vec<&Labels> = members.iter().map(|i| &series[*i].labels).collect();
    let member = |i: &usize| Member {
        series: series[*i].labels.to_string(),
        counter: counters[*i],
        kind: Kind::of(&all[*i]),
        features: all[*i],
    };
    Group {
        kind,
        profile: kind.profile(),
        functions: kind.functions(),
        reason: kind.reason(&medians),
        rules: snippet::rules(metric, &expr, kind, limit(kind, series[typical], &medians), peers(&labels).as_deref()),
        typical: series[typical].labels.to_string(),
        members: members.iter().map(member).collect(),
    }
}

fn limit(kind: Kind, series: &NamedSeries, medians: &Features) -> Limit {
    if kind == Kind::Draining {
        return Limit { value: 0.0, is_known: true };
    }
    if medians.within_one >= 1.0 {
        return Limit { value: 1.0, is_known: true };
    }
    let values = series.points.iter().map(|(_, v)| *v).filter(|v| v.is_finite());
    // Three digits are enough for a number that is to be replaced.
    let highest = format!("{:.2e}", values.fold(0.0, f64::max));
    Limit { value: highest.parse().unwrap_or(0.0), is_known: false }
}

/// The one label that tells series of one metric apart.
fn peers(members: &[&Labels]) -> Option<String> {
    let (first, others) = members.split_first()?;
    let mut differing: Option<&str> = None;
    for other in others {
        for (name, value) in first.as_ref().iter() {
            if other.as_ref().get(name) != Some(value) {
                if name == METRIC_NAME || differing.is_some_and(|known| known != name) {
                    return None;
                }
                differing = Some(name);
            }
        }
        if other.as_ref().iter().count() != first.as_ref().iter().count() {
            return None;
        }
    }
    differing.filter(|_| members.len() >= PEERS_MIN).map(str::to_owned)
}

/// Named like a counter, and hardly ever falling.
fn is_counter(series: &NamedSeries) -> bool {
    let name = series.labels.as_ref().metric_name();
    let falls = series.points.windows(2).filter(|pair| pair[1].1 < pair[0].1).count() as f64;
    COUNTER_ENDS.iter().any(|end| name.ends_with(end))
        && falls <= (1.0 - COUNTER_STEPS) * series.points.len() as f64
        && series.points.iter().all(|(_, v)| v.is_nan() || *v >= 0.0)
}

/// What a counter counted a second; after a reset it began at 0.
fn rates(points: &[(Millis, f64)]) -> Vec<(Millis, f64)> {
    let numbers: Vec<(Millis, f64)> = points.iter().copied().filter(|(_, v)| v.is_finite()).collect();
    let rate = |pair: &[(Millis, f64)]| {
        let ((from, a), (to, b)) = (pair[0], pair[1]);
        let seconds = to.saturating_sub(from).max(1) as f64 / 1_000.0;
        (to, if b < a { b } else { b - a } / seconds)
    };
    numbers.windows(2).map(rate).collect()
}
