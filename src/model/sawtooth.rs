//! Sawtooth series: log rotation, garbage collection, batch queues. A tooth is not a trend.
//!
//! A series that again and again ramps one way and jumps back is judged by the envelope of its teeth alone: a line through
//! the last eight peaks, its slope shrunk as far as it may be chance. It crosses a threshold at the tips of its teeth, which
//! scatter. Source: the prototypes behind models/default.md. A ramp that
//! leaves the envelope, or outlasts it, ends the mode: then the rotation has failed, and the trend is real.
//!
//! Values are relative to the series' origin, times are seconds since its first tick. Knows nothing of forecasts.

use serde::{Deserialize, Serialize};

const PEAKS: usize = 8;
/// Ticks within which a jump happens.
const JUMP_TICKS: usize = 3;
/// A jump is at least this share of the ramp before it (and the ramp of the jump), of the mean jump, and this many usual
/// steps.
const JUMP_SHARE: f64 = 0.5;
const JUMP_OF_MEAN: f64 = 0.35;
const JUMP_STEPS: f64 = 6.0;
/// Teeth before the mode is on.
const TEETH: u8 = 3;
/// Share of the jumps that go one way.
const ONE_WAY: f32 = 0.7;
const FORGET_JUMPS: f32 = 0.8;
const AMPLITUDE_GAIN: f64 = 0.3;
/// An envelope's slope is shrunk by the square of this many standard errors over it, to level at one of as many.
const SHRINK: f64 = 2.0;
/// Tips lower than the envelope by this many standard deviations, and this share of a tooth, are those of a new envelope:
/// somebody has made room.
const FALLEN_SDS: f64 = 4.0;
const FALLEN_SHARE: f64 = 0.25;
/// Tips scatter by this share of a tooth at least: a handful of them may agree by chance.
const LEAST_SCATTER: f64 = 0.03;
/// A crossing is told if it is likelier than half of the chances, and this share of the other half.
const MARGIN: f64 = 0.2;
/// From this share of a period on, the present tooth's own pace tells when it will be at its tip.
const PACE_TELLS: f64 = 0.25;
/// A crossing is told at most this many times as far ahead as the tips kept reach back.
const TOLD_SPANS: f64 = 2.0;
/// Teeth ahead that are looked at, at most.
const TEETH_AHEAD: u32 = 60;
/// Peaks of a sawtooth lie on its envelope: their standard deviation is at most this share of a tooth.
const PEAK_JITTER: f64 = 0.5;
/// Periods without a peak, or share of a tooth beyond the envelope, after which the mode is off.
const PERIODS_WITHOUT_PEAK: f64 = 2.5;
const BEYOND_ENVELOPE: f64 = 0.25;
/// Share of a tooth beyond the envelope from which on what ends teeth has failed.
const OUTGROWN: f64 = 0.5;

/// Teeth seen lately.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sawtooth {
    /// Values of the last ticks, newest first.
    recent: [f32; JUMP_TICKS],
    /// Where the present ramp began.
    start: f32,
    /// Mean size of the jumps.
    amplitude: f32,
    jumps_up: f32,
    jumps_down: f32,
    peak_times: [u32; PEAKS],
    peak_values: [f32; PEAKS],
    next_peak: u8,
    peaks: u8,
    /// Whether the peaks kept are tops of upward ramps (else bottoms of downward ones).
    upward: bool,
}

/// The line through the peaks and the size of a tooth, for a series in sawtooth mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Envelope {
    /// +1 for upward ramps; for downward ones -1, and all values below are negated.
    sign: f64,
    /// Envelope now, its slope a second.
    level: f64,
    slope: f64,
    /// Height of a tooth.
    pub amplitude: f64,
    /// Standard deviation of the peaks around the envelope.
    sd: f64,
    /// Seconds from the peaks' mean time to now; sum of squared distances from it; number of peaks.
    since_mean: f64,
    spread: f64,
    count: f64,
    /// Mean seconds between peaks.
    pub period: f64,
    /// Seconds since the newest peak.
    silent: f64,
    /// Where the present tooth began.
    start: f64,
    /// Whether it has gone far beyond the envelope.
    outgrown: bool,
}

