//! After a deviation that was worth a page, the next one has to be of its kind: the level needed jumps to a share of the
//! level seen, and comes down again within days.
//!
//! A tail laid through ordinary deviations knows nothing of spikes that come three times a day; the first of them teaches
//! it here. While an incident lasts, its own height keeps it above the ratchet. Knows levels and time, not values.

use serde::{Deserialize, Serialize};

use crate::base::Millis;

/// Share of a level that the next one has to exceed.
const SHARE: f64 = 0.75;
/// Most that it is raised, so that the worst may always page.
const RAISED_MAX: f64 = 0.8;
/// Time in which it comes down to 1/e.
const DECAY_MS: f64 = 2.0 * 86_400_000.0;

/// How far the level needed stands above 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ratchet {
    raised: f32,
}

impl Ratchet {
    /// Lets time pass.
    pub fn lower(&mut self, elapsed: Millis) {
        if self.raised > 0.0 {
            self.raised = (f64::from(self.raised) * (-(elapsed as f64) / DECAY_MS).exp()) as f32;
            if self.raised < 1e-3 {
                self.raised = 0.0;
            }
        }
    }

    /// What is to be taken off a level.
    pub fn raised(&self) -> f64 {
        f64::from(self.raised)
    }

    /// A level above the ratchet was seen.
    pub fn raise(&mut self, level: f64) {
        self.raised = self.raised.max((SHARE * level).min(RAISED_MAX) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 86_400_000;

    #[test]
    fn it_rises_at_once_and_falls_in_days() {
        let mut ratchet = Ratchet::default();
        assert_eq!(ratchet.raised(), 0.0);
        ratchet.raise(0.8);
        assert!((ratchet.raised() - 0.6).abs() < 1e-6);
        ratchet.raise(0.5);
        assert!((ratchet.raised() - 0.6).abs() < 1e-6, "a lower level changes nothing");
        ratchet.lower(2 * DAY);
        assert!((ratchet.raised() - 0.6 / std::f64::consts::E).abs() < 1e-6);
        ratchet.lower(60 * DAY);
        assert_eq!(ratchet.raised(), 0.0);
    }

    #[test]
    fn the_worst_may_always_page() {
        let mut ratchet = Ratchet::default();
        ratchet.raise(6.0);
        assert!((ratchet.raised() - RAISED_MAX).abs() < 1e-6);
    }
}
