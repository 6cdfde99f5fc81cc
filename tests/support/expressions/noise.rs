//! How far an error of the accepted size anywhere inside an expression moves its value: the expression is evaluated again
//! with every rounded result and every sample changed by a random part of that size. (Monte Carlo arithmetic: Parker,
//! 1997.) A difference within what this moves the value by is a backward error of the accepted size.

use fastrand::Rng;

use super::super::series::World;

pub(super) const BEGIN: char = '⟦';
pub(super) const END: char = '⟧';

/// The expression without its marks.
pub fn plain(expr: &str) -> String {
    expr.replace([BEGIN, END], "")
}

/// The expression with every marked part changed by a share of up to `size`: another for every value and at every instant,
/// because an aggregation or a window may hold many of them.
pub fn noisy(expr: &str, size: f64, rng: &mut Rng) -> String {
    let mut open = vec![String::new()];
    for c in expr.chars() {
        match c {
            BEGIN => open.push(String::new()),
            END => {
                let part = open.pop().unwrap();
                let (scale, pace, phase) = (10f64.powf(3.0 + 4.0 * rng.f64()), rng.f64(), rng.f64() * 6.0);
                let angle = format!("clamp(({part}) * {scale} + time() * {pace} + {phase}, -1e15, 1e15)");
                open.last_mut().unwrap().push_str(&format!("(({part}) * (1 + {size} * sin({angle})))"));
            }
            _ => open.last_mut().unwrap().push(c),
        }
    }
    open.pop().unwrap()
}

impl World {
    /// The world with samples changed by a random share of up to `size`: all of them, each by its own, or so that equal
    /// values stay equal and whole numbers, which are counts, as they are.
    pub fn noisy(&self, size: f64, seed: u64, each: bool) -> Self {
        let mut world = Self { series: self.series.clone(), events: self.events.clone() };
        let mut own = Rng::with_seed(seed);
        for event in &mut world.events {
            let v = event.sample.v;
            if v.is_finite() && (each || v.fract() != 0.0) {
                let share = if each { own.f64() } else { Rng::with_seed(seed ^ v.to_bits()).f64() };
                event.sample.v = v * (1.0 + size * (2.0 * share - 1.0));
            }
        }
        world
    }
}
