//! An explanation as a person reads it, in one line of bounded length.

use std::fmt;

use super::explanation::{
    AnomalyExplanation, Beyond, ChangeExplanation, Crossing, ForecastExplanation, ModelExplanation, NotScored,
};
use super::range::Feature;
use crate::base::{Millis, format_duration, format_rfc3339};

/// Distances below this many standard deviations are called normal.
const NORMAL: f32 = 3.0;

impl fmt::Display for ModelExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anomaly(anomaly) => anomaly.fmt(f),
            Self::Forecast(forecast) => forecast.fmt(f),
            Self::Change(change) => change.fmt(f),
        }
    }
}

impl fmt::Display for AnomalyExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lower, upper) = (number(self.lower), number(self.upper));
        write!(
            f,
            "value {}; expected {} ({lower} to {upper} is within the budget)",
            number(self.value),
            number(self.expected)
        )?;
        let parts = self.parts;
        for (what, z) in
            [("recent level", parts.level), ("this time of day", parts.season), ("its course", parts.trend)]
        {
            let size = z.abs();
            let side = if z < 0.0 { "below" } else { "above" };
            match size {
                _ if size < NORMAL => write!(f, "; {what} normal")?,
                _ if size >= 100.0 => write!(f, "; over 100 spreads {side} {what}")?,
                _ => write!(f, "; {size:.1} spreads {side} {what}")?,
            }
        }
        if let Some(beyond) = parts.beyond.filter(|_| self.out_of_range) {
            beyond.fmt(f)?;
        }
        match self.not_scored {
            Some(NotScored::WarmingUp) => write!(f, "; no score yet, still learning")?,
            Some(NotScored::Excluded) => write!(f, "; no score: the profile excludes this time")?,
            Some(NotScored::NotAskedFor) => write!(f, "; no score: not a deviation that the profile asks for")?,
            None => {
                let budget = number(self.budget_a_week);
                write!(
                    f,
                    "; score {}: such a point is expected {} (budget: {budget} a week)",
                    number(self.score),
                    rate(self.expected_a_week)
                )?;
            }
        }
        learnt(f, self.learnt, self.points)
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.feature {
            Feature::Value => "the value",
            Feature::ShortMean => "the mean of 24 points",
            Feature::SlowMean => "the mean of half a day",
            Feature::SeasonError => "the distance from this time of day",
            Feature::Size => "the size",
            Feature::Deviation => "the distance from all expectations, in spreads",
        };
        let side = if self.now > self.bound { "above" } else { "below" };
        let (now, bound) = (number(f64::from(self.now)), number(f64::from(self.bound)));
        write!(f, "; {what}, {now}, {side} the range it has kept to (bound {bound})")
    }
}

impl fmt::Display for ForecastExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value {}", number(self.value))?;
        match &self.expected {
            Some(now) => {
                let (lower, upper) = (number(now.lower), number(now.upper));
                write!(f, "; expected {} (95% band {lower} to {upper})", number(now.median))?;
            }
            None => write!(f, "; nothing was expected yet")?,
        }
        // An expression seldom asks for more than two; the line must not grow with it.
        for ahead in self.ahead.iter().filter(|ahead| ahead.ahead > 0).take(2) {
            let span = duration(ahead.ahead);
            match &ahead.forecast {
                Some(then) => {
                    let (lower, upper) = (number(then.lower), number(then.upper));
                    write!(f, "; in {span} {} (95% band {lower} to {upper})", number(then.median))?;
                }
                None => write!(f, "; no reliable forecast for {span} ahead")?,
            }
        }
        self.crossings.iter().take(2).try_for_each(|crossing| crossing.fmt(f))?;
        learnt(f, self.learnt, self.points)
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |seconds: f64| duration((seconds * 1000.0) as Millis);
        let threshold = number(self.threshold);
        match self.median {
            Some(median) => write!(f, "; crosses {threshold} in {}", span(median))?,
            None => write!(f, "; is not forecast to cross {threshold}")?,
        }
        match (self.earliest, self.latest) {
            (Some(earliest), Some(latest)) => write!(f, " (90%: {} to {})", span(earliest), span(latest)),
            (Some(earliest), None) => write!(f, " (95%: not before {})", span(earliest)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ChangeExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value {}; level {} (scatter {})", number(self.value), number(self.level), number(self.scatter))?;
        match &self.change {
            Some(change) => {
                let (from, to) = (number(change.from), number(change.to));
                let moved = if change.to >= change.from { "rose" } else { "fell" };
                let found = duration(change.found.saturating_sub(change.at));
                write!(f, "; level {moved} from {from} to {to} at {}, found {found} later", format_rfc3339(change.at))?;
            }
            None => write!(f, "; no lasting change known")?,
        }
        learnt(f, self.learnt, self.points)
    }
}

fn learnt(f: &mut fmt::Formatter<'_>, span: Millis, points: u32) -> fmt::Result {
    write!(f, "; learnt from {points} points over {}", duration(span))
}

