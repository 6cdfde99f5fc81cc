//! Traces worth a look, by the labels of the series that they were counted in: what an alert about such a series links to.
//!
//! Kept beside the engine, not in it: a trace is no sample, changes no result, and may be forgotten. Bounded: some traces
//! for each owner, some owners, and the bytes of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::decode::TraceExemplar;
use crate::base::{Labels, LabelsRef, Millis};

/// Series of one owner of which a trace is kept.
const SERIES_MAX: usize = 256;

/// Owners.
const OWNERS_MAX: usize = 2_000;

/// Bytes of the labels of all series.
const BYTES_MAX: usize = 64 << 20;

/// Labels that say whose a series is. What has both is kept under either: an alert may have one of them only.
const OWNER_LABELS: [&str; 2] = ["service_name", "job"];

/// The newest trace of each series. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Exemplars(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    owners: HashMap<String, Owner>,
    bytes: usize,
}

/// What is kept of one owner.
#[derive(Debug, Default)]
struct Owner {
    exemplars: Vec<Exemplar>,
    newest: Millis,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Exemplar {
    /// Identity of the labels.
    key: u128,
    labels: Labels,
    trace_id: String,
    /// Whether it is of a failing or slow span, and not of any request that was sampled.
    is_suspect: bool,
    at: Millis,
}

impl Exemplars {
    /// Keeps the trace of a failing or slow span for the series of these labels, in place of an older one. One that says
    /// nothing of its owner is not kept, nor one with more labels than [`TraceExemplar::LABEL_BYTES_MAX`].
    pub fn keep(&self, labels: Labels, trace_id: String, at: Millis) {
        self.lock().keep(labels, trace_id, at, true);
    }

    /// Keeps those of a message of metrics.
    pub fn keep_all(&self, traces: Vec<TraceExemplar>) {
        let mut kept = self.lock();
        traces.into_iter().for_each(|trace| kept.keep(trace.labels, trace.trace_id, trace.at, false));
    }

