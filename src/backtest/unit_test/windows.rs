//! Alerts over a while: whether they fire at all, first, always or never between two times.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::alert::{AlertState, RuleRef, Transition};
use crate::base::{Labels, Millis, format_duration};
use crate::rules::unit_test::{Fires, WindowTest};

use crate::backtest::verdict::{At, Check, Failure};

/// Most spans of firing that a message names.
const SPANS_SHOWN: usize = 5;

/// What a window test looks at, followed from one evaluation to the next.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    test: &'a WindowTest,
    firing: HashSet<(Arc<RuleRef>, Labels)>,
    /// Evaluations at which something fired, as first and last of those without a gap between them.
    spans: Vec<(Millis, Millis)>,
    was_firing: bool,
    /// Evaluations within the window, and those of them at which something fired.
    within: (u64, u64),
    /// The first evaluation within the window at which nothing fired.
    quiet_at: Option<Millis>,
    pending_at: Option<Millis>,
}

impl<'a> Watch<'a> {
    pub fn new(test: &'a WindowTest) -> Self {
        let (firing, spans) = (HashSet::new(), Vec::new());
        Self { test, firing, spans, was_firing: false, within: (0, 0), quiet_at: None, pending_at: None }
    }

    /// Takes a change in, `elapsed` after the start.
    pub fn observe(&mut self, transition: &Transition, elapsed: Millis) {
        let labels = transition.labels.as_ref();
        if transition.rule.alert != self.test.alertname.value
            || !self.test.labels.iter().all(|(name, value)| labels.get(name).unwrap_or_default() == value)
        {
            return;
        }
        let alert = (Arc::clone(&transition.rule), transition.labels.clone());
        match transition.to {
            AlertState::Firing => _ = self.firing.insert(alert),
            state => {
                self.firing.remove(&alert);
                if state == AlertState::Pending {
                    self.pending_at.get_or_insert(elapsed);
                }
            }
        }
    }

    /// Ends an evaluation.
    pub fn tick(&mut self, elapsed: Millis) {
        let is_firing = !self.firing.is_empty();
        if is_firing {
            match self.spans.last_mut().filter(|_| self.was_firing) {
                Some(span) => span.1 = elapsed,
                None => self.spans.push((elapsed, elapsed)),
            }
        }
        self.was_firing = is_firing;
        if (self.test.from..=self.test.to).contains(&elapsed) {
            self.within.0 += 1;
            self.within.1 += u64::from(is_firing);
            if !is_firing {
                self.quiet_at.get_or_insert(elapsed);
            }
        }
    }

    /// What is wrong, if anything.
    pub fn failure(&self, start: Millis) -> Option<Failure> {
        let (evaluations, fired) = self.within;
        let first = self.spans.first().map(|span| span.0);
        let message = match self.test.fires {
            _ if evaluations == 0 => "there is no evaluation between these times".to_owned(),
            Fires::Never if fired > 0 => format!("expected never to fire, {}", self.history()),
            Fires::Sometime if fired == 0 => format!("expected to fire sometime, {}", self.history()),
            Fires::Throughout if fired < evaluations => {
                let quiet = self.quiet_at.map(format_duration).unwrap_or_default();
                format!("expected to fire throughout, is silent at {quiet}; {}", self.history())
            }
            Fires::First if fired == 0 || first < Some(self.test.from) => {
                format!("expected to fire for the first time, {}", self.history())
            }
            _ => return None,
        };
        let (name, at) = (&self.test.alertname, |elapsed| At { elapsed, start });
        let check = Check::Window(name.value.clone(), at(self.test.from), at(self.test.to));
        Some(Failure::because(Some(name.defined.line()), check, message))
    }

    /// When it fired, over the whole test.
    fn history(&self) -> String {
        let span = |(from, to): &(Millis, Millis)| match from == to {
            true => format!("at {}", format_duration(*from)),
            false => format!("from {} to {}", format_duration(*from), format_duration(*to)),
        };
        let mut shown: Vec<String> = self.spans.iter().take(SPANS_SHOWN).map(span).collect();
        if self.spans.len() > SPANS_SHOWN {
            shown.push(format!("and {} more times", self.spans.len() - SPANS_SHOWN));
        }
        match (shown.is_empty(), self.pending_at) {
            (false, _) => format!("fires {}", shown.join(", ")),
            (true, Some(at)) => format!("never does; it is pending from {}", format_duration(at)),
            (true, None) => "never does".to_owned(),
        }
    }
}
