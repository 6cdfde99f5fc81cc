//! Operations on one vector, element by element, and those without any.

use crate::base::METRIC_NAME;
use crate::promql::{Annotation, LeafId, LeafSource, Names, NodeId, Op, RangeFn, clamp, round};

use super::{Context, Evaluated, Value, Vector, vector};
use crate::engine::value::EvalError;

impl Context<'_> {
    pub(super) fn simple(&mut self, op: &Op, mut out: Vector) -> Evaluated {
        match op {
            Op::Number(v) => return Ok(Value::Scalar(*v)),
            Op::Time => return Ok(Value::Scalar(self.seconds())),
            Op::Scalar(arg) => {
                let v = vector(self.memos, *arg)?;
                return Ok(Value::Scalar(if v.len() == 1 { v.values[0] } else { f64::NAN }));
            }
            Op::Vector(arg) => {
                let v = self.scalar(*arg)?;
                out.push(self.no_labels(), v);
            }
            Op::Instant(leaf) => self.instant(*leaf, &mut out),
            Op::InstantTime(leaf) => self.instant_time(*leaf, &mut out)?,
            Op::Range { leaf, func, param } => self.range(*leaf, *func, *param, &mut out)?,
            Op::Negate(arg) if self.plan.nodes[*arg].is_scalar => return Ok(Value::Scalar(-self.scalar(*arg)?)),
            Op::Negate(arg) => self.each(*arg, &mut out, |v| -v)?,
            Op::Math(f, arg) => self.each(*arg, &mut out, |v| f.apply(v))?,
            Op::Round(arg, to) => {
                let to = to.map_or(Ok(1.0), |to| self.scalar(to))?;
                self.each(*arg, &mut out, |v| round(v, to))?;
            }
            Op::Clamp(arg, low, high) => {
                let low = low.map_or(Ok(f64::NEG_INFINITY), |id| self.scalar(id))?;
                let high = high.map_or(Ok(f64::INFINITY), |id| self.scalar(id))?;
                // NaN bounds are not crossed.
                let crossed = high < low;
                if !crossed {
                    self.each(*arg, &mut out, |v| clamp(v, low, high))?;
                }
            }
            Op::Calendar(f, Some(arg)) => self.each(*arg, &mut out, |v| f.apply(v))?,
            Op::Calendar(f, None) => {
                let v = f.apply(self.seconds());
                out.push(self.no_labels(), v);
            }
            Op::EvaluationTime(arg) => {
                let now = self.seconds();
                self.each(*arg, &mut out, |_| now)?;
            }
            Op::Absent(labels, arg) if vector(self.memos, *arg)?.len() == 0 => {
                out.push(self.absent_labels(labels), 1.0);
            }
            // The rest is dispatched before.
            _ => {}
        }
        Ok(Value::Vector(out))
    }

    /// The one element that `absent` gives.
    pub(super) fn absent_labels(&mut self, labels: &[(String, String)]) -> u32 {
        let labels = crate::base::Labels::from_pairs(labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        self.interner().intern(labels.as_ref())
    }

    fn seconds(&self) -> f64 {
        self.t as f64 / 1000.0
    }

    fn no_labels(&mut self) -> u32 {
        self.interner().intern(crate::base::LabelsRef::from_canonical(&[]))
    }

    /// Applies a function to every value; the names go.
    fn each(&mut self, arg: NodeId, out: &mut Vector, f: impl Fn(f64) -> f64) -> Result<(), EvalError> {
        let input = vector(self.memos, arg)?;
        for (id, v) in input.iter() {
            out.push(self.store.interner.dropped(id), f(v));
        }
        self.check_unique(arg, &out.ids)
    }

    fn instant(&mut self, leaf: LeafId, out: &mut Vector) {
        let (tables, series) = (&mut self.store.tables, &self.store.series);
        tables[leaf].instant(self.t, series, |id, s| out.push(id, s.v));
    }

    fn instant_time(&mut self, leaf: LeafId, out: &mut Vector) -> Result<(), EvalError> {
        let (tables, series) = (&mut self.store.tables, &self.store.series);
        tables[leaf].instant(self.t, series, |id, s| out.push(id, s.t as f64 / 1000.0));
        for id in &mut out.ids {
            *id = self.store.interner.dropped(*id);
        }
        self.check_leaf(leaf, out)
    }

    fn range(&mut self, leaf: LeafId, func: RangeFn, param: Option<NodeId>, out: &mut Vector) -> Result<(), EvalError> {
        let param = param.map_or(Ok(f64::NAN), |p| self.scalar(p))?;
        if let Some(failure) = self.store.failure(self.plan, leaf, self.t) {
            return Err(failure.clone());
        }
        let (tables, series) = (&mut self.store.tables, &self.store.series);
        tables[leaf].range(func, param, self.t, series, |id, v| out.push(id, v));
        if out.len() > 0 {
            self.remark(leaf, func, param);
        }
        if func.keeps_names() { Ok(()) } else { self.check_leaf(leaf, out) }
    }

    /// Remarks on a function's parameter, and on the metric's name where all series have the same one.
    fn remark(&mut self, leaf: LeafId, func: RangeFn, param: f64) {
        let annotation = match func {
            RangeFn::Quantile => Annotation::of_quantile(param),
            RangeFn::Rate | RangeFn::Increase => match &self.plan.leaves[leaf].source {
                LeafSource::Selector(selector) => selector.name.as_deref().and_then(Annotation::of_counter),
                LeafSource::Feed(feed) => match &self.plan.nodes[self.plan.feeds[*feed].node].names {
                    Names::One(name) => Annotation::of_counter(name),
                    Names::None | Names::Many => None,
                },
            },
            _ => None,
        };
        if let Some(annotation) = annotation {
            self.annotations.add(annotation);
        }
    }

    /// Refuses series that differed in nothing but the name, which is gone.
    fn check_leaf(&mut self, leaf: LeafId, out: &Vector) -> Result<(), EvalError> {
        if self.store.interner.drops_names_late() {
            return Ok(());
        }
        let may_clash = match &self.plan.leaves[leaf].source {
            LeafSource::Selector(selector) => selector.name.is_none(),
            LeafSource::Feed(feed) => self.plan.nodes[self.plan.feeds[*feed].node].names == Names::Many,
        };
        debug_assert!(out.ids.iter().all(|&id| self.store.interner.value(id, METRIC_NAME).is_empty()));
        if may_clash { self.check_distinct(&out.ids) } else { Ok(()) }
    }
}
