//! Groups: their ticks, and what each rule remembers: alerts with their timers, the series recorded last, errors shown.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::error::{Fault, RestoreError};
use super::in_force::Loaded;
use super::record::{Opened, Reader, Writer, put, put_bytes};
use crate::alert::SavedAlerts;
use crate::base::{Labels, Millis, label_bytes};
use crate::engine::annotations::Remarks;
use crate::engine::engine::Engine;
use crate::engine::group::{Group, RuleState, RuleWork};
use crate::engine::interner::Interner;

/// When a group was evaluated, and will be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ticks {
    next: Option<Millis>,
    last: Option<Millis>,
    last_due: Option<Millis>,
}

/// What a rule shows.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    last_error: Option<String>,
    remarks: Remarks,
    /// By key.
    explained: Vec<(u128, String)>,
}

/// What a rule's alerts or series are.
#[derive(Debug, Deserialize)]
enum Work {
    Record(Vec<Canonical>),
    Alert(SavedAlerts),
}

#[derive(Debug, Deserialize)]
struct Canonical(#[serde(with = "label_bytes")] Labels);

/// Saves all groups, in order.
pub(super) fn save(engine: &Engine, writer: &mut Writer) {
    let interner = &engine.coordinator.evaluator.store.interner;
    let mut pieces = writer.pieces("groups".to_owned());
    for group in &engine.groups {
        let out = pieces.item();
        put(out, &Ticks { next: group.next, last: group.last, last_due: group.last_due });
        group.rules.iter().for_each(|rule| save_rule(rule, interner, out));
    }
    pieces.finish();
}

fn save_rule(rule: &RuleState, interner: &Interner, out: &mut Vec<u8>) {
    let mut explained: Vec<(u128, String)> = rule.explained.iter().map(|(key, text)| (*key, text.clone())).collect();
    explained.sort_unstable();
    put(out, &Shown { last_error: rule.last_error.clone(), remarks: rule.remarks.clone(), explained });
    // As serde writes the variants of `Work`.
    match &rule.kind {
        RuleWork::Record(recording) => {
            put(out, &0u32);
            put(out, &recording.pinned().len());
            recording.pinned().iter().for_each(|&id| interner.with(id, |labels| put_bytes(out, labels.as_bytes())));
        }
        RuleWork::Alert(machine) => {
            put(out, &1u32);
            put(out, &machine.save());
        }
    }
}

/// Gives the rules of a loaded engine what was saved of them.
pub(super) fn restore(loaded: &mut Loaded, records: &Opened<'_>) -> Result<(), RestoreError> {
    let Loaded { engine, places, .. } = loaded;
    let interner = &mut engine.coordinator.evaluator.store.interner;
    let mut groups = engine.groups.iter_mut().zip(places);
    records.read_items("groups", |reader| {
        let (group, places) = groups.next().ok_or_else(|| Fault::from("there are more groups than rules of them"))?;
        let ticks: Ticks = reader.take()?;
        (group.next, group.last, group.last_due) = (ticks.next, ticks.last, ticks.last_due);
        places.iter().try_for_each(|place| restore_rule(group, place.map(|(_, rule)| rule), interner, reader))
    })?;
    match groups.next() {
        Some(_) => Err(RestoreError::Missing { record: "engine/groups".to_owned() }),
        None => Ok(()),
    }
}

fn restore_rule(
    group: &mut Group,
    rule: Option<usize>,
    interner: &mut Interner,
    reader: &mut Reader<'_>,
) -> Result<(), Fault> {
    let (shown, work): (Shown, Work) = (reader.take()?, reader.take()?);
    let Some(rule) = rule.and_then(|rule| group.rules.get_mut(rule)) else { return Ok(()) };
    (rule.last_error, rule.remarks) = (shown.last_error, shown.remarks);
    rule.explained = HashMap::from_iter(shown.explained);
    match (&mut rule.kind, work) {
        (RuleWork::Record(recording), Work::Record(before)) => {
            recording.restore(before.iter().map(|labels| interner.intern(labels.0.as_ref())).collect());
            Ok(())
        }
        (RuleWork::Alert(machine), Work::Alert(alerts)) => match machine.restore(alerts) {
            true => Ok(()),
            false => Err("two alerts of a rule have the same labels".into()),
        },
        _ => Err("a rule's state is none of such a rule".into()),
    }
}
