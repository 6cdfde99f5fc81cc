//! The host's clock, for live sources, and how far event time has come beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::Millis;

/// How far event time has come, and whether too much waits for it. Clones share it.
#[derive(Clone, Debug)]
pub struct EventTime {
    watermark: Arc<AtomicI64>,
    crowded: Arc<AtomicBool>,
}

impl EventTime {
    /// As it was at a checkpoint; None if it has not begun.
    #[must_use]
    pub fn at(watermark: Option<Millis>) -> Self {
        Self { watermark: Arc::new(AtomicI64::new(watermark.unwrap_or(Millis::MIN))), crowded: Arc::default() }
    }

    /// Says how far it has come.
    pub fn set(&self, watermark: Millis) {
        self.watermark.store(watermark, Relaxed);
    }

    /// How far it has come; None if it has not begun.
    #[must_use]
    pub fn get(&self) -> Option<Millis> {
        Some(self.watermark.load(Relaxed)).filter(|watermark| *watermark != Millis::MIN)
    }

    /// Whether it has come further than the clock: then the clock was set back, and cannot say what is the future.
    #[must_use]
    pub fn is_ahead_of(&self, now: Millis) -> bool {
        self.watermark.load(Relaxed) > now
    }

    /// Says whether so many samples wait for it that what can be read later had better be.
    pub fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Relaxed);
    }

    /// Whether so many wait.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.crowded.load(Relaxed)
    }
}

impl Default for EventTime {
    fn default() -> Self {
        Self::at(None)
    }
}

/// Milliseconds since the Unix epoch, now.
#[must_use]
pub fn now() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(span) => Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX),
        Err(_) => 0,
    }
}