impl Sawtooth {
    /// Begins at a value.
    pub fn new(x: f64) -> Self {
        let x = x as f32;
        Self { recent: [x; JUMP_TICKS], start: x, ..Self::default() }
    }

    /// Learns a tick; `usual_step` is the mean absolute change a tick.
    pub fn update(&mut self, seconds: u32, x: f64, usual_step: f64) {
        let highest = f64::from(self.recent.iter().fold(f32::MIN, |a, v| a.max(*v)));
        let lowest = f64::from(self.recent.iter().fold(f32::MAX, |a, v| a.min(*v)));
        let down = highest - x > x - lowest;
        let (peak, size) = if down { (highest, highest - x) } else { (lowest, x - lowest) };
        // How far the series had come the other way before it jumped.
        let ramp = if down { peak - f64::from(self.start) } else { f64::from(self.start) - peak };
        let enough = (JUMP_SHARE * ramp).max(JUMP_OF_MEAN * f64::from(self.amplitude)).max(JUMP_STEPS * usual_step);
        if size <= 0.0 || size < enough {
            self.recent = [x as f32, self.recent[0], self.recent[1]];
            return;
        }
        // What follows is measured from here. A jump without a ramp before it, such as a spike or a step, is no tooth.
        (self.recent, self.start) = ([x as f32; JUMP_TICKS], x as f32);
        if ramp >= JUMP_SHARE * size {
            self.tooth(seconds, down, peak as f32, size);
        }
    }

    /// The envelope, if the series is a sawtooth now.
    pub fn envelope(&self, seconds: u32, x: f64) -> Option<Envelope> {
        self.teeth(seconds, x).filter(|envelope| !envelope.outgrown)
    }

    /// Change a second of a tooth that has outgrown the envelope of those before it: what used to end it has failed.
    pub fn outgrown(&self, seconds: u32, x: f64) -> Option<f64> {
        let envelope = self.teeth(seconds, x).filter(|envelope| envelope.outgrown && envelope.silent > 0.0)?;
        Some(envelope.sign * (envelope.sign * x - envelope.start) / envelope.silent)
    }

    fn teeth(&self, seconds: u32, x: f64) -> Option<Envelope> {
        let (dominant, other) =
            if self.upward { (self.jumps_down, self.jumps_up) } else { (self.jumps_up, self.jumps_down) };
        if self.peaks < TEETH || dominant < ONE_WAY * (dominant + other) {
            return None;
        }
        let envelope = self.line(seconds);
        let beyond = envelope.sign * x - envelope.level;
        let allowed = (BEYOND_ENVELOPE * envelope.amplitude).max(3.0 * envelope.sd);
        let fits = envelope.sd <= PEAK_JITTER * envelope.amplitude;
        if fits && beyond > allowed {
            let outgrown = beyond > OUTGROWN * envelope.amplitude;
            return outgrown.then_some(Envelope { outgrown, ..envelope });
        }
        let within = beyond >= -envelope.amplitude - allowed;
        let holds = fits && within && envelope.silent <= PERIODS_WITHOUT_PEAK * envelope.period;
        holds.then_some(envelope)
    }

    fn tooth(&mut self, seconds: u32, down: bool, peak: f32, size: f64) {
        self.jumps_up *= FORGET_JUMPS;
        self.jumps_down *= FORGET_JUMPS;
        *(if down { &mut self.jumps_down } else { &mut self.jumps_up }) += 1.0;
        let upward = self.jumps_down >= self.jumps_up;
        if upward != self.upward {
            (self.upward, self.peaks, self.next_peak) = (upward, 0, 0);
        }
        if down != self.upward {
            return; // a jump against the teeth
        }
        self.forget_higher(seconds, peak);
        let gain = if self.peaks == 0 { 1.0 } else { AMPLITUDE_GAIN };
        self.amplitude += (gain * (size - f64::from(self.amplitude))) as f32;
        let at = self.next_peak as usize;
        (self.peak_times[at], self.peak_values[at]) = (seconds, peak);
        self.next_peak = ((at + 1) % PEAKS) as u8;
        self.peaks = (self.peaks + 1).min(PEAKS as u8);
    }

