//! One detector for all series: a calibrated anomaly score a point.
//!
//! Two channels, each as a level L = -log10(exceedances expected in a week): the geometric mean of three robust
//! deviations against the tail that such means have had on this series ([`Tail`]), and the excess over the range kept
//! so far ([`Ranges`]), which counts less where no expectation is surprised. What has paged lately, or at this time of day,
//! raises the level needed ([`Ratchet`], [`Recurrence`], [`PageBudget`]). The score is how much rarer the point is than the
//! profile's budget, so that above 1 means the same on any series. Source: the prototypes behind models/default.md; measured figures in docs/quality.md.
//!
//! Reads no clock and knows nothing of rules, labels or alerts.

use serde::{Deserialize, Serialize};

use super::baseline::{BaselineParams, Baselines, PHASES, Place};
use super::budget::PageBudget;
use super::calendar::{DAY, LocalTime};
use super::explanation::Parts;
use super::profile::{Direction, Profile};
use super::range::{RangeParams, Ranges, Sighting};
use super::ratchet::Ratchet;
use super::recurrence::Recurrence;
use super::tail::{Tail, TailParams};
use super::weekday;
use std::f64::consts::LN_10;

use crate::base::Millis;

const DAY_MS: f64 = DAY as f64;
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
/// Levels by which pages become rarer by a decade: the level is a count of exceedances, many of which are one page. Measured
/// on both corpora and on synthetic series at one page a day, a week and a month, docs/quality.md.
const LEVELS_A_DECADE: f64 = 1.8;
/// Levels a decade of points a day above [`FINE`] by which the shares that are believed understate.
const FINE_LEVELS: f64 = 0.3;
const FINE: f64 = 288.0;
/// Share of the warm-up in which nothing is scored, and what is taken off a level in the rest of it.
const SILENT_SHARE: Millis = 8;
const RESERVE: f64 = 2.5;
/// Points of a bucket of the day from which on it is too wide for what comes back each day.
const RECURRENCE_POINTS: f64 = 1.5;
/// Points between two looks at the band.
const BAND_EVERY: u32 = 16;

/// Constants of one profile at one interval, shared by all series.
#[derive(Clone, Debug)]
pub struct DetectorParams {
    baseline: BaselineParams,
    tail: TailParams,
    range: RangeParams,
    profile: Profile,
    /// Added to a level, so that 0 is the profile's budget.
    budget_levels: f64,
    /// Added to a level for the interval.
    fine_levels: f64,
    /// Whether a bucket of the day holds several points.
    recurrence: bool,
}

/// State of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detector(Option<State>);

