//! Who is told of which transitions: what happened before the process started is history and only shown, what happens now
//! goes to the sinks.
//!
//! An alert that began in history and still holds is told of at the first occasion after the start, as one that fires; one
//! that ended in history, or whose beginning nobody was told of, is not told of at all.
//!
//! A dry run tells nobody. Whoever goes on from its checkpoints tells of what began in it and still holds, as of history.

use std::collections::HashSet;
use std::sync::Arc;

use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;
use crate::sink::AlertKey;

use super::told_since::ToldSince;

/// Sorts transitions by who is told.
#[derive(Debug)]
pub struct Teller {
    told_since: ToldSince,
    /// Alerts that fire since before the start, and that no receiver knows of. As many as fire at once.
    untold: HashSet<AlertKey>,
    /// In a dry run: alerts that fire since it began, and that receivers would know of. None otherwise.
    dry: Option<HashSet<AlertKey>>,
}

/// What becomes of some transitions.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    /// For people only.
    pub shown: Vec<Transition>,
    /// For the sinks.
    pub sent: Vec<Transition>,
}

impl Teller {
    /// A teller for a process that started at this instant of its clock.
    #[must_use]
    pub fn new(started_at: impl Into<ToldSince>) -> Self {
        Self::resumed(started_at, [])
    }

    /// Goes on as a teller that knew this, see [`Self::kept`].
    #[must_use]
    pub fn resumed(told_since: impl Into<ToldSince>, untold: impl IntoIterator<Item = AlertKey>) -> Self {
        Self { told_since: told_since.into(), untold: untold.into_iter().collect(), dry: None }
    }

    /// From now on what is told reaches no receiver.
    pub fn run_dry(&mut self) {
        self.dry.get_or_insert_default();
    }

    /// What a teller after a restart must know: from when on it tells, and whom nobody knows of, in order.
    #[must_use]
    pub fn kept(&self) -> (Millis, Vec<AlertKey>) {
        let dry = self.dry.iter().flatten();
        let mut untold: Vec<AlertKey> = self.untold.iter().chain(dry).copied().collect();
        untold.sort_unstable();
        untold.dedup();
        (self.told_since.get(), untold)
    }

