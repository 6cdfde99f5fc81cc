//! Exponential smoothing of hours: a level, a transient that decays, and a season of a day (Holt and Winters, additive).
//!
//! Errors are clipped at so many times their usual size before they are learnt (Gelper, Fried and Croux 2010, "Robust
//! forecasting with exponential and Holt-Winters smoothing"): a spike moves the level by no more than a bad hour would.
//! The usual size grows under errors that stay large, so that a new level is learnt within half a day.

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use super::members::DAY;

/// Hours before errors are clipped.
const UNCLIPPED: u32 = 24;
/// Gain of the usual size, and how many times itself it learns at most.
const SIZE_GAIN: f64 = 0.04;
const SIZE_CLIP: f64 = 8.0;

/// Gains of a smoothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gains {
    pub level: f64,
    /// At least this; 1/n in the first days.
    pub season: f64,
    /// What the transient keeps in an hour, and its gain.
    pub decay: f64,
    pub transient: f64,
    /// Errors count up to this many times their usual size.
    pub clip: f64,
}

/// Usual size of an error, outliers clipped.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct ErrorSize(f32);

/// Level and transient.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Level {
    pub level: f32,
    pub transient: f32,
}

/// A smoothing's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Smoothing {
    pub now: Level,
    size: ErrorSize,
    season: Cells<i16, DAY>,
}

impl ErrorSize {
    /// Learns an error, the `seen`-th (from 0), and returns it clipped.
    pub fn clip(&mut self, seen: u32, error: f64, clip: f64) -> f64 {
        let size = f64::from(self.0);
        let clips = seen >= UNCLIPPED && size > 0.0;
        let learnt = if clips { error.abs().min(SIZE_CLIP * size) } else { error.abs() };
        let gain = SIZE_GAIN.max(1.0 / (f64::from(seen) + 1.0));
        self.0 = (size + gain * (learnt - size)) as f32;
        if clips { error.clamp(-clip * size, clip * size) } else { error }
    }

    /// The size.
    pub fn get(self) -> f64 {
        f64::from(self.0)
    }
}

impl Level {
    /// Forecast `ahead` hours from here, without season.
    pub fn ahead(self, gains: &Gains, ahead: usize) -> f64 {
        let transient =
            if gains.decay > 0.0 { gains.decay.powi(ahead as i32) * f64::from(self.transient) } else { 0.0 };
        f64::from(self.level) + transient
    }

    /// Learns an error of one hour ahead.
    pub fn learn(&mut self, gains: &Gains, error: f64) {
        self.transient = (gains.decay * f64::from(self.transient) + gains.transient * error) as f32;
        self.level += (gains.level * error) as f32;
    }
}

impl Smoothing {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { now: Level::default(), size: ErrorSize::default(), season: Cells::new() }
    }

    /// Begins after the first day: `mean` is its mean, `of_hour` each hour's value if there is to be a season.
    pub fn begin(&mut self, mean: f64, of_hour: Option<&[f64; DAY]>) {
        self.now.level = mean as f32;
        for (hour, v) in of_hour.into_iter().flatten().enumerate() {
            self.season.set(hour, v - mean);
        }
    }

    /// The season at an hour of the day.
    pub fn season(&self, hour: usize) -> f64 {
        self.season.get(hour)
    }

    /// Usual size of an error one hour ahead.
    pub fn error_size(&self) -> f64 {
        self.size.get()
    }

    /// Learns the next hour, the `seen`-th (from 0) after the first day.
    pub fn learn(&mut self, gains: &Gains, seasonal: bool, seen: u32, hour: usize, y: f64) {
        let error = y - self.now.ahead(gains, 1) - self.season(hour);
        let error = self.size.clip(seen, error, gains.clip);
        self.now.learn(gains, error);
        if seasonal {
            let days = f64::from(seen / DAY as u32) + 1.0;
            self.season.set(hour, self.season(hour) + gains.season.max(1.0 / (days + 1.0)) * error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const GAINS: Gains = Gains { level: 0.3, season: 0.0, decay: 0.0, transient: 0.0, clip: 3.0 };

    #[test]
    fn without_outliers_it_is_simple_exponential_smoothing() {
        // Hyndman and Athanasopoulos, "Forecasting", l(t) = l(t-1) + α (y - l(t-1)), by hand from l = 10.
        let mut s = Smoothing::new();
        s.begin(10.0, None);
        for (i, (y, level)) in [(12.0, 10.6), (11.0, 10.72), (9.0, 10.204)].into_iter().enumerate() {
            s.learn(&GAINS, false, i as u32, i, y);
            assert!((f64::from(s.now.level) - level).abs() < 1e-6, "{i}: {}", s.now.level);
        }
    }

    #[test]
    fn it_equals_holt_winters() {
        // The error correction form of the additive method, Hyndman, Koehler, Ord and Snyder 2008, table 2.1:
        // e = y - l - s, l += α e, s += γ e. The constants below, with numpy:
        // s=10*np.sin(np.arange(24)/24*2*np.pi); l=50.; d=s.copy()
        // for i in range(240):
        //     h=i%24; e=55+s[h]+i%5-l-d[h]; l+=.3*e; d[h]+=max(.2,1/(i//24+2))*e
        // print(l,d[0],d[7],d[23])
        let season: [f64; DAY] = std::array::from_fn(|h| 10.0 * (h as f64 / 24.0 * std::f64::consts::TAU).sin());
        let gains = Gains { season: 0.2, clip: 1e9, ..GAINS };
        let mut s = Smoothing::new();
        s.begin(50.0, Some(&season.map(|v| v + 50.0)));
        for i in 0..240usize {
            let y = 55.0 + season[i % DAY] + (i % 5) as f64;
            s.learn(&gains, true, i as u32, i % DAY, y);
        }
        assert!((f64::from(s.now.level) - 57.695_07).abs() < 0.01, "{}", s.now.level);
        for (hour, v) in [(0, 0.437_06), (7, 10.643_29), (23, -2.565_36)] {
            assert!((s.season(hour) - v).abs() < 0.01, "{hour}: {}", s.season(hour));
        }
    }

    #[test]
    fn a_spike_is_clipped_and_a_new_level_learnt() {
        let mut noise = Noise::new(1);
        let mut s = Smoothing::new();
        s.begin(10.0, None);
        let mut learn = |s: &mut Smoothing, i: u32, level: f64| s.learn(&GAINS, false, i, 0, level + noise.normal());
        (0..200).for_each(|i| learn(&mut s, i, 10.0));
        learn(&mut s, 200, 1000.0);
        assert!(s.now.level < 13.0, "{}", s.now.level);
        (201..213).for_each(|i| learn(&mut s, i, 30.0));
        assert!(s.now.level > 27.0, "twelve hours after: {}", s.now.level);
    }

    #[test]
    fn the_transient_fades() {
        let gains = Gains { decay: 0.9, transient: 0.5, level: 0.0, ..GAINS };
        let mut now = Level { level: 5.0, transient: 0.0 };
        now.learn(&gains, 4.0);
        assert!((now.ahead(&gains, 1) - 6.8).abs() < 1e-6 && (now.ahead(&gains, 60) - 5.0).abs() < 0.01);
    }
}
