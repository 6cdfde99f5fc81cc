//! Whether others of the group read partitions of our topics: an aggregation over a part looks like one over all, so that somebody
//! has to say it. Instants are arguments.

use std::time::{Duration, Instant};

/// How long others may have partitions before it is told: while a group is being rearranged they may.
const PASSING: Duration = Duration::from_secs(20);

/// Since when others have partitions.
#[derive(Debug, Default)]
pub struct Shared {
    since: Option<Instant>,
    told: bool,
}

impl Shared {
    /// Takes note of how many they have; says once that it lasts.
    pub fn is_news(&mut self, partitions: usize, now: Instant) -> bool {
        if partitions == 0 {
            *self = Self::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_news = !self.told && now.saturating_duration_since(since) >= PASSING;
        self.told |= is_news;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_once() {
        let (mut shared, start) = (Shared::default(), Instant::now());
        let told: Vec<bool> = [(2, 0), (2, 10), (0, 15), (2, 16), (2, 30), (1, 36), (1, 40), (0, 41), (3, 42), (3, 62)]
            .map(|(partitions, at)| shared.is_news(partitions, start + Duration::from_secs(at)))
            .to_vec();
        let when: Vec<usize> = (0..told.len()).filter(|i| told[*i]).collect();
        assert_eq!(when, [5, 9]);
    }
}
