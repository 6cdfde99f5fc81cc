//! `state` in `forewarn.yml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::source::config::Span;

/// `state`: what survives a restart, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// Folder for checkpoints and the log of what was received, for this process alone; relative to this file. Left out:
    /// nothing is kept.
    pub dir: Option<PathBuf>,
    /// How often a checkpoint is taken; there is one at the end as well.
    pub checkpoint_interval: Span,
    /// How many checkpoints are kept: a restart goes back to an older one where a newer one is damaged.
    pub keep: usize,
    /// Bytes that the log may have. From half of it on checkpoints are taken sooner; at the bound senders are told to come again.
    pub log_max_bytes: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { dir: None, checkpoint_interval: Span(Duration::from_secs(30)), keep: 3, log_max_bytes: 2 << 30 }
    }
}

/// Smallest bound on the log: segments need some room.
const LOG_MAX_LEAST: u64 = 1 << 20;
/// Requests of the largest size that the log must have room for: one that could never fit would come again for ever, and
/// checkpoints are hurried from half of the log on.
const REQUESTS_LEAST: u64 = 4;

impl StateConfig {
    /// Makes a relative folder start from `dir`.
    pub fn resolve_paths(&mut self, dir: &Path) {
        self.dir.iter_mut().for_each(|path| *path = dir.join(&*path));
    }

    /// Whether it can work where a request may have so many bytes (`limits.request_bytes`).
    ///
    /// # Errors
    /// What cannot, and what would.
    pub fn validate(&self, request_bytes: usize) -> Result<(), String> {
        if self.checkpoint_interval.0 < Duration::from_millis(100) {
            return Err("checkpoint_interval must be 100ms or more".to_owned());
        }
        if self.keep == 0 || self.keep > 100 {
            return Err("keep must be from 1 to 100".to_owned());
        }
        if self.log_max_bytes < LOG_MAX_LEAST {
            return Err(format!("log_max_bytes must be {LOG_MAX_LEAST} or more"));
        }
        let least = (request_bytes as u64).saturating_mul(REQUESTS_LEAST);
        if self.dir.is_some() && self.log_max_bytes < least {
            return Err(format!(
                "log_max_bytes must be {least} or more: the log needs room for {REQUESTS_LEAST} requests of \
                 limits.request_bytes ({request_bytes}); raise the one or lower the other"
            ));
        }
        Ok(())
    }

    /// Bytes after which a segment is followed by a new one: small enough that trimming keeps the log far from its bound.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        (self.log_max_bytes / 32).clamp(64 << 10, 64 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert_eq!(StateConfig::default().validate(1), Ok(()));
        let interval = StateConfig { checkpoint_interval: Span(Duration::ZERO), ..StateConfig::default() };
        assert!(interval.validate(1).unwrap_err().contains("checkpoint_interval"));
        assert!(StateConfig { keep: 0, ..StateConfig::default() }.validate(1).unwrap_err().contains("keep"));
        let small = StateConfig { dir: Some("state".into()), log_max_bytes: 4 << 20, ..StateConfig::default() };
        assert_eq!(small.validate(1 << 20), Ok(()));
        let fault = small.validate((1 << 20) + 1).unwrap_err();
        assert!(fault.contains("4194308") && fault.contains("limits.request_bytes"), "{fault}");
        // Where nothing is kept the log has no bound.
        assert_eq!(StateConfig { dir: None, ..small }.validate(32 << 20), Ok(()));
        assert!(StateConfig { log_max_bytes: 1, ..StateConfig::default() }.validate(1).is_err());
    }
}
