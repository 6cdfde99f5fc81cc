//! Alerts that mark an instant rather than a span, like a change point: their rule says so by an annotation. Pure.
//!
//! `__point__: "true"` makes every alert of a rule a point, and `__time__` says where it lies; both are templates, and named
//! like Grafana's own `__dashboardUid__`.

use crate::alert::{Reason, Transition};
use crate::base::{Millis, parse_instant};

/// Annotations of a rule.
const POINT: &str = "__point__";
const TIME: &str = "__time__";

/// The instant that an alert marks: what `__time__` says (Unix time or RFC 3339), else when it began to fire. None for alerts
/// that last.
pub(super) fn point(transition: &Transition) -> Option<Millis> {
    let note = |name: &str| transition.annotations.iter().find(|(n, _)| n == name).map(|(_, text)| text.trim());
    if note(POINT)? != "true" {
        return None;
    }
    let said = note(TIME).and_then(parse_instant).filter(|time| *time > 0);
    Some(said.unwrap_or(transition.fired_at.unwrap_or(transition.active_at)))
}

/// Whether a sink that shows points must hear of this transition of one: that it fires, and later only if it marks another
/// instant, which lies after that.
pub(super) fn is_news(transition: &Transition, point: Millis) -> bool {
    let began = transition.to == crate::alert::AlertState::Firing && transition.reason != Reason::Resent;
    began || transition.fired_at.is_some_and(|fired_at| point > fired_at)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn noted(transition: Transition, notes: &[(&str, &str)]) -> Transition {
        let annotations = notes.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        Transition { annotations, ..transition }
    }

    #[test]
    fn annotations_say_whether_and_where() {
        let at = 1_700_000_100_000;
        let of = |notes: &[(&str, &str)]| point(&noted(testing::firing("Changed", at), notes));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(TIME, "1700000000")]), None);
        assert_eq!(of(&[(POINT, "false"), (TIME, "1700000000")]), None);
        assert_eq!(of(&[(POINT, "true")]), Some(at));
        // As templates print numbers, and with the blanks that they leave.
        for time in ["1700000000", "1.7e+09", " 1700000000.000\n", "2023-11-14T22:13:20Z"] {
            assert_eq!(of(&[(POINT, " true "), (TIME, time)]), Some(1_700_000_000_000), "{time:?}");
        }
        for bad in ["", "soon", "NaN", "-5", "<error expanding template: ...>"] {
            assert_eq!(of(&[(POINT, "true"), (TIME, bad)]), Some(at), "{bad:?}");
        }
    }

    #[test]
    fn only_a_later_instant_is_news_of_an_alert_that_fires() {
        let (fired, at) = (60_000, 120_000);
        let again = Transition { reason: Reason::Resent, at, fired_at: Some(fired), ..testing::firing("Changed", at) };
        let over = testing::resolved("Changed", fired, at);
        assert!(is_news(&testing::firing("Changed", fired), 50_000));
        for later in [again, over] {
            assert!(!is_news(&later, 50_000) && !is_news(&later, fired) && is_news(&later, 90_000));
        }
    }
}