/// What the detector says of a point. Unit of all but the score: that of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Above 1: rarer than the profile's budget. 0 while too little is known; at most some thousand times the budget a week.
    pub score: f64,
    /// What was expected before the point came.
    pub expected: f64,
    /// Lower end of the band outside which the deviation alone would score above 1.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
    /// What each part saw, for whoever asks why.
    pub parts: Parts,
    /// The profile excludes this time: not scored, nothing learnt.
    pub excluded: bool,
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
    recurrence: Recurrence,
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
                points_per_week: if profile.seasonality.weekly { 7.0 * per_day } else { 0.0 },
            },
            tail: TailParams::new(per_day, TAIL_DAYS * forgetting),
            range: RangeParams::new(per_day, forgetting, profile.direction),
            budget_levels: LEVELS_A_DECADE * profile.false_alarms_per_week.log10(),
            fine_levels: FINE_LEVELS * (per_day / FINE).log10().max(0.0),
            recurrence: phases > 1 && per_day / phases as f64 > RECURRENCE_POINTS,
            profile: profile.clone(),
        }
    }

    /// The profile that the constants were made for.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    fn place(&self, t: Millis) -> Place {
        let LocalTime { in_day, weekday } = self.profile.calendar.local(t);
        let part = |buckets: usize| (in_day as u64 * buckets as u64 / DAY as u64) as usize;
        let buckets_a_day = weekday::BUCKETS / 7;
        Place { phase: part(self.baseline.phases), week: usize::from(weekday) * buckets_a_day + part(buckets_a_day) }
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
    /// None, and nothing learnt, for a value that is not finite and for a point that is not newer than the last. Nothing is
    /// learnt either of a time that the profile excludes.
    pub fn update(&mut self, params: &DetectorParams, t: Millis, v: f64) -> Option<Score> {
        if !v.is_finite() {
            return None;
        }
        let inside = params.profile.clip(v);
        if params.profile.excludes(t) {
            let state = self.0.as_mut().filter(|state| t > state.last)?;
            return Some(state.look_only(params, t, inside));
        }
        let state = self.0.get_or_insert_with(|| State::new(params, t, inside));
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
    fn new(params: &DetectorParams, t: Millis, v: f64) -> Self {
        Self {
            origin: v,
            first: t,
            last: t,
            points: 0,
            baselines: Baselines::new(v.abs().min(FARTHEST)),
            tail: Tail::new(&params.tail),
            ranges: Ranges::new(),
            ratchet: Ratchet::default(),
            recurrence: Recurrence::new(),
            budget: PageBudget::new(),
            edge: 0.0,
        }
    }

    fn update(&mut self, params: &DetectorParams, t: Millis, v: f64) -> Score {
        let n = self.points;
        let elapsed = t.saturating_sub(self.last);
        let x = (v - self.origin).clamp(-FARTHEST, FARTHEST);
        let place = params.place(t);
        let seen = self.baselines.look(&params.baseline, place, x);
        let magnitude = v.abs().min(FARTHEST);
        let ln_u = seen.z.iter().map(|z| z + Z_OFFSET).product::<f64>().ln() / 3.0;
        let deviation = if n >= FEWEST_POINTS {
            self.tail.level(&params.tail, ln_u, n) + params.fine_levels
        } else {
            f64::NEG_INFINITY
        };
        self.baselines.learn(&params.baseline, place, x, magnitude, n, &seen);
        let sighting = Sighting {
            x,
            y: v.clamp(-FARTHEST, FARTHEST),
            season_error: seen.errors[1] / seen.phase_spread.sqrt(),
            ln_deviation: ln_u,
            magnitude: self.baselines.magnitude(),
        };
        let departure = self.ranges.update(&params.range, n, &sighting);
        let range = departure.map_or(f64::NEG_INFINITY, |departure| departure.level + params.fine_levels);
        if n >= FEWEST_POINTS {
            self.tail.learn(&params.tail, ln_u, n);
        }
        self.ratchet.lower(elapsed);
        self.budget.lower(elapsed, params.profile.false_alarms_per_week);
        self.last = t;
        self.points = n.saturating_add(1);

        let expected = self.origin + seen.expected;
        let (age, warm_up) = (t.saturating_sub(self.first), params.profile.warm_up);
        let level = if n >= FEWEST_POINTS && age >= warm_up / SILENT_SHARE && is_counted(&params.profile, v, expected) {
            let shift = params.budget_levels - if age < warm_up { RESERVE } else { 0.0 };
            self.restrain(params, t, place.phase, (deviation, range), shift)
        } else {
            f64::NEG_INFINITY
        };
        let half = self.edge(params, n) * seen.scale;
        let clip = |v: f64| params.profile.clip(v);
        let rarity = (deviation / LEVELS_A_DECADE, range / LEVELS_A_DECADE);
        let parts = Parts::new(seen.z, seen.errors, rarity, departure);
        Score {
            score: if level > f64::NEG_INFINITY { (level / LEVELS_A_DECADE * LN_10).exp() } else { 0.0 },
            expected: clip(expected),
            lower: clip(expected - half),
            upper: clip(expected + half),
            parts,
            excluded: false,
        }
    }

    /// What was expected, of a point that is neither scored nor learnt.
    fn look_only(&self, params: &DetectorParams, t: Millis, v: f64) -> Score {
        let x = (v - self.origin).clamp(-FARTHEST, FARTHEST);
        let seen = self.baselines.look(&params.baseline, params.place(t), x);
        let (expected, half) = (self.origin + seen.expected, f64::from(self.edge) * seen.scale);
        let clip = |v: f64| params.profile.clip(v);
        let unknown = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        Score {
            score: 0.0,
            expected: clip(expected),
            lower: clip(expected - half),
            upper: clip(expected + half),
            parts: Parts::new(seen.z, seen.errors, unknown, None),
            excluded: true,
        }
    }

    /// One level out of the two, `shift` added, less what has been spent; 0 is the budget.
    fn restrain(
        &mut self,
        params: &DetectorParams,
        t: Millis,
        phase: usize,
        (deviation, range): (f64, f64),
        shift: f64,
    ) -> f64 {
        let supported = range + SUPPORT_SHARE * (deviation.max(LEVEL_MIN) - SUPPORT_LEVEL).min(0.0) + shift;
        let deviation = deviation + shift;
        let mut needed = self.ratchet.raised();
        if params.recurrence {
            needed = needed.max(self.recurrence.raised(phase, params.baseline.phases));
            self.recurrence.see(phase, deviation);
        }
        let above = deviation - needed;
        if above > 0.0 {
            self.ratchet.raise(deviation);
        }
        let level = above.max(supported) - self.budget.raised();
        if level > 0.0 {
            self.budget.spend(t, params.profile.false_alarms_per_week);
        }
        level
    }

    /// Deviation at which the score is 1, in standard deviations; what has been spent is left out of it.
    fn edge(&mut self, params: &DetectorParams, n: u32) -> f64 {
        if n.is_multiple_of(BAND_EVERY) {
            let edge = self.tail.ln_at(&params.tail, -params.budget_levels - params.fine_levels, n).exp() - Z_OFFSET;
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
