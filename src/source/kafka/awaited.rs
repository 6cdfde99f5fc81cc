//! Partitions of the restored checkpoint that are not ours yet, and that event time waits for. Pure.
//!
//! A member that was killed keeps its partitions until its session ends; after two kills in short order the first assignment
//! has a part of them only. If event time went on with that part, what the others have in store would be late.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::begin::Known;
use super::context::TopicPartition;

/// What is waited for, and until when: others may have taken it over for good.
#[derive(Debug)]
pub struct Awaited {
    partitions: HashSet<TopicPartition>,
    until: Instant,
}

impl Awaited {
    /// Those that a checkpoint has positions of, and that this process has not read.
    pub fn new(known: &HashMap<TopicPartition, Known>, until: Instant) -> Self {
        let unread = known.iter().filter(|(_, known)| known.restored.is_some() && known.read.is_none());
        Self { partitions: unread.map(|(name, _)| name.clone()).collect(), until }
    }

    /// A partition is ours.
    pub fn given(&mut self, name: &TopicPartition) {
        self.partitions.remove(name);
    }

    /// How many are waited for; none any more once the time is over.
    #[must_use]
    pub fn waits_for(&self, now: Instant) -> usize {
        if now < self.until { self.partitions.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn those_of_the_checkpoint_are_waited_for_until_they_come_or_the_time_is_over() {
        let start = Instant::now();
        let until = start + Duration::from_secs(60);
        let name = |number| ("t".to_owned(), number);
        let restored = Known { restored: Some(5), read: None };
        let read = Known { restored: Some(5), read: Some(9) };
        let known =
            HashMap::from([(name(0), restored), (name(1), restored), (name(2), read), (name(3), Known::default())]);
        let mut awaited = Awaited::new(&known, until);
        assert_eq!((awaited.waits_for(start), awaited.waits_for(until)), (2, 0));
        awaited.given(&name(0));
        awaited.given(&name(7));
        assert_eq!(awaited.waits_for(start), 1);
        awaited.given(&name(1));
        assert_eq!(awaited.waits_for(start), 0);
    }
}
