//! Series as hard as they come, for comparisons with Prometheus: counters that reset, gauges with NaN, ±Inf and gaps, series
//! that end with a marker or without, that come late, that never change; histograms scraped at once and bucket by bucket,
//! one of them without `+Inf`. The same seed gives the same samples.

use fastrand::Rng;
use forewarn::base::{Labels, Millis, Sample, stale_nan};

use super::series::{Event, World};

/// Which Prometheus will see them.
#[derive(Clone, Copy, Debug)]
pub struct Edition {
    major: u32,
    minor: u32,
}

impl Edition {
    /// Of a version like `3.5.0`.
    pub fn of(version: &str) -> Self {
        let mut parts = version.split('.').map(|part| part.parse().unwrap());
        Self { major: parts.next().unwrap(), minor: parts.next().unwrap() }
    }

    /// Ranges do not hold their left edge, and a counter's zero limits what was chosen to extrapolate by. Where this is not
    /// so no sample lies at a whole second, and counters reset to half.
    pub fn is_new(self) -> bool {
        self.major >= 3
    }

    /// `histogram_fraction` takes classic buckets, if no bound lies within the first: `size_bucket` is made for that.
    pub fn has_fractions(self) -> bool {
        (self.major, self.minor) >= (3, 4)
    }

    /// `histogram_fraction` takes any bounds (prometheus/prometheus#17424).
    pub fn has_sound_fractions(self) -> bool {
        (self.major, self.minor) >= (3, 8)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    /// Counts whole things, so that sums are exact.
    Counter {
        total: f64,
    },
    /// Counts seconds.
    Seconds {
        total: f64,
    },
    Level {
        level: f64,
        floor: f64,
        odd: f64,
    },
    Flag,
    Constant(f64),
}

/// One series to be: what it is, how far its samples lie apart, and where in that time they lie.
struct Plan {
    labels: Labels,
    kind: Kind,
    every: Millis,
    phase: Millis,
}

const BOUNDS: [&str; 6] = ["0.005", "0.1", "1.0", "2.5", "10", "+Inf"];

/// A world from `start`, `length` long.
pub fn hard_series(seed: u64, start: Millis, length: Millis, edition: Edition) -> World {
    let mut rng = Rng::with_seed(seed);
    let mut plans = Vec::new();
    for (job, instances) in [("web", 4), ("db", 2), ("cache", 1)] {
        for i in 0..instances {
            target(&mut plans, &mut rng, job, i);
        }
    }
    let mut world = World { series: Vec::new(), events: Vec::new() };
    for plan in plans {
        samples(&mut world, plan, &mut rng, start, length, edition);
    }
    world.events.sort_by_key(|e| (e.sample.t, e.series));
    world
}

/// The series of one target.
fn target(plans: &mut Vec<Plan>, rng: &mut Rng, job: &str, i: i64) {
    let instance = format!("{job}-{i}:80");
    let own = [("job", job), ("instance", instance.as_str())];
    let every = [15_000, 15_000, 30_000, 60_000][rng.usize(..4)];
    // Half of the targets are scraped at once and on whole seconds, as a window's edges are.
    let at_once = rng.bool().then(|| rng.i64(0..every / 1000) * 1000);
    let mut whole = None;
    let mut add = |kind: Kind, name: &str, labels: &[(&str, &str)]| {
        let labels = Labels::from_pairs(labels.iter().copied().chain([("__name__", name)]));
        let own = at_once.unwrap_or_else(|| rng.i64(0..every));
        // No instant sees only some of its buckets.
        let phase = if name == "size_bucket" { *whole.get_or_insert(own) } else { own };
        plans.push(Plan { labels, kind, every, phase });
    };
    for path in ["/", "/a\"b", "/é"] {
        add(Kind::Counter { total: 0.0 }, "requests_total", &[own[0], own[1], ("path", path)]);
    }
    add(Kind::Seconds { total: 1e5 }, "busy_seconds_total", &own);
    add(Kind::Level { level: 1e9, floor: 0.0, odd: f64::NAN }, "memory_bytes", &own);
    add(Kind::Level { level: 2e5, floor: -1e6, odd: f64::INFINITY }, "disk_free", &own);
    for le in BOUNDS.into_iter().filter(|le| *le != "+Inf" || job != "cache") {
        add(Kind::Counter { total: 0.0 }, "latency_bucket", &[own[0], own[1], ("le", le)]);
    }
    for le in ["1", "2", "4", "+Inf"] {
        add(Kind::Counter { total: 0.0 }, "size_bucket", &[own[0], own[1], ("le", le)]);
    }
    add(Kind::Flag, "up", &own);
    add(Kind::Constant(0.1), "limit_ratio_configured", &own);
    add(Kind::Constant(1.0), "info", &[own[1], ("zone", if i % 2 == 0 { "x" } else { "y" })]);
}

fn samples(world: &mut World, mut plan: Plan, rng: &mut Rng, start: Millis, length: Millis, edition: Edition) {
    let at = world.series.len();
    let whole = plan.labels.as_ref().metric_name() == "size_bucket";
    let bucket = BOUNDS.iter().position(|le| plan.labels.as_ref().get("le") == Some(*le));
    world.series.push(plan.labels.clone());
    if !edition.is_new()
        && let Kind::Counter { total } = &mut plan.kind
    {
        *total = 1e6;
    }
    let steps = length / plan.every;
    // A quarter comes late, but for those that must be whole, and every series has times without samples; some of these begin with a marker.
    let first = if !whole && rng.u8(..4) == 0 { rng.i64(0..steps * 2 / 3) } else { 0 };
    let mut silent = 0;
    for step in 0..steps {
        let jitter = if plan.phase % 1000 == 0 { 0 } else { rng.i64(-200..200).max(-plan.phase) };
        let mut t = start + step * plan.every + plan.phase + jitter;
        if !edition.is_new() && t % 1000 == 0 {
            t += 3;
        }
        let v = plan.kind.next(rng, bucket, edition);
        if step < first {
            continue;
        }
        if silent > 0 {
            silent -= 1;
            continue;
        }
        let ends = !whole && rng.u16(..250) == 0;
        if ends {
            silent = if rng.bool() { rng.i64(1..6) } else { rng.i64(20..120) };
        }
        let v = if ends && rng.bool() { stale_nan() } else { v };
        world.events.push(Event { series: at, sample: Sample { t, v } });
    }
}

impl Kind {
    fn next(&mut self, rng: &mut Rng, bucket: Option<usize>, edition: Edition) -> f64 {
        match self {
            Self::Counter { total } => {
                // Higher buckets of a histogram count more. Now and then nothing comes.
                let more = rng.u32(..30) * bucket.map_or(1, |b| b as u32 + 1) * u32::from(rng.u8(..8) > 0);
                *total = if rng.u16(..150) == 0 { reset(*total, edition) } else { *total + f64::from(more) };
                *total
            }
            Self::Seconds { total } => {
                *total = if rng.u16(..300) == 0 { reset(*total, edition) } else { *total + rng.f64() * 15.0 };
                *total
            }
            Self::Level { level, floor, odd } => {
                *level += (rng.f64() - 0.52) * 1e5;
                match rng.u16(..300) {
                    0 | 1 => *odd,
                    2 => -*odd,
                    _ => level.max(*floor),
                }
            }
            Self::Flag => f64::from(u8::from(rng.u8(..20) > 0)),
            Self::Constant(v) => *v,
        }
    }
}

fn reset(total: f64, edition: Edition) -> f64 {
    if edition.is_new() { 0.0 } else { (total / 2.0).floor() }
}
