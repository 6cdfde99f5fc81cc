//! One detector for all series: a calibrated anomaly score a point.
//!
//! Two channels, each as a level L = -log10(exceedances expected in a week): the geometric mean of three robust
//! deviations against the tail that such means have had on this series ([`Tail`]), and the excess over the range kept
//! so far ([`Ranges`]), which counts less where no expectation is surprised. What has paged lately raises the level
//! needed ([`Ratchet`], [`PageBudget`]). The score is 10^max(L) times the profile's budget, so that above 1 means rarer
//! than the budget on any series. Source: the prototypes behind models/default.md; measured figures in docs/quality.md.
//!
//! Reads no clock and knows nothing of rules, labels or alerts.

use serde::{Deserialize, Serialize};

use super::baseline::{BaselineParams, Baselines, PHASES};
use super::budget::PageBudget;
use super::explanation::Parts;
use super::profile::{Direction, Profile};
use super::range::{RangeParams, Ranges, Sighting};
use super::ratchet::Ratchet;
use super::tail::{Tail, TailParams};
use std::f64::consts::LN_10;

use crate::base::Millis;

const DAY_MS: f64 = 86_400_000.0;
/// Forgetting for which the constants below were measured.
const REFERENCE_FORGETTING_MS: f64 = 14.0 * DAY_MS;
/// What a season keeps of its past over one visit of its bucket.
const SEASON_KEPT: f64 = 0.4;
/// Time constants of the spreads and of the tail at the reference.
const SPREAD_DAYS: f64 = 3.0;
const TAIL_DAYS: f64 = 28.0;
/// Points before deviations are scored.
const FEWEST_POINTS: u32 = 50;
/// Score of a value outside the profile's data range, whatever the series has done before.
const OUT_OF_RANGE_SCORE: f64 = 10.0;
/// Distances from the origin are clipped here, so that squares and single precision hold them.
const FARTHEST: f64 = 1e30;
/// Keeps the geometric mean from being zero as soon as one deviation is.
const Z_OFFSET: f64 = 0.05;
/// Level of the deviation below which the range is not believed whole, and what each decade below costs it.
const SUPPORT_LEVEL: f64 = -1.5;
const SUPPORT_SHARE: f64 = 0.7;
/// Lowest level that a deviation is taken to have.
const LEVEL_MIN: f64 = -4.0;
/// Points between two looks at the band.
const BAND_EVERY: u32 = 16;

/// Constants of one profile at one interval, shared by all series.
#[derive(Clone, Debug)]
pub struct DetectorParams {
    baseline: BaselineParams,
    tail: TailParams,
    range: RangeParams,
    profile: Profile,
    budget_log10: f64,
}

/// State of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detector(Option<State>);

/// What the detector says of a point. Unit of all but the score: that of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Above 1: rarer than the profile's budget. 0 while warming up; at most 1e6 times the budget a week.
    pub score: f64,
    /// What was expected before the point came.
    pub expected: f64,
    /// Lower end of the band outside which the deviation alone would score above 1.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
    /// What each part saw, for whoever asks why.
    pub parts: Parts,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    /// First value; all else is kept relative to it, so that single precision serves series far from zero.
    origin: f64,
    first: Millis,
    last: Millis,
    points: u32,
    baselines: Baselines,
    tail: Tail,
    ranges: Ranges,
    ratchet: Ratchet,
    budget: PageBudget,
    /// Deviation at which the score was 1 at the last look, in standard deviations.
    edge: f32,
}

impl DetectorParams {
    /// Constants for a series that gets a point every `interval_ms`.
    #[must_use]
    pub fn new(profile: &Profile, interval_ms: Millis) -> Self {
        let per_day = DAY_MS / interval_ms.max(1) as f64;
        let forgetting = profile.forgetting as f64 / REFERENCE_FORGETTING_MS;
        let phases = match profile.seasonality.daily {
            false => 1,
            true if per_day < 120.0 => 24,
            true => ((per_day / 5.0) as usize).clamp(24, PHASES),
        };
        let per_phase = (per_day / phases as f64).max(1.0);
        let window = (per_day / 20.0).floor().max(10.0);
        Self {
            baseline: BaselineParams {
                phases,
                season_gain: (1.0 - SEASON_KEPT.powf(1.0 / (per_phase * forgetting))).min(0.2),
                mean_gain: 2.0 / (window + 1.0),
                spread_gain: (1.0 / (SPREAD_DAYS * per_day * forgetting)).min(1.0),
            },
            tail: TailParams::new(per_day, TAIL_DAYS * forgetting),
            range: RangeParams::new(per_day, forgetting, profile.direction),
            budget_log10: profile.false_alarms_per_week.log10(),
            profile: profile.clone(),
        }
    }

    /// The profile that the constants were made for.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    fn phase(&self, t: Millis) -> usize {
        let in_day = t.rem_euclid(DAY_MS as Millis) as u64;
        (in_day * self.baseline.phases as u64 / DAY_MS as u64) as usize
    }
}

