//! What a model expected, how far the newest value is from that, and what that judgement rests on: plain data, whose text is
//! `explanation_text`'s part. Knows nothing of rules, labels or alerts.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::change_point::{Change, ChangeDetector, ChangeParams};
use super::detector::{Detector, DetectorParams, Score};
use super::forecaster::{Forecaster, ForecasterParams};
use super::range::{Departure, Feature};
use crate::base::Millis;

/// Share of the forecasts that a band holds.
const BAND: (f64, f64) = (0.025, 0.975);
/// Quantiles of the forecast between which a crossing is said to lie.
const CROSSING: (f64, f64) = (0.05, 0.95);

/// How a detector's parts saw a point. Distances are in robust standard deviations, negative below what was expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Parts {
    /// From the recent level.
    pub level: f32,
    /// From the same time of other days; 0 where that is not known yet.
    pub season: f32,
    /// From the short course, with the day's usual ups and downs.
    pub trend: f32,
    /// -log10 of how often a week such distances are expected; -infinity while too little is known.
    #[serde(skip)]
    pub rarity: f32,
    /// The same of leaving the range that the series has kept to: in its value, its course, or its spread.
    #[serde(skip)]
    pub range_rarity: f32,
    /// What is farthest out of the range that it has kept to; None where nothing is.
    pub beyond: Option<Beyond>,
}

/// A feature of the series that is out of the range that it has kept to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beyond {
    /// Which.
    pub feature: Feature,
    /// What it is now: in the series' unit, but for [`Feature::Deviation`], which is in standard deviations.
    pub now: f32,
    /// The end of its range.
    pub bound: f32,
}

/// Why a point has no score above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotScored {
    /// Too little is known of the series (`warm_up`).
    WarmingUp,
    /// The profile keeps this time out (`exclude`).
    Excluded,
    /// It lies on the side that the profile does not look at, or too near (`direction`, `min_dev_from_expected`).
    NotAskedFor,
}

/// What a detector says of the newest point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnomalyExplanation {
    /// The point.
    pub value: f64,
    /// Its score; above 1 is rarer than the budget.
    pub score: f64,
    /// What was expected before it came.
    pub expected: f64,
    /// Lower end of the band that the distance alone would have to leave for a score above 1.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
    /// What each part saw.
    pub parts: Parts,
    /// Whether it is the range kept so far, rather than these distances, that makes the point rare.
    pub out_of_range: bool,
    /// How many points like this one, or rarer, are expected in a week.
    pub expected_a_week: f64,
    /// The profile's budget of false alarms a week.
    pub budget_a_week: f64,
    /// Why it has no score.
    pub not_scored: Option<NotScored>,
    /// Milliseconds from the first point to the newest.
    pub learnt: Millis,
    /// Points.
    pub points: u32,
}

/// What a forecaster says of the newest point and of what comes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForecastExplanation {
    /// The newest value, as learnt.
    pub value: f64,
    /// What was expected for it before it came, and the band of 95% around that; None while that is not known.
    pub expected: Option<Interval>,
    /// Forecasts that were asked for.
    pub ahead: Vec<Ahead>,
    /// Crossings that were asked for.
    pub crossings: Vec<Crossing>,
    /// Milliseconds from the first point to the newest.
    pub learnt: Millis,
    /// Points.
    pub points: u32,
}

/// What a change detector says of the newest point. Levels are without the daily season.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeExplanation {
    /// The newest value.
    pub value: f64,
    /// The level around which the newest ticks lie.
    pub level: f64,
    /// How far ticks scatter around it: a standard deviation.
    pub scatter: f64,
    /// The newest change.
    pub change: Option<Change>,
    /// Milliseconds from the first point to the newest.
    pub learnt: Millis,
    /// Points.
    pub points: u32,
}

/// A forecast: median and the band of 95%.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Interval {
    pub median: f64,
    pub lower: f64,
    pub upper: f64,
}

/// What is forecast for an instant to come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ahead {
    /// Milliseconds ahead.
    pub ahead: Millis,
    /// None where the forecast is too unreliable to be told.
    pub forecast: Option<Interval>,
}

/// When a threshold is crossed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// The threshold.
    pub threshold: f64,
    /// Seconds until the median crosses it; None where it does not within the horizon.
    pub median: Option<f64>,
    /// Seconds until the first of the 5% and the 95% quantile does.
    pub earliest: Option<f64>,
    /// Seconds until the last of them does.
    pub latest: Option<f64>,
}

/// What a model says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelExplanation {
    /// Of `predict_anomaly`.
    Anomaly(AnomalyExplanation),
    /// Of the forecasting functions.
    Forecast(ForecastExplanation),
    /// Of `changed_at`.
    Change(ChangeExplanation),
}

/// A detector's last score and the point it was given for, in as few bytes as do: one is kept beside every detector.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    value: f32,
    /// The score as rules read it.
    pub score: f32,
    expected: f32,
    lower: f32,
    upper: f32,
    parts: Parts,
    excluded: bool,
}

