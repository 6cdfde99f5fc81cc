//! Links from alerts to traces: which trace an alert may be about, and where to look at it.
//!
//! An alert's annotations get them when it leaves or is shown, not in the engine, whose results do not depend on them.

use std::sync::Arc;

use crate::alert::{AlertState, Transition};
use crate::base::LabelsRef;
use crate::source::exemplars::Exemplars;

/// Annotation with the trace's identity.
pub const TRACE_ID: &str = "trace_id";

/// Annotation with its address.
pub const TRACE_URL: &str = "trace_url";

/// What stands for a trace's identity in `sources.trace_link`.
const TRACE_ID_PLACE: &str = "{trace_id}";

/// Finds traces. Without any received nothing is ever found.
#[derive(Clone, Debug, Default)]
pub struct TraceLinks {
    exemplars: Exemplars,
    /// An address with `{trace_id}` in it.
    template: Option<String>,
}

impl TraceLinks {
    /// Links to traces kept in `exemplars`.
    #[must_use]
    pub fn new(exemplars: Exemplars, template: Option<String>) -> Self {
        Self { exemplars, template }
    }

    /// Whether a template can work.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub fn check(template: &str) -> Result<(), String> {
        if template.contains(TRACE_ID_PLACE) {
            return Ok(());
        }
        Err(format!("{template:?} must have {TRACE_ID_PLACE} in it, where the trace's identity goes"))
    }

    /// Adds the annotations for an alert of these labels, where there is a trace; annotations of the rule's own stand.
    pub fn annotate(&self, labels: LabelsRef<'_>, annotations: &mut Vec<(String, String)>) {
        let Some(trace_id) = self.exemplars.find(labels) else { return };
        let url = self.template.as_ref().map(|template| template.replace(TRACE_ID_PLACE, &trace_id));
        for (name, value) in [(TRACE_ID, Some(trace_id)), (TRACE_URL, url)] {
            if let Some(value) = value.filter(|_| annotations.iter().all(|(there, _)| there != name)) {
                annotations.push((name.to_owned(), value));
            }
        }
    }

    /// The same for transitions that leave. A resolved alert keeps what its rule says: its last trace has been told.
    #[must_use]
    pub fn annotated(&self, transitions: Arc<[Transition]>) -> Arc<[Transition]> {
        let is_active = |t: &Transition| t.to != AlertState::Inactive;
        if !transitions.iter().any(|t| is_active(t) && self.exemplars.find(t.labels.as_ref()).is_some()) {
            return transitions;
        }
        let annotated = transitions.iter().cloned().map(|mut t| {
            if is_active(&t) {
                self.annotate(t.labels.as_ref(), &mut t.annotations);
            }
            t
        });
        annotated.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Labels;

    #[test]
    fn a_trace_is_named_and_linked_unless_the_rule_does_so_itself() {
        let exemplars = Exemplars::default();
        let shop = Labels::from_pairs([("service_name", "shop"), ("span_name", "GET /")]);
        exemplars.keep(shop.clone(), "ab12".to_owned(), 1);
        let links = TraceLinks::new(exemplars, Some("http://jaeger/trace/{trace_id}?x".to_owned()));
        let annotated = |mut annotations: Vec<(String, String)>| {
            links.annotate(shop.as_ref(), &mut annotations);
            annotations
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let url = pair(TRACE_URL, "http://jaeger/trace/ab12?x");
        assert_eq!(annotated(vec![]), [pair(TRACE_ID, "ab12"), url.clone()]);
        assert_eq!(annotated(vec![pair(TRACE_ID, "own")]), [pair(TRACE_ID, "own"), url]);
        let mut none = vec![];
        TraceLinks::default().annotate(shop.as_ref(), &mut none);
        assert!(none.is_empty());
    }
}