impl Detector {
    /// A series of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self(None)
    }

    /// Scores a point and learns it.
    ///
    /// None, and nothing learnt, for a value that is not finite and for a point that is not newer than the last.
    pub fn update(&mut self, params: &DetectorParams, t: Millis, v: f64) -> Option<Score> {
        if !v.is_finite() {
            return None;
        }
        let inside = params.profile.clip(v);
        let state = self.0.get_or_insert_with(|| State::new(t, inside));
        if state.points > 0 && t <= state.last {
            return None;
        }
        let mut score = state.update(params, t, inside);
        if inside != v {
            score.score = score.score.max(OUT_OF_RANGE_SCORE);
        }
        Some(score)
    }

    /// Milliseconds from the first point to the newest, and points.
    #[must_use]
    pub fn learnt(&self) -> (Millis, u32) {
        self.0.as_ref().map_or((0, 0), |state| (state.last.saturating_sub(state.first), state.points))
    }

    /// Bytes of the state.
    #[must_use]
    pub const fn state_bytes() -> usize {
        size_of::<Self>()
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn new(t: Millis, v: f64) -> Self {
        Self {
            origin: v,
            first: t,
            last: t,
            points: 0,
            baselines: Baselines::new(v.abs().min(FARTHEST)),
            tail: Tail::new(),
            ranges: Ranges::new(),
            ratchet: Ratchet::default(),
            budget: PageBudget::new(),
            edge: 0.0,
        }
    }

    fn update(&mut self, params: &DetectorParams, t: Millis, v: f64) -> Score {
        let n = self.points;
        let elapsed = t.saturating_sub(self.last);
        let x = (v - self.origin).clamp(-FARTHEST, FARTHEST);
        let phase = params.phase(t);
        let seen = self.baselines.look(phase, x);
        let magnitude = v.abs().min(FARTHEST);
        let ln_u = seen.z.iter().map(|z| z + Z_OFFSET).product::<f64>().ln() / 3.0;
        let deviation = if n >= FEWEST_POINTS { self.tail.level(&params.tail, ln_u, n) } else { f64::NEG_INFINITY };
        self.baselines.learn(&params.baseline, phase, x, magnitude, n, &seen);
        let sighting = Sighting {
            x,
            y: v.clamp(-FARTHEST, FARTHEST),
            season_error: seen.errors[1] / seen.phase_spread.sqrt(),
            ln_deviation: ln_u,
            magnitude: self.baselines.magnitude(),
        };
        let range = self.ranges.update(&params.range, n, &sighting);
        if n >= FEWEST_POINTS {
            self.tail.learn(&params.tail, ln_u, n);
        }
        self.ratchet.lower(elapsed);
        self.budget.lower(elapsed);
        self.last = t;
        self.points = n.saturating_add(1);

        let expected = self.origin + seen.expected;
        let warm = n >= FEWEST_POINTS && t.saturating_sub(self.first) >= params.profile.warm_up;
        let level = if warm && is_counted(&params.profile, v, expected) {
            self.restrain(t, deviation, range)
        } else {
            f64::NEG_INFINITY
        };
        let half = self.edge(params, n) * seen.scale;
        let clip = |v: f64| params.profile.clip(v);
        let parts = Parts::new(seen.z, seen.errors, deviation, range);
        Score {
            score: if level > f64::NEG_INFINITY { ((level + params.budget_log10) * LN_10).exp() } else { 0.0 },
            expected: clip(expected),
            lower: clip(expected - half),
            upper: clip(expected + half),
            parts,
        }
    }

    /// One level out of the two, less what has been spent.
    fn restrain(&mut self, t: Millis, deviation: f64, range: f64) -> f64 {
        let supported = range + SUPPORT_SHARE * (deviation.max(LEVEL_MIN) - SUPPORT_LEVEL).min(0.0);
        let above = deviation - self.ratchet.raised();
        if above > 0.0 {
            self.ratchet.raise(deviation);
        }
        let level = above.max(supported) - self.budget.raised();
        if level > 0.0 {
            self.budget.spend(t);
        }
        level
    }

    /// Deviation at which the score is 1, in standard deviations; what has been spent is left out of it.
    fn edge(&mut self, params: &DetectorParams, n: u32) -> f64 {
        if n.is_multiple_of(BAND_EVERY) {
            let edge = self.tail.ln_at(&params.tail, -params.budget_log10, n).exp() - Z_OFFSET;
            self.edge = edge.clamp(0.0, 1e4) as f32;
        }
        f64::from(self.edge)
    }
}

/// Whether a deviation is on the side and of the size that the profile asks for.
fn is_counted(profile: &Profile, v: f64, expected: f64) -> bool {
    let off = v - expected;
    let side = match profile.direction {
        Direction::Both => true,
        Direction::AboveExpected => off > 0.0,
        Direction::BelowExpected => off < 0.0,
    };
    side && off.abs() >= profile.min_dev_from_expected
        && off.abs() >= profile.min_rel_dev_from_expected * expected.abs()
}
