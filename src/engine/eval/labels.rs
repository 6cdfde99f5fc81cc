//! What nodes remember of label sets, and the functions that change labels.

use hashbrown::HashMap;
use regex::Regex;
use rustc_hash::FxBuildHasher;

use crate::base::METRIC_NAME;
use crate::promql::{Matching, NodeId};

use super::{Context, State, Vector, vector};
use crate::engine::interner::{IdMap, Interner, LabelId, UNKNOWN};
use crate::engine::late_names::MARK;
use crate::engine::value::EvalError;

/// Transforms looked up once for each label set.
#[derive(Debug, Default)]
pub struct LabelState {
    /// The set that an element is matched or grouped by.
    pub signatures: IdMap,
    /// The set of the result.
    pub results: IdMap,
    /// The set of the result, where it depends on two.
    pub pairs: HashMap<(LabelId, LabelId), LabelId, FxBuildHasher>,
    /// Numbers read from labels, by [`Self::results`].
    pub numbers: Vec<f64>,
}

/// The label state of a node, begun if there is none.
pub(super) fn of(state: &mut State) -> &mut LabelState {
    if !matches!(state, State::Labels(_)) {
        *state = State::Labels(Box::default());
    }
    match state {
        State::Labels(labels) => labels,
        // Just set.
        _ => unreachable!(),
    }
}

impl LabelState {
    /// The set by which elements match.
    #[inline]
    pub fn signature(&mut self, interner: &mut Interner, id: LabelId, matching: &Matching) -> LabelId {
        if matching.is_plain() {
            return interner.nameless(id);
        }
        self.kept(interner, id, matching.on, &matching.labels)
    }

    /// The set with only these labels, or with all but these and the name.
    #[inline]
    pub fn kept(&mut self, interner: &mut Interner, id: LabelId, only: bool, labels: &[String]) -> LabelId {
        let known = self.signatures.get(id);
        if known != UNKNOWN {
            return known;
        }
        let signature = interner.filtered(id, |name| {
            let listed = labels.iter().any(|l| l == name);
            if only { listed } else { !listed && name != METRIC_NAME && name != MARK }
        });
        self.signatures.set(id, signature);
        signature
    }
}

/// The set with a label set anew. A name that is set is there to stay.
fn with_label(interner: &mut Interner, id: LabelId, name: &str, value: String) -> LabelId {
    let mut builder = interner.builder(id);
    if name == METRIC_NAME {
        builder.remove(MARK);
    }
    builder.set(name, value);
    interner.intern(builder.build().as_ref())
}

impl Context<'_> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn label_replace(
        &mut self,
        arg: NodeId,
        dst: &str,
        replacement: &str,
        src: &str,
        regex: &Regex,
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        self.relabel(arg, state, out, |interner, id| {
            let captures = regex.captures(interner.value(id, src))?;
            let mut value = String::new();
            captures.expand(replacement, &mut value);
            Some(with_label(interner, id, dst, value))
        })
    }

    pub(super) fn label_join(
        &mut self,
        arg: NodeId,
        dst: &str,
        separator: &str,
        src: &[String],
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        self.relabel(arg, state, out, |interner, id| {
            let values: Vec<&str> = src.iter().map(|name| interner.value(id, name)).collect();
            let value = values.join(separator);
            Some(with_label(interner, id, dst, value))
        })
    }

    /// Gives every element other labels; None leaves them.
    fn relabel(
        &mut self,
        arg: NodeId,
        state: &mut LabelState,
        out: &mut Vector,
        change: impl Fn(&mut Interner, LabelId) -> Option<LabelId>,
    ) -> Result<(), EvalError> {
        let interner = &mut self.store.interner;
        for (id, v) in vector(self.memos, arg)?.iter() {
            let mut result = state.results.get(id);
            if result == UNKNOWN {
                result = change(interner, id).unwrap_or(id);
                state.results.set(id, result);
            }
            out.push(result, v);
        }
        self.check_distinct(&out.ids)
    }
}
