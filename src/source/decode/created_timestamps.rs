//! What becomes of the times at which counters began, where a protocol tells them. Pure, and without memory: the engine, which
//! knows what a series has, leaves out what says nothing new.

use serde::{Deserialize, Serialize};

use crate::base::Millis;

/// Created timestamps of remote write 2.0, start times of OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreatedTimestamps {
    /// Nothing, as in Prometheus by default: the first value of a new counter is no increase.
    #[default]
    Ignore,
    /// A sample of zero at that instant, where the series has none as new, as with Prometheus'
    /// `created-timestamp-zero-ingestion`.
    ZeroSample,
}

/// How long before a sample its counter may have begun for that to be told. Prometheus' storage takes nothing older than half
/// a block, one hour, before its newest; and so a process that runs for longer costs nothing.
const REACH: Millis = 3_600_000;

impl CreatedTimestamps {
    /// When the counter with a sample at `t` began, if that is to be told; 0 where the sender does not know.
    #[must_use]
    pub fn begin(self, created: Millis, t: Millis) -> Option<Millis> {
        let is_known = created > 0 && created < t && t - created <= REACH;
        (self == Self::ZeroSample && is_known).then_some(created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_and_recent_is_told() {
        let begin = |created, t| CreatedTimestamps::ZeroSample.begin(created, t);
        assert_eq!(begin(5, 6), Some(5));
        assert_eq!(begin(1, 1 + REACH), Some(1));
        for (created, t) in [(0, 6), (6, 6), (7, 6), (-1, 6), (1, 2 + REACH), (Millis::MIN, Millis::MAX)] {
            assert_eq!(begin(created, t), None, "{created} {t}");
        }
        assert_eq!(CreatedTimestamps::Ignore.begin(5, 6), None);
    }
}
