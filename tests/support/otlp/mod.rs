//! OTLP messages for tests.

pub mod json;
pub mod messages;
