//! Unit tests of rules, in the format of `promtool test rules` with additions: generated and recorded series, tolerances,
//! alerts within a while.
//!
//! Reads the format and the notation of series; runs nothing and knows neither the engine nor files.

mod expectation;
mod fields;
mod format;
mod generator;
mod input;
mod notation;
mod recording;
mod schema;

pub use expectation::{
    AlertTest, ExpectedAlert, ExpectedSample, ExpectedValue, ExprTest, Fires, Tolerance, WindowTest,
};
pub use format::{TestFile, TestFileError, TestGroup};
pub use generator::Generator;
pub use input::{InputSeries, SeriesValues};
pub use notation::{Notation, NotationError};
pub use recording::{Recording, RecordingError};
