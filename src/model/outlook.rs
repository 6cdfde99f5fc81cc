//! One series' forecast at this moment, made ready for many horizons and quantiles.
//!
//! Weighs the members by their expected squared errors, see `forecaster`; decides when a forecast is too unreliable to be
//! told. Pure: borrows the state, changes nothing.

use statrs::distribution::{ContinuousCDF, Normal};

use super::forecaster::{ForecasterParams, State, TRENDS};
use super::hourly::LongView;
use super::sawtooth::Envelope;
use super::segment::PROBE_TICKS;
use super::trend::{Line, squared_change};
use crate::base::Millis;

/// "No change", the segment, the trends, the hourly ensemble.
const MEMBERS: usize = TRENDS + 3;
/// Values before anything is told.
const FEWEST_TICKS: u32 = 20;
/// A horizon is at most this many times the history.
const HISTORY_REACH: f64 = 30.0;
/// The ensemble has lost the series when the newest value is off by this many mean absolute errors.
const LOST: f64 = 2.5;
/// Hours in which it got there, on average, and after which the ensemble has seen what led there.
const LOST_WITHIN_MS: f64 = 1_800_000.0;
const FOUND_AFTER_MS: f64 = 21_600_000.0;
/// Beside the ensemble, those that know no season are believed for this long: their errors are extrapolated from lags and
/// probes that were shorter than a season.
const FLAT_BELIEVED_MS: f64 = 1_800_000.0;
const LINES_BELIEVED_MS: f64 = 7_200_000.0;
const DISBELIEF: i32 = 3;
/// What a season can do to a line it has done by then.
const HALF_A_DAY_MS: f64 = 43_200_000.0;
/// Share of the ensemble from which on errors count as measured at the horizon asked for, not as extrapolated.
const MEASURED_SHARE: f64 = 0.5;
/// A mean absolute error times this is a standard deviation of a normal distribution.
const MAD_TO_SD: f64 = 1.2533;
/// Within this share of a sawtooth's period its present tooth still tells.
const TOOTH_TELLS: f64 = 0.25;
/// Teeth are a season if the ensemble misses them, a day ahead, by less than this share of their height.
const SEASON_MISS: f64 = 0.2;
const DAY_HOURS: f64 = 24.0;

/// See the module's text.
#[derive(Debug)]
pub struct Outlook<'a> {
    pub(super) params: &'a ForecasterParams,
    pub(super) state: &'a State,
    lines: [Line; TRENDS + 1],
    pub(super) long: Option<Long<'a>>,
    pub(super) envelope: Option<Envelope>,
    pub(super) season_now: f64,
}

/// The hourly ensemble, and how far the newest value has left it.
#[derive(Debug)]
pub(super) struct Long<'a> {
    pub(super) view: LongView<'a>,
    pub(super) lost: f64,
}

/// Median less the origin, standard deviation, and the hourly ensemble's share.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    median: f64,
    sd: f64,
    long_share: f64,
}

impl<'a> Outlook<'a> {
    pub(super) fn new(params: &'a ForecasterParams, state: &'a State) -> Option<Self> {
        if state.ticks < FEWEST_TICKS {
            return None;
        }
        let long = state.hourly.view(&params.hourly).map(|view| {
            let (forecast, error) = view.at(state.last as f64);
            let lost = ((state.newest - forecast).abs() - LOST * error).max(0.0);
            Long { view, lost }
        });
        let envelope = state.sawtooth.envelope(state.seconds(), state.newest);
        Some(Self { long, envelope, ..Self::without_long(params, state) })
    }

    /// Median and standard deviation, less the origin, of the tick that is about to come at `t`. None where the hourly
    /// ensemble can say so afterwards, since its hour is still open, and where too little is known.
    pub(super) fn expected(params: &'a ForecasterParams, state: &'a State, t: Millis) -> Option<(f32, f32)> {
        let (median, sd) = match state.hourly.view(&params.hourly) {
            Some(_) if !params.hourly.one_tick => return None,
            Some(view) => {
                let (forecast, error) = view.at(t as f64);
                (forecast, MAD_TO_SD * error)
            }
            None if state.ticks < FEWEST_TICKS => return None,
            None => {
                let mixture = Self::without_long(params, state).mixture(t.saturating_sub(state.last) as f64);
                (mixture.median, mixture.sd)
            }
        };
        Some((median as f32, sd as f32))
    }

