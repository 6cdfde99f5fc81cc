//! Chance that is a function of where it is asked for: no state, so a series does not depend on what was drawn before.

/// Independent draws, each named by a step and a number within the step.
///
/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) read at any place: its state
/// after n draws is the first one plus n times a constant. Integers only, so it is the same everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    origin: u64,
}

/// The golden ratio's fraction in 64 bits, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Draws a step may have.
const PER_STEP: u64 = 2;

impl Draws {
    /// Draws for one use, `stream`, within one series: another series gets others from the same seed.
    pub fn new(seed: u64, series: &[u8], stream: u64) -> Self {
        let series = xxhash_rust::xxh3::xxh3_64(series);
        Self { origin: mix(mix(seed.wrapping_add(GAMMA)) ^ series).wrapping_add(mix(stream.wrapping_mul(GAMMA))) }
    }

    /// Above 0 and up to 1, in steps of 2⁻⁵³.
    pub fn uniform(self, step: u64, number: u64) -> f64 {
        let place = step.wrapping_mul(PER_STEP).wrapping_add(number + 1);
        let bits = mix(self.origin.wrapping_add(place.wrapping_mul(GAMMA)));
        ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, standard deviation 1: normal, or Student's t with `freedom` degrees of freedom, which must be above 2.
    ///
    /// Two uniforms make one: Box and Muller's √(−2 ln u) · cos 2πv, and for t Bailey's √(ν (u^(−2/ν) − 1)) · cos 2πv (Polar
    /// generation of random variates with the t-distribution, Mathematics of Computation 62, 1994), whose variance is ν/(ν − 2).
    pub fn noise(self, step: u64, freedom: Option<f64>) -> f64 {
        let (u, v) = (self.uniform(step, 0), self.uniform(step, 1));
        let radius = match freedom {
            None => (-2.0 * libm::log(u)).sqrt(),
            Some(freedom) => ((freedom - 2.0) * (libm::pow(u, -2.0 / freedom) - 1.0)).sqrt(),
        };
        radius * libm::cos(std::f64::consts::TAU * v)
    }
}

/// SplitMix64's output function.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64s() {
        // First outputs for the seed 1234567, as published with the reference implementation.
        let outputs: Vec<u64> = (1..=3u64).map(|n| mix(1_234_567u64.wrapping_add(n.wrapping_mul(GAMMA)))).collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn series_seeds_and_streams_have_draws_of_their_own() {
        let draws = [Draws::new(1, b"a", 0), Draws::new(2, b"a", 0), Draws::new(1, b"b", 0), Draws::new(1, b"a", 1)];
        let mut firsts: Vec<u64> = draws.iter().map(|d| d.uniform(0, 0).to_bits()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), draws.len());
        assert_eq!(Draws::new(1, b"a", 0).uniform(7, 1).to_bits(), Draws::new(1, b"a", 0).uniform(7, 1).to_bits());
    }

    /// Against the normal distribution's own: mean, variance, lag-1 correlation, share beyond 1.96.
    #[test]
    fn noise_is_normal_and_independent() {
        let draws = Draws::new(9, b"x", 3);
        let n = 200_000u32;
        let values: Vec<f64> = (0..n).map(|i| draws.noise(i.into(), None)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let variance = values.iter().map(|v| v * v).sum::<f64>() / f64::from(n);
        let lagged = values.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / f64::from(n);
        let outside = values.iter().filter(|v| v.abs() > 1.959_963_985).count() as f64 / f64::from(n);
        // Four standard errors each.
        assert!(mean.abs() < 0.009 && (variance - 1.0).abs() < 0.0127, "{mean} {variance}");
        assert!(lagged.abs() < 0.009 && (outside - 0.05).abs() < 0.002, "{lagged} {outside}");
    }

    /// Student's t with 3 degrees of freedom, scaled to variance 1: P(|x| > 5.841/√3) = 0.01, where a normal has 0.0007.
    #[test]
    fn a_heavy_tail_is_students() {
        let draws = Draws::new(9, b"x", 4);
        let n = 200_000u32;
        let values: Vec<f64> = (0..n).map(|i| draws.noise(i.into(), Some(3.0))).collect();
        let share = |at: f64| values.iter().filter(|v| v.abs() > at).count() as f64 / f64::from(n);
        let scale = 3f64.sqrt();
        assert!((share(5.840_909 / scale) - 0.01).abs() < 0.000_9, "{}", share(5.840_909 / scale));
        assert!((share(0.764_892 / scale) - 0.5).abs() < 0.005, "{}", share(0.764_892 / scale));
    }
}
