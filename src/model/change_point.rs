//! Change points: when the level of a series, or its slope, last changed for good.
//!
//! A line through the series without its daily season ([`GrowingLine`], [`Hourly`]); a two-sided cumulative sum (CUSUM, Page
//! 1954) of its surprises tells that it holds no longer, and began to fail where the sum last was zero. A change counts when
//! the ticks since are farther from the line than they scatter, so that neither a spike nor noise is one; the line then
//! begins anew. What the series does anyway is no change ([`Habit`]). Surprises are divided by what their correlation
//! makes of a sum, so that a wandering series has no change at every turn. Measured figures: models/default.md.
//!
//! Reads no clock and knows nothing of rules, labels or alerts.

use serde::{Deserialize, Serialize};

use super::growing_line::GrowingLine;
use super::habit::Habit;
use super::hourly::{Hourly, HourlyParams};
use super::profile::{Direction, Profile};
use crate::base::Millis;

const DAY_MS: f64 = 86_400_000.0;
/// Forgetting for which the constants below were measured.
const REFERENCE_FORGETTING_MS: f64 = 14.0 * DAY_MS;
/// Time constants of the line and of the scatter at the reference, in days, and the fewest and most ticks they may be.
const LINE_DAYS: f64 = 1.0;
const SCATTER_DAYS: f64 = 1.0;
const MEMORY_TICKS: (f64, f64) = (300.0, 20_000.0);
/// Ticks before anything is said.
const FEWEST_TICKS: u32 = 100;
/// Until the season is known, what needs more ticks than this to be found may be its bend.
const STEEP_TICKS: u32 = 16;
/// One tick surprises by at most this many standard deviations: a change needs [`CHANGE`] / 2 ticks.
const MOST_SURPRISE: f64 = 3.0;
/// Surprise a tick that is ordinary, and the sum that is a change.
const ORDINARY: f64 = 1.0;
const CHANGE: f64 = 20.0;
/// The sum rises no farther while a change does not count.
const SUM_MAX: f64 = 1.5 * CHANGE;
/// A change counts if the mean surprise since it began is at least this many times their scatter.
const DISTINCT: f64 = 1.25;
/// An error enters line and scatter with at most this many standard deviations, the line with fewer while a change may be
/// under way.
const CLIP: f64 = 3.0;
const CLIP_UNDER_WAY: f64 = 1.0;
const UNDER_WAY: f32 = 6.0;
/// What an error has beyond this many teaches no season.
const SPIKE: f64 = 8.0;
/// So many errors make the first scatter, whole.
const UNCLIPPED: u32 = 20;
/// Neighbouring errors are taken to be correlated by this much at most.
const MOST_CORRELATION: f64 = 0.98;
/// Shares of the series' size, of its errors with all that is clipped, and of the slope that count as scatter even where there
/// is none.
const RELATIVE_FLOOR: f64 = 5e-4;
const ROUGH_FLOOR: f64 = 0.1;
const SLOPE_FLOOR: f64 = 1e-3;
/// A change that takes longer to be found is none but a bend: the line begins anew, and nothing is said.
const LONGEST_TICKS: u32 = 64;
/// A mean absolute error times this is a standard deviation of a normal distribution.
const MAD_TO_SD: f64 = 1.2533;
/// Newest distances from the course before, whose median is the size of a change: fewer than a change needs ticks.
const RECENT: usize = 9;
/// A silence longer than this share of the line's memory begins a new line.
const SILENCE_SHARE: f64 = 0.25;
/// Distances from the origin are clipped here, so that squares hold them.
const FARTHEST: f64 = 1e30;

/// Constants of one profile at one interval, shared by all series.
#[derive(Clone, Debug)]
pub struct ChangeParams {
    profile: Profile,
    hourly: HourlyParams,
    tick_ms: f64,
    line_memory: u32,
    scatter_memory: f64,
}

/// State of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeDetector(Option<State>);

/// A change that was found.
/// As JSON it is part of an explanation, with times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The tick at which it began.
    pub at: Millis,
    /// The tick at which it was found.
    pub found: Millis,
    /// Level before it, without the season.
    pub from: f64,
    /// Level that the newest ticks had when it was found, without the season.
    pub to: f64,
}