    /// If a new peak lies far below the envelope, those before it are taken to have been as low: the line begins anew, and
    /// the series stays a sawtooth.
    fn forget_higher(&mut self, seconds: u32, peak: f32) {
        if self.peaks < TEETH {
            return;
        }
        let envelope = self.line(seconds);
        let fallen = envelope.level - envelope.sign * f64::from(peak);
        if fallen > (FALLEN_SDS * envelope.sd).max(FALLEN_SHARE * envelope.amplitude) {
            let before = |periods: f64| seconds.saturating_sub((periods * envelope.period) as u32);
            self.peak_times[..2].copy_from_slice(&[before(2.0), before(1.0)]);
            self.peak_values[..2].fill(peak);
            (self.peaks, self.next_peak) = (2, 2);
        }
    }

    /// Least squares through the peaks, times relative to now.
    fn line(&self, seconds: u32) -> Envelope {
        let sign = if self.upward { 1.0 } else { -1.0 };
        let n = usize::from(self.peaks);
        let count = n as f64;
        let points = || {
            (0..n).map(|i| (f64::from(self.peak_times[i]) - f64::from(seconds), sign * f64::from(self.peak_values[i])))
        };
        let mean_t = points().map(|p| p.0).sum::<f64>() / count;
        let mean_v = points().map(|p| p.1).sum::<f64>() / count;
        let spread: f64 = points().map(|p| (p.0 - mean_t).powi(2)).sum();
        let slope = points().map(|p| (p.0 - mean_t) * (p.1 - mean_v)).sum::<f64>() / spread.max(f64::MIN_POSITIVE);
        let residual = |slope: f64| points().map(|p| (p.1 - mean_v - slope * (p.0 - mean_t)).powi(2)).sum::<f64>();
        let error = (residual(slope) / (count - 2.0) / spread.max(f64::MIN_POSITIVE)).sqrt();
        // Three peaks lie on some line by chance; four have to show it.
        let told = 1.0 - (SHRINK * error / slope.abs().max(f64::MIN_POSITIVE)).powi(2);
        let slope = if n > usize::from(TEETH) { slope * told.max(0.0) } else { 0.0 };
        let oldest = points().map(|p| p.0).fold(0.0, f64::min);
        let newest = points().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        Envelope {
            sign,
            level: mean_v - slope * mean_t,
            slope,
            amplitude: f64::from(self.amplitude),
            sd: (residual(slope) / (count - 1.0)).sqrt(),
            since_mean: -mean_t,
            spread,
            count,
            period: (newest - oldest) / (count - 1.0),
            silent: -newest,
            start: sign * f64::from(self.start),
            outgrown: false,
        }
    }
}

impl Envelope {
    /// The φ-quantile of the series that many seconds ahead: anywhere within a tooth is equally likely.
    pub fn quantile(&self, phi: f64, probit: f64, ahead: f64) -> f64 {
        let (phi, probit) = if self.sign > 0.0 { (phi, probit) } else { (1.0 - phi, -probit) };
        let sd = self.deviation(self.sd, ahead);
        let top = self.level + self.slope * ahead;
        self.sign * (top - (1.0 - phi) * self.amplitude + probit * sd)
    }

    /// Whether the peaks neither rise nor fall.
    pub fn is_level(&self) -> bool {
        self.slope == 0.0
    }

