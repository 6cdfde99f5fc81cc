//! Seeded randomness of simulations: the same seed gives the same series on every platform.

/// A generator.
#[derive(Debug)]
pub(super) struct Random(fastrand::Rng);

impl Random {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Uniform between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.f64()
    }

    /// Between two positive numbers, their logarithm uniform.
    pub fn scale(&mut self, low: f64, high: f64) -> f64 {
        libm::exp(self.between(libm::log(low), libm::log(high)))
    }

    /// Whether something happens that has this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.0.f64()));
        radius * libm::cos(std::f64::consts::TAU * self.0.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_keep_to_their_bounds_and_moments() {
        let mut random = Random::new(1);
        let scales: Vec<f64> = (0..10_000).map(|_| random.scale(1.0, 100.0)).collect();
        assert!(scales.iter().all(|s| (1.0..=100.0).contains(s)));
        let below_ten = scales.iter().filter(|s| **s < 10.0).count();
        assert!((4_800..5_200).contains(&below_ten), "{below_ten}");
        let normals: Vec<f64> = (0..10_000).map(|_| random.normal()).collect();
        let (mean, square) = normals.iter().fold((0.0, 0.0), |(m, s), v| (m + v / 1e4, s + v * v / 1e4));
        assert!(mean.abs() < 0.04 && (square - 1.0).abs() < 0.05, "{mean} {square}");
    }
}
