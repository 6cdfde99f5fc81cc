//! The forecaster: a distribution of what comes, from the next tick to a week ahead.
//!
//! Members with honest errors: "no change", the line since the last change of course
//! (`segment`), three local trends with time constants from 24 ticks to a day, and the hourly
//! ensemble. Each says how wrong it expects to be at the horizon asked for (`trend`, `horizon`); they are weighted by the
//! inverse square of that, and what they disagree by widens the distribution. So a disk that fills within minutes is
//! forecast by its trend, tomorrow's traffic by the ensemble, and the hand-over between them is measured. A sawtooth
//! (`sawtooth`) that is no season is forecast by its envelope.
//!
//! Reads no clock and knows nothing of rules, labels or alerts.

use serde::{Deserialize, Serialize};

use super::approach::{Approach, ApproachParams};
use super::hourly::{Hourly, HourlyParams};
use super::outlook::Outlook;
use super::profile::Profile;
use super::sawtooth::Sawtooth;
use super::segment::Segment;
use super::trend::Trend;
use crate::base::Millis;

pub(super) const TRENDS: usize = 3;
const DAY_MS: f64 = 86_400_000.0;
/// Forgetting for which the constants of the members were measured.
const REFERENCE_FORGETTING_MS: f64 = 14.0 * DAY_MS;
/// Time constants of the shortest trend, in ticks, and of the longest, in milliseconds.
const SHORTEST_TICKS: f64 = 24.0;
const LONGEST_MS: f64 = DAY_MS;
/// The usual step and the span forget with these time constants.
const STEP_TICKS: f64 = 200.0;
const SPAN_MS: f64 = 7.0 * DAY_MS;
/// A step enters the usual one with at most this many times it.
const STEP_CLIP: f64 = 4.0;
/// Distances from the origin are clipped here, so that squares and single precision hold them.
const FARTHEST: f64 = 1e30;

/// Constants of one profile at one interval, shared by all series.
#[derive(Clone, Debug)]
pub struct ForecasterParams {
    pub(super) profile: Profile,
    pub(super) tick_ms: f64,
    /// Time constants of the trends in ticks, and the weight a tick leaves.
    pub(super) spans: [f64; TRENDS],
    keeps: [f64; TRENDS],
    span_fade: f64,
    pub(super) hourly: HourlyParams,
    pub(super) approach: ApproachParams,
}

/// State of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forecaster(Option<State>);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// First value; all else is kept relative to it.
    pub origin: f64,
    /// Newest value less the origin.
    pub newest: f64,
    pub first: Millis,
    pub last: Millis,
    pub ticks: u32,
    /// Mean |change| a tick, outliers clipped.
    pub step: f32,
    /// Lowest and highest seen, closing in slowly.
    pub low: f32,
    pub high: f32,
    season: f32,
    /// What was expected for the newest tick before it came, and the standard deviation of that; kept where the hourly
    /// ensemble cannot say it afterwards.
    pub expected: Option<(f32, f32)>,
    pub segment: Segment,
    pub trends: [Trend; TRENDS],
    pub sawtooth: Sawtooth,
    pub hourly: Hourly,
    pub approach: Approach,
}

impl ForecasterParams {
    /// Constants for a series that gets a tick every `interval_ms`.
    #[must_use]
    pub fn new(profile: &Profile, interval_ms: Millis) -> Self {
        let tick_ms = interval_ms.max(1) as f64;
        let forgetting = profile.forgetting as f64 / REFERENCE_FORGETTING_MS;
        let longest = (LONGEST_MS / tick_ms).max(5.0 * SHORTEST_TICKS);
        let ratio = (longest / SHORTEST_TICKS).powf(1.0 / (TRENDS as f64 - 1.0));
        let spans = [0, 1, 2].map(|i| SHORTEST_TICKS * ratio.powi(i));
        Self {
            profile: profile.clone(),
            tick_ms,
            spans,
            keeps: spans.map(|s| (-1.0 / s).exp()),
            span_fade: (tick_ms / (SPAN_MS * forgetting)).min(1.0),
            hourly: HourlyParams::new(profile.seasonality, interval_ms, forgetting),
            approach: ApproachParams::new(tick_ms, forgetting),
        }
    }
}

