//! What alerts are worth against the breaches of simulated series.
//!
//! An alert is true if the limit is crossed within eight hours of its start (twice the horizon that is asked for; for
//! teeth longer than four hours, two teeth), false otherwise; a breach is foretold if such an alert came before it. What
//! begins while the limit is crossed, or within two hours after, counts as neither. Knows nothing of rules.

use super::scenes::{Kind, Scene};
use super::{BINS, DAY_BINS, LIMIT};
use crate::backtest::evaluate::quantile_of;

const AFTERMATH: usize = 24;
const HOUR_BINS: f64 = DAY_BINS as f64 / 24.0;
/// Ramps that take at least so many hours are slow enough for hours of lead.
const SLOW_RAMP_HOURS: f64 = 6.0;

/// Counts over scenes.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Series.
    pub series: usize,
    /// Alerts that a breach followed.
    pub true_alerts: usize,
    /// Alerts that none followed.
    pub false_alerts: usize,
    /// Crossings of the limit.
    pub breaches: usize,
    /// Of these, those foretold.
    pub foretold: usize,
    /// Hours between the first alert and the breach, of ramps that take six hours or more.
    slow_leads: Vec<f64>,
}

impl Figures {
    /// Adds a scene, given the bins at which alerts began.
    pub fn add(&mut self, scene: &Scene, alerts: &[usize]) {
        self.series += 1;
        self.breaches += scene.breaches.len();
        for breach in &scene.breaches {
            let first = alerts.iter().find(|at| **at < breach.at && breach.at - **at <= scene.true_within);
            self.foretold += usize::from(first.is_some());
            if let Some(first) = first
                && breach.ramp_hours.is_some_and(|hours| hours >= SLOW_RAMP_HOURS)
            {
                self.slow_leads.push((breach.at - first) as f64 / HOUR_BINS);
            }
        }
        for &at in alerts {
            let crossed = |values: &[f64]| values.iter().any(|v| *v >= LIMIT);
            if crossed(&scene.values[at.saturating_sub(AFTERMATH)..=at.min(BINS - 1)]) {
                continue;
            }
            let ahead = scene.breaches.iter().any(|breach| breach.at > at && breach.at - at <= scene.true_within);
            *(if ahead { &mut self.true_alerts } else { &mut self.false_alerts }) += 1;
        }
    }

    /// Share of the alerts that were true.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.true_alerts as f64 / (self.true_alerts + self.false_alerts) as f64
    }

    /// Share of the breaches that were foretold.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.foretold as f64 / self.breaches as f64
    }

    /// Median hours between the first alert and the breach, of ramps that take six hours or more.
    #[must_use]
    pub fn lead_hours(&self) -> f64 {
        quantile_of(&mut self.slow_leads.clone(), 0.5)
    }

    /// False alerts a week of one series.
    #[must_use]
    pub fn false_a_week(&self) -> f64 {
        self.false_alerts as f64 / (self.series as f64 * BINS as f64 / (7 * DAY_BINS) as f64)
    }
}

/// Figures of all scenes and of each kind.
#[must_use]
pub fn judge<'a>(scenes: impl IntoIterator<Item = (&'a Scene, &'a [usize])>) -> (Figures, Vec<(Kind, Figures)>) {
    let mut all = Figures::default();
    let mut by_kind = std::collections::BTreeMap::<Kind, Figures>::new();
    for (scene, alerts) in scenes {
        all.add(scene, alerts);
        by_kind.entry(scene.kind).or_default().add(scene, alerts);
    }
    (all, by_kind.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::super::scenes::Breach;
    use super::*;

    #[test]
    fn figures_are_those_counted_by_hand() {
        let mut values = vec![50.0; BINS];
        values[1_000..1_010].fill(100.0);
        values[3_000..3_010].fill(101.0);
        values[5_000] = 100.0;
        let breaches = [(1_000, Some(8.0)), (3_000, Some(2.0)), (5_000, None)];
        let scene = Scene {
            kind: Kind::Ramps,
            base: String::new(),
            values,
            true_within: 96,
            breaches: breaches.map(|(at, ramp_hours)| Breach { at, ramp_hours }).to_vec(),
        };
        // Four hours before the first (and again, an hour before), in its midst, soon after it; far from all; too early, and
        // in time, for the second.
        let alerts = [952, 988, 1_005, 1_030, 2_000, 2_903, 2_904];
        let (figures, by_kind) = judge([(&scene, &alerts[..])]);
        assert_eq!((figures.true_alerts, figures.false_alerts), (3, 2));
        assert_eq!((figures.breaches, figures.foretold), (3, 2));
        assert_eq!(figures.lead_hours(), 4.0);
        assert!((figures.precision() - 0.6).abs() < 1e-12 && (figures.recall() - 2.0 / 3.0).abs() < 1e-12);
        assert!((figures.false_a_week() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(by_kind.len(), 1);
    }
}