    fn without_long(params: &'a ForecasterParams, state: &'a State) -> Self {
        let mut lines = [state.segment.line(params.spans[TRENDS - 1]); TRENDS + 1];
        for (i, line) in lines[1..].iter_mut().enumerate() {
            *line = state.trends[i].line(params.spans[i]);
        }
        let season_now = state.hourly.season_at(&params.hourly, state.last as f64);
        Self { params, state, lines, long: None, envelope: None, season_now }
    }

    /// See [`super::Forecaster::quantile`].
    #[must_use]
    pub fn quantile(&self, phi: f64, ahead_ms: Millis) -> Option<f64> {
        let probit = probit(phi)?;
        if ahead_ms == 0 {
            return self.expected_now(probit);
        }
        if ahead_ms < 0 || ahead_ms > self.params.profile.horizon {
            return None;
        }
        self.ahead(phi, probit, ahead_ms as f64)
    }

    /// The quantile at a horizon above 0, if it is reliable.
    fn ahead(&self, phi: f64, probit: f64, ahead_ms: f64) -> Option<f64> {
        let history = self.state.last.saturating_sub(self.state.first) as f64;
        if ahead_ms > HISTORY_REACH * history {
            return None;
        }
        let mixture = self.mixture(ahead_ms);
        let of_mixture = mixture.median + mixture.sd * self.multiplier(&mixture, probit, ahead_ms);
        let quantile = match self.envelope.as_ref().filter(|envelope| !self.season_explains(envelope)) {
            None => {
                let span = f64::from(self.state.high - self.state.low);
                let change = (mixture.median - self.state.newest).abs();
                if mixture.sd > span.max(change) && mixture.long_share < MEASURED_SHARE {
                    return None;
                }
                of_mixture
            }
            Some(envelope) => {
                let seconds = ahead_ms / 1000.0;
                let tells = (-seconds / (TOOTH_TELLS * envelope.period)).exp();
                let tooth = envelope.clip(of_mixture, seconds);
                // The ensemble knows teeth that do not rise as well as anybody, and better where they are a season.
                let teeth = match &self.long {
                    Some(long) if envelope.is_level() => long.quantile(probit, self.state.last as f64 + ahead_ms),
                    _ => envelope.quantile(phi, probit, seconds),
                };
                tells * tooth + (1.0 - tells) * teeth
            }
        };
        self.told(quantile)
    }

    /// Whether the teeth are a season that the ensemble knows: with one tick an hour it cannot be told from a sawtooth
    /// otherwise; with more its error a day ahead is less than the quarter of a tooth by which it misses real ones.
    fn season_explains(&self, envelope: &Envelope) -> bool {
        let explains = |long: &Long<'_>| long.view.error(DAY_HOURS) < SEASON_MISS * envelope.amplitude;
        self.long.as_ref().is_some_and(|long| self.params.hourly.one_tick || explains(long))
    }

    /// The quantile of what was expected for the newest value.
    fn expected_now(&self, probit: f64) -> Option<f64> {
        let now = self.state.last as f64;
        match (&self.long, self.state.expected) {
            (Some(long), None) => self.told(long.quantile(probit, now)),
            (Some(long), Some((median, sd))) => {
                let error = f64::from(sd) / MAD_TO_SD;
                self.told(f64::from(median) + error * long.view.multiplier(probit, now))
            }
            (None, expected) => {
                let (median, sd) = expected?;
                self.told(f64::from(median) + f64::from(sd) * probit)
            }
        }
    }

    fn told(&self, x: f64) -> Option<f64> {
        let v = self.state.origin + x;
        v.is_finite().then(|| self.params.profile.clip(v))
    }

    fn multiplier(&self, mixture: &Mixture, probit: f64, ahead_ms: f64) -> f64 {
        match &self.long {
            Some(long) if mixture.long_share > 0.0 => {
                let of_long = long.view.multiplier(probit, self.state.last as f64 + ahead_ms) / MAD_TO_SD;
                probit + mixture.long_share * (of_long - probit)
            }
            _ => probit,
        }
    }

