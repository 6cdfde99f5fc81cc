//! Firing alerts whose life was over before their receiver heard of them, kept unsent until the engine's next word: for
//! receivers that get no repetitions, and would never hear of what outlives that. Pure: time is an argument.

use std::collections::HashMap;

use crate::base::Millis;

use super::AlertKey;

/// How often it is looked at what has been kept for too long, since that walks all of it.
const LOOK_EVERY: Millis = 60_000;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Aside {
    alerts: HashMap<AlertKey, Kept>,
    look_at: Millis,
}

#[derive(Debug)]
struct Kept {
    /// Its number in the outbox.
    seq: u64,
    since: Millis,
}

impl Aside {
    /// Keeps an alert.
    pub fn put(&mut self, key: AlertKey, seq: u64, now: Millis) {
        self.alerts.insert(key, Kept { seq, since: now });
    }

    /// Lets go of an alert and gives its number, if it is kept.
    pub fn take(&mut self, key: AlertKey) -> Option<u64> {
        self.alerts.remove(&key).map(|kept| kept.seq)
    }

    /// Whether an alert is kept.
    #[must_use]
    pub fn holds(&self, key: AlertKey) -> bool {
        self.alerts.contains_key(&key)
    }

    /// Gives up any that are beyond the capacity; their numbers.
    pub fn shed(&mut self, capacity: usize) -> Vec<u64> {
        let beyond: Vec<AlertKey> =
            self.alerts.keys().take(self.alerts.len().saturating_sub(capacity)).copied().collect();
        beyond.into_iter().filter_map(|key| self.take(key)).collect()
    }

    /// Gives up what has been kept for longer than `longest`, at most once a minute; their numbers.
    pub fn expire(&mut self, now: Millis, longest: Millis) -> Vec<u64> {
        // A clock that was set back is not waited for.
        let is_early = now < self.look_at && self.look_at - now <= LOOK_EVERY;
        if self.alerts.is_empty() || is_early {
            return Vec::new();
        }
        self.look_at = now.saturating_add(LOOK_EVERY);
        let over = self.alerts.extract_if(|_, kept| now > kept.since.saturating_add(longest));
        over.map(|(_, kept)| kept.seq).collect()
    }
}
