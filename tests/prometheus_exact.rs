//! Where values cancel out or a line is fitted, Prometheus' own rounding shows; there the exact value is the judge: forewarn
//! must be as near to it as doubles allow, and no further from it than Prometheus.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use fastrand::Rng;
use forewarn::base::{Labels, Millis, Sample};
use num_rational::BigRational;
use support::exact::{Sums, relative_error};
use support::oracle::{Grid, Prometheus, Way, ours};
use support::series::{Event, World};

/// Ten minutes before a multiple of the interval.
const START: Millis = 1_700_000_040_000;
const SAMPLES: i64 = 240;
const GRID: Grid = Grid { start: START + 600_000, end: START + SAMPLES * 15_000, interval: 180_000 };

/// Relative error that is allowed: the value rounded once, and a division, a root or two more.
const ALLOWED: f64 = 8e-16;

/// An expression over the range `[1]`, and its exact value; a root is taken of the double next to it.
type Case = (&'static str, fn(&Sums) -> BigRational);

const CASES: [Case; 6] = [
    ("sum_over_time(RANGE)", Sums::sum),
    ("avg_over_time(RANGE)", Sums::mean),
    ("stdvar_over_time(RANGE)", Sums::variance),
    ("deriv(RANGE)", Sums::slope),
    ("predict_linear(RANGE, 3600)", |sums| sums.predicted(3600)),
    ("predict_linear(RANGE, 0)", |sums| sums.predicted(0)),
];

const RANGES: [(&str, Millis); 3] = [("2m", 120_000), ("10m", 600_000), ("50m", 3_000_000)];

/// Values whose sums, spreads and slopes are small beside themselves.
fn world() -> World {
    let mut rng = Rng::with_seed(7);
    let names = ["drifting", "swinging", "resting", "memory"];
    let series = names.iter().map(|name| Labels::from_pairs([("__name__", *name)])).collect();
    let mut events = Vec::new();
    for i in 0..SAMPLES {
        for (series, _) in names.iter().enumerate() {
            let t = START + i * 15_000 + rng.i64(1..9_000);
            let noise = rng.f64() - 0.5;
            let v = match series {
                // A small slope on a large level.
                0 => 1e9 + i as f64 * 0.01 + noise,
                // Sums near zero.
                1 => {
                    if i % 2 == 0 {
                        1e6 + noise
                    } else {
                        -1e6 + noise
                    }
                }
                // Hardly any spread.
                2 => 37.5 + (noise * 4.0).round() * f64::EPSILON * 64.0,
                _ => 8e9 + (noise * 1e8).floor(),
            };
            events.push(Event { series, sample: Sample { t, v } });
        }
    }
    events.sort_by_key(|e| (e.sample.t, e.series));
    World { series, events }
}

/// Errors of ours and theirs in one function.
#[derive(Default)]
struct Errors {
    values: usize,
    ours: f64,
    theirs: f64,
    ours_nearer: usize,
    theirs_nearer: usize,
}

#[tokio::test]
async fn values_are_as_near_to_the_exact_one_as_doubles_allow() {
    let Some(prometheus) = Prometheus::start().await else { return };
    let world = world();
    prometheus.fill(&world).await;
    let mut faults = Vec::new();
    println!(
        "Prometheus {}: relative error           values     ours   theirs  ours nearer  theirs nearer",
        prometheus.version
    );
    for (template, exact) in CASES {
        let mut errors = Errors::default();
        for (range, length) in RANGES {
            let exprs: Vec<String> = world
                .series
                .iter()
                .map(|labels| template.replace("RANGE", &format!("{}[{range}]", labels.as_ref().metric_name())))
                .collect();
            let ours = ours(Way::Rules { query_offset: 0 }, GRID, &world, &exprs);
            for (series, expr) in exprs.iter().enumerate() {
                let theirs = prometheus.ask(GRID, expr).await.unwrap();
                let (ours, theirs) = (ours[series].as_ref().unwrap(), theirs.values().next().unwrap());
                for (&t, &a) in ours.values().next().unwrap() {
                    let exact = exact(&Sums::new(&window(&world, series, t, length), t));
                    let (mine, other) = (relative_error(a, &exact), relative_error(theirs[&t], &exact));
                    if mine > ALLOWED {
                        faults.push(format!("{expr} at {}: {a:?} is off by {mine:e}", t / 1000));
                    }
                    errors.add(mine, other);
                }
            }
        }
        println!(
            "{template:40} {:>18} {:>8.1e} {:>8.1e} {:>12} {:>14}",
            errors.values, errors.ours, errors.theirs, errors.ours_nearer, errors.theirs_nearer
        );
        assert!(errors.values > 200 && errors.ours <= errors.theirs, "{template}");
        assert!(errors.theirs_nearer * 20 <= errors.ours_nearer.max(20), "{template}");
    }
    assert!(faults.is_empty(), "{}", faults[..faults.len().min(10)].join("\n"));
}

impl Errors {
    fn add(&mut self, ours: f64, theirs: f64) {
        self.values += 1;
        self.ours = self.ours.max(ours);
        self.theirs = self.theirs.max(theirs);
        self.ours_nearer += usize::from(ours < theirs);
        self.theirs_nearer += usize::from(theirs < ours);
    }
}

/// The samples of a left-open range.
fn window(world: &World, series: usize, end: Millis, length: Millis) -> Vec<Sample> {
    let inside = |e: &&Event| e.series == series && e.sample.t > end - length && e.sample.t <= end;
    world.events.iter().filter(inside).map(|e| e.sample).collect()
}
