//! When a threshold is crossed: `time_until`.
//!
//! Only what is believed is told. A sawtooth crosses at the tips of its teeth; any other series either because it is on its
//! way there (`approach`), its season laid over the line, or because its season takes it where it has lately been. A line
//! tells no farther ahead than a share of the history, unless it is clean: what rises in a young series may be its season.
//!
//! Pure: reads an outlook, changes nothing.

use super::fading_line::Fit;
use super::forecaster::TRENDS;
use super::outlook::{Outlook, probit};

/// Share of the history for which a line is believed, and times the history if hardly anything scatters around it.
const HISTORY_SHARE: f64 = 0.15;
const HISTORY_TIMES_CLEAN: f64 = 3.3;
/// A line is clean if over its own length it rises by this many standard deviations of what scatters around it.
const CLEAN: f64 = 150.0;
/// A younger series has no habits by which its lines could be judged. It is told of by the line since its last change of course, if
/// that has so many ticks and its error at the crossing is at most this share of the way there.
const YOUNG_MS: f64 = 3_600_000.0;
const YOUNG_TICKS: f64 = 12.0;
const YOUNG_ERROR: f64 = 0.1;
/// Ticks for which a line must have stood out: a quarter of those left, between these.
const RUN_SHARE: f64 = 0.25;
const RUN_TICKS: (f64, f64) = (3.0, 12.0);
/// A threshold is reached by the noise on top of the line, this many standard deviations of it.
const NOISE: f64 = 0.5;
/// A line that is believed errs by this many times its analytic variance (as the probes of `trend` begin).
const INFLATION: f64 = 2.0;
/// Horizons tried lie this share of themselves apart, and never so far that a season's peak hides between.
const SEARCH_GROWTH: f64 = 0.25;
const SEARCH_STEP_MS: f64 = 2.0 * 3_600_000.0;
const BISECTIONS: usize = 20;

