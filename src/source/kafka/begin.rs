//! Where reading of a partition begins. Pure; the offsets are asked for elsewhere.

use crate::base::Millis;

use super::config::Start;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Here, or where the group has committed since if that is further on: another member has read up to there.
    AtOrCommitted(i64),
    /// Where the group has committed; at the oldest message if it has not.
    Committed,
    /// At the oldest message.
    Oldest,
    /// Behind the newest message.
    Newest,
    /// At the first message of this instant or later.
    Since(Millis),
}

/// What this process knows of a partition that it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Position in the checkpoint that was restored.
    pub restored: Option<i64>,
    /// How far this process has read it before it was taken away.
    pub read: Option<i64>,
}

/// Decides. What this process has read stands above all; then a checkpoint's position, since the engine's state is of just that
/// instant; then what the configuration says. We commit no further than our oldest checkpoint: where the group is further than
/// ours, others have gone on.
#[must_use]
pub fn begin(known: Known, start: Start) -> Begin {
    match (known.read, known.restored, start) {
        (Some(read), _, _) => Begin::AtOrCommitted(read),
        (None, Some(restored), _) => Begin::AtOrCommitted(restored),
        (None, None, Start::Checkpoint) => Begin::Committed,
        (None, None, Start::Earliest) => Begin::Oldest,
        (None, None, Start::Latest) => Begin::Newest,
        (None, None, Start::Timestamp(t)) => Begin::Since(t),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_stands_above_the_configuration_and_own_reading_above_it() {
        let starts = [Start::Checkpoint, Start::Earliest, Start::Latest, Start::Timestamp(7)];
        for start in starts {
            assert_eq!(begin(Known { restored: Some(3), read: None }, start), Begin::AtOrCommitted(3));
            assert_eq!(begin(Known { restored: Some(3), read: Some(9) }, start), Begin::AtOrCommitted(9));
        }
        let fresh = starts.map(|start| begin(Known::default(), start));
        assert_eq!(fresh, [Begin::Committed, Begin::Oldest, Begin::Newest, Begin::Since(7)]);
    }
}
