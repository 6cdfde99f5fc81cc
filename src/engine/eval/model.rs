//! Online models in the plan: a table of them, one for each element of a vector, fed at every tick; and the functions that
//! read them.

use std::sync::Arc;

use crate::base::Millis;
use crate::model::{
    AnomalyExplanation, ChangeDetector, ChangeExplanation, ChangeParams, Detector, DetectorParams, ForecastExplanation,
    Forecaster, ForecasterParams, ModelExplanation, Profile, Reading,
};
use crate::promql::{ModelKind, NodeId};

use super::{Context, Evaluated, State, Value, Vector, vector};
use crate::engine::interner::{IdMap, LabelId, UNKNOWN};
use crate::engine::pages::Pages;
use crate::engine::value::EvalError;

/// A model that is no longer fed is remembered for as long as it was fed, but for this long at least and at most: a series
/// that came and went is not worth what a long-lived one is, and after a week either has most likely gone for good.
const REMEMBERED: (Millis, Millis) = (3_600_000, 7 * 86_400_000);

/// Models of one kind and profile, by element.
#[derive(Debug)]
pub struct ModelTable {
    profile: Arc<Profile>,
    pub(super) rows: IdMap,
    pub(super) ids: Vec<LabelId>,
    /// When each model was fed first and last.
    pub(super) fed: Vec<(Millis, Millis)>,
    /// Elements that were refused a model.
    pub(super) refused: u64,
    pub(super) models: Models,
}

#[derive(Debug)]
pub(super) enum Models {
    Detectors { params: Box<DetectorParams>, rows: Pages<Detector>, scores: Vec<Option<Reading>> },
    Forecasters { params: Box<ForecasterParams>, rows: Pages<Forecaster> },
    ChangeDetectors { params: Box<ChangeParams>, rows: Pages<ChangeDetector> },
}

impl ModelTable {
    /// An empty table for points that come at `interval`.
    #[must_use]
    pub fn new(kind: ModelKind, profile: Arc<Profile>, interval: Millis) -> Self {
        let models = match kind {
            ModelKind::Detector => Models::Detectors {
                params: Box::new(DetectorParams::new(&profile, interval)),
                rows: Pages::default(),
                scores: vec![],
            },
            ModelKind::Forecaster => Models::Forecasters {
                params: Box::new(ForecasterParams::new(&profile, interval)),
                rows: Pages::default(),
            },
            ModelKind::ChangeDetector => Models::ChangeDetectors {
                params: Box::new(ChangeParams::new(&profile, interval)),
                rows: Pages::default(),
            },
        };
        Self { profile, rows: IdMap::default(), ids: vec![], fed: vec![], refused: 0, models }
    }

    /// Whether the table was made for this profile as it reads now.
    #[must_use]
    pub fn fits(&self, profile: &Profile) -> bool {
        *self.profile == *profile
    }

    /// Models held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Elements that were refused a model, each time that they were.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The row of an element, if it has a model.
    #[must_use]
    pub fn row_of(&self, id: LabelId) -> Option<usize> {
        Some(self.rows.get(id)).filter(|&row| row != UNKNOWN).map(|row| row as usize)
    }

    /// The elements by row.
    #[must_use]
    pub fn elements(&self) -> &[LabelId] {
        &self.ids
    }

    /// What a row's model says of its newest point, and when that was; `ahead` and `thresholds` are what a forecast is asked
    /// for.
    #[must_use]
    pub fn explain(&self, row: usize, ahead: &[Millis], thresholds: &[f64]) -> Option<(Millis, ModelExplanation)> {
        let explanation = match &self.models {
            Models::Detectors { params, rows, scores } => {
                let reading = scores[row].as_ref()?;
                ModelExplanation::Anomaly(AnomalyExplanation::new(&rows[row], params, reading))
            }
            Models::Forecasters { params, rows } => {
                ModelExplanation::Forecast(ForecastExplanation::new(&rows[row], params, ahead, thresholds)?)
            }
            Models::ChangeDetectors { params, rows } => {
                ModelExplanation::Change(ChangeExplanation::new(&rows[row], params)?)
            }
        };
        Some((self.fed[row].1, explanation))
    }

    /// Forgets models that have not been fed for long.
    pub fn expire(&mut self, t: Millis) {
        let mut row = 0;
        while row < self.ids.len() {
            let (since, last) = self.fed[row];
            if last >= t - (last - since).clamp(REMEMBERED.0, REMEMBERED.1) {
                row += 1;
                continue;
            }
            self.rows.set(self.ids[row], UNKNOWN);
            self.ids.swap_remove(row);
            self.fed.swap_remove(row);
            match &mut self.models {
                Models::Detectors { rows, scores, .. } => {
                    rows.swap_remove(row);
                    scores.swap_remove(row);
                }
                Models::Forecasters { rows, .. } => {
                    rows.swap_remove(row);
                }
                Models::ChangeDetectors { rows, .. } => {
                    rows.swap_remove(row);
                }
            }
            if let Some(&moved) = self.ids.get(row) {
                self.rows.set(moved, row as u32);
            }
        }
    }

