//! Double-double arithmetic: a value as the unevaluated sum of two doubles, about 106 bits.
//!
//! Error-free transforms after Dekker (1971) and Knuth (TAOCP 2, 4.2.2); sums after Hida, Li and Bailey (2001), "Library
//! for double-double and quad-double arithmetic".

use std::ops::{Add, Neg, Sub};

use serde::{Deserialize, Serialize};

/// `hi + lo`, with `|lo|` at most half a unit in the last place of `hi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Double {
    hi: f64,
    lo: f64,
}

impl Double {
    /// Zero.
    pub const ZERO: Self = Self { hi: 0.0, lo: 0.0 };

    /// The exact product of two doubles.
    #[inline]
    #[must_use]
    pub fn product(a: f64, b: f64) -> Self {
        let hi = a * b;
        Self { hi, lo: a.mul_add(b, -hi) }
    }

    /// An integer, exact up to 106 bits.
    #[inline]
    #[must_use]
    pub fn from_i128(n: i128) -> Self {
        let hi = n as f64;
        Self { hi, lo: (n - hi as i128) as f64 }
    }

    /// The nearest double.
    #[inline]
    #[must_use]
    pub fn value(self) -> f64 {
        self.hi + self.lo
    }

    /// Times a double.
    #[inline]
    #[must_use]
    pub fn times(self, b: f64) -> Self {
        let p = Self::product(self.hi, b);
        quick_two_sum(p.hi, self.lo.mul_add(b, p.lo))
    }

    /// Times another.
    #[inline]
    #[must_use]
    pub fn times_double(self, b: Self) -> Self {
        let p = Self::product(self.hi, b.hi);
        quick_two_sum(p.hi, p.lo + (self.hi * b.lo + self.lo * b.hi))
    }

    /// Divided by a double.
    #[inline]
    #[must_use]
    pub fn divided_by(self, b: f64) -> Self {
        let q1 = self.hi / b;
        let r = self - Self::product(q1, b);
        quick_two_sum(q1, r.value() / b)
    }

    /// Divided by another, to the nearest double but for a hair.
    #[inline]
    #[must_use]
    pub fn ratio(self, b: Self) -> f64 {
        let q1 = self.hi / b.hi;
        let r = self - b.times(q1);
        q1 + r.value() / b.hi
    }
}

impl From<f64> for Double {
    #[inline]
    fn from(hi: f64) -> Self {
        Self { hi, lo: 0.0 }
    }
}

impl Add<f64> for Double {
    type Output = Self;

    #[inline]
    fn add(self, b: f64) -> Self {
        let (s, e) = two_sum(self.hi, b);
        quick_two_sum(s, e + self.lo)
    }
}

impl Add for Double {
    type Output = Self;

    #[inline]
    fn add(self, b: Self) -> Self {
        let (s, e) = two_sum(self.hi, b.hi);
        let (t, f) = two_sum(self.lo, b.lo);
        let c = quick_two_sum(s, e + t);
        quick_two_sum(c.hi, c.lo + f)
    }
}

impl Neg for Double {
    type Output = Self;

    #[inline]
    fn neg(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo }
    }
}

impl Sub for Double {
    type Output = Self;

    #[inline]
    fn sub(self, b: Self) -> Self {
        self + -b
    }
}

/// `a + b` as the rounded sum and its error, exactly.
#[inline]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let bb = s - a;
    (s, (a - (s - bb)) + (b - bb))
}

#[inline]
fn quick_two_sum(a: f64, b: f64) -> Double {
    let s = a + b;
    Double { hi: s, lo: b - (s - a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_and_taking_away_leaves_nothing() {
        let mut sum = Double::ZERO;
        let values: Vec<f64> = (0..10_000).map(|i| f64::from(i).sin() * 1e9 + 0.1).collect();
        for v in &values {
            sum = sum + *v;
        }
        for v in &values {
            sum = sum + -*v;
        }
        assert!(sum.value().abs() < 1e-18, "{}", sum.value());
    }

    #[test]
    fn products_and_quotients_are_exact_to_the_last_bits() {
        let third = Double::from(1.0).divided_by(3.0);
        assert!((third.times(3.0) - Double::from(1.0)).value().abs() < 1e-31);
        // 2^53 + 1 is no double.
        let odd = Double::from_i128((1i128 << 53) + 1);
        assert_eq!(odd.times(3.0).ratio(odd), 3.0);
        let big = Double::from_i128((1i128 << 80) + 1);
        assert_eq!((big - Double::from_i128(1i128 << 80)).value(), 1.0);
        assert_eq!(big.times_double(Double::from(2.0)).value(), 2f64.powi(81));
    }
}
