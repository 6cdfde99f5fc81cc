//! Exact sums: the result is the true sum rounded once, so it does not depend on the order of the values or on how they
//! were spread over shards.
//!
//! Shewchuk, "Adaptive Precision Floating-Point Arithmetic" (1997): a sum is kept as doubles that do not overlap.

/// A sum under way.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    /// Parts of rising magnitude.
    parts: Vec<f64>,
    /// The same of giants scaled down, so that no addition overflows.
    giants: Vec<f64>,
    nan: bool,
    positive: bool,
    negative: bool,
}

/// Values from here on are summed up apart, times [`DOWN`].
const GIANT: f64 = 1e270;
const DOWN: f64 = 1.0 / (1u128 << 120) as f64;
const UP: f64 = (1u128 << 120) as f64;

impl ExactSum {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, v: f64) {
        if v.abs() < GIANT {
            grow(&mut self.parts, v);
        } else if v.is_finite() {
            grow(&mut self.giants, v * DOWN);
        } else {
            self.nan |= v.is_nan();
            self.positive |= v == f64::INFINITY;
            self.negative |= v == f64::NEG_INFINITY;
        }
    }

    /// Adds the exact product of two values of moderate size.
    #[inline]
    pub fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        if product.is_finite() {
            self.add(a.mul_add(b, -product));
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        other.parts.iter().for_each(|&p| grow(&mut self.parts, p));
        other.giants.iter().for_each(|&p| grow(&mut self.giants, p));
        self.nan |= other.nan;
        self.positive |= other.positive;
        self.negative |= other.negative;
    }

    /// Adds `factor` times another sum, exactly for values of moderate size.
    pub fn add_times(&mut self, other: &Self, factor: f64) {
        other.parts.iter().for_each(|&p| self.add_product(p, factor));
        other.giants.iter().for_each(|&p| self.add_product(p * factor, UP));
    }

    /// Subtracts the square of another sum, exactly for values of moderate size.
    pub fn subtract_square(&mut self, other: &Self) {
        for &a in &other.parts {
            for &b in &other.parts {
                self.add_product(-a, b);
            }
        }
        if !other.giants.is_empty() {
            self.add(f64::NEG_INFINITY);
        }
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.giants.clear();
        (self.nan, self.positive, self.negative) = (false, false, false);
    }

    /// The sum.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.special().unwrap_or_else(|| {
            if self.giants.is_empty() {
                return rounded(&self.parts);
            }
            let mut all = self.giants.clone();
            self.parts.iter().for_each(|&p| grow(&mut all, p * DOWN));
            rounded(&all) * UP
        })
    }

    /// The sum divided by a count; finite where all values are.
    #[must_use]
    pub fn mean(&self, n: f64) -> f64 {
        self.special().unwrap_or_else(|| {
            if self.giants.is_empty() {
                return rounded(&self.parts) / n;
            }
            let mut all = self.giants.clone();
            self.parts.iter().for_each(|&p| grow(&mut all, p * DOWN));
            rounded(&all) / n * UP
        })
    }

    /// Whether a NaN or an infinity was added.
    #[must_use]
    pub fn has_special(&self) -> bool {
        self.nan || self.positive || self.negative
    }

    fn special(&self) -> Option<f64> {
        match (self.nan, self.positive, self.negative) {
            (false, false, false) => None,
            (false, true, false) => Some(f64::INFINITY),
            (false, false, true) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }
}

#[inline]
fn grow(parts: &mut Vec<f64>, mut x: f64) {
    let mut kept = 0;
    for i in 0..parts.len() {
        let y = parts[i];
        let sum = x + y;
        let (big, small) = if x.abs() < y.abs() { (y, x) } else { (x, y) };
        let error = small - (sum - big);
        if error != 0.0 {
            parts[kept] = error;
            kept += 1;
        }
        x = sum;
    }
    parts.truncate(kept);
    if x != 0.0 || kept == 0 {
        parts.push(x);
    }
}

/// The sum of non-overlapping parts, rounded half to even.
fn rounded(parts: &[f64]) -> f64 {
    let Some((&top, rest)) = parts.split_last() else { return 0.0 };
    let mut high = top;
    let mut below = rest.iter().rev();
    while let Some(&y) = below.next() {
        let sum = high + y;
        let low = y - (sum - high);
        high = sum;
        if low != 0.0 {
            // `low` is half a unit exactly: what lies below it decides the direction.
            if let Some(&next) = below.next()
                && (low < 0.0) == (next < 0.0)
                && next != 0.0
            {
                let twice = low * 2.0;
                let moved = high + twice;
                if twice == moved - high {
                    high = moved;
                }
            }
            break;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut s = ExactSum::default();
        values.iter().for_each(|&v| s.add(v));
        s.value()
    }

    #[test]
    fn known_sums() {
        // As Python's math.fsum gives them.
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), 10_000_000_000_000_002.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308]), 1e308);
        assert_eq!(sum(&[1e308, 1e308]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        let mut mean = ExactSum::default();
        mean.add(1.7e308);
        mean.add(1.7e308);
        assert_eq!(mean.mean(2.0), 1.7e308);
    }

    proptest! {
        #[test]
        fn neither_order_nor_sharding_matters(values in prop::collection::vec(-1e300..1e300f64, 0..60), cut in 0usize..60, turn in 0usize..60) {
            let whole = sum(&values);
            let mut turned = values.clone();
            turned.rotate_left(turn.min(values.len()));
            prop_assert_eq!(sum(&turned).to_bits(), whole.to_bits());
            let (a, b) = values.split_at(cut.min(values.len()));
            let (mut left, mut right) = (ExactSum::default(), ExactSum::default());
            a.iter().for_each(|&v| left.add(v));
            b.iter().for_each(|&v| right.add(v));
            left.merge(&right);
            prop_assert_eq!(left.value().to_bits(), whole.to_bits());
        }
    }
}