    /// Sorts transitions, in order.
    pub fn sort(&mut self, transitions: &Arc<[Transition]>) -> Told {
        let (mut told, told_since) = (Told::default(), self.told_since.get());
        for transition in transitions.iter() {
            let key = AlertKey::of(transition);
            if transition.at < told_since {
                if transition.is_notified() && transition.to == AlertState::Firing {
                    self.untold.insert(key);
                } else if transition.to == AlertState::Inactive {
                    self.untold.remove(&key);
                }
                told.shown.push(transition.clone());
                continue;
            }
            let matters = transition.to == AlertState::Inactive || transition.is_notified();
            let untold = matters && self.untold.remove(&key);
            let sent = match (untold, transition.to) {
                (true, AlertState::Inactive) => continue,
                // To its receivers the alert begins now.
                (true, _) => {
                    let (from, reason) = (AlertState::Pending, Reason::HeldLongEnough);
                    Transition { from, reason, ..transition.clone() }
                }
                (false, _) => transition.clone(),
            };
            if let Some(dry) = &mut self.dry {
                match sent.to {
                    AlertState::Inactive => {
                        dry.remove(&key);
                    }
                    // A repetition is of what receivers knew before the dry run, or of what is among these already.
                    AlertState::Firing if !matches!(sent.reason, Reason::Resent | Reason::KeptFiring) => {
                        dry.insert(key);
                    }
                    _ => {}
                }
            }
            told.sent.push(sent);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::RuleRef;
    use crate::base::Labels;

    fn transition(at: Millis, name: &str, to: AlertState, reason: Reason) -> Transition {
        let text = || name.to_owned();
        Transition {
            at,
            rule: Arc::new(RuleRef { file: text(), group: text(), alert: text(), expr: text() }),
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: vec![],
            from: AlertState::Firing,
            to,
            reason,
            value: 1.0,
            active_at: 1,
            fired_at: Some(1),
            resolved_at: None,
            ends_at: at + 240_000,
        }
    }

    #[test]
    fn what_fires_since_before_the_start_is_told_of_once_as_firing() {
        use AlertState::{Firing, Inactive};
        use Reason::{Cleared, HeldLongEnough, Resent};
        let mut teller = Teller::new(1_000);
        let past = teller.sort(
            &vec![
                transition(100, "held", Firing, HeldLongEnough),
                transition(100, "over", Firing, HeldLongEnough),
                transition(100, "ends", Firing, HeldLongEnough),
                transition(200, "over", Inactive, Cleared),
            ]
            .into(),
        );
        assert_eq!((past.shown.len(), past.sent.len()), (4, 0));
        let now = teller.sort(
            &vec![
                transition(1_000, "held", Firing, Resent),
                transition(1_000, "ends", Inactive, Cleared),
                transition(1_000, "new", Firing, HeldLongEnough),
                transition(2_000, "held", Firing, Resent),
                transition(3_000, "held", Inactive, Cleared),
            ]
            .into(),
        );
        let sent: Vec<(&str, Reason)> = now.sent.iter().map(|t| (t.rule.alert.as_str(), t.reason)).collect();
        assert_eq!(sent, [("held", HeldLongEnough), ("new", HeldLongEnough), ("held", Resent), ("held", Cleared)]);
        assert_eq!(now.sent[0].from, AlertState::Pending);
    }

    #[test]
    fn a_clock_that_was_ahead_at_the_start_silences_nothing_once_it_is_right() {
        use AlertState::Firing;
        use Reason::{HeldLongEnough, Resent};
        let hours = 7_200_000;
        let since = ToldSince::from(10_000 + hours);
        let mut teller = Teller::new(since.clone());
        let early = teller.sort(&vec![transition(5_000, "early", Firing, HeldLongEnough)].into());
        assert_eq!((early.shown.len(), early.sent.len()), (1, 0), "as far as is known it is history");
        since.see_clock(20_000);
        let told = teller.sort(
            &vec![transition(30_000, "new", Firing, HeldLongEnough), transition(65_000, "early", Firing, Resent)]
                .into(),
        );
        let names: Vec<&str> = told.sent.iter().map(|t| t.rule.alert.as_str()).collect();
        assert_eq!(names, ["new", "early"]);
        assert_eq!(teller.kept(), (20_000, vec![]), "and the next process knows");
    }

    #[test]
    fn what_began_in_a_dry_run_is_told_of_by_whoever_goes_on_from_it() {
        use AlertState::{Firing, Inactive};
        use Reason::{Cleared, HeldLongEnough, Resent};
        let mut teller = Teller::new(0);
        teller.sort(&vec![transition(10, "known", Firing, HeldLongEnough)].into());
        assert_eq!(teller.kept().1, []);
        teller.run_dry();
        let shown = teller.sort(
            &vec![
                transition(20, "known", Firing, Resent),
                transition(20, "new", Firing, HeldLongEnough),
                transition(20, "over", Firing, HeldLongEnough),
                transition(30, "over", Inactive, Cleared),
                transition(30, "new", Firing, Resent),
            ]
            .into(),
        );
        assert_eq!(shown.sent.len(), 5, "a dry run shows what would be sent");
        let (since, untold) = teller.kept();
        assert_eq!(untold, [AlertKey::of(&transition(20, "new", Firing, HeldLongEnough))]);
        let mut live = Teller::resumed(since, untold);
        let told = live.sort(
            &vec![
                transition(40, "known", Firing, Resent),
                transition(40, "new", Firing, Resent),
                transition(50, "new", Firing, Resent),
                transition(60, "new", Inactive, Cleared),
            ]
            .into(),
        );
        let reasons: Vec<_> = told.sent.iter().map(|t| t.reason).collect();
        assert_eq!(reasons, [Resent, HeldLongEnough, Resent, Cleared]);
        assert_eq!(live.kept().1, []);
    }
}
