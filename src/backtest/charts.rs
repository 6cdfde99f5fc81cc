//! Which elements get curves: every one while there is room, and then those whose alerts fire before the others.
//!
//! Knows recorded samples and alerts' labels; knows nothing of how curves are drawn.

use std::collections::HashMap;

use crate::base::{Labels, METRIC_NAME, Millis, Recorded, is_stale};

use super::curves::Curves;
use super::plot::{Curve, Plot, plotted};

/// Most elements with curves while the history is played; about 32 KB each.
const TRACED_MAX: usize = 512;
/// Most charts of one rule, and of all.
const OF_RULE_MAX: usize = 20;
const CHARTS_MAX: usize = 100;
/// Most label sets of one rule's alerts that are remembered.
const ALERTED_MAX: usize = 1_000;

/// One chart: the curves of an element that a rule watches.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Index of the alerting rule.
    pub rule: usize,
    /// The element's labels, without a metric name.
    pub labels: Labels,
    /// The expression that gives the series.
    pub watched: String,
    /// The number that the rule compares a curve with.
    pub threshold: Option<(Curve, f64)>,
    /// Its curves.
    pub curves: Curves,
}

/// Gathers curves.
#[derive(Debug)]
pub struct Charts {
    rules: Vec<Watched>,
    traces: Vec<Trace>,
    /// What became of each recorded series: a trace's index, or None where there was no room.
    known: HashMap<u128, Option<(usize, Curve)>>,
    left_out: usize,
}

#[derive(Debug)]
struct Watched {
    plot: Option<Plot>,
    /// Labels that the rule sets itself: an alert's may differ there from its element's.
    own: Vec<String>,
    interval: Millis,
    alerted: Vec<Labels>,
}

#[derive(Debug)]
struct Trace {
    rule: usize,
    labels: Labels,
    alerted: bool,
    curves: Curves,
}

impl Charts {
    /// None yet. For each alerting rule, in order: its plot, the names of the labels it sets, and its interval.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (Option<Plot>, Vec<String>, Millis)>) -> Self {
        let watched = |(plot, own, interval)| Watched { plot, own, interval, alerted: vec![] };
        let rules = rules.into_iter().map(watched).collect();
        Self { rules, traces: vec![], known: HashMap::new(), left_out: 0 }
    }

    /// Takes a recorded sample, if it is one of a curve.
    pub fn take(&mut self, recorded: &Recorded) {
        if is_stale(recorded.v) {
            return;
        }
        let key = recorded.labels.as_ref().key();
        let found = match self.known.get(&key) {
            Some(found) => *found,
            None => {
                let found = self.find(recorded);
                self.known.insert(key, found);
                found
            }
        };
        if let Some((trace, curve)) = found {
            self.traces[trace].curves.add(curve, recorded.t, recorded.v);
        }
    }

    /// Takes note that an alert of a rule fires: its element gets curves, if need be in the place of another one's.
    pub fn fired(&mut self, rule: usize, labels: &Labels) {
        let Some(watched) = self.rules.get_mut(rule) else { return };
        if watched.alerted.len() == ALERTED_MAX || watched.alerted.contains(labels) {
            return;
        }
        watched.alerted.push(labels.clone());
        for trace in self.traces.iter_mut().filter(|trace| trace.rule == rule) {
            trace.alerted |= is_of(&trace.labels, labels, &watched.own);
        }
        // What had no room before may have some now.
        self.known.retain(|_, found| found.is_some());
    }

    /// The charts: of each rule those of its alerts first, and the others where there are none. How many were left out
    /// because there were too many comes second.
    #[must_use]
    pub fn finish(self) -> (Vec<Chart>, usize) {
        let mut charts = Vec::new();
        let mut left_out = self.left_out;
        let mut traces: Vec<Trace> = self.traces;
        traces.sort_by(|a, b| (a.rule, !a.alerted, &a.labels).cmp(&(b.rule, !b.alerted, &b.labels)));
        let mut of_rule = vec![0; self.rules.len()];
        for trace in traces {
            let most = if trace.alerted { OF_RULE_MAX } else { 1 };
            if of_rule[trace.rule] >= most || charts.len() >= CHARTS_MAX {
                left_out += usize::from(trace.alerted);
                continue;
            }
            of_rule[trace.rule] += 1;
            let Some(plot) = &self.rules[trace.rule].plot else { continue };
            let watched = plot.curves.first().map(|(_, expr)| expr.clone()).unwrap_or_default();
            let Trace { rule, labels, curves, .. } = trace;
            charts.push(Chart { rule, labels, watched, threshold: plot.threshold, curves });
        }
        (charts, left_out)
    }

    fn find(&mut self, recorded: &Recorded) -> Option<(usize, Curve)> {
        let labels = recorded.labels.as_ref();
        let (rule, curve) = plotted(labels.metric_name())?;
        let watched = self.rules.get(rule)?;
        let element = labels.filter(|name| name != METRIC_NAME);
        if let Some(trace) = self.traces.iter().position(|trace| trace.rule == rule && trace.labels == element) {
            return Some((trace, curve));
        }
        let alerted = watched.alerted.iter().any(|alert| is_of(&element, alert, &watched.own));
        let curves = Curves::new(recorded.t, watched.interval);
        let trace = Trace { rule, labels: element, alerted, curves };
        if self.traces.len() < TRACED_MAX {
            self.traces.push(trace);
            return Some((self.traces.len() - 1, curve));
        }
        let place = self.traces.iter().position(|trace| !trace.alerted).filter(|_| alerted);
        let Some(place) = place else {
            self.left_out += usize::from(alerted);
            return None;
        };
        self.traces[place] = trace;
        self.known.retain(|_, found| found.is_none_or(|(trace, _)| trace != place));
        Some((place, curve))
    }
}