    /// Seconds until the series, now at `x`, has crossed what lies `room` away with the probability that φ asks for.
    ///
    /// A tooth reaches its tip, which scatters around the envelope; the chances of one tooth after the other add up. Of the
    /// present tooth it is known how far it has come. Against the teeth it is the jumps that cross.
    pub fn until(&self, x: f64, room: f64, side: f64, phi: f64, farthest: f64) -> Option<f64> {
        let asked = MARGIN + (1.0 - MARGIN) * if side > 0.0 { 1.0 - phi } else { phi };
        let along = side == self.sign;
        // Everything on the side of the crossing: larger is nearer to it.
        let (v, threshold) = (side * x, side * (x + room));
        let scatter = self.sd.max(LEAST_SCATTER * self.amplitude);
        let due = (self.period - self.silent).max(0.0);
        // A line through the tips tells no farther than twice the time that they cover.
        let farthest = farthest.min(TOLD_SPANS * (self.count - 1.0) * self.period);
        let (mut spared, mut ahead) = (1.0, due);
        for tooth in 0..TEETH_AHEAD {
            let top = self.level + self.slope * ahead;
            let tip = if along { top } else { self.amplitude - top };
            let sd = self.deviation(scatter, ahead);
            let mut chance = exceeded((threshold - tip) / sd);
            let mut when = ahead;
            if tooth == 0 && along {
                chance = (chance / exceeded((v - tip) / sd).max(f64::MIN_POSITIVE)).min(1.0);
                let paced = self.silent > PACE_TELLS * self.period;
                let pace = if paced { (v - self.start) / self.silent } else { self.amplitude / self.period };
                when = if pace > 0.0 { (threshold - v) / pace } else { ahead };
            }
            spared *= 1.0 - chance;
            if 1.0 - spared >= asked {
                return Some(when.max(0.0));
            }
            ahead += self.period;
            if ahead > farthest {
                break;
            }
        }
        None
    }

    /// Standard deviation of a tip, given that of the scatter. A level envelope wanders by its peaks' own spread; a sloping
    /// one also by its slope's error.
    fn deviation(&self, scatter: f64, ahead: f64) -> f64 {
        let far = ahead + self.since_mean;
        let lever = if self.slope == 0.0 { 0.0 } else { far * far / self.spread.max(f64::MIN_POSITIVE) };
        scatter * (1.0 + 1.0 / self.count + lever).sqrt()
    }

    /// The value moved into the teeth, two standard deviations of the peaks allowed.
    pub fn clip(&self, x: f64, ahead: f64) -> f64 {
        let top = self.level + self.slope * ahead;
        self.sign * (self.sign * x).clamp(top - self.amplitude - 2.0 * self.sd, top + 2.0 * self.sd)
    }
}

