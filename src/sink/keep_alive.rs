//! Which firing alerts receivers are told of again while event time is held back, and nothing comes from the engine. Pure:
//! event time and the clock are arguments.
//!
//! Alertmanager gives an alert up that is not repeated within its life, four repetitions by default. The engine repeats by
//! event time. Where that stands still, because a broker is away, the machine is slow or a backlog is read, receivers would
//! take silence for an end. So what the engine said last is said again by the clock, with the same `startsAt` and a later
//! `endsAt`: when half of an alert's life has passed since it was sent, though event time has not come as far.
//!
//! - **Not for ever**: for [`LONGEST`] after the engine's last word, so that a `Watchdog` tells of an engine that stands still.
//! - **Nothing is said that is not so as far as is known**: where event time goes on and no repetition comes, as when a rule
//!   fails, the engine has had its turn and the alert expires as ever. One whose life is over is not brought back either.
//! - **It outlives the process** if there is an outbox, in which it is a sink of its own that nobody sees.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;

use super::AlertKey;

/// How long after the engine's last word on an alert it is repeated.
pub const LONGEST: Duration = Duration::from_secs(900);

/// What receivers that need repetitions believe to fire.
#[derive(Debug)]
pub struct KeepAlive {
    capacity: usize,
    alerts: HashMap<AlertKey, Told>,
    /// Before this nothing is due.
    look_at: Option<Instant>,
    released: Vec<u64>,
}

#[derive(Debug)]
struct Told {
    transition: Arc<Transition>,
    /// Its number in the outbox.
    seq: u64,
    /// When the engine said so.
    told: Instant,
    /// When it was sent last.
    sent: Instant,
}

impl Told {
    fn life(&self) -> Duration {
        let life = self.transition.ends_at.saturating_sub(self.transition.at);
        Duration::from_millis(u64::try_from(life).unwrap_or(0))
    }

    fn due_at(&self) -> Option<Instant> {
        self.sent.checked_add(self.life() / 2)
    }

    /// Whether event time has come so far that the engine has repeated the alert, or has chosen not to.
    fn had_its_turn(&self, event_time: Option<Millis>) -> bool {
        let half = self.transition.ends_at.saturating_sub(self.transition.at) / 2;
        event_time.is_some_and(|now| now >= self.transition.at.saturating_add(half))
    }
}

impl KeepAlive {
    /// Nothing fires yet. Beyond `capacity` alerts, those that come later are left to the engine.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, alerts: HashMap::new(), look_at: None, released: Vec::new() }
    }

    /// Takes note of what the engine has said, with its number in the outbox.
    pub fn note(&mut self, seq: u64, transition: &Arc<Transition>, now: Instant) {
        self.released.push(seq);
        if !transition.is_notified() {
            return;
        }
        let full = self.alerts.len() >= self.capacity;
        let key = AlertKey::of(transition);
        match (self.alerts.entry(key), transition.to == AlertState::Firing) {
            (Entry::Occupied(known), false) => self.released.push(known.remove().seq),
            (Entry::Vacant(_), false) => {}
            (Entry::Vacant(_), true) if full => {}
            (entry, true) => {
                self.released.pop();
                let told = Told { transition: Arc::clone(transition), seq, told: now, sent: now };
                let due_at = told.due_at();
                match entry {
                    Entry::Occupied(mut known) => self.released.push(known.insert(told).seq),
                    Entry::Vacant(free) => drop(free.insert(told)),
                }
                self.look_at = self.look_at.min(due_at);
            }
        }
    }

    /// Takes in what a process before this one has sent, oldest first: it was told so `told` ago, and sent it last `sent` ago.
    pub fn restore(&mut self, seq: u64, transition: &Arc<Transition>, told: Duration, sent: Duration, now: Instant) {
        // A machine that has run for less than that knows no such instant; then the alert's life is over as well.
        let (Some(told), Some(sent)) = (now.checked_sub(told.max(sent)), now.checked_sub(sent)) else {
            return self.released.push(seq);
        };
        self.note(seq, transition, told);
        if let Some(alert) = self.alerts.get_mut(&AlertKey::of(transition)).filter(|alert| alert.seq == seq) {
            alert.sent = sent;
        }
    }

    /// What has to be said again now, with its number in the outbox.
    pub fn due(&mut self, event_time: Option<Millis>, now: Instant) -> Vec<(u64, Arc<Transition>)> {
        if self.look_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.forget(event_time, now);
        let mut due = Vec::new();
        for (key, alert) in &mut self.alerts {
            let (told, sent) = (now.saturating_duration_since(alert.told), now.saturating_duration_since(alert.sent));
            let life = alert.life();
            if sent >= life / 2 && sent < life && told < LONGEST && !alert.had_its_turn(event_time) {
                alert.sent = now;
                due.push((*key, (alert.seq, again(&alert.transition))));
            }
        }
        // Those that are past help are looked at no more often than the others.
        let next = self.alerts.values().filter_map(Told::due_at).filter(|at| *at > now).min();
        let soon = now.checked_add(Duration::from_secs(15));
        self.look_at = next.into_iter().chain(soon).min();
        due.sort_unstable_by_key(|(key, _)| *key);
        due.into_iter().map(|(_, again)| again).collect()
    }

    /// Forgets what can never be due again: the engine's next word on it brings it back.
    fn forget(&mut self, event_time: Option<Millis>, now: Instant) {
        let Self { alerts, released, .. } = self;
        alerts.retain(|_, alert| {
            let (told, sent) = (now.saturating_duration_since(alert.told), now.saturating_duration_since(alert.sent));
            let keep = sent < alert.life() && told < LONGEST && !alert.had_its_turn(event_time);
            released.extend((!keep).then_some(alert.seq));
            keep
        });
    }

    /// Numbers that are needed no longer.
    pub fn take_released(&mut self) -> Vec<u64> {
        let mut released = std::mem::take(&mut self.released);
        released.retain(|seq| *seq != 0);
        released
    }
}