impl Forecaster {
    /// A series of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self(None)
    }

    /// Learns a value. One that is not finite, or not newer than the last, is ignored.
    pub fn update(&mut self, params: &ForecasterParams, t: Millis, v: f64) {
        if !v.is_finite() {
            return;
        }
        let v = params.profile.clip(v);
        match &mut self.0 {
            None => self.0 = Some(State::new(params, t, v)),
            Some(state) if t > state.last => state.update(params, t, v),
            Some(_) => {}
        }
    }

    /// The φ-quantile (φ within 0 and 1, both excluded) of what the series will be `ahead_ms` after its newest value.
    ///
    /// `ahead_ms` = 0: of what was expected for the newest value before it was seen. Monotone in φ, within the profile's
    /// data range. None while the forecast is unreliable: fewer than 20 values, a horizon of more than 30 times the
    /// history, an expected error larger than both the span of the series and the change it forecasts. None beyond the
    /// profile's horizon.
    #[must_use]
    pub fn quantile(&self, params: &ForecasterParams, phi: f64, ahead_ms: Millis) -> Option<f64> {
        self.outlook(params)?.quantile(phi, ahead_ms)
    }

    /// Seconds until the φ-quantile of the forecast crosses `threshold` from the side on which the newest value stands:
    /// until it reaches or exceeds a threshold above it, reaches or falls below one beneath.
    ///
    /// 0 for a newest value that equals the threshold. None unless there is reason to believe in the crossing: the series
    /// has for some ticks been on its way there more steeply than is its habit; or its season takes it where it has lately
    /// been; or, of a sawtooth, the tips of its teeth rise to the threshold. None beyond the profile's horizon, and farther
    /// ahead than a seventh of the history (three times the history for a line around which hardly anything scatters).
    #[must_use]
    pub fn time_until(&self, params: &ForecasterParams, threshold: f64, phi: f64) -> Option<f64> {
        self.outlook(params)?.time_until(threshold, phi)
    }

    /// The forecast made ready for many horizons and quantiles.
    #[must_use]
    pub fn outlook<'a>(&'a self, params: &'a ForecasterParams) -> Option<Outlook<'a>> {
        Outlook::new(params, self.0.as_ref()?)
    }

    /// The newest value, milliseconds from the first to it, and how many there were.
    #[must_use]
    pub fn learnt(&self) -> Option<(f64, Millis, u32)> {
        let state = self.0.as_ref()?;
        Some((state.origin + state.newest, state.last.saturating_sub(state.first), state.ticks))
    }

    /// Bytes of the state.
    #[must_use]
    pub const fn state_bytes() -> usize {
        size_of::<Self>()
    }
}

impl Default for Forecaster {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn new(params: &ForecasterParams, t: Millis, v: f64) -> Self {
        let mut hourly = Hourly::new(t);
        hourly.tick(&params.hourly, t, 0.0);
        Self {
            origin: v,
            newest: 0.0,
            first: t,
            last: t,
            ticks: 1,
            step: 0.0,
            low: 0.0,
            high: 0.0,
            season: 0.0,
            expected: None,
            segment: Segment::new(),
            trends: std::array::from_fn(|_| Trend::new()),
            sawtooth: Sawtooth::new(0.0),
            hourly,
            approach: Approach::new(),
        }
    }

    fn update(&mut self, params: &ForecasterParams, t: Millis, v: f64) {
        let x = (v - self.origin).clamp(-FARTHEST, FARTHEST);
        let ticks = t.saturating_sub(self.last) as f64 / params.tick_ms;
        self.expected = Outlook::expected(params, self, t);
        let delta = x - self.newest;

        let size = delta.abs();
        let step = f64::from(self.step);
        let clipped = if step > 0.0 { size.min(STEP_CLIP * step) } else { size };
        let gain = (1.0 / STEP_TICKS).max(1.0 / f64::from(self.ticks));
        self.step = (step + gain * (clipped - step)) as f32;
        self.low = x.min(f64::from(self.low) + params.span_fade * (x - f64::from(self.low))) as f32;
        self.high = x.max(f64::from(self.high) + params.span_fade * (x - f64::from(self.high))) as f32;

        // Trends see the series without its season.
        let season = self.hourly.season_at(&params.hourly, t as f64);
        let unseasoned = delta - (season - f64::from(self.season));
        self.segment.update(params.keeps[TRENDS - 1], ticks, unseasoned);
        for (i, trend) in self.trends.iter_mut().enumerate() {
            trend.update(params.spans[i], params.keeps[i], ticks, unseasoned);
        }
        self.approach.update(&params.approach, self.ticks - 1, ticks, unseasoned);
        self.newest = x;
        self.last = t;
        self.ticks = self.ticks.saturating_add(1);
        self.sawtooth.update(self.seconds(), x, f64::from(self.step));
        let closed = self.hourly.tick(&params.hourly, t, x);
        self.season = if closed { self.hourly.season_at(&params.hourly, t as f64) } else { season } as f32;
    }

    /// Seconds since the first value.
    pub fn seconds(&self) -> u32 {
        (self.last.saturating_sub(self.first) / 1000).clamp(0, i64::from(u32::MAX)) as u32
    }
}
