//! Unit tests of rules, in the format of `promtool test rules`.
//!
//! Reads the format and the notation of series; runs nothing and knows nothing of the engine.

mod format;
mod notation;
mod schema;

pub use format::{AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, TestFile, TestFileError, TestGroup};
pub use notation::{Notation, NotationError};