impl Outlook<'_> {
    /// See [`super::Forecaster::time_until`].
    #[must_use]
    pub fn time_until(&self, threshold: f64, phi: f64) -> Option<f64> {
        let probit = probit(phi)?;
        if threshold.is_nan() {
            return None;
        }
        let room = threshold - self.state.origin - self.state.newest;
        if room == 0.0 {
            return Some(0.0);
        }
        if self.beyond_data_range(threshold) {
            return None;
        }
        let side = room.signum();
        let farthest = self.params.profile.horizon as f64;
        if let Some(envelope) = &self.envelope {
            let seconds = envelope.until(self.state.newest, room, side, phi, farthest / 1000.0)?;
            return (1000.0 * seconds <= farthest).then_some(seconds);
        }
        let by_line = self.by_line(room, side, probit, farthest);
        let by_line = by_line.or_else(|| self.by_young_segment(room, side, farthest));
        let by_line = by_line.or_else(|| self.by_outgrown_tooth(room, farthest));
        let by_season = self.by_season(room, side, probit, by_line.unwrap_or(farthest));
        Some(by_season.or(by_line)? / 1000.0)
    }

    /// Milliseconds until the first of the lines that are believed crosses.
    fn by_line(&self, room: f64, side: f64, probit: f64, farthest: f64) -> Option<f64> {
        let (state, tick) = (self.state, self.params.tick_ms);
        let history = state.last.saturating_sub(state.first) as f64;
        let crossings = state.approach.believed(&self.params.approach, side).filter_map(|(line, run)| {
            let rise = line.slope.abs() * line.history;
            let clean = rise > CLEAN * line.variance.sqrt();
            let reach = history * if clean { HISTORY_TIMES_CLEAN } else { HISTORY_SHARE };
            let beyond = |ahead: f64| side * (self.along(&line, ahead, side, probit) - room) >= 0.0;
            let ahead = first(tick, reach.min(farthest), beyond)?;
            let needed = (RUN_SHARE * ahead / tick).clamp(RUN_TICKS.0, RUN_TICKS.1);
            (run >= needed).then_some(ahead)
        });
        crossings.reduce(f64::min)
    }

    /// Milliseconds until the line since the last change of course crosses, in a series too young to have habits, if that line
    /// is known well enough.
    fn by_young_segment(&self, room: f64, side: f64, farthest: f64) -> Option<f64> {
        let (state, tick) = (self.state, self.params.tick_ms);
        if state.last.saturating_sub(state.first) as f64 >= YOUNG_MS {
            return None;
        }
        let line = state.segment.line(self.params.spans[TRENDS - 1]).fit();
        if !line.is_determined() || line.history < YOUNG_TICKS || side * line.slope <= 0.0 {
            return None;
        }
        let ahead = room / line.slope;
        let told = ahead <= HISTORY_TIMES_CLEAN * line.history
            && ahead * tick <= farthest
            && line.variance_at(ahead) <= (YOUNG_ERROR * room).powi(2);
        told.then_some(ahead * tick)
    }

    /// Milliseconds until a tooth crosses that what ends teeth has failed to end.
    fn by_outgrown_tooth(&self, room: f64, farthest: f64) -> Option<f64> {
        let pace = self.state.sawtooth.outgrown(self.state.seconds(), self.state.newest)?;
        let ahead = 1000.0 * room / pace;
        (0.0..=farthest).contains(&ahead).then_some(ahead)
    }

    /// The φ-quantile along a line, less the newest value: the line and its noise, the season, how far the line may err.
    fn along(&self, line: &Fit, ahead: f64, side: f64, probit: f64) -> f64 {
        let ticks = ahead / self.params.tick_ms;
        let then = self.state.last as f64 + ahead;
        let season = self.state.hourly.season_at(&self.params.hourly, then) - self.season_now;
        let error = (INFLATION * line.variance_at(ticks).max(0.0)).sqrt();
        line.at(ticks) + season + side * NOISE * line.variance.sqrt() + probit * error
    }

    /// Milliseconds until the hourly ensemble crosses, of a threshold within the range that the series has kept to lately.
    fn by_season(&self, room: f64, side: f64, probit: f64, farthest: f64) -> Option<f64> {
        let state = self.state;
        let outermost = f64::from(if side > 0.0 { state.high } else { state.low }) - state.newest;
        let long = self.long.as_ref().filter(|long| long.lost == 0.0)?;
        if side * (outermost - room) < 0.0 {
            return None;
        }
        let beyond = |ahead: f64| {
            let then = state.last as f64 + ahead;
            let (forecast, error) = long.view.at(then);
            side * (forecast + error * long.view.multiplier(probit, then) - state.newest - room) >= 0.0
        };
        first(self.params.tick_ms, farthest, beyond)
    }

    fn beyond_data_range(&self, threshold: f64) -> bool {
        self.params.profile.data_range.is_some_and(|(low, high)| threshold < low || threshold > high)
    }
}

/// The first horizon (milliseconds, at most `farthest`) at which something holds, 0 if it does already.
fn first(tick: f64, farthest: f64, holds: impl Fn(f64) -> bool) -> Option<f64> {
    if holds(0.0) {
        return Some(0.0);
    }
    let (mut before, mut ahead) = (0.0, tick.min(farthest));
    while !holds(ahead) {
        if ahead >= farthest {
            return None;
        }
        before = ahead;
        ahead = (ahead + (ahead * SEARCH_GROWTH).clamp(tick, SEARCH_STEP_MS.max(tick))).min(farthest);
    }
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (before + ahead);
        *(if holds(middle) { &mut ahead } else { &mut before }) = middle;
    }
    Some(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_crossing_is_found() {
        let close = |found: Option<f64>, want: f64| (found.unwrap() - want).abs() < 1e-3 * want;
        assert!(close(first(300_000.0, 1e9, |ahead| ahead >= 1_234_567.0), 1_234_567.0));
        assert!(close(first(300_000.0, 1e9, |ahead| ahead >= 999_999_999.0), 999_999_999.0));
        assert_eq!(first(300_000.0, 1e9, |_| true), Some(0.0));
        assert_eq!(first(300_000.0, 1e9, |_| false), None);
        let peak = |ahead: f64| (40.0..44.0).contains(&(ahead / 3_600_000.0));
        assert!(close(first(300_000.0, 2e8, peak), 40.0 * 3_600_000.0), "a season's peak is not stepped over");
    }
}
