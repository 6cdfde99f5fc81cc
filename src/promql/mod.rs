//! The language of rules: PromQL with predictive functions.
//!
//! Knows text and trees; knows nothing of series, windows or files.

mod check;
mod cursor;
mod error;
mod explain;
mod extensions;
mod functions;
mod lexer;
mod literal;
mod parse;
mod refuse;
mod regex;
mod selector;
mod syntax;

pub use error::ExprError;
pub use parse::parse;
pub use regex::anchored;
