//! Aggregations. Those that work in parts are summed up in every shard and put together by the coordinator; what each part
//! keeps does not depend on the order of the values, so neither does the result on the number of shards.

use crate::base::{METRIC_NAME, format_value};
use crate::promql::{AggregateOp, Annotation, ExactSum, Grouping, NodeId, quantile};

use super::labels::LabelState;
use super::{Context, Vector, vector};
use crate::engine::interner::{Interner, LabelId, Marks};
use crate::engine::value::{EvalError, Part};

impl Context<'_> {
    /// Sums up a vector by group.
    pub(super) fn aggregate_parts(
        &mut self,
        op: &AggregateOp,
        arg: NodeId,
        grouping: &Grouping,
        state: &mut LabelState,
    ) -> Result<Vec<(LabelId, Part)>, EvalError> {
        let marked = self.marks_groups(grouping);
        let interner = &mut self.store.interner;
        let marks = &mut self.scratch.marks;
        marks.clear();
        let mut groups: Vec<(LabelId, Part)> = Vec::new();
        for (id, v) in vector(self.memos, arg)?.iter() {
            let group = state.kept(interner, id, !grouping.without, &grouping.labels);
            let at = part_of(group, marks, &mut groups);
            groups[at].1.add(op, v);
            groups[at].1.drops_name |= marked && interner.is_marked(id);
        }
        Ok(groups)
    }

    /// Aggregations that need all of a group's values at once.
    pub(super) fn aggregate_whole(
        &mut self,
        op: &AggregateOp,
        arg: NodeId,
        param: Option<NodeId>,
        grouping: &Grouping,
        state: &mut LabelState,
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        let param = param.map_or(Ok(f64::NAN), |p| self.scalar(p))?;
        let marked = self.marks_groups(grouping);
        let k = if matches!(op, AggregateOp::Topk | AggregateOp::Bottomk) { limit_of(param)? } else { 0 };
        if *op == AggregateOp::Quantile
            && let Some(annotation) = Annotation::of_quantile(param)
        {
            self.annotations.add(annotation);
        }
        let interner = &mut self.store.interner;
        let marks = &mut self.scratch.marks;
        marks.clear();
        let mut groups: Vec<(LabelId, Vec<(LabelId, f64)>)> = Vec::new();
        for (id, v) in vector(self.memos, arg)?.iter() {
            let group = state.kept(interner, id, !grouping.without, &grouping.labels);
            let at = part_of(group, marks, &mut groups);
            groups[at].1.push((id, v));
        }
        marks.clear();
        for (group, mut members) in groups {
            match op {
                AggregateOp::Topk | AggregateOp::Bottomk => {
                    rank(&mut members, op == &AggregateOp::Topk, interner);
                    members.iter().take(k).for_each(|&(id, v)| out.push(id, v));
                }
                AggregateOp::Quantile => {
                    let mut values: Vec<f64> = members.iter().map(|m| m.1).collect();
                    let drops_name = marked && members.iter().any(|m| interner.is_marked(m.0));
                    let group = if drops_name { interner.dropped(group) } else { group };
                    out.push(group, quantile(param, &mut values));
                }
                AggregateOp::CountValues(label) => {
                    let dropped = grouping.without && (label == METRIC_NAME || grouping.labels.contains(label));
                    let label = (!dropped).then_some(label.as_str());
                    count_values(group, &members, label, interner, marks, out);
                }
                _ => {}
            }
        }
        self.check_distinct(&out.ids)
    }
}

/// Puts a shard's groups to the others', their label sets already translated.
pub fn merge_groups(into: &mut Vec<(LabelId, Part)>, from: Vec<(LabelId, Part)>, marks: &mut Marks, op: &AggregateOp) {
    for (group, part) in from {
        let at = part_of(group, marks, into);
        into[at].1.merge(&part, op);
    }
}

/// The values of groups that are summed up.
pub fn finish(op: &AggregateOp, groups: &[(LabelId, Part)], interner: &mut Interner, out: &mut Vector) {
    for (group, part) in groups {
        let group = if part.drops_name { interner.dropped(*group) } else { *group };
        out.push(group, part.value(op));
    }
}

