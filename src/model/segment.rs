//! The newest segment: a line through all ticks since the series last changed its course.
//!
//! A trend without much forgetting that begins anew when a two-sided cumulative sum (CUSUM, Page 1954) of its own surprises
//! says that it no longer holds. So a disk that begins to fill after quiet weeks is seen within a handful of ticks, and a
//! long ramp is known ever better. Knows no season and no other trend.

use serde::{Deserialize, Serialize};

use super::trend::{Line, Trend};

/// Ticks between a probe of the segment and its answer.
pub(super) const PROBE_TICKS: f64 = 16.0;
/// One tick surprises by at most this many standard deviations, so that a lone spike is no change.
const MOST_SURPRISE: f64 = 4.0;
/// Surprise a tick that is ordinary, and the sum that is a change: about one false change in 10,000 ticks of normal noise.
const ORDINARY: f64 = 0.75;
const CHANGE: f64 = 6.0;

/// State of the segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Segment {
    trend: Trend,
    rise: f32,
    fall: f32,
}

impl Segment {
    /// Nothing seen but the first value.
    pub fn new() -> Self {
        Self { trend: Trend::new(), rise: 0.0, fall: 0.0 }
    }

    /// Learns that the value changed by `delta` over `ticks` ticks; see [`Trend::update`].
    pub fn update(&mut self, keep: f64, ticks: f64, delta: f64) {
        let surprise = self.trend.update(PROBE_TICKS, keep, ticks, delta).clamp(-MOST_SURPRISE, MOST_SURPRISE);
        self.rise = (f64::from(self.rise) + surprise - ORDINARY).max(0.0) as f32;
        self.fall = (f64::from(self.fall) - surprise - ORDINARY).max(0.0) as f32;
        if f64::from(self.rise.max(self.fall)) > CHANGE {
            self.trend.restart();
            (self.rise, self.fall) = (0.0, 0.0);
        }
    }

    /// The line; `span` is the time constant behind `keep`.
    pub fn line(&self, span: f64) -> Line {
        self.trend.line(span)
    }

    /// Mean |change| over [`PROBE_TICKS`], once it has been seen.
    pub fn flat_error(&self) -> Option<f64> {
        self.trend.flat_error()
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    const SPAN: f64 = 1000.0;

    fn fed(ticks: i32, mut value: impl FnMut(i32) -> f64) -> (Segment, i32) {
        let (mut segment, mut last, mut changes) = (Segment::new(), value(0), 0);
        for i in 1..ticks {
            let v = value(i);
            let before = segment.line(SPAN).history();
            segment.update((-1.0 / SPAN).exp(), 1.0, v - last);
            changes += i32::from(segment.line(SPAN).history() < before);
            last = v;
        }
        (segment, changes)
    }

    #[test]
    fn noise_and_spikes_seldom_look_like_a_change() {
        let mut noise = Noise::new(1);
        let (_, changes) = fed(50_000, |i| noise.normal() + if i % 500 == 0 { 30.0 } else { 0.0 });
        assert!(changes <= 15, "{changes}");
    }

    #[test]
    fn a_ramp_after_quiet_is_known_within_ten_ticks() {
        for sigma in [0.0, 0.1] {
            let mut noise = Noise::new(2);
            let (segment, changes) = fed(1010, |i| sigma * noise.normal() + f64::from((i - 1000).max(0)));
            assert!(changes >= 1);
            let line = segment.line(SPAN);
            assert!((line.at(50.0) - 50.0).abs() < 10.0, "{sigma}: {}", line.at(50.0));
            assert!(line.squared_departure(0.0, 50.0) > 30f64.powi(2), "{sigma}");
        }
    }

    #[test]
    fn a_clean_ramp_is_one_segment() {
        let (segment, changes) = fed(5000, |i| 1e6 + 0.123 * f64::from(i));
        assert_eq!(changes, 0);
        assert!((segment.line(SPAN).at(1000.0) - 123.0).abs() < 0.1);
    }
}
