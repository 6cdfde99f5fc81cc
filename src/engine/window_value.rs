//! What functions give of one window, where its accumulator does not say it itself.

use crate::base::{Millis, Sample};
use crate::promql::RangeFn;
use crate::window::{Counter, Window};

/// What a function of the rate family, or of a window's ends, gives.
#[inline]
pub(super) fn counter_value(w: &Window<Counter>, func: RangeFn, end: Millis, span: Millis) -> Option<f64> {
    match func {
        RangeFn::Rate => return w.extrapolated(end, span, true, true),
        RangeFn::Increase => return w.extrapolated(end, span, true, false),
        RangeFn::Delta => return w.extrapolated(end, span, false, false),
        _ => {}
    }
    (w.count() > 0).then(|| match func {
        RangeFn::Changes => f64::from(w.sums.changes),
        RangeFn::Resets => f64::from(w.sums.resets),
        RangeFn::Count => f64::from(w.count()),
        RangeFn::First => w.first().v,
        RangeFn::Last => w.sums.last.v,
        RangeFn::FirstTime => seconds(w.first().t),
        RangeFn::LastTime => seconds(w.sums.last.t),
        _ => 1.0,
    })
}

/// Seconds since 1970 of the last sample that has the extreme value; NaNs count only where there is nothing else.
pub(super) fn extreme_time(samples: impl Iterator<Item = Sample>, beats: impl Fn(f64, f64) -> bool) -> f64 {
    let best = samples.reduce(|best, s| if best.v.is_nan() || beats(s.v, best.v) { s } else { best });
    best.map_or(f64::NAN, |s| seconds(s.t))
}

fn seconds(t: Millis) -> f64 {
    t as f64 / 1000.0
}
