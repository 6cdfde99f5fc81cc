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
    /// Whether it is at its end and has been silent for so long that event time goes on without it.
    pub is_idle: bool,
}

/// For each partition whether it must wait. One that waits goes on when it is ahead by half the drift only, so that it does
/// not stop and go with every message. Where the engine is crowded, all that is beyond `far` waits as well: not what event time
/// waits for, nor what is idle and would be late if it waited.
#[must_use]
pub fn align(partitions: &[Standing], drift: Millis, far: Option<Millis>) -> Vec<bool> {
    // Those that wait are ahead, not slow. One that nothing was read of yet says nothing of where it stands.
    let behind = partitions.iter().filter(|p| p.is_behind && !p.waits);
    let slowest = behind.filter_map(|p| p.newest).min();
    let must_wait = |p: &Standing| {
        let Some(newest) = p.newest else { return false };
        let is_ahead = |slowest| newest.saturating_sub(slowest) > if p.waits { drift / 2 } else { drift };
        slowest.is_some_and(is_ahead) || far.is_some_and(|far| newest > far && !p.is_idle)
    };
    partitions.iter().map(must_wait).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn align(partitions: &[Standing], drift: Millis) -> Vec<bool> {
        super::align(partitions, drift, None)
    }

    fn standing(newest: Millis, is_behind: bool, waits: bool) -> Standing {
        Standing { newest: Some(newest), is_behind, waits, is_idle: false }
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
        let fresh = Standing { newest: None, ..standing(0, true, false) };
        assert_eq!(align(&[fast, fresh], 500), [false, false]);
    }

    #[test]
    fn where_the_engine_is_crowded_only_what_time_waits_for_is_read() {
        let fresh = Standing { newest: None, ..standing(0, true, false) };
        let all = [standing(1_000, true, false), standing(900, true, true), fresh, standing(850, false, false)];
        assert_eq!(super::align(&all, 500, Some(899)), [true, true, false, false]);
        assert_eq!(super::align(&all, 500, Some(Millis::MIN)), [true, true, false, true], "time has not begun");
        assert_eq!(super::align(&all, 500, Some(1_000)), [false; 4]);
        let idle = Standing { is_idle: true, ..standing(1_000, false, false) };
        assert_eq!(super::align(&[idle], 500, Some(899)), [false], "time does not wait for it, and it brings little");
    }
}