/// Probability that a standard normal variable exceeds this.
fn exceeded(z: f64) -> f64 {
    0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Noise;
    use super::*;

    /// Feeds one value a 10 seconds; gives the state, the last time and value.
    fn fed(ticks: u32, mut value: impl FnMut(u32) -> f64) -> (Sawtooth, u32, f64) {
        let first = value(0);
        let (mut saw, mut last, mut step) = (Sawtooth::new(first), first, 0.0);
        for i in 1..ticks {
            let x = value(i);
            let size = (x - last).abs();
            step += 0.05f64.max(1.0 / f64::from(i)) * (if step > 0.0 { size.min(4.0 * step) } else { size } - step);
            saw.update(i * 10, x, step);
            last = x;
        }
        (saw, (ticks - 1) * 10, last)
    }

    #[test]
    fn teeth_are_seen_either_way_up() {
        for sign in [1.0, -1.0] {
            let tooth = |i: u32| sign * (100.0 + f64::from(i % 40));
            let (saw, now, x) = fed(150, tooth);
            let envelope = saw.envelope(now, x).unwrap();
            assert_eq!(envelope.sign, sign);
            assert!(envelope.slope.abs() < 1e-9);
            assert!((envelope.level - 139.0).abs() < 1e-3, "{envelope:?}");
            assert!((envelope.period - 400.0).abs() < 1e-9);
            let (high, low) = (envelope.quantile(0.99, 2.33, 5000.0), envelope.quantile(0.01, -2.33, 5000.0));
            assert!(high > low && (high - low).abs() < 40.0);
            assert!((fed(70, tooth)).0.envelope(700, tooth(69)).is_none(), "one tooth is not enough");
        }
    }

    #[test]
    fn a_rising_envelope_is_a_trend() {
        let mut noise = Noise::new(2);
        let (saw, now, x) = fed(1000, |i| f64::from(i % 50) + 0.05 * f64::from(i) + 0.2 * noise.normal());
        let envelope = saw.envelope(now, x).unwrap();
        assert!((envelope.slope - 0.005).abs() < 0.001, "{envelope:?}");
        assert!(envelope.quantile(0.5, 0.0, 10_000.0) > 90.0);
    }

    #[test]
    fn a_crossing_is_told_when_chances_add_up() {
        // Tips at 100 on a level envelope, a tooth an hour, the next one due in half an hour, standard deviation 4.
        let level = Envelope {
            sign: 1.0,
            level: 100.0,
            slope: 0.0,
            amplitude: 40.0,
            sd: 4.0,
            since_mean: 0.0,
            spread: 42.0 * 3600.0 * 3600.0,
            count: 8.0,
            period: 3600.0,
            silent: 1800.0,
            start: 60.0,
            outgrown: false,
        };
        // Now at 80, which it takes 20 a half hour to be 100. At the middle of the scatter each tooth has an even chance:
        // asked for .6, the second tooth (.75) tells, for which it is an hour and a half.
        assert_eq!(level.until(80.0, 20.0, 1.0, 0.5, 1e5), Some(1800.0 + 3600.0));
        // A quantile of .95 asks for .24: the first tooth tells, at the pace of 20 a half hour.
        assert_eq!(level.until(80.0, 20.0, 1.0, 0.95, 1e5), Some(1800.0));
        // Six standard deviations away nothing tells, unless the tooth has come half of that way already.
        assert_eq!(level.until(80.0, 45.0, 1.0, 0.5, 1e5), None);
        assert!(level.until(124.9, 0.1, 1.0, 0.5, 1e5).is_some());
        // Against the teeth it is the next jump that crosses.
        assert_eq!(level.until(80.0, -10.0, -1.0, 0.5, 1e5), Some(1800.0));
        // An envelope that rises by 4 an hour reaches 120 with the sixth tooth or so.
        let rising = Envelope { slope: 4.0 / 3600.0, ..level };
        let hours = rising.until(80.0, 40.0, 1.0, 0.5, 1e5).unwrap() / 3600.0;
        assert!((4.0..=6.0).contains(&hours), "{hours}");
        assert!(rising.until(80.0, 400.0, 1.0, 0.5, 1e9).is_none(), "not farther than twice what the tips cover");
    }

    #[test]
    fn room_that_was_made_begins_a_new_envelope() {
        let value = |i: u32| f64::from(i % 50) + if i < 1_000 { 0.1 * f64::from(i) } else { 0.0 };
        let (saw, now, x) = fed(1_120, value);
        let envelope = saw.envelope(now, x).unwrap();
        assert!((envelope.level - 49.0).abs() < 2.0 && envelope.slope.abs() < 1e-3, "{envelope:?}");
    }

    #[test]
    fn a_rotation_that_fails_ends_the_mode() {
        let value = |i: u32| if i < 200 { f64::from(i % 40) } else { f64::from(i - 200) };
        let (saw, now, x) = fed(260, value);
        assert!(saw.envelope(now, x).is_none(), "beyond the envelope");
        let stuck = |i: u32| if i < 200 { f64::from(i % 40) } else { 30.0 };
        let (saw, now, x) = fed(400, stuck);
        assert!(saw.envelope(now, x).is_none(), "no peak for five periods");
    }

    #[test]
    fn noise_spikes_and_waves_are_no_teeth() {
        for seed in 0..30 {
            let mut noise = Noise::new(seed);
            let (saw, now, x) = fed(2000, |_| noise.normal());
            assert_eq!(saw.envelope(now, x), None, "noise {seed}");
            let mut noise = Noise::new(seed);
            let (saw, now, x) = fed(2000, |i| noise.normal() + if i % 37 == 0 { 50.0 } else { 0.0 });
            assert_eq!(saw.envelope(now, x), None, "spikes {seed}");
            let mut noise = Noise::new(seed);
            let (saw, now, x) = fed(2000, |i| 0.1 * noise.normal() + 50.0 * (f64::from(i) / 60.0).sin());
            assert_eq!(saw.envelope(now, x), None, "wave {seed}");
        }
    }
}