    /// Marks the label sets in use.
    pub fn mark_live(&self, live: &mut [bool]) {
        for &id in &self.ids {
            live[id as usize] = true;
        }
    }

    /// Renumbers label sets after the interner was compacted.
    pub fn renumber(&mut self, remap: &[LabelId]) {
        for id in &mut self.ids {
            *id = remap[*id as usize];
        }
        self.rows.renumber(remap);
    }

    /// Feeds one element; gives its row. None if it has no model and may not get one.
    fn feed(&mut self, t: Millis, id: LabelId, v: f64, may_be_new: bool) -> Option<u32> {
        let mut row = self.rows.get(id);
        if row == UNKNOWN {
            if !may_be_new {
                self.refused += 1;
                return None;
            }
            row = self.ids.len() as u32;
            self.rows.set(id, row);
            self.ids.push(id);
            self.fed.push((t, Millis::MIN));
            match &mut self.models {
                Models::Detectors { rows, scores, .. } => {
                    rows.push(Detector::new());
                    scores.push(None);
                }
                Models::Forecasters { rows, .. } => rows.push(Forecaster::new()),
                Models::ChangeDetectors { rows, .. } => rows.push(ChangeDetector::new()),
            }
        }
        let i = row as usize;
        // Two functions may read the same models at one tick; they are fed once.
        if self.fed[i].1 < t {
            self.fed[i].1 = t;
            match &mut self.models {
                Models::Detectors { params, rows, scores } => {
                    scores[i] = rows[i].update(params, t, v).map(|score| Reading::new(v, &score))
                }
                // What the profile excludes is a gap; a detector says so itself.
                _ if self.profile.excludes(t) => {}
                Models::Forecasters { params, rows } => rows[i].update(params, t, v),
                Models::ChangeDetectors { params, rows } => rows[i].update(params, t, v),
            }
        }
        Some(row)
    }
}

impl Context<'_> {
    /// Feeds a node's models with its vector; the names go.
    pub(super) fn feed_models(&mut self, arg: NodeId, state: &mut State) -> Evaluated {
        let State::Models(table) = state else { return Ok(Value::Rows(vec![])) };
        let input = vector(self.memos, arg)?;
        let ids: Vec<LabelId> = input.ids.iter().map(|&id| self.store.interner.nameless(id)).collect();
        self.check_unique(arg, &ids)?;
        let (t, may_be_new) = (self.t, self.new_models);
        let fed = ids.iter().zip(&input.values).filter_map(|(&id, &v)| Some((id, table.feed(t, id, v, may_be_new)?)));
        Ok(Value::Rows(fed.collect()))
    }

    pub(super) fn scores(&self, model: NodeId, states: &[State], out: &mut Vector) -> Result<(), EvalError> {
        self.read(model, states, out, |table, row| match &table.models {
            Models::Detectors { scores, .. } => scores[row].map(|reading| f64::from(reading.score)),
            _ => None,
        })
    }

    pub(super) fn changes(&self, model: NodeId, states: &[State], out: &mut Vector) -> Result<(), EvalError> {
        self.read(model, states, out, |table, row| match &table.models {
            Models::ChangeDetectors { params, rows } => Some(rows[row].change(params)?.at as f64 / 1000.0),
            _ => None,
        })
    }

    pub(super) fn forecasts(
        &self,
        model: NodeId,
        phi: f64,
        ahead_seconds: f64,
        states: &[State],
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        // Of a parameter that is not known, nothing can be said.
        if ahead_seconds.is_nan() {
            return Ok(());
        }
        let ahead = (ahead_seconds * 1000.0) as Millis;
        self.read(model, states, out, |table, row| match &table.models {
            Models::Forecasters { params, rows } => rows[row].quantile(params, phi, ahead),
            _ => None,
        })
    }

    pub(super) fn times_until(
        &self,
        model: NodeId,
        threshold: f64,
        phi: f64,
        states: &[State],
        out: &mut Vector,
    ) -> Result<(), EvalError> {
        if threshold.is_nan() {
            return Ok(());
        }
        self.read(model, states, out, |table, row| match &table.models {
            Models::Forecasters { params, rows } => rows[row].time_until(params, threshold, phi),
            _ => None,
        })
    }

    /// Reads the models that were fed at this tick; those with nothing reliable to say stay silent.
    fn read(
        &self,
        model: NodeId,
        states: &[State],
        out: &mut Vector,
        f: impl Fn(&ModelTable, usize) -> Option<f64>,
    ) -> Result<(), EvalError> {
        let rows = match &self.memos[model].value {
            Ok(Value::Rows(rows)) => rows,
            Ok(_) => return Ok(()),
            Err(e) => return Err(e.clone()),
        };
        if let State::Models(table) = &states[model] {
            for &(id, row) in rows {
                if let Some(v) = f(table, row as usize) {
                    out.push(id, v);
                }
            }
        }
        Ok(())
    }
}
