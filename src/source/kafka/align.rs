//! Which partitions must wait because they are too far ahead of the others in event time. Pure.
//!
//! While a backlog is read, partitions come in any proportion. What is ahead of the slowest waits in the engine for the
//! watermark, in memory; so it had better wait in the cluster.

use crate::base::Millis;

/// A partition, as far as this matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Newest event time read.
    pub newest: Option<Millis>,
    /// Whether more is expected of it soon: it is not read to its end, and it can be read.
    pub is_behind: bool,
    /// Whether it waits already.
    pub waits: bool,
}

/// For each partition whether it must wait. One that waits goes on when it is ahead by half the drift only, so that it does
/// not stop and go with every message.
#[must_use]
pub fn align(partitions: &[Standing], drift: Millis) -> Vec<bool> {
    // Those that wait are ahead, not slow. One that nothing was read of yet says nothing of where it stands.
    let behind = partitions.iter().filter(|p| p.is_behind && !p.waits);
    let slowest = behind.filter_map(|p| p.newest).min();
    let must_wait = |p: &Standing| {
        let (Some(newest), Some(slowest)) = (p.newest, slowest) else { return false };
        newest.saturating_sub(slowest) > if p.waits { drift / 2 } else { drift }
    };
    partitions.iter().map(must_wait).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(newest: Millis, is_behind: bool, waits: bool) -> Standing {
        Standing { newest: Some(newest), is_behind, waits }
    }

    #[test]
    fn who_is_far_ahead_waits_for_those_with_a_backlog() {
        let (fast, slow, done) = (standing(1_000, true, false), standing(100, true, false), standing(50, false, false));
        assert_eq!(align(&[fast, slow, done], 500), [true, false, false]);
        assert_eq!(align(&[fast, done], 500), [false, false], "nobody waits for one that is read to its end");
        let waiting = Standing { waits: true, ..fast };
        assert_eq!(align(&[waiting, standing(600, true, false)], 500), [true, false]);
        assert_eq!(align(&[waiting, standing(750, true, false)], 500), [false, false]);
        assert_eq!(align(&[waiting], 500), [false], "alone nobody is ahead");
        let fresh = Standing { newest: None, is_behind: true, waits: false };
        assert_eq!(align(&[fast, fresh], 500), [false, false]);
    }
}
