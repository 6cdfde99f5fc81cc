//! The last two samples of a window: `irate` and `idelta`.

use serde::{Deserialize, Serialize};

use super::window::{Accumulator, Window};
use crate::base::Sample;

/// The newest sample and the one before it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Recent {
    before: Sample,
    last: Sample,
}

impl Accumulator for Recent {
    #[inline]
    fn push(&mut self, sample: Sample) {
        self.before = self.last;
        self.last = sample;
    }

    #[inline]
    fn evict(&mut self, _: Sample, _: Option<Sample>) {}
}

impl Window<Recent> {
    /// `irate` (a counter's last step a second; a fall is a reset, from zero) or `idelta`. None with fewer than two samples.
    #[must_use]
    pub fn last_step(&self, per_second: bool) -> Option<f64> {
        if self.count() < 2 {
            return None;
        }
        let Recent { before, last } = self.sums;
        if !per_second {
            return Some(last.v - before.v);
        }
        let step = if last.v < before.v { last.v } else { last.v - before.v };
        let seconds = (last.t - before.t) as f64 / 1000.0;
        (seconds > 0.0).then(|| step / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::slide;
    use super::*;

    #[test]
    fn the_last_step_is_of_the_last_two_samples() {
        let data: Vec<Sample> = [1.0, 4.0, 2.0].iter().zip(1..).map(|(&v, i)| Sample { t: i * 2000, v }).collect();
        let mut steps = Vec::new();
        slide::<Recent>(&data, 10_000, |w, _| steps.push((w.last_step(true), w.last_step(false))));
        assert_eq!(steps, [(None, None), (Some(1.5), Some(3.0)), (Some(1.0), Some(-2.0))]);
    }
}
