//! Series as the world sends them: counters with resets, gauges with gaps and NaN, series that end with a marker, and series
//! that appear late. The same seed gives the same samples.

use fastrand::Rng;
use forewarn::base::{Labels, Millis, Sample, stale_nan};

/// One sample of one series.
#[derive(Clone, Debug)]
pub struct Event {
    pub series: usize,
    pub sample: Sample,
}

/// Series and their samples, in order of time.
pub struct World {
    pub series: Vec<Labels>,
    pub events: Vec<Event>,
}

enum Kind {
    Counter { total: f64 },
    Gauge { level: f64, floor: f64 },
    Buckets { total: f64 },
    Flag,
}

/// A world of `steps` steps of 15s from `start`.
pub fn world(seed: u64, start: Millis, steps: i64) -> World {
    let mut rng = Rng::with_seed(seed);
    let (mut series, mut kinds) = (Vec::new(), Vec::new());
    let mut add = |kind: Kind, name: &str, labels: &[(&str, &str)]| {
        series.push(Labels::from_pairs(labels.iter().copied().chain([("__name__", name)])));
        kinds.push(kind);
    };
    for (job, instances) in [("web", 3), ("db", 2), ("cache", 1)] {
        for i in 0..instances {
            let instance = format!("{job}-{i}:80");
            let own = [("job", job), ("instance", instance.as_str())];
            for path in ["/", "/a\"b", "/é"] {
                add(Kind::Counter { total: 0.0 }, "requests_total", &[own[0], own[1], ("path", path)]);
            }
            add(Kind::Counter { total: 1e5 }, "errors_total", &own);
            add(Kind::Gauge { level: 1e9, floor: 0.0 }, "memory_bytes", &own);
            add(Kind::Gauge { level: 1e6, floor: -1e6 }, "disk_free", &own);
            for le in ["0.1", "1", "+Inf"] {
                add(Kind::Buckets { total: 0.0 }, "latency_bucket", &[own[0], own[1], ("le", le)]);
            }
            add(Kind::Flag, "up", &own);
            add(Kind::Flag, "info", &[own[1], ("zone", if i == 0 { "x" } else { "y" })]);
        }
    }
    let mut events = Vec::new();
    for (at, kind) in kinds.iter_mut().enumerate() {
        // A third appears late, and every series has times without samples; some of these begin with a marker.
        let first = if rng.u8(..3) == 0 { rng.i64(0..steps / 2) } else { 0 };
        let phase = rng.i64(0..15_000);
        let mut silent = 0;
        for step in first..steps {
            let t = start + step * 15_000 + phase + rng.i64(-200..200).max(-phase);
            let v = kind.next(&mut rng);
            if silent > 0 {
                silent -= 1;
                continue;
            }
            let ends = rng.u16(..300) == 0;
            if ends {
                silent = if rng.bool() { rng.i64(1..6) } else { rng.i64(20..120) };
            }
            match ends && rng.bool() {
                true => events.push(Event { series: at, sample: Sample { t, v: stale_nan() } }),
                false => events.push(Event { series: at, sample: Sample { t, v } }),
            }
        }
    }
    events.sort_by_key(|e| (e.sample.t, e.series));
    World { series, events }
}

impl Kind {
    fn next(&mut self, rng: &mut Rng) -> f64 {
        match self {
            Self::Counter { total } | Self::Buckets { total } => {
                *total = if rng.u16(..200) == 0 { 0.0 } else { *total + rng.f64() * 30.0 };
                *total
            }
            Self::Gauge { level, floor } => {
                *level += (rng.f64() - 0.52) * 1e5;
                if rng.u16(..100) == 0 { f64::NAN } else { level.max(*floor) }
            }
            Self::Flag => f64::from(u8::from(rng.u8(..20) > 0)),
        }
    }
}
