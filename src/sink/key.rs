//! Identity of an alert, and of one of its transitions, on the way out. Both outlive the process: the outbox keeps them.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::alert::{AlertState, Reason, Transition};

/// Names one alert: rule file, group, alert's name and labels. All its transitions share the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertKey(u128);

impl AlertKey {
    /// The key of a transition's alert.
    #[must_use]
    pub fn of(transition: &Transition) -> Self {
        let rule = &transition.rule;
        Self(digest(&[&rule.file, &rule.group, &rule.alert], transition).digest128())
    }

    /// As a number, which stays the same from release to release.
    #[must_use]
    pub fn get(self) -> u128 {
        self.0
    }

    /// From [`Self::get`].
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(number)
    }
}

/// Names one transition: its rule with the expression, the alert's labels, the tick, the state after and the reason. A tick
/// that is evaluated again after a restart gives the same names again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransitionId(u128);

impl TransitionId {
    /// The name of a transition.
    #[must_use]
    pub fn of(transition: &Transition) -> Self {
        let rule = &transition.rule;
        let mut hash = digest(&[&rule.file, &rule.group, &rule.alert, &rule.expr], transition);
        hash.update(&transition.at.to_le_bytes());
        hash.update(&[state_code(transition.to), reason_code(transition.reason)]);
        Self(hash.digest128())
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u128 {
        self.0
    }

    /// From [`Self::get`].
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(number)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for TransitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn digest(parts: &[&String], transition: &Transition) -> Xxh3 {
    let mut hash = Xxh3::new();
    for part in parts {
        // The length keeps "ab" + "c" apart from "a" + "bc".
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(transition.labels.as_bytes());
    hash
}

/// A state's number on disk and in identities.
pub(super) fn state_code(state: AlertState) -> u8 {
    match state {
        AlertState::Inactive => 0,
        AlertState::Pending => 1,
        AlertState::Firing => 2,
    }
}

/// A reason's number on disk and in identities.
pub(super) fn reason_code(reason: Reason) -> u8 {
    match reason {
        Reason::Began => 0,
        Reason::HeldLongEnough => 1,
        Reason::ClearedWhilePending => 2,
        Reason::Cleared => 3,
        Reason::KeptFiring => 4,
        Reason::Resent => 5,
        Reason::RuleRemoved => 6,
        Reason::OverLimit => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn identities_are_the_same_in_every_release() {
        let firing = testing::firing("Down", 60_000);
        assert_eq!(format!("{:032x}", AlertKey::of(&firing).get()), "f3b3578568772e96c38251b782bbc059");
        assert_eq!(TransitionId::of(&firing).to_string(), "de9dd011e262f831d7a3e16f4cff7865");
    }

    #[test]
    fn each_part_of_a_transition_tells_it_from_others() {
        let base = testing::firing("Down", 60_000);
        let others = [
            Transition { at: 60_001, ..base.clone() },
            Transition { reason: Reason::Resent, ..base.clone() },
            Transition { to: AlertState::Inactive, ..base.clone() },
            testing::firing("Up", 60_000),
        ];
        assert!(others.iter().all(|other| TransitionId::of(other) != TransitionId::of(&base)));
        // What is only told about an alert is no part of its name.
        let told = Transition { value: 7.0, annotations: vec![], ends_at: 0, ..base.clone() };
        assert_eq!(TransitionId::of(&told), TransitionId::of(&base));
    }
}
