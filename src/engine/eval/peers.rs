//! `outlier_score`: each element beside its peers.

use crate::model::peer_scores;
use crate::promql::NodeId;

use super::aggregate::part_of;
use super::labels::LabelState;
use super::{Context, Vector, vector};
use crate::engine::interner::LabelId;
use crate::engine::value::EvalError;

impl Context<'_> {
    /// Scores every element among those with equal labels but those in `apart` and the name.
    pub(super) fn outlier_scores(
        &mut self,
        arg: NodeId,
        apart: &[String],
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let interner = &mut self.store.interner;
        let marks = &mut self.scratch.marks;
        marks.clear();
        let elements = vector(self.memos, arg)?;
        // By group: the places of its members among the elements.
        let mut groups: Vec<(LabelId, Vec<usize>)> = Vec::new();
        for (place, &id) in elements.ids.iter().enumerate() {
            let group = state.kept(interner, id, false, apart);
            let at = part_of(group, marks, &mut groups);
            groups[at].1.push(place);
        }
        marks.clear();
        let mut scores = vec![None; elements.ids.len()];
        for (_, members) in &groups {
            let values: Vec<f64> = members.iter().map(|&place| elements.values[place]).collect();
            for (&place, score) in members.iter().zip(peer_scores(&values)) {
                scores[place] = score;
            }
        }
        for (&id, score) in elements.ids.iter().zip(scores) {
            if let Some(score) = score {
                out.push(interner.dropped(id), score);
            }
        }
        self.check_unique(arg, &out.ids)
    }
}
