//! What was in force when a snapshot was taken: rules, queries, profiles, and the settings that the plan was made with. The
//! engine that goes on is first built of these, so that all state finds its place, and is then told of today's as at any reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Fault, RestoreError};
use super::record::{Opened, Reader, Writer, put};
use crate::base::Millis;
use crate::engine::engine::Engine;
use crate::engine::load::LoadError;
use crate::engine::options::{EngineOptions, Output, Profiles};
use crate::engine::query::QuerySpec;
use crate::model::Profile;
use crate::promql::Op;
use crate::rules::RuleSet;

/// Settings that decide what an expression means and when it is evaluated.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Settings {
    lookback: Millis,
    evaluation_interval: Millis,
    epoch: Millis,
    query_offset: Millis,
    delayed_name_removal: bool,
}

/// Rules and what else was loaded.
#[derive(Debug, Serialize, Deserialize)]
struct InForce {
    settings: Settings,
    rules: RuleSet,
    queries: Vec<QuerySpec>,
}

/// An engine as it was loaded, without state.
pub(super) struct Loaded {
    pub engine: Engine,
    /// For each group and rule that was saved: where it is now. None if this release does not take it.
    pub places: Vec<Vec<Option<(usize, usize)>>>,
    /// Why they are not taken.
    pub left_out: Vec<LoadError>,
    /// Whether names are now dropped late and were not, or the other way round: label sets are then marked otherwise.
    pub marks_differ: bool,
}

/// Saves what is in force.
pub(super) fn save(engine: &Engine, writer: &mut Writer) {
    let options = &engine.options;
    let settings = Settings {
        lookback: options.lookback,
        evaluation_interval: options.evaluation_interval,
        epoch: options.epoch,
        query_offset: options.query_offset,
        delayed_name_removal: options.delayed_name_removal,
    };
    let rules = RuleSet { groups: engine.groups.iter().map(|group| Arc::clone(&group.spec)).collect() };
    let queries = engine.queries.iter().map(|query| query.spec().clone()).collect();
    let mut bytes = Vec::new();
    put(&mut bytes, &InForce { settings, rules, queries });
    writer.add("rules", bytes);

    let named = |name: &str| Some((name.to_owned(), &**engine.profiles.get(name)?));
    let used = engine.plan.nodes.iter().filter_map(|node| match &node.op {
        Op::Model { profile, .. } => named(profile),
        _ => None,
    });
    let mut bytes = Vec::new();
    put(&mut bytes, &used.collect::<BTreeMap<String, &Profile>>());
    writer.add("profiles", bytes);
}

/// An engine with what was in force, but for rules that this release does not take.
pub(super) fn load(options: &EngineOptions, records: &Opened<'_>) -> Result<Loaded, RestoreError> {
    let InForce { settings, mut rules, mut queries } = records.read("rules", Reader::take)?;
    let profiles: BTreeMap<String, Profile> = records.read("profiles", Reader::take)?;
    let profiles: Profiles = profiles.into_iter().map(|(name, profile)| (name, Arc::new(profile))).collect();
    let mut engine = Engine::new(EngineOptions {
        lookback: settings.lookback,
        evaluation_interval: settings.evaluation_interval.max(1),
        epoch: settings.epoch,
        query_offset: settings.query_offset,
        ..options.clone()
    });
    let mut places: Vec<Vec<Option<(usize, usize)>>> = rules
        .groups
        .iter()
        .enumerate()
        .map(|(g, group)| (0..group.rules.len()).map(|r| Some((g, r))).collect())
        .collect();
    let mut left_out = Vec::new();
    while let Err(faults) = engine.load_with_queries(&rules, &queries, &profiles, &mut Output::default()) {
        let before = count(&rules) + queries.len();
        for fault in &faults {
            queries.retain(|query| !fault.is_of_query(&query.expr));
            for (g, group) in rules.groups.iter_mut().enumerate() {
                if let Some(r) = group.rules.iter().position(|rule| fault.is_of(group, rule)) {
                    Arc::make_mut(group).rules.remove(r);
                    leave_out(&mut places[g], r);
                }
            }
        }
        left_out.extend(faults);
        if count(&rules) + queries.len() == before {
            return Err(Fault::from("its rules cannot be loaded").of("engine/rules"));
        }
    }
    let marks_differ = settings.delayed_name_removal != options.delayed_name_removal;
    Ok(Loaded { engine, places, left_out, marks_differ })
}

fn count(rules: &RuleSet) -> usize {
    rules.groups.iter().map(|group| group.rules.len()).sum()
}

/// The rule now at `r` is left out; those after it move up.
fn leave_out(places: &mut [Option<(usize, usize)>], r: usize) {
    for place in places {
        *place = match *place {
            Some((_, at)) if at == r => None,
            Some((g, at)) if at > r => Some((g, at - 1)),
            other => other,
        };
    }
}
