//! `forewarn evaluate --breaches`: what rules foretell of simulated series.
//!
//! Knows how the figures are written; the simulation is `backtest::evaluate::breaches`' part.

use super::history::executor;
use crate::backtest::evaluate::RecordedSeries;
use crate::backtest::evaluate::breaches::{Figures, Outcome, contend, made_up, recorded, scenes_of};
use crate::engine::EngineOptions;
use crate::model::Profile;

/// Bases that are made up, of each kind.
const MADE_UP: usize = 6;

/// Figures of simulated breaches, over noise that is made up and that of every other recorded series: odd and even seeds
/// take different ones, so that one can be developed on and the other judge.
pub(super) fn figures(profile: &Profile, all: &[(String, RecordedSeries)], seed: u64) -> Result<String, String> {
    let mut bases = made_up(seed, MADE_UP);
    let of_seed = all.iter().zip(0..).filter(|(_, at)| (at + seed) % 2 == 1);
    bases.extend(of_seed.filter_map(|((name, series), at)| recorded(name, series, at)));
    let scenes = scenes_of(&bases, seed);
    let shards = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 8);
    let executor = executor(&EngineOptions { shards, ..EngineOptions::default() })?;
    let outcomes = contend(profile, &scenes, shards, &*executor)?;
    Ok(text(bases.len(), scenes.len(), seed, &outcomes))
}

fn text(bases: usize, scenes: usize, seed: u64, outcomes: &[Outcome]) -> String {
    let mut lines = vec![format!(
        "breaches: {scenes} simulated series of three weeks, noise of {bases} series, {} made up; seed {seed}",
        4 * MADE_UP
    )];
    for outcome in outcomes {
        lines.push(format!("{:<48} {}", outcome.rule, line(&outcome.all)));
    }
    if let Some(ours) = outcomes.first() {
        lines.push(format!("{}, by what happens:", ours.rule));
        lines.extend(ours.by_kind.iter().map(|(kind, figures)| format!("{:<48} {}", format!("  {kind:?}"), line(figures))));
    }
    lines.join("\n") + "\n"
}

/// Figures that there is nothing to say of are left out.
fn line(figures: &Figures) -> String {
    let breaches = if figures.breaches == 0 {
        String::new()
    } else {
        format!(
            "precision {:.2}, recall {:.2} of {}, lead {:.1} h; ",
            figures.precision(),
            figures.recall(),
            figures.breaches,
            figures.lead_hours()
        )
    };
    format!("{breaches}false alerts a series-week {:.3}", figures.false_a_week())
}
