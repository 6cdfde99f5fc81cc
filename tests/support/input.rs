//! Input for runs that are to be compared: the same samples whoever sends them, a request for each step of time.

use forewarn::base::{Batch, BatchBuilder, Labels, Limits, Millis};

/// Rules whose state spans many steps: `for`, `keep_firing_for`, windows, recorded series, forecasts, and models that have
/// learnt: a score that is recorded, one of which the budget makes an alert of ordinary chance, a quantile, a crossing.
pub const RULES: &str = r#"
groups:
  - name: steps
    interval: 200ms
    rules:
      - {record: "noise:avg", expr: "avg_over_time(noise[3s])"}
      - {record: "work:rate", expr: "rate(work_total[2s])"}
      - {alert: Square, expr: "square > 0.5", labels: {kind: plain}}
      - {alert: Held, expr: "square > 0.5", for: 600ms, annotations: {summary: "{{ $labels.i }} is {{ $value }}"}}
      - {alert: Kept, expr: "square > 0.5", for: 200ms, keep_firing_for: 800ms}
      - {alert: Busy, expr: "work:rate > 60", for: 400ms}
      - {alert: Noisy, expr: "noise:avg > 0.52"}
      - {alert: Runs, expr: "predict_linear(level[3s], 2) < 0", for: 200ms}
      - {record: "noise:score", expr: 'predict_anomaly(noise, "quick")'}
      - {alert: Strange, expr: "noise:score > 1"}
      - {alert: Surprise, expr: 'predict_anomaly(steady, "quick") > 1', for: 200ms}
      - {alert: Rises, expr: 'predict_quantile(0.9, wave, 1, "quick") > 14'}
      - {alert: Empties, expr: 'time_until(tank, 0, 0.5, "quick") < 3'}
      - {alert: Odd, expr: 'outlier_score(avg_over_time(noise[1s]), "i") > 0.7'}
      - {alert: Rest, expr: "max_over_time((sum(square))[2s:200ms]) < 4"}
"#;

/// The profile of those models: soon warm, and with so large a budget that a score above 1 is common.
pub const PROFILE: &str = "name: quick\nseasonality: none\nwarm_up: 4s\nfalse_alarms: 5000/day\n";

/// Series of each kind.
const SERIES: usize = 6;

/// Samples every 100 ms from a start on.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    start: Millis,
    steps: usize,
}

impl Input {
    /// So many steps from `start` on.
    pub fn new(start: Millis, steps: usize) -> Self {
        Self { start, steps }
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    /// When a step is.
    pub fn time(&self, step: usize) -> Millis {
        self.start + 100 * step as Millis
    }

    /// The samples of a step.
    pub fn batch(&self, step: usize) -> Batch {
        let mut builder = BatchBuilder::new(&Limits::default());
        for i in 0..SERIES {
            let mut put = |name: &str, value: f64| {
                let labels = Labels::from_pairs([("__name__", name.to_owned()), ("i", i.to_string())]);
                builder.series(labels.as_ref());
                builder.sample(self.time(step), value);
            };
            let period = 9 + 5 * i;
            put("square", f64::from(u8::from((step / period) % 2 == 1)));
            put("noise", noise(step * SERIES + i));
            // Steps of 4 to 9 for 2.5 s, then of half that.
            put("work_total", work(step, i));
            put("steady", 50.0 + noise(1_000_000 + step * SERIES + i) + 40.0 * f64::from(u8::from(surprises(step, i))));
            put("wave", 10.0 + 5.0 * (step as f64 / (12 + 3 * i) as f64).sin() + noise(2_000_000 + step * SERIES + i));
            // Drained in 10 to 15 s, by 3 to 4 % more or less a step, then full again.
            let cycle = 100 + 10 * i;
            put("tank", 100.0 - 100.0 / cycle as f64 * (step % cycle) as f64 + noise(3_000_000 + step * SERIES + i));
            put("level", ((step + 7 * i) % 40) as f64 * if (step / 40).is_multiple_of(2) { 1.0 } else { -1.0 } + 10.0);
        }
        builder.finish()
    }
}

/// From 0 to 1, without a pattern.
fn noise(n: usize) -> f64 {
    (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64
        / u64::MAX as f64
}

/// For 0.8 s every 6 to 9 s.
fn surprises(step: usize, i: usize) -> bool {
    (step + 13 * i) % (60 + 6 * i) >= 52 + 6 * i
}

fn work(step: usize, i: usize) -> f64 {
    (0..=step).map(|s| (4 + i) as f64 * if (s / 25) % 2 == 0 { 1.0 } else { 0.5 } + 1.0).sum()
}