    fn mixture(&self, ahead_ms: f64) -> Mixture {
        let state = self.state;
        let ticks = ahead_ms / self.params.tick_ms;
        let then = state.last as f64 + ahead_ms;
        let season = state.hourly.season_at(&self.params.hourly, then) - self.season_now;
        let base = state.newest + season;
        let mut members = [(0.0, f64::INFINITY); MEMBERS];

        // Whoever has another slope than the newest course of the series is wrong by as much as that carries it away.
        let departure = |slope: f64| self.lines[0].squared_departure(slope, ticks);
        let known = state.trends.iter().enumerate().map_while(|(i, t)| Some((self.params.spans[i], t.flat_error()?)));
        let of_segment = state.segment.flat_error().map(|e| (PROBE_TICKS, e));
        let lags = std::iter::once((1.0, f64::from(state.step))).chain(of_segment).chain(known);
        members[0] = (base, squared_change(lags, ticks) + departure(0.0));
        for (member, line) in members[1..].iter_mut().zip(&self.lines) {
            if let Some(error) = line.squared_error(ticks) {
                *member = (base + line.at(ticks), error + departure(line.slope()));
            }
        }
        if let Some(long) = &self.long {
            members[0].1 *= (1.0 + ahead_ms / FLAT_BELIEVED_MS).powi(DISBELIEF);
            // Where the ensemble is lost a line may know better.
            let disbelief = if long.lost > 0.0 { 1 } else { DISBELIEF };
            for member in &mut members[1..MEMBERS - 1] {
                member.1 *= (1.0 + ahead_ms.min(HALF_A_DAY_MS) / LINES_BELIEVED_MS).powi(disbelief);
            }
            let (forecast, error) = long.view.at(then);
            let lost = long.lost_at(ahead_ms);
            members[MEMBERS - 1] = (forecast, (MAD_TO_SD * error).powi(2) + lost * lost);
        }
        mix(&members)
    }
}

impl Long<'_> {
    /// The ensemble's own quantile at a time, less the origin.
    fn quantile(&self, probit: f64, t: f64) -> f64 {
        let (forecast, error) = self.view.at(t);
        forecast + error * self.view.multiplier(probit, t)
    }

    /// What the newest value's departure makes the ensemble wrong by: more while it goes on, nothing once the ensemble has
    /// had time to see it. A spike in one hour says nothing of tomorrow.
    fn lost_at(&self, ahead_ms: f64) -> f64 {
        self.lost * (1.0 + ahead_ms / LOST_WITHIN_MS) / (1.0 + (ahead_ms / FOUND_AFTER_MS).powi(4))
    }
}

/// Mixes (forecast, expected squared error) by the inverse square of the latter.
fn mix(members: &[(f64, f64); MEMBERS]) -> Mixture {
    let best = members.iter().map(|m| m.1).fold(f64::INFINITY, f64::min);
    // Errors far below the size of the values are rounding.
    let largest = members.iter().filter(|m| m.1.is_finite()).map(|m| m.0.abs()).fold(0.0, f64::max);
    let floor = (1e-7 * largest).powi(2).max(f64::MIN_POSITIVE);
    let weight = |error: f64| if error.is_finite() { ((best + floor) / (error + floor)).powi(2) } else { 0.0 };
    let total: f64 = members.iter().map(|m| weight(m.1)).sum();
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| {
        members.iter().filter(|m| m.1.is_finite()).map(|m| weight(m.1) * f(m)).sum::<f64>() / total
    };
    let median = mean(&|m| m.0);
    let variance = mean(&|m| m.1 + (m.0 - median).powi(2));
    Mixture { median, sd: variance.sqrt(), long_share: weight(members[MEMBERS - 1].1) / total }
}

/// The standard normal quantile; None outside (0, 1).
pub(super) fn probit(phi: f64) -> Option<f64> {
    (phi > 0.0 && phi < 1.0).then(|| Normal::standard().inverse_cdf(phi))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_that_errs_least_decides() {
        let mut members = [(0.0, f64::INFINITY); MEMBERS];
        members[0] = (10.0, 1.0);
        members[1] = (50.0, 100.0);
        let mixture = mix(&members);
        assert!((mixture.median - 10.0).abs() < 0.01 && mixture.sd < 1.2, "{mixture:?}");
        members[1] = (50.0, 1.0);
        let torn = mix(&members);
        assert!((torn.median - 30.0).abs() < 1e-9 && torn.sd > 20.0, "disagreement widens: {torn:?}");
    }

    #[test]
    fn probits() {
        assert!(probit(0.5).unwrap().abs() < 1e-12);
        assert!((probit(0.975).unwrap() - 1.959_964).abs() < 1e-6);
        for bad in [0.0, 1.0, -0.1, 1.1, f64::NAN] {
            assert_eq!(probit(bad), None);
        }
    }
}
