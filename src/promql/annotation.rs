//! What an evaluation has to remark besides its value, in Prometheus' words (`util/annotations` in prometheus/prometheus).
//!
//! Only the remarks that floats can give; those about native histograms do not apply.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most remarks that one node or one rule keeps.
const MOST: usize = 10;

/// A remark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Annotation {
    /// φ is no quantile.
    InvalidQuantile(String),
    /// A bucket without a readable bound was left out.
    BadBucket {
        /// What stands in `le`.
        le: String,
        /// The metric's name; empty if it is gone.
        metric: String,
    },
    /// Counts of buckets fell with rising bounds, and were made to rise.
    ForcedMonotonicity {
        /// The metric's name; empty if it is gone.
        metric: String,
    },
    /// The rate of what does not look like a counter.
    NotACounter {
        /// The metric's name.
        metric: String,
    },
    /// A range has no order.
    IneffectiveSort,
}

/// How much a remark matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something is most likely wrong.
    Warning,
    /// Something may be wrong.
    Info,
}

/// Remarks without repetition, in order; the first few if there are many, so that it does not matter where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations(Vec<Annotation>);

impl Annotation {
    /// That φ is no quantile, if it is none.
    #[must_use]
    pub fn of_quantile(phi: f64) -> Option<Self> {
        (!(0.0..=1.0).contains(&phi)).then(|| Self::InvalidQuantile(general(phi)))
    }

    /// That a metric does not look like a counter, if it does not.
    #[must_use]
    pub fn of_counter(metric: &str) -> Option<Self> {
        let is_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| metric.ends_with(suffix));
        (!is_counter && !metric.is_empty()).then(|| Self::NotACounter { metric: metric.to_owned() })
    }

    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::InvalidQuantile(_) | Self::BadBucket { .. } | Self::IneffectiveSort => Severity::Warning,
            Self::ForcedMonotonicity { .. } | Self::NotACounter { .. } => Severity::Info,
        }
    }

    /// Which argument of the call it is about; None for the call itself.
    #[must_use]
    pub fn argument(&self, arguments: usize) -> Option<usize> {
        match self {
            Self::InvalidQuantile(_) | Self::NotACounter { .. } => Some(0),
            Self::BadBucket { .. } | Self::ForcedMonotonicity { .. } => arguments.checked_sub(1),
            Self::IneffectiveSort => None,
        }
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_metric = |metric: &str| match metric {
            "" => String::new(),
            name => format!(" for metric name {name:?}"),
        };
        match self {
            Self::InvalidQuantile(phi) => {
                write!(f, "PromQL warning: quantile value should be between 0 and 1, got {phi}")
            }
            Self::BadBucket { le, metric } => write!(
                f,
                "PromQL warning: bucket label \"le\" is missing or has a malformed value of {le:?}{}",
                of_metric(metric)
            ),
            Self::ForcedMonotonicity { metric } => write!(
                f,
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
                of_metric(metric)
            ),
            Self::NotACounter { metric } => write!(
                f,
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
            ),
            Self::IneffectiveSort => f.write_str(
                "PromQL warning: sort is ineffective for range queries since results are always ordered by labels",
            ),
        }
    }
}

impl Annotations {
    /// Adds a remark.
    pub fn add(&mut self, annotation: Annotation) {
        if let Err(at) = self.0.binary_search(&annotation)
            && at < MOST
        {
            self.0.insert(at, annotation);
            self.0.truncate(MOST);
        }
    }

    /// Adds that a bucket has no readable bound; most of them differ in nothing that shows.
    pub fn add_bad_bucket(&mut self, le: &str, metric: &str) {
        let is_known = self.0.iter().any(
            |known| matches!(known, Annotation::BadBucket { le: other, metric: named } if other == le && named == metric),
        );
        if !is_known {
            self.add(Annotation::BadBucket { le: le.to_owned(), metric: metric.to_owned() });
        }
    }

    /// The remarks, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.0.iter()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl IntoIterator for Annotations {
    type Item = Annotation;
    type IntoIter = std::vec::IntoIter<Annotation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A number as Go's `%g` writes it.
fn general(v: f64) -> String {
    if v.is_nan() || v.is_infinite() {
        return crate::base::format_value(v);
    }
    let scientific = format!("{v:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if v != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => v.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_worded_as_in_prometheus() {
        let shown = |annotation: Option<Annotation>| annotation.map(|a| a.to_string()).unwrap_or_default();
        let quantile = |phi| shown(Annotation::of_quantile(phi));
        assert_eq!(quantile(5.0), "PromQL warning: quantile value should be between 0 and 1, got 5");
        assert!(quantile(f64::NAN).ends_with("got NaN") && quantile(-1e-9).ends_with("got -1e-09"));
        assert!(quantile(1e30).ends_with("got 1e+30") && quantile(f64::INFINITY).ends_with("got +Inf"));
        assert_eq!((quantile(0.0), quantile(1.0)), (String::new(), String::new()));
        let counter = |name| shown(Annotation::of_counter(name));
        assert!(counter("up").ends_with("_total/_sum/_count/_bucket: \"up\""));
        assert_eq!((counter("a_total"), counter("")), (String::new(), String::new()));
    }

    #[test]
    fn the_same_few_are_kept_whatever_the_order() {
        let filled = |order: &mut dyn Iterator<Item = usize>| {
            let mut kept = Annotations::default();
            order.for_each(|i| kept.add_bad_bucket(&format!("{:02}", i % 20), "m"));
            kept
        };
        let up = filled(&mut (0..40));
        assert_eq!(up, filled(&mut (0..40).rev()));
        assert_eq!(up.iter().count(), MOST);
    }
}
