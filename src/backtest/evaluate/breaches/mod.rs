//! Breaches simulated: series whose end is known, and what rules foretell of it.
//!
//! Series of three weeks in bins of five minutes, made from bases (recorded or made-up noise) and scenes (what happens);
//! rules over them run in the engine, and their alerts are judged. Pure, seeded: the same figures everywhere.

mod bases;
mod contenders;
mod judge;
mod random;
mod scenes;

pub use bases::{Base, made_up, recorded};
pub use contenders::{Outcome, contend};
pub use judge::{Figures, judge};
pub use scenes::{Breach, Kind, Scene};

use crate::base::Millis;

/// Length of a bin.
pub const BIN: Millis = 300_000;
/// The limit of every simulated series.
pub const LIMIT: f64 = 100.0;
const DAY_BINS: usize = 288;
/// Bins of a simulated series.
pub const BINS: usize = 21 * DAY_BINS;

/// Every scene over every base.
#[must_use]
pub fn scenes_of(bases: &[Base], seed: u64) -> Vec<Scene> {
    let all = bases.iter().flat_map(|base| scenes::SCENES.map(|kind| (base, kind)));
    all.zip(0..).map(|((base, kind), at)| Scene::new(kind, base, seed.wrapping_mul(7_919).wrapping_add(at))).collect()
}
