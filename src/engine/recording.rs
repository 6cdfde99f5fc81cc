//! A recording rule: its result becomes samples of series that other rules may read.

use crate::base::{Labels, METRIC_NAME, stale_nan};

use super::interner::{IdMap, Interner, LabelId, Marks, UNKNOWN};
use super::value::{EvalError, Vector};

/// State of a recording rule.
#[derive(Debug, Default)]
pub struct Recording {
    name: String,
    labels: Vec<(String, String)>,
    limit: usize,
    results: IdMap,
    /// Label sets recorded at the tick before.
    before: Vec<LabelId>,
    marks: Marks,
}

impl Recording {
    /// A rule that records under a name, with labels to add or to override.
    #[must_use]
    pub fn new(name: &str, labels: &[(String, String)], limit: usize) -> Self {
        Self { name: name.to_owned(), labels: labels.to_vec(), limit, ..Self::default() }
    }

    /// The samples of a tick: the result under the rule's labels, and staleness markers for what is no longer in it.
    ///
    /// # Errors
    /// Two elements get the same labels, or there are more than the group's limit; nothing is recorded then.
    pub fn step(&mut self, vector: &Vector, interner: &mut Interner) -> Result<Vec<(LabelId, f64)>, EvalError> {
        if self.limit > 0 && vector.len() > self.limit {
            return Err(EvalError::Limit { limit: self.limit, got: vector.len() });
        }
        self.marks.clear();
        let mut samples = Vec::with_capacity(vector.len());
        for (id, v) in vector.iter() {
            let result = self.result(id, interner);
            if self.marks.insert(result, 0).is_some() {
                return Err(EvalError::SameLabels(interner.labels(result).to_string()));
            }
            samples.push((result, v));
        }
        let now: Vec<LabelId> = samples.iter().map(|s| s.0).collect();
        for &id in &self.before {
            if self.marks.get(id).is_none() {
                samples.push((id, stale_nan()));
            }
        }
        self.before = now;
        Ok(samples)
    }

    /// The rule is gone: its series end.
    pub fn end(&mut self) -> Vec<(LabelId, f64)> {
        self.before.drain(..).map(|id| (id, stale_nan())).collect()
    }

    /// Goes on where an earlier version of the rule was: what it recorded and this one does not ends with the next step.
    pub fn inherit(&mut self, old: Self) {
        self.before = old.before;
    }

    /// Goes on where a rule was that recorded these label sets last.
    pub fn restore(&mut self, before: Vec<LabelId>) {
        self.before = before;
    }

    /// Label sets in use.
    pub fn pinned(&self) -> &[LabelId] {
        &self.before
    }

    /// Renumbers label sets after the interner was compacted.
    pub fn renumber(&mut self, remap: &[LabelId]) {
        self.before.iter_mut().for_each(|id| *id = remap[*id as usize]);
        self.results.clear();
    }

    fn result(&mut self, id: LabelId, interner: &mut Interner) -> LabelId {
        let known = self.results.get(id);
        if known != UNKNOWN {
            return known;
        }
        let mut builder = interner.builder(id);
        builder.set(METRIC_NAME, self.name.as_str());
        for (name, value) in &self.labels {
            builder.set(name.as_str(), value.as_str());
        }
        let labels: Labels = builder.build();
        let result = interner.intern(labels.as_ref());
        self.results.set(id, result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::is_stale;

    #[test]
    fn a_series_that_is_gone_ends_with_a_marker() {
        let mut interner = Interner::default();
        let a = interner.intern(Labels::from_pairs([("x", "a")]).as_ref());
        let b = interner.intern(Labels::from_pairs([("x", "b")]).as_ref());
        let mut rule = Recording::new("r", &[("team".into(), "t".into())], 2);
        let both = Vector { ids: vec![a, b], values: vec![1.0, 2.0] };
        let first = rule.step(&both, &mut interner).unwrap();
        assert_eq!(interner.labels(first[0].0).to_string(), r#"r{team="t", x="a"}"#);
        let second = rule.step(&Vector { ids: vec![b], values: vec![3.0] }, &mut interner).unwrap();
        assert_eq!(second[0], (first[1].0, 3.0));
        assert!(second[1].0 == first[0].0 && is_stale(second[1].1) && second.len() == 2);
        // A result that is refused ends nothing.
        let clash = Vector { ids: vec![a, a], values: vec![1.0, 1.0] };
        assert!(matches!(rule.step(&clash, &mut interner), Err(EvalError::SameLabels(_))));
        assert!(is_stale(rule.end()[0].1));
    }
}
