//! Whether two answers to an expression are equal, and how nearly.
//!
//! A value is right if it differs from the other by no more than [`ACCEPTED`] of it. Where values cancel out no two ways of
//! computing agree so well, because each rounds on the way; there it is right if the difference is no more than what
//! changes of that same size in samples and intermediate results bring about.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use forewarn::base::{Labels, Millis};

use super::expressions::noise::noisy;
use super::oracle::{Answer, Matrix};
use super::series::World;

/// Relative difference that is accepted.
pub const ACCEPTED: f64 = 1e-12;

/// The noise where a line is fitted. There Prometheus itself is off by more than [`ACCEPTED`], and the exact value is the judge:
/// tests/prometheus_exact.rs.
const OF_LINES: f64 = 1e-11;

/// How often an expression is evaluated with noise.
const NOISY_RUNS: u64 = 8;

/// What a comparison found.
#[derive(Default)]
pub struct Judgement {
    /// Values compared.
    pub values: usize,
    /// Of these, equal to the last bit.
    pub same: usize,
    /// Largest relative difference of those within [`ACCEPTED`].
    pub worst: f64,
    /// Values that cancel out.
    pub cancelling: usize,
    /// Largest difference of these, as a part of what noise of the size [`ACCEPTED`] does.
    pub worst_cancelling: f64,
    /// Where an element is or is not there, or is or is not a number, by less than noise.
    pub on_edge: usize,
    /// The first that is wrong.
    pub wrong: Option<String>,
}

/// One instant of one series.
type Point<'m> = (&'m Labels, Millis);

/// Our answer to an expression over a world.
pub type Evaluate<'e> = &'e dyn Fn(&World, &str) -> Answer;

/// Compares ours with theirs. The noisy runs are made only if they are needed.
pub fn judge(a: &Matrix, b: &Matrix, world: &World, marked: &str, evaluate: Evaluate<'_>) -> Judgement {
    let mut found = Judgement::default();
    let mut doubtful = Vec::new();
    let points: BTreeSet<Point<'_>> =
        [a, b].iter().flat_map(|m| m.iter().flat_map(|(l, v)| v.keys().map(move |&t| (l, t)))).collect();
    for point in points {
        let (a, b) = (at(a, point), at(b, point));
        found.values += 1;
        match relative(a, b) {
            Some(0.0) => found.same += 1,
            Some(d) if d <= ACCEPTED => found.worst = found.worst.max(d),
            _ => doubtful.push((point, a, b)),
        }
    }
    if doubtful.is_empty() {
        return found;
    }
    let noisy = with_noise(world, marked, evaluate);
    for (point, a, b) in doubtful {
        let others: Vec<Option<f64>> = noisy.iter().map(|m| at(m, point)).collect();
        let is_number = |v: &Option<f64>| v.is_some_and(f64::is_finite);
        match (a, b) {
            (Some(x), Some(y)) if x.is_finite() && y.is_finite() && others.iter().all(is_number) => {
                let all = others.iter().flatten().copied().chain([x]);
                let (low, high) = all.fold((x, x), |(low, high), v| (low.min(v), high.max(v)));
                let part = (x - y).abs() / (high - low);
                if part <= 1.0 {
                    found.cancelling += 1;
                    found.worst_cancelling = found.worst_cancelling.max(part);
                    continue;
                }
            }
            _ if others
                .iter()
                .any(|v| relative(*v, b).is_some_and(|d| d <= ACCEPTED || b.is_some_and(f64::is_finite))) =>
            {
                found.on_edge += 1;
                continue;
            }
            _ => {}
        }
        let (labels, t) = point;
        let (x, y) = (show(a), show(b));
        found.wrong.get_or_insert(format!("{labels} at {}: ours {x}, theirs {y}, with noise {others:?}", t / 1000));
    }
    found
}

/// Relative difference; None if one is there and the other is not, or one is a number and the other is not.
fn relative(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) if a == b || (a.is_nan() && b.is_nan()) => Some(0.0),
        (Some(a), Some(b)) => Some((a - b).abs() / a.abs().max(b.abs())).filter(|d| d.is_finite()),
        (None, None) => Some(0.0),
        _ => None,
    }
}

fn at(matrix: &Matrix, (labels, t): Point<'_>) -> Option<f64> {
    matrix.get(labels)?.get(&t).copied()
}

fn show(v: Option<f64>) -> String {
    v.map_or("nothing".to_owned(), |v| format!("{v:?}"))
}

/// Our own answers under noise.
fn with_noise(world: &World, marked: &str, evaluate: Evaluate<'_>) -> Vec<Matrix> {
    let equality = ["changes(", "resets(", " == ", " != "].iter().any(|what| marked.contains(what));
    let fits = ["deriv(", "predict_linear("].iter().any(|what| marked.contains(what));
    let size = if fits { OF_LINES } else { ACCEPTED };
    let run = |seed: u64| {
        let mut rng = Rng::with_seed(seed);
        // Where nothing asks for equality, equal samples may become different ones.
        let world = world.noisy(size, seed, !equality && seed.is_multiple_of(2));
        evaluate(&world, &noisy(marked, size, &mut rng)).unwrap_or_else(|_| BTreeMap::new())
    };
    (0..NOISY_RUNS).map(run).collect()
}