/// One side of the cumulative sum: what was seen since it was zero last.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Run {
    sum: f32,
    ticks: u32,
    /// Sums of the surprises and of their squares.
    surprises: f32,
    squares: f32,
    /// When it began, the line's level then, less the origin, and its slope.
    began: Millis,
    level: f64,
    slope: f64,
    elapsed: f64,
    /// Distances of the newest ticks from where that line would have gone on to.
    recent: [f32; RECENT],
}

/// A tick beside the line.
#[derive(Clone, Copy, Debug)]
struct Tick {
    t: Millis,
    /// Ticks since the last one.
    ticks: f64,
    /// The value without its season, less the origin, and what the line expected it to be.
    value: f64,
    expected: f64,
    slope: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    /// First value; all else is kept relative to it.
    origin: f64,
    /// Newest value less the origin and the season.
    newest: f64,
    season: f64,
    /// By how much changes that were told of have moved the level: the season is learnt without them.
    moved: f64,
    first: Millis,
    last: Millis,
    ticks: u32,
    line: GrowingLine,
    /// Mean |value|.
    magnitude: f32,
    /// Ticks behind the scatter: it begins anew when the season has become known.
    scatter_ticks: u32,
    /// Whether the season is taken out.
    seasonal: bool,
    /// Mean |error| with outliers clipped, and with all there is.
    scatter: f64,
    rough: f32,
    /// Means of the errors' squares and of products of neighbours, in squares of the scatter.
    squares: f32,
    products: f32,
    previous: f32,
    /// Upwards and downwards.
    runs: [Run; 2],
    habit: Habit,
    change: Option<Change>,
    hourly: Hourly,
}

impl ChangeParams {
    /// Constants for a series that gets a tick every `interval_ms`.
    #[must_use]
    pub fn new(profile: &Profile, interval_ms: Millis) -> Self {
        let tick_ms = interval_ms.max(1) as f64;
        let forgetting = profile.forgetting as f64 / REFERENCE_FORGETTING_MS;
        let memory = |days: f64| (days * forgetting * DAY_MS / tick_ms).clamp(MEMORY_TICKS.0, MEMORY_TICKS.1);
        Self {
            hourly: HourlyParams::new(profile.seasonality, interval_ms, forgetting),
            tick_ms,
            line_memory: memory(LINE_DAYS) as u32,
            scatter_memory: memory(SCATTER_DAYS),
            profile: profile.clone(),
        }
    }
}

impl ChangeDetector {
    /// A series of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self(None)
    }

    /// Learns a value. One that is not finite, or not newer than the last, is ignored.
    pub fn update(&mut self, params: &ChangeParams, t: Millis, v: f64) {
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

    /// The newest change, unless it began longer ago than the profile's `forgetting`.
    #[must_use]
    pub fn change(&self, params: &ChangeParams) -> Option<Change> {
        let state = self.0.as_ref()?;
        state.change.filter(|change| state.last.saturating_sub(change.at) <= params.profile.forgetting)
    }

    /// The newest value, the level without its season, and how far ticks scatter around it (a standard deviation).
    #[must_use]
    pub fn newest(&self) -> Option<(f64, f64, f64)> {
        let state = self.0.as_ref()?;
        let level = state.origin + state.newest;
        Some((level + state.season, level + state.line.gap(), MAD_TO_SD * state.scatter))
    }

    /// Milliseconds from the first point to the newest, and points.
    #[must_use]
    pub fn learnt(&self) -> (Millis, u32) {
        self.0.as_ref().map_or((0, 0), |state| (state.last.saturating_sub(state.first), state.ticks))
    }

    /// Bytes of the state.
    #[must_use]
    pub const fn state_bytes() -> usize {
        size_of::<Self>()
    }
}

