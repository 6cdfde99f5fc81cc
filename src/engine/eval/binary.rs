//! Operators on two vectors, or on a vector and a number.

use std::borrow::Cow;

use crate::base::Labels;
use crate::promql::{BinaryOp, Cardinality, Matching, NodeId, SetOp};

use super::labels::LabelState;
use super::{Context, Vector, vector};
use crate::engine::interner::{Interner, LabelId, UNKNOWN};
use crate::engine::late_names::MARK;
use crate::engine::value::EvalError;

impl Context<'_> {
    pub(super) fn with_scalar(
        &mut self,
        op: BinaryOp,
        lhs: NodeId,
        rhs: NodeId,
        return_bool: bool,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let scalar_left = self.plan.nodes[lhs].is_scalar;
        let (arg, number) = if scalar_left { (rhs, self.scalar(lhs)?) } else { (lhs, self.scalar(rhs)?) };
        let input = vector(self.memos, arg)?;
        let sides = |v: f64| if scalar_left { (number, v) } else { (v, number) };
        if op.is_comparison() && !return_bool {
            for (id, v) in input.iter() {
                let (a, b) = sides(v);
                if op.holds(a, b) {
                    out.push(id, v);
                }
            }
            return Ok(());
        }
        for (id, v) in input.iter() {
            let (a, b) = sides(v);
            out.push(self.store.interner.dropped(id), op.apply(a, b));
        }
        self.check_unique(arg, &out.ids)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn match_vectors(
        &mut self,
        op: BinaryOp,
        lhs: NodeId,
        rhs: NodeId,
        return_bool: bool,
        matching: &Matching,
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let (left, right) = (vector(self.memos, lhs)?, vector(self.memos, rhs)?);
        if left.len() == 0 || right.len() == 0 {
            return Ok(());
        }
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let interner = &mut self.store.interner;
        let (sides, results) = (&mut self.scratch.marks, &mut self.scratch.others);
        sides.clear();
        results.clear();
        for (at, &id) in one.ids.iter().enumerate() {
            let signature = state.signature(interner, id, matching);
            if let Some(other) = sides.insert(signature, at as u32) {
                let side = Cow::Borrowed(if swapped { "left" } else { "right" });
                let mut pair = [interner.labels(id), interner.labels(one.ids[other as usize])];
                pair.sort();
                let (group, pair) =
                    (interner.labels(signature).to_string(), Box::new(pair.map(|labels| pairs(&labels))));
                return Err(EvalError::ManyToMany { group, side, pair });
            }
        }
        let names = match (op.is_comparison(), return_bool) {
            (true, false) => Name::Kept,
            (true, true) => Name::Dropped,
            // Even where others are dropped late.
            (false, _) => Name::Gone,
        };
        for (id, v) in many.iter() {
            let signature = state.signature(interner, id, matching);
            let Some(at) = sides.get(signature) else { continue };
            // Before the comparison: whether a match is ambiguous must not depend on the values.
            if one_to_one && results.insert(signature, 0).is_some() {
                return Err(EvalError::ManyToOne(interner.labels(signature).to_string()));
            }
            let other = one.values[at as usize];
            let (a, b) = if swapped { (other, v) } else { (v, other) };
            let value = match (op.is_comparison(), return_bool) {
                (true, false) if !op.holds(a, b) => continue,
                (true, false) => a,
                _ => op.apply(a, b),
            };
            let result = state.result(interner, id, one.ids[at as usize], names, matching);
            if !one_to_one && results.insert(result, 0).is_some() {
                return Err(EvalError::NotUnique(interner.labels(result).to_string()));
            }
            out.push(result, value);
        }
        // A one-to-one match on all labels can give no two equal results; `on` and `ignoring` match groups neither.
        Ok(())
    }

    pub(super) fn set_operation(
        &mut self,
        op: SetOp,
        lhs: NodeId,
        rhs: NodeId,
        matching: &Matching,
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let (left, right) = (vector(self.memos, lhs)?, vector(self.memos, rhs)?);
        let interner = &mut self.store.interner;
        let marks = &mut self.scratch.marks;
        marks.clear();
        let (marked, filtered) = if op == SetOp::Or { (left, right) } else { (right, left) };
        for &id in &marked.ids {
            marks.insert(state.signature(interner, id, matching), 0);
        }
        if op == SetOp::Or {
            out.ids.extend_from_slice(&left.ids);
            out.values.extend_from_slice(&left.values);
        }
        let wanted = op == SetOp::And;
        for (id, v) in filtered.iter() {
            if marks.get(state.signature(interner, id, matching)).is_some() == wanted {
                out.push(id, v);
            }
        }
        // `or on(...)` can let an element of the right pass whose twin on the left had another signature only by name.
        Ok(())
    }
}

/// What becomes of the name of a match's result.
#[derive(Clone, Copy)]
enum Name {
    Kept,
    Dropped,
    Gone,
}

impl Name {
    fn of(self, interner: &mut Interner, id: LabelId) -> LabelId {
        match self {
            Self::Kept => id,
            Self::Dropped => interner.dropped(id),
            Self::Gone => interner.nameless(id),
        }
    }
}

/// All labels in braces, the name as one of them.
fn pairs(labels: &Labels) -> String {
    let shown = labels.as_ref().iter().filter(|(name, _)| *name != MARK);
    let pairs: Vec<String> = shown.map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

impl LabelState {
    /// The labels of a match's result.
    fn result(
        &mut self,
        interner: &mut Interner,
        many: LabelId,
        one: LabelId,
        name: Name,
        matching: &Matching,
    ) -> LabelId {
        if matching.is_plain() && matching.include.is_empty() {
            return name.of(interner, many);
        }
        if matching.include.is_empty() {
            let known = self.results.get(many);
            if known != UNKNOWN {
                return known;
            }
        } else if let Some(&known) = self.pairs.get(&(many, one)) {
            return known;
        }
        let listed = |name: &str| matching.labels.iter().any(|l| l == name);
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let kept = interner.filtered(many, |name| !one_to_one || listed(name) == matching.on);
        let kept = name.of(interner, kept);
        if matching.include.is_empty() {
            self.results.set(many, kept);
            return kept;
        }
        let mut builder = interner.builder(kept);
        for name in &matching.include {
            let value = interner.value(one, name);
            builder.set(name.as_str(), value);
        }
        let result = interner.intern(builder.build().as_ref());
        self.pairs.insert((many, one), result);
        result
    }
}
