//! `forewarn evaluate --breaches`: what rules foretell of simulated series.
//!
//! Knows how the figures are written; the simulation is `backtest::evaluate::breaches`' part.

use super::history::executor;
use crate::backtest::evaluate::RecordedSeries;
use crate::backtest::evaluate::breaches::{Figures, Outcome, contend, made_up, recorded, scenes_of};
use crate::engine::EngineOptions;
use crate::model::Profile;

/// Figures of simulated breaches, over noise that is made up and that of every other recorded series: odd and even seeds
/// take different ones, so that one can be developed on and the other judge.
pub(super) fn figures(
    profile: &Profile,
    all: &[(String, RecordedSeries)],
    seed: u64,
    of_each_kind: usize,
) -> Result<String, String> {
    let mut bases = made_up(seed, of_each_kind);
    let made_up = bases.len();
    let of_seed = all.iter().zip(0..).filter(|(_, at)| (at + seed) % 2 == 1);
    bases.extend(of_seed.filter_map(|((name, series), at)| recorded(name, series, at)));
    let scenes = scenes_of(&bases, seed);
    let shards = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 8);
    let executor = executor(&EngineOptions { shards, ..EngineOptions::default() })?;
    let outcomes = contend(profile, &scenes, shards, &*executor)?;
    let head = format!(
        "breaches: {} simulated series of three weeks, noise of {} series, {made_up} made up; seed {seed}",
        scenes.len(),
        bases.len()
    );
    Ok(text(head, &outcomes))
}

fn text(head: String, outcomes: &[Outcome]) -> String {
    let mut lines = vec![head];
    for outcome in outcomes {
        lines.push(format!("{:<48} {}", outcome.rule, line(&outcome.all)));
    }
    if let Some(ours) = outcomes.first() {
        lines.push(format!("{}, by what happens:", ours.rule));
        lines.extend(
            ours.by_kind.iter().map(|(kind, figures)| format!("{:<48} {}", format!("  {kind:?}"), line(figures))),
        );
    }
    lines.join("\n") + "\n"
}

/// Figures that there is nothing to say of are left out.
fn line(figures: &Figures) -> String {
    let mut parts = vec![];
    if figures.breaches > 0 {
        parts.push(format!(
            "precision {:.2}, recall {:.2} of {}",
            figures.precision(),
            figures.recall(),
            figures.breaches
        ));
    }
    if figures.lead_hours().is_finite() {
        parts.push(format!("lead {:.1} h", figures.lead_hours()));
    }
    parts.push(format!("false alerts a series-week {:.3}", figures.false_a_week()));
    parts.join(", ")
}
