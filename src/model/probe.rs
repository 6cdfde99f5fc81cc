//! How well each member of the hourly ensemble does: forecasts followed for most of a day, one after the other.
//!
//! Keeps where the members stood when a probe began; a season does not learn within the probe an hour that the probe asks
//! for, so that what the members then say is what they would have said at its beginning. Knows nothing of how they forecast.

use serde::{Deserialize, Serialize};

use super::smoothing::Level;

/// Members of the ensemble.
pub(super) const MEMBERS: usize = 8;
/// Of these, those with a level of their own.
const LEVELS: usize = 6;
/// Hours for which a probe follows the members: shorter than a day by one.
const HOURS: u8 = 23;
/// Share of an old error that a new probe takes the place of; 1/n at first.
const GAIN: f32 = 0.05;

/// Mean error of each member over its last probes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Errors {
    mean: [f32; MEMBERS],
    probes: [u8; MEMBERS],
}

/// The probe under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Probe {
    levels: [Level; LEVELS],
    sum: [f32; MEMBERS],
    /// Hours gone; 0 means that none is under way.
    step: u8,
    /// Members that take part, one bit each.
    takes_part: u8,
}

/// A probe that has ended: mean error of each member that took part.
pub(super) type Ended = [Option<f32>; MEMBERS];

impl Errors {
    /// None.
    pub fn new() -> Self {
        Self { mean: [0.0; MEMBERS], probes: [0; MEMBERS] }
    }

    /// Learns a probe.
    pub fn learn(&mut self, ended: Ended) {
        for (m, error) in ended.into_iter().enumerate() {
            if let Some(error) = error {
                self.probes[m] = self.probes[m].saturating_add(1);
                let gain = GAIN.max(1.0 / f32::from(self.probes[m]));
                self.mean[m] += gain * (error - self.mean[m]);
            }
        }
    }

    /// Members that have been measured, with their mean absolute errors.
    pub fn known(&self) -> impl Iterator<Item = (usize, f64)> {
        (0..MEMBERS).filter(|m| self.probes[*m] > 0).map(|m| (m, f64::from(self.mean[m])))
    }
}

impl Probe {
    /// None under way.
    pub fn new() -> Self {
        Self { levels: [Level::default(); LEVELS], sum: [0.0; MEMBERS], step: 0, takes_part: 0 }
    }

    /// Whether one is under way.
    pub fn is_under_way(&self) -> bool {
        self.step > 0
    }

    /// Begins with the members' levels.
    pub fn start(&mut self, levels: [Level; LEVELS], takes_part: [bool; MEMBERS]) {
        let bits = takes_part.iter().enumerate().map(|(m, takes)| u8::from(*takes) << m).sum();
        *self = Self { levels, sum: [0.0; MEMBERS], step: 1, takes_part: bits };
    }

    /// Hours from the beginning to the one that has come, and the levels then; None without a probe.
    pub fn step(&self) -> Option<(usize, &[Level; LEVELS])> {
        self.is_under_way().then_some((usize::from(self.step), &self.levels))
    }

    /// Scores forecasts of the hour that has come; returns the errors if the probe has ended.
    pub fn score(&mut self, forecasts: [f64; MEMBERS], y: f64) -> Option<Ended> {
        for (sum, forecast) in self.sum.iter_mut().zip(forecasts) {
            *sum += (y - forecast).abs().min(1e30) as f32;
        }
        self.step += 1;
        if self.step <= HOURS {
            return None;
        }
        self.step = 0;
        let mean = |m: usize| (self.takes_part >> m & 1 == 1).then(|| self.sum[m] / f32::from(HOURS));
        Some(std::array::from_fn(mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_ends_after_most_of_a_day_with_the_mean_error_of_those_that_took_part() {
        let mut probe = Probe::new();
        let mut takes_part = [true; MEMBERS];
        takes_part[7] = false;
        probe.start([Level::default(); LEVELS], takes_part);
        let mut errors = Errors::new();
        for hour in 1..=23u8 {
            assert_eq!(probe.step().unwrap().0, usize::from(hour));
            let mut forecasts = [0.0; MEMBERS];
            forecasts[1] = f64::from(hour);
            let ended = probe.score(forecasts, 10.0);
            assert_eq!(ended.is_some(), hour == 23);
            ended.into_iter().for_each(|e| errors.learn(e));
        }
        assert!(!probe.is_under_way());
        let known: Vec<(usize, f64)> = errors.known().collect();
        assert_eq!(known.len(), 7);
        assert_eq!(known[0], (0, 10.0));
        // Mean of |10 - k| for k = 1..23: (45 + 91) / 23.
        assert!((known[1].1 - 136.0 / 23.0).abs() < 1e-5);
    }

    #[test]
    fn the_first_probes_count_alike_and_later_ones_a_twentieth() {
        let mut errors = Errors::new();
        let only = |e: f32| std::array::from_fn(|m| (m == 0).then_some(e));
        let mean = |errors: &Errors| errors.known().next().unwrap().1;
        for e in [1.0, 2.0, 6.0] {
            errors.learn(only(e));
        }
        assert!((mean(&errors) - 3.0).abs() < 1e-6);
        (0..200).for_each(|_| errors.learn(only(3.0)));
        errors.learn(only(23.0));
        assert!((mean(&errors) - 4.0).abs() < 1e-4);
    }
}