/// How often something is expected that is expected so often a week.
fn rate(a_week: f64) -> String {
    match a_week {
        w if w >= 1.0 => format!("{} times a week", number(w)),
        w if w > 0.01 => format!("once in {} weeks", number(1.0 / w)),
        w if w > 1e-4 => format!("once in {} years", number(1.0 / w / 52.18)),
        _ => "less than once in 100 years".to_owned(),
    }
}

/// Four digits, without an exponent where that reads better.
fn number(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return crate::base::format_value(v);
    }
    let size = v.abs();
    if !(1e-4..1e6).contains(&size) {
        return format!("{v:.3e}");
    }
    let digits = (3 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{v:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The two largest units of a span.
fn duration(span: Millis) -> String {
    let unit = match span.abs() {
        86_400_000.. => 3_600_000,
        3_600_000.. => 60_000,
        _ => 1_000,
    };
    if span == 0 {
        "0s".to_owned()
    } else if span.abs() < 1_000 {
        format_duration(span)
    } else {
        format_duration(span / unit * unit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::change_point::Change;
    use super::super::explanation::{Ahead, Interval, Parts};
    use super::*;

    fn anomaly() -> AnomalyExplanation {
        let beyond = Some(Beyond { feature: Feature::ShortMean, now: 88.2, bound: 80.0 });
        let parts = Parts { level: 4.62, season: 5.1, trend: -0.2, rarity: 0.5, range_rarity: 0.6, beyond };
        AnomalyExplanation {
            value: 93.1,
            score: 3.2,
            expected: 61.4,
            lower: 55.0,
            upper: 68.2,
            parts,
            out_of_range: true,
            expected_a_week: 0.3125,
            budget_a_week: 1.0,
            not_scored: None,
            learnt: 14 * 86_400_000 + 1_234,
            points: 20_160,
        }
    }

    #[test]
    fn an_anomaly_reads_as_a_sentence() {
        assert_eq!(
            anomaly().to_string(),
            "value 93.1; expected 61.4 (55 to 68.2 is within the budget); 4.6 spreads above recent level; 5.1 spreads above \
             this time of day; its course normal; the mean of 24 points, 88.2, above the range it has kept to (bound 80); score 3.2: \
             such a point is expected once in 3.2 weeks (budget: 1 a week); learnt from 20160 points over 2w"
        );
        let closed = AnomalyExplanation { score: 0.0, not_scored: Some(NotScored::Excluded), ..anomaly() };
        assert!(closed.to_string().contains("; no score: the profile excludes this time; learnt from"));
        let young = AnomalyExplanation { score: 0.0, not_scored: Some(NotScored::WarmingUp), ..anomaly() };
        assert!(young.to_string().contains("; no score yet, still learning; learnt from"));
    }

    #[test]
    fn a_forecast_reads_as_a_sentence() {
        let interval = |median: f64| Interval { median, lower: median - 1e9, upper: median + 1e9 };
        let forecast = ForecastExplanation {
            value: 12.5e9,
            expected: Some(interval(12.6e9)),
            ahead: vec![
                Ahead { ahead: 4 * 3_600_000, forecast: Some(interval(2e9)) },
                Ahead { ahead: 86_400_000, forecast: None },
            ],
            crossings: vec![
                Crossing { threshold: 0.0, median: Some(6_664.0), earliest: Some(5_400.0), latest: Some(8_000.0) },
                Crossing { threshold: 5e10, median: None, earliest: None, latest: None },
            ],
            learnt: 7_200_000,
            points: 480,
        };
        assert_eq!(
            forecast.to_string(),
            "value 1.250e10; expected 1.260e10 (95% band 1.160e10 to 1.360e10); in 4h 2.000e9 (95% band 1.000e9 to 3.000e9); no \
             reliable forecast for 1d ahead; crosses 0 in 1h51m (90%: 1h30m to 2h13m); is not forecast to cross 5.000e10; learnt \
             from 480 points over 2h"
        );
    }

    #[test]
    fn a_change_reads_as_a_sentence() {
        let change = Change { at: 1_700_000_000_000, found: 1_700_000_180_000, from: 40.0, to: 25.5 };
        let told = ChangeExplanation {
            value: 26.0,
            level: 25.3,
            scatter: 1.234,
            change: Some(change),
            learnt: 14 * 86_400_000,
            points: 20_160,
        };
        assert_eq!(
            told.to_string(),
            "value 26; level 25.3 (scatter 1.234); level fell from 40 to 25.5 at 2023-11-14T22:13:20.000Z, found 3m later; \
             learnt from 20160 points over 2w"
        );
        let quiet = ChangeExplanation { change: None, ..told };
        assert!(quiet.to_string().contains("; no lasting change known; learnt"), "{quiet}");
    }

    #[test]
    fn rates_and_numbers_are_short() {
        for (a_week, text) in [
            (3.0, "3 times a week"),
            (0.5, "once in 2 weeks"),
            (0.001, "once in 19.16 years"),
            (1e-9, "less than once in 100 years"),
            (f64::NAN, "less than once in 100 years"),
        ] {
            assert_eq!(rate(a_week), text);
        }
        for (v, text) in [(0.0, "0"), (-1.5, "-1.5"), (123_456.0, "123456"), (0.012_34, "0.01234"), (1e-9, "1.000e-9")]
        {
            assert_eq!(number(v), text);
        }
    }
}