impl Default for ChangeDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// Takes a tick in, and its surprise in this run's direction.
    fn update(&mut self, tick: Tick, surprise: f64) {
        let sum = f64::from(self.sum) + surprise - ORDINARY;
        if sum <= 0.0 {
            *self = Self::default();
            return;
        }
        if self.ticks == 0 {
            (self.began, self.level, self.slope) = (tick.t, tick.expected, tick.slope);
        } else {
            self.elapsed += tick.ticks;
        }
        self.recent.rotate_left(1);
        self.recent[RECENT - 1] = (tick.value - self.level - self.slope * self.elapsed) as f32;
        self.sum = sum.min(SUM_MAX) as f32;
        self.ticks = self.ticks.saturating_add(1);
        self.surprises += surprise as f32;
        self.squares += (surprise * surprise) as f32;
    }

    /// Whether it is a change: long and steep enough, and farther from the line than it scatters.
    fn is_change(&self) -> bool {
        let n = f64::from(self.ticks);
        let mean = f64::from(self.surprises) / n;
        let variance = (f64::from(self.squares) / n - mean * mean).max(0.0);
        f64::from(self.sum) >= CHANGE && mean >= DISTINCT * variance.sqrt()
    }
}

impl State {
    fn new(params: &ChangeParams, t: Millis, v: f64) -> Self {
        let mut hourly = Hourly::new(t);
        hourly.tick(&params.hourly, t, 0.0);
        Self {
            origin: v,
            newest: 0.0,
            season: 0.0,
            moved: 0.0,
            first: t,
            last: t,
            ticks: 1,
            line: GrowingLine::new(),
            magnitude: v.abs().min(FARTHEST) as f32,
            scatter_ticks: 1,
            seasonal: false,
            scatter: 0.0,
            rough: 0.0,
            squares: 0.0,
            products: 0.0,
            previous: 0.0,
            runs: [Run::default(); 2],
            habit: Habit::default(),
            change: None,
            hourly,
        }
    }

    fn update(&mut self, params: &ChangeParams, t: Millis, v: f64) {
        let x = (v - self.origin).clamp(-FARTHEST, FARTHEST);
        let ticks = t.saturating_sub(self.last) as f64 / params.tick_ms;
        let season = self.season_at(params, t);
        let delta = x - season - self.newest;
        (self.newest, self.last, self.ticks) = (x - season, t, self.ticks.saturating_add(1));
        let gain = (1.0 / params.scatter_memory).max(1.0 / f64::from(self.ticks)) as f32;
        self.magnitude += gain * (v.abs().min(FARTHEST) as f32 - self.magnitude);
        let mut outlier = 0.0;
        if ticks > SILENCE_SHARE * f64::from(params.line_memory) {
            self.begin_anew();
        } else {
            outlier = self.follow(params, t, ticks, delta);
        }
        // A spike teaches no season.
        self.hourly.tick(&params.hourly, t, x - self.moved - outlier);
        if !self.seasonal && self.hourly.knows_season() {
            // Until now the season was scatter.
            self.scatter_ticks = 1;
            self.begin_anew();
        }
        self.seasonal = self.hourly.knows_season();
        self.season = self.season_at(params, t);
        // What the hour has taught of the season is no change of the series.
        self.newest = x - self.season;
    }

    fn season_at(&self, params: &ChangeParams, t: Millis) -> f64 {
        if self.seasonal { self.hourly.season_at(&params.hourly, t as f64) } else { 0.0 }
    }

    /// Compares a tick with the line, learns it, and looks for a change. Gives the part of its error that is beyond belief.
    fn follow(&mut self, params: &ChangeParams, t: Millis, ticks: f64, delta: f64) -> f64 {
        let error = self.line.error(ticks, delta);
        let widening = self.line.error_variance(ticks);
        let floor = (RELATIVE_FLOOR * f64::from(self.magnitude))
            .max(SLOPE_FLOOR * self.line.slope().abs())
            .max(ROUGH_FLOOR * f64::from(self.rough));
        let doubt = if self.seasonal { self.hourly.season_doubt(&params.hourly, t as f64) } else { 0.0 };
        let sd = (MAD_TO_SD * self.scatter).hypot(doubt) + floor.max(f64::from(f32::MIN_POSITIVE));
        // In standard deviations of a value around the true line.
        let off = if widening.is_finite() { error / widening.sqrt() } else { 0.0 };
        let expected = self.newest - error;
        self.look(Tick { t, ticks, value: self.newest, expected, slope: self.line.slope() }, off / sd);
        if widening.is_finite() {
            self.learn_scatter(params, off, sd);
        }
        let under_way = self.runs.iter().any(|run| run.sum > UNDER_WAY);
        let most = sd * if under_way { CLIP_UNDER_WAY } else { CLIP };
        let clipped = if self.line.points() < 3 { error } else { error.clamp(-most, most) };
        self.line.learn(params.line_memory, ticks, delta, clipped);
        if let Some(side) = self.runs.iter().position(Run::is_change) {
            self.found(params, t, side);
        }
        error - error.clamp(-SPIKE * sd, SPIKE * sd)
    }

