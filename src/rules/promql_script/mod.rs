//! Prometheus' scripts of PromQL evaluations (`promql/promqltest` in prometheus/prometheus): series to load, expressions to
//! evaluate, and what must come of them.
//!
//! Reads the language; evaluates nothing and knows nothing of the engine. What the engine cannot do (native histograms, start
//! timestamps) is read as well, so that whoever runs a script can say which evaluation needs it.
//!
//! ```text
//! load 1m
//!   requests_total{job="a"} 0+60x10
//!
//! eval instant at 10m rate(requests_total[5m])
//!   expect no_warn
//!   {job="a"} 1
//! ```

mod eval;
mod expectation;
mod load;
mod read;
mod series;

pub use eval::{Eval, Expected, ExpectedSeries, Instants};
pub use expectation::{Expectation, Wording};
pub use load::{Load, LoadedSeries};
pub use read::{Command, Script, ScriptError};
pub use series::Points;
