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
/// Hours in which it got there, on average.
const LOST_WITHIN_MS: f64 = 1_800_000.0;
/// Beside the ensemble, those that know no season are believed for this long: their errors are extrapolated from lags and
/// probes that were shorter than a season.
const FLAT_BELIEVED_MS: f64 = 1_800_000.0;
const LINES_BELIEVED_MS: f64 = 7_200_000.0;
/// A mean absolute error times this is a standard deviation of a normal distribution.
const MAD_TO_SD: f64 = 1.2533;
/// Within this share of a sawtooth's period its present tooth still tells.
const TOOTH_TELLS: f64 = 0.25;

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

    /// The outlook without the hourly ensemble; None where that will do, or where too little is known.
    pub(super) fn short(params: &'a ForecasterParams, state: &'a State) -> Option<Self> {
        let needed = state.ticks >= FEWEST_TICKS && state.hourly.view(&params.hourly).is_none();
        needed.then(|| Self::without_long(params, state))
    }

    fn without_long(params: &'a ForecasterParams, state: &'a State) -> Self {
        let mut lines = [state.segment.line(params.spans[TRENDS - 1]); TRENDS + 1];
        for (i, line) in lines[1..].iter_mut().enumerate() {
            *line = state.trends[i].line(params.spans[i]);
        }
        let season_now = state.hourly.season_at(&params.hourly, state.last as f64);
        Self { params, state, lines, long: None, envelope: None, season_now }
    }

    /// Median and standard deviation for a tick that is about to come, less the origin.
    pub(super) fn next_tick(&self, ticks: f64) -> (f32, f32) {
        let mixture = self.mixture(ticks * self.params.tick_ms);
        (mixture.median as f32, mixture.sd as f32)
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
        let of_mixture = mixture.median + mixture.sd * self.multiplier(&mixture, probit);
        let quantile = match &self.envelope {
            None => {
                let span = f64::from(self.state.high - self.state.low);
                let change = (mixture.median - self.state.newest).abs();
                if mixture.sd > span.max(change) {
                    return None;
                }
                of_mixture
            }
            Some(envelope) => {
                let seconds = ahead_ms / 1000.0;
                let tells = (-seconds / (TOOTH_TELLS * envelope.period)).exp();
                let tooth = envelope.clip(of_mixture, seconds);
                tells * tooth + (1.0 - tells) * envelope.quantile(phi, probit, seconds)
            }
        };
        self.told(quantile)
    }

    /// The quantile of what was expected for the newest value.
    fn expected_now(&self, probit: f64) -> Option<f64> {
        match &self.long {
            Some(long) => {
                let (forecast, error) = long.view.at(self.state.last as f64);
                self.told(forecast + error * long.view.multiplier(probit))
            }
            None => {
                let (median, sd) = self.state.expected?;
                self.told(f64::from(median) + f64::from(sd) * probit)
            }
        }
    }

    fn told(&self, x: f64) -> Option<f64> {
        let v = self.state.origin + x;
        v.is_finite().then(|| self.params.profile.clip(v))
    }

    fn multiplier(&self, mixture: &Mixture, probit: f64) -> f64 {
        match &self.long {
            Some(long) if mixture.long_share > 0.0 => {
                let of_long = long.view.multiplier(probit) / MAD_TO_SD;
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
            members[0].1 *= (1.0 + ahead_ms / FLAT_BELIEVED_MS).powi(2);
            for member in &mut members[1..MEMBERS - 1] {
                member.1 *= 1.0 + ahead_ms / LINES_BELIEVED_MS;
            }
            let (forecast, error) = long.view.at(then);
            let lost = long.lost * (1.0 + ahead_ms / LOST_WITHIN_MS);
            members[MEMBERS - 1] = (forecast, (MAD_TO_SD * error).powi(2) + lost * lost);
        }
        mix(&members)
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
