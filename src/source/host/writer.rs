//! Where collectors write: one sample a call, at the time of the reading, with the source's labels added.

use std::borrow::Cow;

use crate::base::{Batch, BatchBuilder, Limits, METRIC_NAME, Millis};
use crate::source::decode::{Pair, TargetLabels};

/// Collects the samples of one reading.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    builder: BatchBuilder,
    labels: &'a TargetLabels,
    t: Millis,
}

impl<'a> Writer<'a> {
    pub(super) fn new(labels: &'a TargetLabels, t: Millis, limits: &Limits) -> Self {
        Self { builder: BatchBuilder::new(limits), labels, t }
    }

    /// Time of the reading.
    pub(super) fn time(&self) -> Millis {
        self.t
    }

    /// A sample without labels of its own.
    pub(super) fn plain(&mut self, name: &str, v: f64) {
        self.with(name, &[], v);
    }

    /// A sample with labels.
    pub(super) fn with(&mut self, name: &str, labels: &[(&str, &str)], v: f64) {
        let own = std::iter::once((METRIC_NAME, name)).chain(labels.iter().copied());
        let mut pairs: Vec<Pair<'_>> = own.map(|(n, v)| (Cow::Borrowed(n), Cow::Borrowed(v))).collect();
        self.labels.apply(&mut pairs);
        for (name, value) in &pairs {
            self.builder.label(name, value);
        }
        if self.builder.end_labels().is_ok() {
            self.builder.sample(self.t, v);
        }
    }

    pub(super) fn finish(self) -> Batch {
        self.builder.finish()
    }
}
