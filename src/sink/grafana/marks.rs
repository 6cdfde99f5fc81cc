//! The newest instants that alerts have marked. Pure.
//!
//! What repeats one of them needs no search, and brings back nothing that somebody has deleted. Bounded: past the capacity the
//! oldest instant is forgotten, of which a repetition is the least likely.

use std::collections::HashMap;

use crate::base::Millis;

use super::super::key::AlertKey;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Marks {
    capacity: usize,
    newest: HashMap<AlertKey, Millis>,
}

impl Marks {
    /// None yet, of at most so many alerts.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, newest: HashMap::new() }
    }

    /// Whether the alert has marked this instant, and no other since.
    pub(super) fn has(&self, alert: AlertKey, point: Millis) -> bool {
        self.newest.get(&alert) == Some(&point)
    }

    /// The alert has marked an instant.
    pub(super) fn note(&mut self, alert: AlertKey, point: Millis) {
        self.newest.insert(alert, point);
        if self.newest.len() > self.capacity {
            // Walks all of it, which is nothing beside the request that went before.
            let oldest = self.newest.iter().map(|(alert, point)| (*point, *alert)).min();
            self.newest.retain(|alert, _| oldest.is_none_or(|(_, oldest)| *alert != oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_capacity_the_oldest_instant_is_forgotten() {
        let alert = |n: u128| AlertKey::from_number(n);
        let mut marks = Marks::new(3);
        for (n, point) in [(1, 100), (2, 50), (3, 200), (4, 150)] {
            marks.note(alert(n), point);
        }
        let has = |marks: &Marks| [(1, 100), (2, 50), (3, 200), (4, 150)].map(|(n, point)| marks.has(alert(n), point));
        assert_eq!(has(&marks), [true, false, true, true]);
        // Another instant of a known alert takes no room.
        marks.note(alert(1), 300);
        assert_eq!(has(&marks), [false, false, true, true]);
        assert!(marks.has(alert(1), 300));
    }
}
