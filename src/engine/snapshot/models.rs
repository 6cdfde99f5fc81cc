//! What nodes have learnt and what evaluators count: models by element, failed steps of subqueries, remarks, counters.

use serde::{Deserialize, Serialize};

use super::error::{Fault, RestoreError};
use super::in_force::Loaded;
use super::outline::{Map, models};
use super::record::{Opened, Reader, Writer, put, put_bytes};
use super::sharding::{Owner, Sharding};
use crate::base::{Labels, Millis};
use crate::engine::engine::Engine;
use crate::engine::eval::SavedModel;
use crate::engine::failures::Failures;
use crate::engine::shard::RefusedCounts;
use crate::promql::Annotations;

/// What an evaluator has beside series and models.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counts {
    /// Samples refused, of a shard.
    refused: RefusedCounts,
    /// Elements that got no model in tables that are gone.
    unmodelled: u64,
    /// The same in those that are there, by model.
    without_model: Vec<u64>,
    /// By feed.
    failures: Vec<Failures>,
    /// What nodes have remarked, by identity, and when.
    remarks: Vec<(String, Millis, Annotations)>,
}

/// Saves counters and models of all evaluators.
pub(super) fn save(engine: &Engine, writer: &mut Writer) {
    for owner in Owner::all(engine.shards.len()) {
        let evaluator = owner.of(engine);
        let identity = |(id, at, remarks): (usize, Millis, &Annotations)| {
            (engine.plan.nodes[id].identity.clone(), at, remarks.clone())
        };
        let counts = Counts {
            refused: match owner {
                Owner::Shard(shard) => engine.shards[shard].refused,
                Owner::Coordinator => RefusedCounts::default(),
            },
            unmodelled: evaluator.unmodelled_before,
            without_model: models(engine).map(|(id, _)| evaluator.table(id).map_or(0, |t| t.refused())).collect(),
            failures: evaluator.store.failures.clone(),
            remarks: evaluator.remarked().map(identity).collect(),
        };
        let mut bytes = Vec::new();
        put(&mut bytes, &counts);
        writer.add(&format!("counts/{}", owner.name()), bytes);

        let mut pieces = writer.pieces(format!("models/{}", owner.name()));
        for (number, (id, _)) in models(engine).enumerate() {
            let Some(table) = evaluator.table(id) else { continue };
            for (row, &element) in table.elements().iter().enumerate() {
                let out = pieces.item();
                put(out, &(number as u32));
                evaluator.store.interner.with(element, |labels| put_bytes(out, labels.as_bytes()));
                table.save_row(row, out);
            }
        }
        pieces.finish();
    }
}

/// Gives the evaluators of a loaded engine what was saved of theirs.
pub(super) fn restore(loaded: &mut Loaded, map: &Map, records: &Opened<'_>) -> Result<(), RestoreError> {
    let sharding = Sharding::new(map, &loaded.engine);
    for owner in sharding.owners() {
        let counts: Counts = records.read(&format!("counts/{}", owner.name()), Reader::take)?;
        restore_counts(&mut loaded.engine, map, sharding, owner, counts);
        records.read_items(&format!("models/{}", owner.name()), |reader| {
            restore_model(&mut loaded.engine, map, sharding, owner, reader)
        })?;
    }
    Ok(())
}

fn restore_counts(engine: &mut Engine, map: &Map, sharding: Sharding, before: Owner, counts: Counts) {
    let owner = sharding.any(before);
    if let Owner::Shard(shard) = owner {
        engine.shards[shard].refused.add(counts.refused);
    }
    for (identity, at, remarks) in &counts.remarks {
        if let Some(id) = engine.plan.nodes.iter().position(|node| node.identity == *identity) {
            owner.of_mut(engine).remark(id, *at, remarks);
        }
    }
    for (failures, feed) in counts.failures.into_iter().zip(&map.feeds) {
        let Some(feed) = *feed else { continue };
        let interval = engine.plan.feeds[feed].schedule.interval;
        match before {
            // A failure in one shard is one of the whole expression, so that all may know of it.
            Owner::Shard(_) if !sharding.is_same() => {
                let stores = engine.shards.iter_mut().map(|shard| &mut shard.evaluator.store);
                stores.for_each(|store| store.failures[feed].merge(&failures, interval));
            }
            same => same.of_mut(engine).store.failures[feed] = failures,
        }
    }
    let evaluator = owner.of_mut(engine);
    evaluator.unmodelled_before = evaluator.unmodelled_before.wrapping_add(counts.unmodelled);
    for (refused, (id, _)) in counts.without_model.into_iter().zip(&map.models) {
        match id.and_then(|id| evaluator.table_mut(id)) {
            Some(table) => table.refuse(refused),
            None => evaluator.unmodelled_before = evaluator.unmodelled_before.wrapping_add(refused),
        }
    }
}

fn restore_model(
    engine: &mut Engine,
    map: &Map,
    sharding: Sharding,
    before: Owner,
    reader: &mut Reader<'_>,
) -> Result<(), Fault> {
    let number: u32 = reader.take()?;
    let (id, kind) = *map.models.get(number as usize).ok_or_else(|| Fault::from("a model is of no node"))?;
    let labels =
        Labels::read(reader.take()?).ok_or_else(|| Fault::from("an element has no labels that can be read"))?;
    let model = SavedModel::read(kind, reader)?;
    let evaluator = sharding.owner(before, &labels).of_mut(engine);
    let element = evaluator.store.interner.intern(labels.as_ref());
    let Some(table) = id.and_then(|id| evaluator.table_mut(id)) else { return Ok(()) };
    if table.adopt(element, model) { Ok(()) } else { Err("two models are of the same element".into()) }
}
