//! What receivers were told by a process that was killed again and again, against what one tells that runs through. Pure:
//! each judgement is a value, so that the judges are tested as well.

use std::collections::{BTreeMap, BTreeSet};

use forewarn::base::{Millis, parse_rfc3339};
use serde_json::Value;

/// Deliveries, in order, each of some transitions.
pub type Deliveries = Vec<Vec<Item>>;

/// One state of one alert, as a receiver hears of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Its labels.
    pub alert: String,
    pub firing: bool,
    /// When it began, or ended, by event time.
    pub at: Millis,
    /// All that was said, but for the link.
    pub text: String,
}

impl Item {
    /// From an alert in a webhook's message.
    pub fn of_webhook(alert: &Value) -> Self {
        let firing = alert["status"] == "firing";
        let time = if firing { &alert["startsAt"] } else { &alert["endsAt"] };
        let at = parse_rfc3339(time.as_str().unwrap()).unwrap();
        let mut said = alert.clone();
        // It has the address of the process.
        said.as_object_mut().unwrap().remove("generatorURL").unwrap();
        Self { alert: alert["labels"].to_string(), firing, at, text: said.to_string() }
    }
}

/// What a receiver that gets everything in order has heard: once each, and how much came again at the start of each life.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard<T> {
    pub once: Vec<T>,
    pub again: Vec<usize>,
}

/// Takes out what each process but the first told again of the last delivery before its start. `lives` has the deliveries of
/// each process; anything else that came twice stays.
pub fn journalled(lives: &[Deliveries]) -> Heard<Item> {
    let mut heard = Heard { once: Vec::new(), again: Vec::new() };
    let mut last: Vec<Item> = Vec::new();
    for deliveries in lives {
        let all = deliveries.concat();
        let again = if !last.is_empty() && all.starts_with(&last) { last.len() } else { 0 };
        heard.once.extend_from_slice(&all[again..]);
        heard.again.push(again);
        last = deliveries.last().cloned().unwrap_or(last);
    }
    heard
}

/// The same of lines whose deliveries do not show: a process may begin with the last lines before its start, all of them in
/// order. One that dies meanwhile has not come to their end.
pub fn printed(lives: &[Vec<String>]) -> Heard<String> {
    let mut heard = Heard { once: Vec::new(), again: Vec::new() };
    for lines in lives {
        let from = lines.first().and_then(|line| heard.once.iter().rposition(|old| old == line));
        let tail = from.map_or(&[][..], |from| &heard.once[from..]);
        let again = tail.len().min(lines.len());
        let again = if tail[..again] == lines[..again] { again } else { 0 };
        heard.once.extend_from_slice(&lines[again..]);
        heard.again.push(again);
    }
    heard
}

/// What a receiver of newest states has heard wrongly, in words; and how much came again at the start of each life. `lives`
/// has the deliveries with their arrivals by the wall clock, `all` every state that there was, in order.
///
/// A state may be left out where a newer one of the alert came before it could be sent. As the oldest is always sent first,
/// that cannot be so where something that began to wait later was heard of earlier.
pub fn newest(lives: &[Vec<(Millis, Vec<Item>)>], all: &[Item]) -> (Vec<String>, Vec<usize>) {
    let mut faults = Vec::new();
    let place: BTreeMap<&Item, usize> = all.iter().enumerate().map(|(n, item)| (item, n)).collect();
    let mut arrivals: Vec<Option<Millis>> = vec![None; all.len()];
    let (mut again, mut newest_told, mut doubtful) =
        (Vec::new(), BTreeMap::<&str, usize>::new(), BTreeSet::<&Item>::new());
    for deliveries in lives {
        let mut repeated = 0;
        for (arrival, item) in deliveries.iter().flat_map(|(arrival, items)| items.iter().map(move |i| (*arrival, i))) {
            let Some(n) = place.get(item).copied() else {
                faults.push(format!("made up: {item:?}"));
                continue;
            };
            let before = newest_told.get(&*item.alert).copied();
            if before.is_none_or(|before| before < n) {
                newest_told.insert(&item.alert, n);
                arrivals[n] = Some(arrival);
            } else if before == Some(n) && doubtful.remove(item) {
                repeated += 1;
            } else {
                faults.push(format!("again, or after a newer one: {item:?}"));
            }
        }
        again.push(repeated);
        // It is sent again after what is older, by whichever process comes to it.
        doubtful.extend(deliveries.last().into_iter().flat_map(|(_, items)| items));
    }

    let mut alerts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, item) in all.iter().enumerate() {
        alerts.entry(&item.alert).or_default().push(n);
    }
    // What began to wait when it happened: all before it had been heard by then. With its arrival.
    let fresh = |states: &[usize], i: usize| {
        let before_is_done = i == 0 || arrivals[states[i - 1]].is_some_and(|arrival| arrival < all[states[i]].at);
        arrivals[states[i]].filter(|_| before_is_done).map(|arrival| (all[states[i]].at, arrival))
    };
    let heard: Vec<(Millis, Millis)> =
        alerts.values().flat_map(|states| (0..states.len()).filter_map(|i| fresh(states, i))).collect();
    for (alert, states) in &alerts {
        let believes = newest_told.get(alert).map(|n| &all[*n]).filter(|item| item.firing);
        let fires = states.last().map(|n| &all[*n]).filter(|item| item.firing);
        if believes != fires {
            faults.push(format!("{alert}: at the end the receiver believes {believes:?}, but it is {fires:?}"));
        }
        for (i, next) in (1..states.len()).map(|i| (i - 1, states[i])) {
            let (state, until) = (&all[states[i]], all[next].at);
            // The end of what nobody was told of is nobody's concern.
            let unheard = !state.firing && i > 0 && arrivals[states[i - 1]].is_none();
            if arrivals[states[i]].is_none()
                && !unheard
                && heard.iter().any(|(at, arrival)| *at > state.at && *arrival < until)
            {
                faults.push(format!("passed over: {state:?}"));
            }
        }
    }
    (faults, again)
}
