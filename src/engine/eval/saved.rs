//! What an evaluator remembers, on its way into a snapshot and back.

use crate::base::Millis;
use crate::model::{ChangeDetector, Detector, Forecaster, Reading};
use crate::promql::{Annotations, ModelKind, NodeId};

use super::model::{ModelTable, Models};
use super::{Evaluator, State};
use crate::engine::interner::{LabelId, UNKNOWN};
use crate::engine::snapshot::{Fault, Reader, put};

/// A model that was saved.
#[derive(Debug)]
pub struct SavedModel {
    fed: (Millis, Millis),
    state: SavedState,
}

#[derive(Debug)]
enum SavedState {
    Detector(Box<Detector>, Option<Reading>),
    Forecaster(Box<Forecaster>),
    ChangeDetector(Box<ChangeDetector>),
}

impl SavedModel {
    /// Reads what [`ModelTable::save_row`] has written of a model of this kind.
    pub(in crate::engine) fn read(kind: ModelKind, reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let fed = reader.take()?;
        let state = match kind {
            ModelKind::Detector => SavedState::Detector(reader.take()?, reader.take()?),
            ModelKind::Forecaster => SavedState::Forecaster(reader.take()?),
            ModelKind::ChangeDetector => SavedState::ChangeDetector(reader.take()?),
        };
        Ok(Self { fed, state })
    }
}

impl ModelTable {
    /// Saves a row but for its element.
    pub(in crate::engine) fn save_row(&self, row: usize, out: &mut Vec<u8>) {
        put(out, &self.fed[row]);
        match &self.models {
            Models::Detectors { rows, scores, .. } => put(out, &(&rows[row], &scores[row])),
            Models::Forecasters { rows, .. } => put(out, &rows[row]),
            Models::ChangeDetectors { rows, .. } => put(out, &rows[row]),
        }
    }

    /// Adds a row that was saved; false if the element has a model already.
    pub(in crate::engine) fn adopt(&mut self, id: LabelId, saved: SavedModel) -> bool {
        if self.rows.get(id) != UNKNOWN {
            return false;
        }
        match (&mut self.models, saved.state) {
            (Models::Detectors { rows, scores, .. }, SavedState::Detector(detector, score)) => {
                rows.push(*detector);
                scores.push(score);
            }
            (Models::Forecasters { rows, .. }, SavedState::Forecaster(forecaster)) => rows.push(*forecaster),
            (Models::ChangeDetectors { rows, .. }, SavedState::ChangeDetector(changes)) => rows.push(*changes),
            _ => return false,
        }
        self.rows.set(id, self.ids.len() as u32);
        self.ids.push(id);
        self.fed.push(saved.fed);
        true
    }

    /// Counts elements that were refused a model before.
    pub(in crate::engine) fn refuse(&mut self, elements: u64) {
        self.refused = self.refused.wrapping_add(elements);
    }
}

impl Evaluator {
    /// The models of a node, if it has any here.
    pub(in crate::engine) fn table_mut(&mut self, id: NodeId) -> Option<&mut ModelTable> {
        match self.states.get_mut(id) {
            Some(State::Models(table)) => Some(table),
            _ => None,
        }
    }

    /// What nodes have remarked, and when.
    pub(in crate::engine) fn remarked(&self) -> impl Iterator<Item = (NodeId, Millis, &Annotations)> {
        let remarks = self.memos.iter().enumerate().filter(|(_, memo)| memo.annotations.iter().next().is_some());
        remarks.filter_map(|(id, memo)| Some((id, memo.annotated?, &memo.annotations)))
    }

    /// Notes what a node remarked.
    pub(in crate::engine) fn remark(&mut self, id: NodeId, at: Millis, remarks: &Annotations) {
        let memo = &mut self.memos[id];
        memo.annotated = memo.annotated.max(Some(at));
        remarks.iter().for_each(|annotation| memo.annotations.add(annotation.clone()));
    }
}
