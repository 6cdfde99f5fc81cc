//! Delayed name removal, as Prometheus has it behind `promql-delayed-name-removal`: functions do not drop the metric's
//! name but mark the element, and only what an expression gives in the end loses its name. So `label_replace` and
//! `by (__name__)` can still read it.
//!
//! The mark is a label that no source can send: it goes wherever the label set goes, through windows of subqueries and
//! across shards, and sets that differ in nothing else have the same signature. Where names go at once, as they usually
//! do, there are no marks and nothing looks for them.

use crate::base::METRIC_NAME;

use super::interner::{IdMap, Interner, LabelId, UNKNOWN};

/// The label that says that the name is to go.
pub const MARK: &str = "\u{0}drops_name";

/// What an interner that marks remembers.
#[derive(Debug, Default)]
pub struct LateNames {
    marked: IdMap,
}

impl Interner {
    /// From now on names are marked rather than dropped.
    pub fn drop_names_late(&mut self) {
        self.late = Some(Box::default());
    }

    /// Whether names are marked rather than dropped.
    #[inline]
    #[must_use]
    pub fn drops_names_late(&self) -> bool {
        self.late.is_some()
    }

    /// The id of an element whose name goes: without it, or marked.
    #[inline]
    pub fn dropped(&mut self, id: LabelId) -> LabelId {
        if self.late.is_none() { self.nameless(id) } else { self.marked(id) }
    }

    /// What is left of an element at the end of an expression.
    pub fn settled(&mut self, id: LabelId) -> LabelId {
        if self.is_marked(id) { self.nameless(id) } else { id }
    }

    /// Whether the name is to go.
    #[must_use]
    pub fn is_marked(&self, id: LabelId) -> bool {
        self.late.is_some() && !self.value(id, MARK).is_empty()
    }

    fn marked(&mut self, id: LabelId) -> LabelId {
        let known = self.late.as_ref().map_or(UNKNOWN, |late| late.marked.get(id));
        if known != UNKNOWN {
            return known;
        }
        let marked = if self.value(id, METRIC_NAME).is_empty() {
            id
        } else {
            let mut builder = self.builder(id);
            builder.set(MARK, "1");
            self.intern(builder.build().as_ref())
        };
        if let Some(late) = &mut self.late {
            late.marked.set(id, marked);
        }
        marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Labels;

    #[test]
    fn a_marked_name_can_be_read_until_the_end() {
        let mut interner = Interner::default();
        interner.drop_names_late();
        let up = interner.intern(Labels::from_pairs([("__name__", "up"), ("job", "a")]).as_ref());
        let marked = interner.dropped(up);
        assert!(marked != up && interner.is_marked(marked) && interner.dropped(marked) == marked);
        assert_eq!(interner.value(marked, "__name__"), "up");
        assert_eq!(interner.nameless(marked), interner.nameless(up));
        let left = interner.settled(marked);
        assert_eq!(interner.labels(left).to_string(), r#"{job="a"}"#);
        assert!(interner.settled(up) == up && interner.dropped(left) == left && !interner.is_marked(left));
        let live: Vec<bool> = (0..interner.len() as LabelId).map(|id| id == marked).collect();
        let remap = interner.compact(&live);
        assert!(interner.is_marked(remap[marked as usize]) && interner.len() == 1);
    }
}