impl Part {
    fn add(&mut self, op: &AggregateOp, v: f64) {
        self.count += 1;
        match op {
            AggregateOp::Sum | AggregateOp::Avg => self.sum.add(v),
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                self.sum.add(v);
                self.squares.add_product(v, v);
            }
            AggregateOp::Min | AggregateOp::Max => self.offer(op, v),
            _ => {}
        }
    }

    fn merge(&mut self, other: &Self, op: &AggregateOp) {
        self.count += other.count;
        self.drops_name |= other.drops_name;
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
        if let Some(v) = other.extreme {
            self.offer(op, v);
        }
    }

    /// A NaN stands only where there is nothing else; of two zeros the order of IEEE 754's totalOrder decides.
    fn offer(&mut self, op: &AggregateOp, v: f64) {
        let better = match self.extreme {
            None => true,
            Some(old) if old.is_nan() => true,
            Some(_) if v.is_nan() => false,
            Some(old) if op == &AggregateOp::Min => v.total_cmp(&old).is_lt(),
            Some(old) => v.total_cmp(&old).is_gt(),
        };
        if better {
            self.extreme = Some(v);
        }
    }

    fn value(&self, op: &AggregateOp) -> f64 {
        let n = self.count as f64;
        match op {
            AggregateOp::Sum => self.sum.value(),
            AggregateOp::Avg => self.sum.mean(n),
            AggregateOp::Count => n,
            AggregateOp::Min | AggregateOp::Max => self.extreme.unwrap_or(f64::NAN),
            AggregateOp::Stddev => self.variance().sqrt(),
            AggregateOp::Stdvar => self.variance(),
            _ => 1.0,
        }
    }

    /// Population variance, from exact sums: (n Σx² - (Σx)²) / n².
    fn variance(&self) -> f64 {
        if self.sum.has_special() {
            return f64::NAN;
        }
        if self.count == 1 {
            return 0.0;
        }
        // A square has overflowed.
        if self.squares.has_special() {
            return f64::INFINITY;
        }
        let n = self.count as f64;
        let mut numerator = ExactSum::default();
        numerator.add_times(&self.squares, n);
        numerator.subtract_square(&self.sum);
        numerator.value().max(0.0) / (n * n)
    }
}

/// How many elements `topk` is asked for; what is below one asks for none.
fn limit_of(k: f64) -> Result<usize, EvalError> {
    // 2^63: Prometheus takes k for an int64.
    if k.is_nan() || k >= 9_223_372_036_854_775_808.0 {
        return Err(EvalError::Parameter(format_value(k)));
    }
    Ok(if k >= 1.0 { k as usize } else { 0 })
}

pub(super) fn part_of<T: Default>(group: LabelId, marks: &mut Marks, groups: &mut Vec<(LabelId, T)>) -> usize {
    match marks.insert(group, groups.len() as u32) {
        Some(known) => known as usize,
        None => {
            groups.push((group, T::default()));
            groups.len() - 1
        }
    }
}

/// Best first; NaN last; equal values by labels, so that the choice does not depend on the order of arrival.
fn rank(members: &mut [(LabelId, f64)], largest: bool, interner: &Interner) {
    members.sort_by(|a, b| {
        let by_value = if largest { b.1.partial_cmp(&a.1) } else { a.1.partial_cmp(&b.1) };
        let nan_last = a.1.is_nan().cmp(&b.1.is_nan());
        nan_last
            .then(by_value.unwrap_or(std::cmp::Ordering::Equal))
            .then_with(|| interner.labels(a.0).cmp(&interner.labels(b.0)))
    });
}

/// The label may be one that groups are told apart by, so that groups come together again; and one that `without` drops.
fn count_values(
    group: LabelId,
    members: &[(LabelId, f64)],
    label: Option<&str>,
    interner: &mut Interner,
    marks: &mut Marks,
    out: &mut Vector,
) {
    let mut counts: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
    for (_, v) in members {
        *counts.entry(format_value(*v)).or_default() += 1.0;
    }
    for (value, count) in counts {
        let mut id = group;
        if let Some(label) = label {
            let mut builder = interner.builder(group);
            builder.set(label, value);
            id = interner.intern(builder.build().as_ref());
        }
        match marks.insert(id, out.len() as u32) {
            Some(known) => out.values[known as usize] += count,
            None => out.push(id, count),
        }
    }
}