impl Parts {
    /// From the sizes of the three distances, their signs, and what the two channels of a detector make of the point.
    pub(super) fn new(
        z: [f64; 3],
        signs: [f64; 3],
        (rarity, range_rarity): (f64, f64),
        departure: Option<Departure>,
    ) -> Self {
        let signed = |j: usize| z[j].copysign(signs[j]) as f32;
        let (rarity, range_rarity) = (rarity as f32, range_rarity as f32);
        let beyond = departure.map(|Departure { feature, now, bound, .. }| Beyond {
            feature,
            now: now as f32,
            bound: bound as f32,
        });
        Self { level: signed(0), season: signed(1), trend: signed(2), rarity, range_rarity, beyond }
    }

    /// Whether it is the range kept so far, rather than the distances, that makes the point rare.
    #[must_use]
    pub fn is_out_of_range(&self) -> bool {
        self.range_rarity > self.rarity
    }
}

/// All of it, one number after the other; as JSON its parts would lack what people are not shown.
impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, score, expected, lower, upper, parts, excluded } = *self;
        let Parts { level, season, trend, rarity, range_rarity, beyond } = parts;
        let numbers = [value, score, expected, lower, upper, level, season, trend, rarity, range_rarity];
        (numbers, beyond, excluded).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (numbers, beyond, excluded) = <([f32; 10], Option<Beyond>, bool)>::deserialize(deserializer)?;
        let [value, score, expected, lower, upper, level, season, trend, rarity, range_rarity] = numbers;
        let parts = Parts { level, season, trend, rarity, range_rarity, beyond };
        Ok(Self { value, score, expected, lower, upper, parts, excluded })
    }
}

impl Reading {
    /// What is kept of a score.
    #[must_use]
    pub fn new(value: f64, score: &Score) -> Self {
        Self {
            value: value as f32,
            score: score.score as f32,
            expected: score.expected as f32,
            lower: score.lower as f32,
            upper: score.upper as f32,
            parts: score.parts,
            excluded: score.excluded,
        }
    }
}

impl AnomalyExplanation {
    /// What a detector says of its newest point, whose reading was kept.
    #[must_use]
    pub fn new(detector: &Detector, params: &DetectorParams, reading: &Reading) -> Self {
        let profile = params.profile();
        let (learnt, points) = detector.learnt();
        let rarity = f64::from(reading.parts.rarity.max(reading.parts.range_rarity));
        let warming_up = learnt < profile.warm_up || !reading.parts.rarity.is_finite();
        let not_scored = match (reading.score > 0.0, warming_up) {
            (true, _) => None,
            (false, _) if reading.excluded => Some(NotScored::Excluded),
            (false, true) => Some(NotScored::WarmingUp),
            (false, false) => Some(NotScored::NotAskedFor),
        };
        Self {
            value: wide(reading.value),
            score: wide(reading.score),
            expected: wide(reading.expected),
            lower: wide(reading.lower),
            upper: wide(reading.upper),
            parts: reading.parts,
            out_of_range: reading.parts.is_out_of_range(),
            expected_a_week: 10f64.powf(-rarity),
            budget_a_week: profile.false_alarms_per_week,
            not_scored,
            learnt,
            points,
        }
    }
}

impl ChangeExplanation {
    /// What a change detector says.
    #[must_use]
    pub fn new(detector: &ChangeDetector, params: &ChangeParams) -> Option<Self> {
        let (value, level, scatter) = detector.newest()?;
        let (learnt, points) = detector.learnt();
        Some(Self { value, level, scatter, change: detector.change(params), learnt, points })
    }
}

impl ForecastExplanation {
    /// What a forecaster says; `ahead` are the horizons and `thresholds` the thresholds that are asked for.
    #[must_use]
    pub fn new(
        forecaster: &Forecaster,
        params: &ForecasterParams,
        ahead: &[Millis],
        thresholds: &[f64],
    ) -> Option<Self> {
        let (value, learnt, points) = forecaster.learnt()?;
        let outlook = forecaster.outlook(params);
        let interval = |ahead: Millis| {
            let outlook = outlook.as_ref()?;
            let at = |phi| outlook.quantile(phi, ahead);
            Some(Interval { median: at(0.5)?, lower: at(BAND.0)?, upper: at(BAND.1)? })
        };
        let crossing = |threshold: f64| {
            let until = |phi| outlook.as_ref()?.time_until(threshold, phi);
            // Which of the quantiles crosses first depends on the side.
            let both = [until(CROSSING.0), until(CROSSING.1)];
            let earliest = both.into_iter().flatten().reduce(f64::min);
            let latest = both[0].zip(both[1]).map(|(a, b)| a.max(b));
            Crossing { threshold, median: until(0.5), earliest, latest }
        };
        Some(Self {
            value,
            expected: interval(0),
            ahead: ahead.iter().map(|&ahead| Ahead { ahead, forecast: interval(ahead) }).collect(),
            crossings: thresholds.iter().map(|&threshold| crossing(threshold)).collect(),
            learnt,
            points,
        })
    }
}

/// The number that a person would have written: 93.1 in single precision is 93.0999984741211 in double.
fn wide(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::NAN)
}