    /// Adds a surprise, in standard deviations, to both sums.
    fn look(&mut self, tick: Tick, off: f64) {
        // A sum of correlated surprises scatters as much more (that of a first-order autoregression).
        let correlation =
            (f64::from(self.products) / f64::from(self.squares).max(f64::MIN_POSITIVE)).clamp(0.0, MOST_CORRELATION);
        let surprise = off * ((1.0 - correlation) / (1.0 + correlation)).sqrt();
        let surprise = surprise.clamp(-MOST_SURPRISE, MOST_SURPRISE);
        self.runs[0].update(tick, surprise);
        self.runs[1].update(tick, -surprise);
    }

    fn learn_scatter(&mut self, params: &ChangeParams, off: f64, sd: f64) {
        let gain = (1.0 / params.scatter_memory).max(1.0 / f64::from(self.scatter_ticks));
        self.rough += (gain * (off.abs().min(FARTHEST) - f64::from(self.rough))) as f32;
        let size = if self.scatter_ticks > UNCLIPPED { off.abs().min(CLIP * sd) } else { off.abs() };
        self.scatter_ticks = self.scatter_ticks.saturating_add(1);
        self.scatter += gain * (size - self.scatter);
        let now = (off / sd).clamp(-CLIP, CLIP);
        self.squares += (gain * (now * now - f64::from(self.squares))) as f32;
        self.products += (gain * (now * f64::from(self.previous) - f64::from(self.products))) as f32;
        self.previous = now as f32;
    }

    /// The line holds no longer. Tells of it unless it is the series' habit or not asked for.
    fn found(&mut self, params: &ChangeParams, t: Millis, side: usize) {
        let Run { began, level, mut recent, .. } = self.runs[side];
        let size = f64::from(*recent.select_nth_unstable_by(RECENT / 2, f32::total_cmp).1);
        let at_s = (began.saturating_sub(self.first) / 1000).clamp(0, i64::from(u32::MAX)) as u32;
        // As people see it, with what the season is thought to do meanwhile.
        let seen = (size + self.season_at(params, t) - self.season_at(params, began)) as f32;
        let tried = self.hourly.has_tried_season() || !params.profile.seasonality.daily;
        let bend = self.runs[side].ticks > if tried { LONGEST_TICKS } else { STEEP_TICKS };
        let known = bend || [seen, size as f32].iter().any(|size| self.habit.knows(at_s, *size, tried));
        if !bend {
            self.habit.learn(at_s, size as f32);
        }
        let age = t.saturating_sub(self.first);
        let told = self.ticks >= FEWEST_TICKS && age >= params.profile.warm_up && !known;
        let from = self.origin + level;
        if told && is_asked_for(&params.profile, size, from) {
            self.change = Some(Change { at: began, found: t, from, to: from + size });
            if tried {
                self.moved += size;
            }
        }
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.line = GrowingLine::new();
        self.runs = [Run::default(); 2];
        self.previous = 0.0;
    }
}

/// Whether a change is on the side and of the size that the profile asks for.
fn is_asked_for(profile: &Profile, size: f64, from: f64) -> bool {
    let side = match profile.direction {
        Direction::Both => true,
        Direction::AboveExpected => size > 0.0,
        Direction::BelowExpected => size < 0.0,
    };
    side && size.abs() >= profile.min_dev_from_expected && size.abs() >= profile.min_rel_dev_from_expected * from.abs()
}
