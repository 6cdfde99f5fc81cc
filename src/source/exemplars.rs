//! Traces worth a look, by the labels of the series that they were counted in: what an alert about such a series links to.
//!
//! Kept beside the engine, not in it: a trace is no sample, changes no result, and may be forgotten. Bounded: some traces
//! for each service, some services.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::decode::TraceExemplar;
use crate::base::{Labels, LabelsRef, Millis};

/// Series of one owner of which a trace is kept.
const SERIES_MAX: usize = 256;

/// Owners.
const OWNERS_MAX: usize = 2_000;

/// Labels that say whose a series is, the first that is there.
const OWNER_LABELS: [&str; 2] = ["service_name", "job"];

/// The newest trace of each series. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exemplars(Arc<Mutex<HashMap<String, Vec<Exemplar>>>>);

#[derive(Clone, Debug)]
struct Exemplar {
    labels: Labels,
    trace_id: String,
    at: Millis,
}

impl Exemplars {
    /// Keeps a trace for the series of these labels, in place of an older one. One that says nothing of its owner is not kept.
    pub fn keep(&self, labels: Labels, trace_id: String, at: Millis) {
        let Some(owner) = owner(labels.as_ref()).map(str::to_owned) else { return };
        let mut owners = self.lock();
        if owners.len() >= OWNERS_MAX && !owners.contains_key(&owner) {
            let newest = |kept: &[Exemplar]| kept.iter().map(|e| e.at).max();
            let stalest = owners.iter().min_by_key(|(_, kept)| newest(kept)).map(|(owner, _)| owner.clone());
            stalest.into_iter().for_each(|owner| drop(owners.remove(&owner)));
        }
        let kept = owners.entry(owner).or_default();
        if let Some(same) = kept.iter_mut().find(|e| e.labels == labels) {
            if at >= same.at {
                (same.trace_id, same.at) = (trace_id, at);
            }
            return;
        }
        if kept.len() >= SERIES_MAX
            && let Some(oldest) = (0..kept.len()).min_by_key(|i| kept[*i].at)
        {
            kept.swap_remove(oldest);
        }
        kept.push(Exemplar { labels, trace_id, at });
    }

    /// Keeps those of a message.
    pub fn keep_all(&self, traces: Vec<TraceExemplar>) {
        traces.into_iter().for_each(|trace| self.keep(trace.labels, trace.trace_id, trace.at));
    }

    /// The newest trace of a series that an alert with these labels may be about: of the same owner, and with no label that
    /// the alert says otherwise.
    #[must_use]
    pub fn find(&self, alert: LabelsRef<'_>) -> Option<String> {
        let owners = self.lock();
        let kept = OWNER_LABELS.iter().find_map(|label| owners.get(alert.get(label)?))?;
        let agrees = |e: &&Exemplar| {
            e.labels.as_ref().iter().all(|(name, value)| alert.get(name).is_none_or(|said| said == value))
        };
        kept.iter().filter(agrees).max_by_key(|e| e.at).map(|e| e.trace_id.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Exemplar>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owner(labels: LabelsRef<'_>) -> Option<&str> {
    OWNER_LABELS.iter().find_map(|label| labels.get(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(service: &str, span: &str, status: &str) -> Labels {
        Labels::from_pairs([("job", "eu/x"), ("service_name", service), ("span_name", span), ("status_code", status)])
    }

    #[test]
    fn an_alert_finds_the_newest_trace_that_it_may_be_about() {
        let kept = Exemplars::default();
        kept.keep(labels("shop", "GET /", "ERROR"), "old".into(), 1);
        kept.keep(labels("shop", "GET /", "ERROR"), "new".into(), 5);
        kept.keep(labels("shop", "GET /", "ERROR"), "late".into(), 4);
        kept.keep(labels("shop", "POST /", "OK"), "slow".into(), 7);
        kept.keep(labels("bank", "GET /", "ERROR"), "other".into(), 9);
        let find = |pairs: &[(&str, &str)]| kept.find(Labels::from_pairs(pairs.iter().copied()).as_ref());
        let is = |id: &str| Some(id.to_owned());
        assert_eq!(find(&[("service_name", "shop")]), is("slow"));
        assert_eq!(find(&[("service_name", "shop"), ("span_name", "GET /"), ("alertname", "A")]), is("new"));
        assert_eq!(find(&[("service_name", "shop"), ("status_code", "ERROR")]), is("new"));
        assert_eq!(find(&[("service_name", "shop"), ("span_name", "PUT /")]), None);
        assert_eq!(find(&[("service_name", "none")]), None);
        assert_eq!(find(&[("instance", "x")]), None, "whose?");
    }

    #[test]
    fn owners_and_their_series_are_bounded() {
        let kept = Exemplars::default();
        for i in 0..OWNERS_MAX + 10 {
            kept.keep(labels(&i.to_string(), "a", ""), i.to_string(), i as Millis);
        }
        for i in 0..SERIES_MAX + 10 {
            kept.keep(labels("1000", &i.to_string(), ""), i.to_string(), 10_000 + i as Millis);
        }
        let owners = kept.lock();
        assert_eq!(owners.len(), OWNERS_MAX);
        assert!(!owners.contains_key("9") && owners.contains_key("10"), "the stalest has gone");
        assert_eq!(owners["1000"].len(), SERIES_MAX);
    }
}