    /// The trace of a series that an alert with these labels may be about: of the same owner, and with no label that the
    /// alert says otherwise. Among several that with most labels of the alert's; then a failing or slow span's; then the
    /// newest.
    #[must_use]
    pub fn find(&self, alert: LabelsRef<'_>) -> Option<String> {
        let kept = self.lock();
        let mut best = None;
        for exemplar in owners(alert).filter_map(|owner| kept.owners.get(owner)).flat_map(|owner| &owner.exemplars) {
            if let Some(shared) = exemplar.shared(alert) {
                let rank = (shared, exemplar.is_suspect, exemplar.at);
                best = best.filter(|(highest, _)| *highest >= rank).or(Some((rank, &exemplar.trace_id)));
            }
        }
        best.map(|(_, trace_id)| trace_id.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose a series is.
fn owners(labels: LabelsRef<'_>) -> impl Iterator<Item = &str> {
    let [first, second] = OWNER_LABELS.map(|label| labels.get(label));
    first.into_iter().chain(second.filter(|_| second != first))
}

impl Kept {
    fn keep(&mut self, labels: Labels, trace_id: String, at: Millis, is_suspect: bool) {
        if labels.as_bytes().len() > TraceExemplar::LABEL_BYTES_MAX {
            return;
        }
        let exemplar = Exemplar { key: labels.as_ref().key(), labels, trace_id, is_suspect, at };
        for name in owners(exemplar.labels.as_ref()) {
            if self.owners.len() >= OWNERS_MAX && !self.owners.contains_key(name) {
                self.drop_stalest();
            }
            let owner = self.owners.entry(name.to_owned()).or_default();
            self.bytes -= owner.bytes;
            owner.keep(exemplar.clone());
            self.bytes += owner.bytes;
        }
        while self.bytes > BYTES_MAX {
            self.drop_stalest();
        }
    }

    fn drop_stalest(&mut self) {
        let stalest = self.owners.iter().min_by_key(|(_, owner)| owner.newest).map(|(name, _)| name.clone());
        if let Some(owner) = stalest.and_then(|name| self.owners.remove(&name)) {
            self.bytes -= owner.bytes;
        }
    }
}

impl Owner {
    fn keep(&mut self, exemplar: Exemplar) {
        self.newest = self.newest.max(exemplar.at);
        if let Some(same) = self.exemplars.iter_mut().find(|e| e.key == exemplar.key) {
            if exemplar.at >= same.at {
                *same = exemplar;
            }
            return;
        }
        // What was merely sampled goes first: there is ever more of it.
        if self.exemplars.len() >= SERIES_MAX
            && let Some(least) =
                (0..self.exemplars.len()).min_by_key(|i| (self.exemplars[*i].is_suspect, self.exemplars[*i].at))
        {
            self.bytes -= self.exemplars.swap_remove(least).labels.as_bytes().len();
        }
        self.bytes += exemplar.labels.as_bytes().len();
        self.exemplars.push(exemplar);
    }
}

impl Exemplar {
    /// How many labels it has in common with an alert; None if there is one that the alert says otherwise.
    fn shared(&self, alert: LabelsRef<'_>) -> Option<usize> {
        let mut shared = 0;
        for (name, value) in self.labels.as_ref().iter() {
            match alert.get(name) {
                Some(said) if said == value => shared += 1,
                Some(_) => return None,
                None => {}
            }
        }
        Some(shared)
    }
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
        let owners = &kept.lock().owners;
        assert_eq!(owners.len(), OWNERS_MAX);
        assert!(!owners.contains_key("10") && owners.contains_key("11"), "the stalest has gone");
        assert_eq!(owners["1000"].exemplars.len(), SERIES_MAX);
    }

    fn of_metric(pairs: &[(&str, &str)], trace: &str, at: Millis) -> TraceExemplar {
        TraceExemplar { labels: Labels::from_pairs(pairs.iter().copied()), trace_id: trace.to_owned(), at }
    }

    #[test]
    fn an_alert_finds_what_it_has_most_in_common_with_then_what_failed() {
        for (job, service) in [("shop", "shop"), ("eu/shop", "shop")] {
            let kept = Exemplars::default();
            let span = [("job", job), ("service_name", service), ("span_name", "GET /"), ("status_code", "ERROR")];
            kept.keep(Labels::from_pairs(span), "failed".into(), 1);
            kept.keep_all(vec![
                of_metric(&[("job", job), ("code", "200"), ("route", "/")], "fine", 9),
                of_metric(&[("job", job), ("code", "500"), ("route", "/")], "sampled", 8),
            ]);
            let find = |pairs: &[(&str, &str)]| kept.find(Labels::from_pairs(pairs.iter().copied()).as_ref());
            let is = |id: &str| Some(id.to_owned());
            assert_eq!(find(&[("service_name", service), ("span_name", "GET /")]), is("failed"));
            assert_eq!(find(&[("service_name", service)]), is("failed"));
            assert_eq!(find(&[("job", job)]), is("failed"), "{job}");
            assert_eq!(find(&[("job", job), ("code", "500")]), is("sampled"));
            assert_eq!(find(&[("job", job), ("route", "/")]), is("fine"));
        }
    }

    #[test]
    fn what_was_sampled_makes_room_for_what_failed() {
        let kept = Exemplars::default();
        kept.keep(labels("shop", "GET /", "ERROR"), "failed".into(), 1);
        let sampled = |i: usize| of_metric(&[("job", "eu/x"), ("id", &i.to_string())], "sampled", 10);
        kept.keep_all((0..SERIES_MAX + 10).map(sampled).collect());
        assert_eq!(kept.lock().owners["eu/x"].exemplars.len(), SERIES_MAX);
        assert_eq!(kept.find(Labels::from_pairs([("job", "eu/x")]).as_ref()), Some("failed".to_owned()));
    }

    #[test]
    fn bytes_are_bounded() {
        let (kept, long) = (Exemplars::default(), "x".repeat(4_000));
        let keep = |job: usize, series: usize, long: &str| {
            let (job, series) = (job.to_string(), series.to_string());
            let labels = [("job", job.as_str()), ("series", &series), ("long", long)];
            kept.keep(Labels::from_pairs(labels), "a".into(), 0);
        };
        for i in 0..20_000 {
            keep(i / SERIES_MAX, i, &long);
        }
        let kept_bytes = |kept: &Kept| -> usize {
            kept.owners.values().flat_map(|o| &o.exemplars).map(|e| e.labels.as_bytes().len()).sum()
        };
        let bytes = kept_bytes(&kept.lock());
        assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&bytes), "{bytes}");
        assert_eq!(kept.lock().bytes, bytes);
        keep(100_000, 0, &"x".repeat(5_000));
        assert!(!kept.lock().owners.contains_key("100000"));
    }
}
