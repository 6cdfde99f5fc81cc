//! Identity of an alert on its way out.

use xxhash_rust::xxh3::Xxh3;

use crate::alert::Transition;

/// Names one alert: rule file, group, alert's name and labels. All its transitions share the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertKey(u128);

impl AlertKey {
    /// The key of a transition's alert.
    #[must_use]
    pub fn of(transition: &Transition) -> Self {
        let mut hash = Xxh3::new();
        for part in [&transition.rule.file, &transition.rule.group, &transition.rule.alert] {
            // The length keeps "ab" + "c" apart from "a" + "bc".
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(transition.labels.as_bytes());
        Self(hash.digest128())
    }
}
