//! What happens to a simulated series: ramps that reach the limit, and all that looks like one.
//!
//! Values are made on the scale of the base and then moved so that the limit is [`LIMIT`] and the base begins at 20. A
//! breach is a first crossing after hours below. Knows nothing of who foretells it.

use super::bases::Base;
use super::random::Random;
use super::{BIN, BINS, DAY_BINS, LIMIT};
use crate::base::Millis;

const HOUR_BINS: f64 = DAY_BINS as f64 / 24.0;
/// What comes within so many bins of a crossing belongs to the same breach.
const SAME_BREACH: usize = 48;
/// Twice the horizon that rules ask for.
const TRUE_WITHIN: f64 = 96.0;
/// So many bins after a crossing somebody has seen to it: the cause goes.
const MENDED_AFTER: usize = 12;
/// Noise beneath the limit comes no nearer than this share of the distance between its usual top and the limit.
const CLEARANCE: f64 = 0.15;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing but the base.
    Quiet,
    /// Three ramps that reach the limit within 1.5 to 36 hours.
    Ramps,
    /// Rises of half an hour to two, that end short of the limit.
    Bursts,
    /// Changes of level, short of the limit.
    Steps,
    /// Teeth that keep to their envelope.
    FlatSawtooth,
    /// Teeth whose envelope rises to the limit within 2 to 14 days.
    RisingSawtooth,
}

/// Scenes that every base gets.
pub(super) const SCENES: [Kind; 7] =
    [Kind::Quiet, Kind::Ramps, Kind::Ramps, Kind::Bursts, Kind::Steps, Kind::FlatSawtooth, Kind::RisingSawtooth];

/// A simulated series.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What happens.
    pub kind: Kind,
    /// What its noise is.
    pub base: String,
    /// One value a bin, from instant 0 on.
    pub values: Vec<f64>,
    /// Crossings of the limit, in order.
    pub breaches: Vec<Breach>,
    /// Bins within which an alert must come true: eight hours, or two teeth where those take longer.
    pub true_within: usize,
}

/// A crossing of the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// The first bin at or above the limit.
    pub at: usize,
    /// Hours that its ramp would take from the series' middle to the limit; None for teeth.
    pub ramp_hours: Option<f64>,
}

/// What a kind lays over its base, on the scale of the base.
struct Laid {
    values: Vec<f64>,
    /// Ramps by the bin where they begin, and their hours.
    ramps: Vec<(usize, f64)>,
    /// Bins of a tooth.
    tooth_bins: f64,
}

/// Where base and limit lie.
struct Room {
    middle: f64,
    /// From the base's top, 1, to the limit.
    above: f64,
}

impl Room {
    fn limit(&self) -> f64 {
        1.0 + self.above
    }
}

impl Scene {
    /// Makes a scene.
    #[must_use]
    pub fn new(kind: Kind, base: &Base, seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let mut sorted = base.values.clone();
        let room =
            Room { middle: crate::backtest::evaluate::quantile_of(&mut sorted, 0.5), above: random.scale(0.3, 4.0) };
        let top = room.limit() - CLEARANCE * room.above;
        let calm: Vec<f64> = base.values.iter().map(|v| v.clamp(-1.0, top)).collect();
        let laid = match kind {
            Kind::Quiet => Laid { values: calm, ramps: vec![], tooth_bins: 0.0 },
            Kind::Ramps => ramps(random, &room, &calm),
            Kind::Bursts => bursts(random, &room, &calm),
            Kind::Steps => steps(random, &room, &calm),
            Kind::FlatSawtooth => teeth(random, &room, &calm, false),
            Kind::RisingSawtooth => teeth(random, &room, &calm, true),
        };
        let unit = (LIMIT - 20.0) / room.limit();
        let values: Vec<f64> = laid.values.iter().map(|v| LIMIT + (v - room.limit()) * unit).collect();
        let breaches = breaches(&values, &laid.ramps);
        // Two teeth, where those take longer than eight hours: teeth reach the limit at their tips alone.
        let true_within = (2.0 * laid.tooth_bins).max(TRUE_WITHIN) as usize;
        Self { kind, base: base.name.clone(), values, breaches, true_within }
    }

    /// Time and value of each bin.
    pub fn points(&self) -> impl Iterator<Item = (Millis, f64)> {
        self.values.iter().zip(0..).map(|(v, i)| (i * BIN, *v))
    }
}

fn breaches(values: &[f64], ramps: &[(usize, f64)]) -> Vec<Breach> {
    let mut found: Vec<Breach> = vec![];
    let mut newest = None;
    for at in (0..values.len()).filter(|at| values[*at] >= LIMIT) {
        if newest.is_none_or(|before| at - before > SAME_BREACH) {
            let ramp = ramps.iter().rfind(|(begun, _)| *begun <= at);
            found.push(Breach { at, ramp_hours: ramp.map(|(_, hours)| *hours) });
        }
        newest = Some(at);
    }
    found
}

