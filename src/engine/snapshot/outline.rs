//! The outline of a snapshot: how far it is, and which leaves, feeds and models the other records speak of by number. They are
//! found again in the plan by what they are, so that a plan that is made otherwise costs what has changed and no more.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::record::{Writer, put};
use crate::base::Millis;
use crate::engine::engine::Engine;
use crate::engine::table::{Intake, Table};
use crate::promql::{FeedId, LeafKind, ModelKind, NodeId, Op};

/// How far the engine was, and the parts of its plan that have state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outline {
    pub watermark: Option<Millis>,
    pub last_garbage: Option<Millis>,
    pub shards: u32,
    leaves: Vec<SavedLeaf>,
    feeds: Vec<SavedFeed>,
    models: Vec<(String, ModelKind)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedLeaf {
    identity: String,
    kind: LeafKind,
    intake: Intake,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedFeed {
    identity: String,
    next: Option<Millis>,
}

/// Where the parts of an outline are in a plan.
pub(super) struct Map {
    pub leaves: Vec<MappedLeaf>,
    /// Leaves of the plan that the snapshot does not have.
    pub new_leaves: Vec<u32>,
    pub feeds: Vec<Option<FeedId>>,
    pub models: Vec<(Option<NodeId>, ModelKind)>,
    pub shards: u32,
}

/// Where a leaf is.
pub(super) enum MappedLeaf {
    /// In the plan.
    At(u32),
    /// No longer anywhere; its rows are read into this table and forgotten.
    Gone(Box<Table>),
}

/// Saves the outline.
pub(super) fn save(engine: &Engine, writer: &mut Writer) {
    let tables = &engine.coordinator.evaluator.store.tables;
    let leaves = engine.plan.leaves.iter().zip(tables).map(|(leaf, table)| SavedLeaf {
        identity: leaf.identity.clone(),
        kind: leaf.kind,
        intake: table.intake,
    });
    let feeds = engine.plan.feeds.iter().zip(&engine.feeds);
    let outline = Outline {
        watermark: engine.watermark,
        last_garbage: engine.last_garbage,
        shards: engine.shards.len() as u32,
        leaves: leaves.collect(),
        feeds: feeds.map(|(feed, work)| SavedFeed { identity: feed.identity.clone(), next: work.next }).collect(),
        models: models(engine).map(|(id, kind)| (engine.plan.nodes[id].identity.clone(), kind)).collect(),
    };
    let mut bytes = Vec::new();
    put(&mut bytes, &outline);
    writer.add("outline", bytes);
}

/// The nodes that are models, in order.
pub(super) fn models(engine: &Engine) -> impl Iterator<Item = (NodeId, ModelKind)> {
    engine.plan.nodes.iter().enumerate().filter_map(|(id, node)| match node.op {
        Op::Model { kind, .. } => Some((id, kind)),
        _ => None,
    })
}

impl Outline {
    /// Finds the parts, and sets how far the engine and its feeds are.
    pub fn restore(self, engine: &mut Engine) -> Map {
        (engine.watermark, engine.last_garbage) = (self.watermark, self.last_garbage);
        let plan = &engine.plan;
        let tables = &engine.coordinator.evaluator.store.tables;
        let mut is_new = vec![true; plan.leaves.len()];
        let known: HashMap<&str, usize> = plan.leaves.iter().enumerate().map(|(i, l)| (&*l.identity, i)).collect();
        let leaf = |saved: SavedLeaf| {
            let same = |&i: &usize| plan.leaves[i].kind == saved.kind && tables[i].intake == saved.intake;
            match known.get(saved.identity.as_str()).copied().filter(same) {
                Some(i) => {
                    is_new[i] = false;
                    MappedLeaf::At(i as u32)
                }
                None => MappedLeaf::Gone(Box::new(Table::detached(saved.kind, saved.intake))),
            }
        };
        let leaves = self.leaves.into_iter().map(leaf).collect();
        let known: HashMap<&str, FeedId> = plan.feeds.iter().enumerate().map(|(i, f)| (&*f.identity, i)).collect();
        let feeds: Vec<Option<FeedId>> =
            self.feeds.iter().map(|feed| known.get(feed.identity.as_str()).copied()).collect();
        let known: HashMap<&str, (NodeId, ModelKind)> =
            models(engine).map(|model| (&*plan.nodes[model.0].identity, model)).collect();
        let place = |(identity, kind): (String, ModelKind)| {
            let same = known.get(identity.as_str()).filter(|(_, of)| *of == kind);
            (same.map(|(id, _)| *id), kind)
        };
        let models = self.models.into_iter().map(place).collect();
        for (saved, feed) in self.feeds.iter().zip(&feeds) {
            if let Some(feed) = feed {
                engine.feeds[*feed].next = saved.next;
            }
        }
        let new_leaves = (0..is_new.len()).filter(|&i| is_new[i]).map(|i| i as u32).collect();
        Map { leaves, new_leaves, feeds, models, shards: self.shards }
    }
}
