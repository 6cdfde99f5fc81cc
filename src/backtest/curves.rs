//! Curves of one element over a long time, in bounded memory: buckets of the smallest and largest value, which are merged
//! two by two when there are too many.

use crate::base::Millis;

use super::plot::Curve;

/// Most buckets of a curve; there are at least half as many once they have been merged.
pub const BUCKETS: usize = 1_024;

/// The curves.
#[derive(Clone, Debug)]
pub struct Curves {
    origin: Millis,
    width: Millis,
    buckets: Vec<Bucket>,
}

/// One bucket. NaN stands for nothing. Single precision is more than a screen shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Smallest and largest value.
    pub value: (f32, f32),
    /// Smallest and largest of what was expected.
    pub expected: (f32, f32),
    /// Lowest end and highest end of the band.
    pub band: (f32, f32),
    /// Smallest and largest reading.
    pub reading: (f32, f32),
}

const NOTHING: (f32, f32) = (f32::NAN, f32::NAN);

impl Bucket {
    const EMPTY: Self = Self { value: NOTHING, expected: NOTHING, band: NOTHING, reading: NOTHING };

    fn merge(&self, other: &Self) -> Self {
        let merged = |a: (f32, f32), b: (f32, f32)| (a.0.min(b.0), a.1.max(b.1));
        Self {
            value: merged(self.value, other.value),
            expected: merged(self.expected, other.expected),
            band: merged(self.band, other.band),
            reading: merged(self.reading, other.reading),
        }
    }
}

impl Curves {
    /// Curves that begin at `origin`, with a point about every `interval` milliseconds.
    #[must_use]
    pub fn new(origin: Millis, interval: Millis) -> Self {
        Self { origin, width: interval.max(1), buckets: vec![] }
    }

    /// Adds a point; one before the origin is left out.
    pub fn add(&mut self, curve: Curve, t: Millis, v: f64) {
        if t < self.origin || v.is_nan() {
            return;
        }
        while (t - self.origin) / self.width >= BUCKETS as Millis {
            self.halve();
        }
        let at = ((t - self.origin) / self.width) as usize;
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, Bucket::EMPTY);
        }
        let v = v as f32;
        let bucket = &mut self.buckets[at];
        let widen = |range: &mut (f32, f32)| *range = (range.0.min(v), range.1.max(v));
        match curve {
            Curve::Value => widen(&mut bucket.value),
            Curve::Expected => widen(&mut bucket.expected),
            Curve::Lower => bucket.band.0 = bucket.band.0.min(v),
            Curve::Upper => bucket.band.1 = bucket.band.1.max(v),
            Curve::Reading => widen(&mut bucket.reading),
        }
    }

    /// When the first bucket begins.
    #[must_use]
    pub fn origin(&self) -> Millis {
        self.origin
    }

    /// Milliseconds of a bucket.
    #[must_use]
    pub fn width(&self) -> Millis {
        self.width
    }

    /// The buckets, from the origin on.
    #[must_use]
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    fn halve(&mut self) {
        let merged = self.buckets.chunks(2).map(|pair| pair.iter().skip(1).fold(pair[0], |a, b| a.merge(b)));
        self.buckets = merged.collect();
        self.width = self.width.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_keeps_its_extremes_in_few_buckets() {
        let mut curves = Curves::new(1_000, 10);
        curves.add(Curve::Value, 0, 1e9);
        for i in 0..100_000 {
            let v = if i == 77_777 { 500.0 } else { f64::from(i % 10) };
            curves.add(Curve::Value, 1_000 + i64::from(i) * 10, v);
            curves.add(Curve::Lower, 1_000 + i64::from(i) * 10, v - 1.0);
        }
        assert_eq!((curves.width(), curves.buckets().len()), (1_280, 782));
        assert_eq!(curves.buckets()[0].value, (0.0, 9.0));
        assert_eq!(curves.buckets()[0].band.0, -1.0);
        assert!(curves.buckets()[0].band.1.is_nan() && curves.buckets()[0].reading.0.is_nan());
        assert_eq!(curves.buckets()[77_777 / 128].value.1, 500.0);
    }

    #[test]
    fn gaps_stay_empty() {
        let mut curves = Curves::new(0, 1_000);
        curves.add(Curve::Reading, 0, 1.0);
        curves.add(Curve::Reading, 5_500, f64::INFINITY);
        curves.add(Curve::Reading, 7_000, f64::NAN);
        assert_eq!(curves.buckets().len(), 6);
        assert!(curves.buckets()[1..5].iter().all(|b| b.reading.0.is_nan()));
        assert_eq!(curves.buckets()[5].reading, (f32::INFINITY, f32::INFINITY));
    }
}
