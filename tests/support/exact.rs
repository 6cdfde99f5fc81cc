//! What functions of a range are worth exactly: integers of any length until the last division.

use forewarn::base::{Millis, Sample};
use num_bigint::BigInt;
use num_rational::BigRational;

/// Values are taken as multiples of 2^-SCALE; those used here are.
const SCALE: u32 = 100;

/// The sums over a window of finite samples, from which everything follows. Times in milliseconds.
pub struct Sums {
    n: BigInt,
    /// Of times since the instant of evaluation.
    x: BigInt,
    xx: BigInt,
    /// Of values, scaled.
    y: BigInt,
    xy: BigInt,
    /// Scaled twice.
    yy: BigInt,
}

impl Sums {
    /// Over samples, seen from `at`.
    pub fn new(samples: &[Sample], at: Millis) -> Self {
        let zero = || BigInt::from(0);
        let mut sums = Self { n: zero(), x: zero(), xx: zero(), y: zero(), xy: zero(), yy: zero() };
        for sample in samples {
            let (x, y) = (BigInt::from(sample.t - at), scaled(sample.v));
            sums.n += 1;
            sums.xx += &x * &x;
            sums.xy += &x * &y;
            sums.yy += &y * &y;
            sums.x += x;
            sums.y += y;
        }
        sums
    }

    /// `sum_over_time`.
    pub fn sum(&self) -> BigRational {
        BigRational::new(self.y.clone(), one())
    }

    /// `avg_over_time`.
    pub fn mean(&self) -> BigRational {
        BigRational::new(self.y.clone(), one() * &self.n)
    }

    /// `stdvar_over_time`: of the population.
    pub fn variance(&self) -> BigRational {
        BigRational::new(&self.n * &self.yy - &self.y * &self.y, one() * one() * &self.n * &self.n)
    }

    /// `deriv`: a second.
    pub fn slope(&self) -> BigRational {
        BigRational::new((&self.n * &self.xy - &self.x * &self.y) * 1000, self.spread() * one())
    }

    /// `predict_linear` so many seconds ahead of the instant of evaluation.
    pub fn predicted(&self, seconds: i64) -> BigRational {
        let now = BigRational::new(&self.y * &self.xx - &self.x * &self.xy, self.spread() * one());
        now + self.slope() * BigRational::from(BigInt::from(seconds))
    }

    fn spread(&self) -> BigInt {
        &self.n * &self.xx - &self.x * &self.x
    }
}

/// How far a double is from an exact value, as a part of it.
pub fn relative_error(got: f64, exact: &BigRational) -> f64 {
    let got = BigRational::from_float(got).unwrap();
    if got == *exact {
        return 0.0;
    }
    let error = ((got - exact) / exact).reduced();
    let (numerator, denominator) = (error.numer(), error.denom());
    // To 64 bits are enough of an error.
    let shift = |n: &BigInt| n.bits().saturating_sub(64);
    let (up, down) = (shift(numerator), shift(denominator));
    let short = |n: &BigInt, by: u64| (n >> by).to_string().parse::<f64>().unwrap();
    (short(numerator, up) / short(denominator, down)).abs() * 2f64.powi(up as i32 - down as i32)
}

fn one() -> BigInt {
    BigInt::from(1) << SCALE
}

fn scaled(v: f64) -> BigInt {
    let exact = BigRational::from_float(v).unwrap() * BigRational::from(one());
    assert!(exact.is_integer(), "{v} has too many bits behind the point");
    exact.to_integer()
}
