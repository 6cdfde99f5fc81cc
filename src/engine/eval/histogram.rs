//! `histogram_quantile` and `histogram_fraction` over classic buckets.

use crate::base::METRIC_NAME;
use crate::promql::{Annotation, Bucket, NodeId, bucket_fraction, bucket_quantile};

use super::labels::LabelState;
use super::{Context, Vector, vector};
use crate::engine::interner::{LabelId, UNKNOWN};
use crate::engine::value::EvalError;

impl Context<'_> {
    pub(super) fn histogram_quantile(
        &mut self,
        phi: NodeId,
        buckets: NodeId,
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let phi = self.scalar(phi)?;
        if let Some(annotation) = Annotation::of_quantile(phi) {
            self.annotations.add(annotation);
        }
        self.each_histogram(buckets, state, out, |histogram| bucket_quantile(phi, histogram))
    }

    pub(super) fn histogram_fraction(
        &mut self,
        lower: NodeId,
        upper: NodeId,
        buckets: NodeId,
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let (lower, upper) = (self.scalar(lower)?, self.scalar(upper)?);
        self.each_histogram(buckets, state, out, |histogram| (bucket_fraction(lower, upper, histogram), false))
    }

    /// Puts buckets together by all labels but `le`, and applies a function to each histogram, which also says whether it had to
    /// force counts to rise.
    fn each_histogram(
        &mut self,
        buckets: NodeId,
        state: &mut LabelState,
        out: &mut Vector,
        f: impl Fn(&mut Vec<Bucket>) -> (f64, bool),
    ) -> Result<(), EvalError> {
        let interner = &mut self.store.interner;
        let marks = &mut self.scratch.marks;
        marks.clear();
        let mut histograms: Vec<(LabelId, Vec<Bucket>)> = Vec::new();
        for (id, count) in vector(self.memos, buckets)?.iter() {
            let mut at = state.results.get(id);
            if at == UNKNOWN {
                at = state.numbers.len() as u32;
                // What has no readable bound is no bucket; it is skipped below.
                state.numbers.push(interner.value(id, "le").parse().unwrap_or(f64::NAN));
                state.results.set(id, at);
            }
            let upper = state.numbers[at as usize];
            if upper.is_nan() {
                self.annotations.add_bad_bucket(interner.value(id, "le"), interner.value(id, METRIC_NAME));
                continue;
            }
            // With the name: buckets of two metrics are two histograms, even if their results cannot be told apart.
            let mut group = state.signatures.get(id);
            if group == UNKNOWN {
                group = interner.filtered(id, |name| name != "le");
                state.signatures.set(id, group);
            }
            let histogram = match marks.insert(group, histograms.len() as u32) {
                Some(known) => known as usize,
                None => {
                    histograms.push((group, Vec::new()));
                    out.push(interner.dropped(group), 0.0);
                    histograms.len() - 1
                }
            };
            histograms[histogram].1.push(Bucket { upper, count });
        }
        for (value, (group, histogram)) in out.values.iter_mut().zip(&mut histograms) {
            let forced;
            (*value, forced) = f(histogram);
            if forced {
                let metric = interner.value(*group, METRIC_NAME).to_string();
                self.annotations.add(Annotation::ForcedMonotonicity { metric });
            }
        }
        self.check_unique(buckets, &out.ids)
    }
}