/// Whether an alert can be an element's: it has the element's labels, but for those that its rule sets.
fn is_of(element: &Labels, alert: &Labels, own: &[String]) -> bool {
    let alert = alert.as_ref();
    element.as_ref().iter().all(|(name, value)| alert.get(name) == Some(value) || own.iter().any(|own| own == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(x: usize, t: Millis) -> Recorded {
        let labels = Labels::from_pairs([("__name__", "forewarn:plot:0:value".to_owned()), ("x", x.to_string())]);
        Recorded { labels, t, v: x as f64 }
    }

    fn alert(x: usize) -> Labels {
        Labels::from_pairs([("alertname", "A".to_owned()), ("x", x.to_string())])
    }

    #[test]
    fn elements_whose_alerts_fire_have_room_before_others() {
        let mut charts = Charts::new([(Plot::of("v > 1"), vec![], 1_000)]);
        let play = |charts: &mut Charts, t| (0..1_000).for_each(|x| charts.take(&recorded(x, t)));
        play(&mut charts, 0);
        assert_eq!(charts.traces.len(), TRACED_MAX);
        for x in [3, 900] {
            charts.fired(0, &alert(x));
        }
        play(&mut charts, 1_000);
        play(&mut charts, 2_000);
        assert_eq!(charts.traces.len(), TRACED_MAX);
        let (charts, left_out) = charts.finish();
        let of: Vec<String> = charts.iter().map(|chart| chart.labels.to_string()).collect();
        assert_eq!((of, left_out), (vec![r#"{x="3"}"#.to_owned(), r#"{x="900"}"#.to_owned()], 0));
        assert_eq!(charts[0].curves.buckets().len(), 3);
        assert_eq!((charts[1].curves.origin(), charts[1].curves.buckets().len()), (1_000, 2), "from its alert on");
        assert_eq!(charts[0].threshold, Some((Curve::Value, 1.0)));
    }

    #[test]
    fn a_rule_without_alerts_shows_one_and_too_many_are_counted() {
        let mut charts = Charts::new([(Plot::of("v > 1"), vec!["x".to_owned()], 1_000)]);
        (0..30).for_each(|x| charts.take(&recorded(x, 0)));
        let (shown, left_out) = charts.finish();
        assert_eq!((shown.len(), left_out), (1, 0));
        let mut charts = Charts::new([(Plot::of("v > 1"), vec!["x".to_owned()], 1_000)]);
        (0..30).for_each(|x| charts.take(&recorded(x, 0)));
        // The rule sets x itself, so the alert can be any element's.
        charts.fired(0, &alert(1_000_000));
        let (shown, left_out) = charts.finish();
        assert_eq!((shown.len(), left_out), (20, 10));
    }
}
