//! The host's clock, for live sources.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::Millis;

/// Milliseconds since the Unix epoch, now.
#[must_use]
pub fn now() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(span) => Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX),
        Err(_) => 0,
    }
}
