//! Series with their samples and windows, the elements of subqueries among them, and the samples that wait for their tick.

use super::error::{Fault, RestoreError};
use super::in_force::Loaded;
use super::outline::{Map, MappedLeaf};
use super::record::{Opened, Reader, Writer, put, put_bytes};
use super::rows::Room;
use super::sharding::{Owner, Sharding};
use crate::base::{CounterStart, Labels, LabelsRef, Millis, Sample};
use crate::engine::directory::{Known, Target};
use crate::engine::engine::Engine;
use crate::engine::shard::Arrival;
use crate::engine::store::{Series, Store, leaves_of_feed};
use crate::promql::FeedId;
use crate::window::{Ring, SavedRing};

/// Where each series of a saved shard is now, by its number there; None for what is no series of a source.
type Places = Vec<Option<Target>>;

/// Saves the series of all evaluators, and what waits in the shards.
pub(super) fn save(engine: &Engine, writer: &mut Writer) {
    for owner in Owner::all(engine.shards.len()) {
        let store = &owner.of(engine).store;
        let mut pieces = writer.pieces(format!("series/{}", owner.name()));
        let mut numbers = vec![u32::MAX; store.series.len()];
        // Series first: the elements made of them share their label sets.
        let series = (0..store.series.len()).filter(|&slot| store.holds(slot as u32) && store.series[slot].key != 0);
        for (number, slot) in series.enumerate() {
            save_one(store, slot, 0, pieces.item());
            numbers[slot] = number as u32;
        }
        for (slot, feed) in store.fed() {
            save_one(store, slot as usize, feed as u32 + 1, pieces.item());
        }
        pieces.finish();
        if let Owner::Shard(shard) = owner {
            let mut pieces = writer.pieces(format!("waiting/{shard}"));
            for &Arrival { slot, adds, t, v } in engine.shards[shard].arrivals() {
                let (number, out) = (numbers[slot as usize], pieces.item());
                if adds {
                    put(out, &(number, t, CounterStart::Increment.as_value()));
                }
                put(out, &(number, t, v));
            }
            pieces.finish();
        }
    }
}

/// Saves one: 0 or the number of its feed and one, labels, newest sample, ring, and its rows in the leaves.
fn save_one(store: &Store, slot: usize, source: u32, out: &mut Vec<u8>) {
    let series = &store.series[slot];
    put(out, &source);
    store.interner.with(series.id, |labels| put_bytes(out, labels.as_bytes()));
    put(out, &(series.any.then_some(series.newest), series.ring.as_ref().map(Ring::saved)));
    put(out, &(series.rows.len() as u32));
    for &(leaf, row) in &series.rows {
        put(out, &leaf);
        store.tables[leaf as usize].save_row(row, out);
    }
}

/// Fills the evaluators of a loaded engine.
pub(super) fn restore(loaded: &mut Loaded, map: &mut Map, records: &Opened<'_>) -> Result<(), RestoreError> {
    let sharding = Sharding::new(map, &loaded.engine);
    // Rings have been trimmed since they grew; in all they are never this much larger than what they hold.
    let mut room = Room(records.bytes.saturating_mul(8));
    for owner in sharding.owners() {
        let mut places = Places::new();
        records.read_items(&format!("series/{}", owner.name()), |reader| {
            places.push(restore_one(loaded, map, sharding, owner, reader, &mut room)?);
            Ok(())
        })?;
        if let Owner::Shard(shard) = owner {
            let mut is_increment = false;
            records.read_items(&format!("waiting/{shard}"), |reader| {
                let (number, t, v): (u32, Millis, f64) = reader.take()?;
                let place = places.get(number as usize).copied().flatten();
                let Target { shard, slot } = place.ok_or_else(|| Fault::from("a sample waits for no series"))?;
                let adds = std::mem::replace(&mut is_increment, CounterStart::of(v) == Some(CounterStart::Increment));
                if !is_increment {
                    loaded.engine.shards[shard as usize].receive(Arrival { slot, adds, t, v });
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn restore_one(
    loaded: &mut Loaded,
    map: &mut Map,
    sharding: Sharding,
    before: Owner,
    reader: &mut Reader<'_>,
    room: &mut Room,
) -> Result<Option<Target>, Fault> {
    let source: u32 = reader.take()?;
    let labels = Labels::read(reader.take()?).ok_or_else(|| Fault::from("a series has no labels that can be read"))?;
    let (newest, ring): (Option<Sample>, Option<SavedRing<'_>>) = reader.take()?;
    let ring = ring.map(|saved| room.ring(&saved)).transpose()?;
    let owner = sharding.owner(before, &labels);
    let Loaded { engine, marks_differ, .. } = loaded;
    let feed: Option<Option<FeedId>> = match source.checked_sub(1) {
        None => None,
        Some(feed) => Some(*map.feeds.get(feed as usize).ok_or_else(|| Fault::from("an element is of no subquery"))?),
    };
    let is_kept = feed.is_none_or(|feed| feed.is_some() && !*marks_differ);
    let store = &mut owner.of_mut(engine).store;
    let id = store.interner.intern(labels.as_ref());
    let names = (store.series.len() as u32, id, store.interner.dropped(id));
    let mut rows = Vec::new();
    for _ in 0..reader.take::<u32>()? {
        let leaf: u32 = reader.take()?;
        let mapped = map.leaves.get_mut(leaf as usize).ok_or_else(|| Fault::from("a row is in no leaf"))?;
        let at_ring = ring.as_ref().unwrap_or(Ring::none());
        match mapped {
            MappedLeaf::At(leaf) if is_kept => {
                rows.push((*leaf, store.tables[*leaf as usize].adopt(names, at_ring, reader, room)?));
            }
            MappedLeaf::At(leaf) => {
                let row = store.tables[*leaf as usize].adopt(names, at_ring, reader, room)?;
                store.tables[*leaf as usize].remove(row);
            }
            MappedLeaf::Gone(table) => {
                table.adopt(names, at_ring, reader, room)?;
                table.remove(0);
            }
        }
    }
    if !is_kept {
        return Ok(None);
    }
    let key = if feed.is_none() { labels.as_ref().key() } else { 0 };
    let slot = store.adopt(Series::restored(key, id, newest, ring, rows), feed.flatten());
    let slot = slot.ok_or_else(|| Fault::from("two elements of a subquery have the same labels"))?;
    enlist_new(engine, map, owner, slot, feed.flatten(), labels.as_ref());
    place(engine, owner, slot, feed.is_none(), key)
}

/// Adds a series to the leaves that the snapshot does not know.
fn enlist_new(engine: &mut Engine, map: &Map, owner: Owner, slot: u32, feed: Option<FeedId>, labels: LabelsRef<'_>) {
    if map.new_leaves.is_empty() {
        return;
    }
    let mut leaves = match feed {
        Some(feed) => leaves_of_feed(&engine.plan, feed),
        None => engine.index.leaves_of(&engine.plan, labels),
    };
    leaves.retain(|leaf| map.new_leaves.contains(leaf));
    owner.of_mut(engine).store.enlist(slot, &leaves);
}

/// Notes where a series is, so that its samples find it.
fn place(engine: &mut Engine, owner: Owner, slot: u32, is_series: bool, key: u128) -> Result<Option<Target>, Fault> {
    let Owner::Shard(shard) = owner else { return Ok(None) };
    if !is_series {
        return Ok(None);
    }
    if engine.directory.get(key).is_some() {
        return Err("two series have the same labels".into());
    }
    let target = Target { shard: shard as u32, slot };
    engine.directory.insert(key, Known::At(target));
    Ok(Some(target))
}