/// The same as a repetition.
fn again(transition: &Transition) -> Arc<Transition> {
    Arc::new(Transition { from: AlertState::Firing, reason: Reason::Resent, ..transition.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// Life of a test's alert.
    const LIFE: u64 = 240;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn firing(alert: &str) -> Arc<Transition> {
        Arc::new(testing::firing(alert, 60_000))
    }

    #[test]
    fn while_time_stands_still_what_fires_is_repeated_and_not_for_ever() {
        let (mut keep, start) = (KeepAlive::new(10), Instant::now());
        keep.note(0, &firing("a"), start);
        let stands = Some(61_000);
        assert!(keep.due(stands, start + seconds(LIFE / 2 - 1)).is_empty());
        let said: Vec<u64> = (0..2_000).filter(|n| !keep.due(stands, start + seconds(*n)).is_empty()).collect();
        assert_eq!(said, [120, 240, 360, 480, 600, 720, 840]);
        // The engine speaks, and stops again.
        let again = start + seconds(2_000);
        keep.note(7, &firing("a"), again);
        let due = keep.due(stands, again + seconds(150));
        let want = Transition { from: AlertState::Firing, reason: Reason::Resent, ..testing::firing("a", 60_000) };
        assert_eq!(due.iter().map(|(seq, t)| (*seq, (**t).clone())).collect::<Vec<_>>(), [(7, want)]);
    }

    #[test]
    fn what_has_ended_or_what_the_engine_did_not_repeat_is_not() {
        let (mut keep, start) = (KeepAlive::new(10), Instant::now());
        keep.note(0, &firing("ended"), start);
        keep.note(0, &firing("fails"), start);
        keep.note(0, &Arc::new(testing::resolved("ended", 60_000, 90_000)), start);
        let late = start + seconds(130);
        assert_eq!(keep.due(Some(60_000 + 119_999), late).len(), 1);
        let later = late + seconds(130);
        assert!(keep.due(Some(60_000 + 120_000), later).is_empty(), "its rule was evaluated without a repetition");
        // A clock that jumped over its life: whoever got it has given it up.
        keep.note(9, &firing("jumps"), later);
        assert!(keep.due(Some(61_000), later + seconds(1_000)).is_empty());
        assert_eq!((keep.take_released(), keep.alerts.len()), (vec![9], 0), "neither is remembered");
    }

    #[test]
    fn what_is_kept_in_the_outbox_is_the_newest_of_what_fires() {
        let (mut keep, start) = (KeepAlive::new(2), Instant::now());
        keep.note(1, &firing("a"), start);
        keep.note(2, &firing("b"), start);
        assert!(keep.take_released().is_empty());
        keep.note(3, &firing("c"), start);
        keep.note(4, &firing("a"), start);
        assert_eq!(keep.take_released(), [3, 1], "no room, superseded");
        let pending = Transition { fired_at: None, to: AlertState::Pending, ..testing::firing("d", 1) };
        keep.note(5, &Arc::new(pending), start);
        keep.note(6, &Arc::new(testing::resolved("b", 60_000, 90_000)), start);
        assert_eq!(keep.take_released(), [5, 6, 2]);
    }

    #[test]
    fn after_a_restart_only_what_still_lives_is_repeated() {
        let (mut keep, now) = (KeepAlive::new(10), Instant::now() + seconds(10_000));
        let (age, never) = (seconds(LIFE - 10), LONGEST);
        keep.restore(1, &firing("lives"), age, age, now);
        keep.restore(2, &firing("over"), seconds(LIFE + 10), seconds(LIFE + 10), now);
        keep.restore(3, &firing("repeated"), seconds(LIFE + 10), age, now);
        keep.restore(4, &firing("for too long"), never, age, now);
        let names = |due: Vec<(u64, Arc<Transition>)>| -> Vec<String> {
            let mut names: Vec<_> = due.iter().map(|(_, t)| t.rule.alert.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names(keep.due(None, now)), ["lives", "repeated"]);
        assert!(names(keep.due(None, now + seconds(600))).is_empty());
    }
}
