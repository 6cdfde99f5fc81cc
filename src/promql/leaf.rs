//! Leaves of the plan: windows and newest samples over the series that a selector matches, or over a subquery.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::base::{LabelsRef, METRIC_NAME, Millis};

use super::plan::{FeedId, NodeId, Schedule};
use super::reach::Span;

/// What a leaf keeps of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LeafKind {
    Instant,
    Counter,
    Recent,
    Regression,
    Sum,
    Spread,
    Min,
    Max,
    Samples,
    /// Samples are kept, and nothing is evaluated.
    Retained,
}

/// A window, or the newest sample, of every series that a selector matches.
#[derive(Debug)]
pub struct Leaf {
    /// What it is over.
    pub source: LeafSource,
    /// What is kept.
    pub kind: LeafKind,
    /// Milliseconds of the window, or of the look-back.
    pub range: Millis,
    /// Milliseconds that the window's end lies before the evaluation's time; after it if negative.
    pub offset: Millis,
    /// The instant at which the window ends whatever the evaluation's time, where `@` gives one. There is no offset then.
    pub pinned: Option<Millis>,
    /// Milliseconds for which the evaluation waits, see [`Schedule`].
    pub query_offset: Millis,
    /// Identity across reloads.
    pub identity: String,
}

impl Leaf {
    /// Whether the ring may hold samples that are not in the window yet when it is evaluated.
    #[must_use]
    pub fn lags(&self) -> bool {
        self.pinned.is_none() && self.offset + self.query_offset > 0
    }

    /// Where the window ends when it is evaluated at `t`.
    #[must_use]
    pub fn end(&self, t: Millis) -> Millis {
        self.pinned.unwrap_or(t - self.offset)
    }
}

/// What a leaf is over.
#[derive(Debug)]
pub enum LeafSource {
    /// Series.
    Selector(Selector),
    /// The elements of a subquery's inner expression.
    Feed(FeedId),
}

/// The inner expression of a subquery: evaluated at its own steps, each result kept as a series of samples.
#[derive(Debug)]
pub struct Feed {
    /// The expression.
    pub node: NodeId,
    /// Its steps.
    pub schedule: Schedule,
    /// The instants beyond which nobody looks at its steps, where they are bounded.
    pub span: Option<Span>,
    /// Identity across reloads.
    pub identity: String,
}

/// Matchers of a selector.
#[derive(Debug)]
pub struct Selector {
    /// The metric's name where it is given by equality.
    pub name: Option<String>,
    /// All matchers, that of the name among them.
    pub matchers: Vec<LabelMatcher>,
}

/// One matcher.
#[derive(Debug)]
pub struct LabelMatcher {
    /// Label.
    pub name: String,
    /// What its value must be; a label that is not there has the empty value.
    pub test: Test,
}

/// What a label's value must be.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Test {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
}

impl Selector {
    /// Whether a series matches.
    #[must_use]
    pub fn matches(&self, labels: LabelsRef<'_>) -> bool {
        self.matchers.iter().all(|m| m.test.holds(labels.get(&m.name).unwrap_or("")))
    }

    /// Whether a series without any labels would match, so that there is nothing that all it matches have in common.
    #[must_use]
    pub fn could_be_anything(&self) -> bool {
        self.matchers.iter().all(|m| m.test.holds(""))
    }

    /// Whether all that `other` matches is matched here, as far as their matchers tell.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.matchers.iter().all(|own| other.matchers.iter().any(|theirs| own.same(theirs)))
    }

    /// Whether a series of this name could match, whatever its other labels.
    #[must_use]
    pub fn could_match_name(&self, name: &str) -> bool {
        self.matchers.iter().filter(|m| m.name == METRIC_NAME).all(|m| m.test.holds(name))
    }
}

impl LabelMatcher {
    fn same(&self, other: &Self) -> bool {
        let same_test = match (&self.test, &other.test) {
            (Test::Equal(a), Test::Equal(b)) | (Test::NotEqual(a), Test::NotEqual(b)) => a == b,
            (Test::Regex(a), Test::Regex(b)) | (Test::NotRegex(a), Test::NotRegex(b)) => a.as_str() == b.as_str(),
            _ => false,
        };
        self.name == other.name && same_test
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(v) => v == value,
            Self::NotEqual(v) => v != value,
            Self::Regex(r) => r.is_match(value),
            Self::NotRegex(r) => !r.is_match(value),
        }
    }
}
