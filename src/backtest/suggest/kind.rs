//! What kind of thing a series is, by its features, and what suits that kind: a profile, functions, and why.
//!
//! A plain list of conditions, the first that holds decides; the thresholds lie between what the tests' series of each
//! kind have. Knows nothing of names.

use serde::Serialize;

use super::Features;

/// Fewer points say nothing.
pub(super) const POINTS_MIN: f64 = 20.0;
/// Straightness from which a series is growing.
const GROWS: f64 = 0.6;
/// Strength from which there is a season.
const SEASON: f64 = 0.5;
/// Share of rises, or of falls, from which a series is a sawtooth.
const ONE_WAY: f64 = 0.8;
/// Share of zeros from which a series is mostly zero, and points in a row from which what is not is work and no event.
const MOSTLY: f64 = 0.5;
const WORK_POINTS: f64 = 4.0;
/// Share of steps without a change from which values are held.
const HELD: f64 = 0.9;
/// Below this median a share is one of failures, above 1 less it one of successes.
const SMALL_SHARE: f64 = 0.1;
/// Skew and weight of tails of latencies.
const SKEWED: f64 = 0.25;
const HEAVY: f64 = 0.1;

/// A kind of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rises towards a limit.
    Filling,
    /// Falls towards zero.
    Draining,
    /// Fills and is emptied, again and again.
    Sawtooth,
    /// A share of something that is used, within 0 and 1.
    Utilisation,
    /// Requests and the like, by the hour of the day.
    Traffic,
    /// Durations and queues: never below zero, a long tail above.
    Latency,
    /// A share of failures.
    Failures,
    /// A share of successes.
    Successes,
    /// Mostly zero, now and then an event.
    Events,
    /// At work for a while, still for the rest.
    Job,
    /// Nothing of all that.
    Plain,
    /// One value.
    Constant,
    /// Too short to say.
    Unknown,
}

impl Kind {
    /// The kind of a series with these features.
    #[must_use]
    pub fn of(f: &Features) -> Self {
        let season = f.daily.max(f.weekly);
        let is_share = f.within_one >= 1.0 && f.integers < 1.0;
        let is_long_tailed = f.negative == 0.0 && f.skew >= SKEWED && f.tails >= HEAVY;
        match () {
            () if f.points < POINTS_MIN => Self::Unknown,
            () if f.still >= 1.0 => Self::Constant,
            () if is_share && f.median <= SMALL_SHARE && season < SEASON => Self::Failures,
            () if is_share && f.median >= 1.0 - SMALL_SHARE && season < SEASON => Self::Successes,
            () if f.growth >= GROWS && f.zeros < MOSTLY => Self::Filling,
            () if f.growth <= -GROWS && f.zeros < MOSTLY => Self::Draining,
            () if f.zeros >= MOSTLY && f.run < WORK_POINTS => Self::Events,
            () if f.zeros >= MOSTLY || f.still >= HELD => Self::Job,
            () if !(1.0 - ONE_WAY..=ONE_WAY).contains(&f.rises) => Self::Sawtooth,
            () if is_share => Self::Utilisation,
            () if season >= SEASON && f.negative == 0.0 => Self::Traffic,
            () if is_long_tailed => Self::Latency,
            () => Self::Plain,
        }
    }

    /// The profile that suits, of those that the program carries.
    #[must_use]
    pub fn profile(self) -> &'static str {
        match self {
            Self::Filling | Self::Draining | Self::Sawtooth | Self::Utilisation => "saturation",
            Self::Traffic => "traffic",
            Self::Latency => "latency",
            Self::Failures | Self::Successes => "error-ratio",
            Self::Events => "sparse",
            Self::Job => "batch-job",
            Self::Plain | Self::Constant | Self::Unknown => "default",
        }
    }

    /// The functions that suit, the first first.
    #[must_use]
    pub fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Filling | Self::Draining => &["time_until", "predict_anomaly"],
            Self::Sawtooth | Self::Utilisation => &["predict_quantile", "predict_anomaly"],
            Self::Traffic => &["predict_anomaly", "predict_seasonal"],
            _ => &["predict_anomaly"],
        }
    }

    /// Why, in a sentence.
    #[must_use]
    pub fn reason(self, f: &Features) -> String {
        let percent = |share: f64| format!("{:.0}%", 100.0 * share);
        match self {
            Self::Filling => format!("rises almost straight ({:.2} of 1), so ask when it reaches its limit", f.growth),
            Self::Draining => format!("falls almost straight ({:.2} of 1), so ask when nothing is left", -f.growth),
            Self::Sawtooth => {
                let slow = f.rises.max(1.0 - f.rises);
                format!(
                    "{} of its changes go one way and few large ones back: only a rising envelope matters",
                    percent(slow)
                )
            }
            Self::Utilisation => "a share within 0 and 1 of something that runs full; only a rise matters".to_owned(),
            Self::Traffic => {
                let but =
                    if f.skew >= SKEWED { "; if it is a duration take latency, as faster is no finding" } else { "" };
                format!(
                    "repeats itself by the day ({:.2} of 1) or week ({:.2}) and is never below zero: too little is as bad as too much{but}",
                    f.daily, f.weekly
                )
            }
            Self::Latency => {
                format!("never below zero, with a long tail above (skew {:.2}); faster is no finding", f.skew)
            }
            Self::Failures => {
                format!("a share near 0 (median {:.3}); only a rise that somebody would notice matters", f.median)
            }
            Self::Successes => {
                format!("a share near 1 (median {:.3}); as a share of failures, 1 - x, only a rise matters", f.median)
            }
            Self::Events => {
                format!("{} of its values are 0, the others stand alone; one event is no finding", percent(f.zeros))
            }
            Self::Job if f.zeros >= MOSTLY => {
                format!(
                    "{} of its values are 0, the others come {:.0} in a row: at work for a while",
                    percent(f.zeros),
                    f.run
                )
            }
            Self::Job => {
                format!("stays as it is at {} of the steps: set by something that runs now and then", percent(f.still))
            }
            Self::Plain => {
                "nothing of all that: the default finds levels, trends and seasons of any gauge or rate".to_owned()
            }
            Self::Constant => "never changed: silent while it stays so, one finding when it moves".to_owned(),
            Self::Unknown => format!("{:.0} points say too little", f.points),
        }
    }
}