/// One in each third of what comes after the fourth day.
fn ramps(random: &mut Random, room: &Room, base: &[f64]) -> Laid {
    let mut laid = Laid { values: base.to_vec(), ramps: vec![], tooth_bins: 0.0 };
    let third = (BINS - 4 * DAY_BINS) / 3;
    for i in 0..3 {
        let begins = 4 * DAY_BINS + i * third + random.between(0.0, 0.5 * third as f64) as usize;
        let hours = random.scale(1.5, 36.0);
        let bend = random.between(0.8, 1.25);
        let (mut over, end) = (0, (begins + third).min(BINS));
        for at in begins..end {
            let share = (at - begins) as f64 / (hours * HOUR_BINS);
            laid.values[at] += (room.limit() - room.middle) * libm::pow(share, bend);
            over += usize::from(over > 0 || laid.values[at] >= room.limit());
            if over > MENDED_AFTER || share > 1.5 {
                break;
            }
        }
        laid.ramps.push((begins, hours));
    }
    laid
}

fn bursts(random: &mut Random, room: &Room, base: &[f64]) -> Laid {
    let mut values = base.to_vec();
    for _ in 0..8 {
        let begins = random.between(0.0, BINS as f64);
        let height = random.between(0.2, 0.7) * room.above;
        let rise = random.between(0.5, 2.0) * HOUR_BINS;
        let hold = random.between(0.0, 4.0) * HOUR_BINS;
        let fall = random.between(0.25, 2.0) * HOUR_BINS;
        for (at, v) in values.iter_mut().enumerate() {
            let since = at as f64 - begins;
            let up = (since / rise).clamp(0.0, 1.0);
            let down = ((since - rise - hold) / fall).clamp(0.0, 1.0);
            *v += height * (up - down);
        }
    }
    below(room, values)
}

fn steps(random: &mut Random, room: &Room, base: &[f64]) -> Laid {
    let mut values = base.to_vec();
    let mut at: Vec<f64> = (0..3).map(|_| random.between(0.0, BINS as f64)).collect();
    at.sort_by(f64::total_cmp);
    let levels: Vec<f64> = (0..3).map(|_| random.between(-0.5, 0.7) * room.above).collect();
    for (i, v) in values.iter_mut().enumerate() {
        let passed = at.iter().filter(|begins| **begins <= i as f64).count();
        *v += if passed > 0 { levels[passed - 1] } else { 0.0 };
    }
    below(room, values)
}

/// What ends short of the limit does so with its noise.
fn below(room: &Room, mut values: Vec<f64>) -> Laid {
    let top = room.limit() - CLEARANCE * room.above;
    values.iter_mut().for_each(|v| *v = v.min(top));
    Laid { values, ramps: vec![], tooth_bins: 0.0 }
}

/// Teeth from the first bin on. The envelope of rising ones goes up to the limit and, once that is crossed, back.
fn teeth(random: &mut Random, room: &Room, base: &[f64], rising: bool) -> Laid {
    let hours = random.scale(1.0, 24.0);
    let share = if rising { random.between(0.4, 0.7) } else { random.between(0.55, 0.85) };
    let height = share * random.between(0.4, 0.9) * room.limit();
    let (jitter, unsteady) = (random.between(0.02, 0.12) * height, random.between(0.0, 0.25));
    let troughs_rise = random.happens(0.5);
    let mut climb = || if rising { random.between(2.0, 14.0) * DAY_BINS as f64 } else { f64::INFINITY };
    let (mut days, mut risen, mut over) = (climb(), 0.0, 0);
    let mut climbs: Vec<f64> = (0..12).map(|_| climb()).collect();
    let (mut at_share, mut tooth_bins, mut tooth_error) = (random.between(0.0, 1.0), hours * HOUR_BINS, 0.0);
    let top_before_limit = if rising { f64::INFINITY } else { room.limit() * 0.95 };
    let values = base
        .iter()
        .map(|noise| {
            at_share += 1.0 / tooth_bins;
            if at_share >= 1.0 {
                at_share = 0.0;
                tooth_bins = hours * HOUR_BINS * (1.0 + unsteady * random.normal()).clamp(0.3, 2.0);
                tooth_error = jitter * random.normal();
            }
            risen += 1.0 / days;
            let lift = (1.0 - share) * room.limit() * risen;
            let peak = share * room.limit() + lift + tooth_error;
            let trough = share * room.limit() - height + if troughs_rise { lift } else { 0.0 };
            let v = trough + (peak - trough) * at_share + 0.1 * height * (noise - room.middle);
            over += usize::from(over > 0 || v >= room.limit());
            if over > MENDED_AFTER {
                (risen, over, days) = (0.0, 0, climbs.pop().unwrap_or(f64::INFINITY));
            }
            v.min(top_before_limit)
        })
        .collect();
    Laid { values, ramps: vec![], tooth_bins: hours * HOUR_BINS }
}
