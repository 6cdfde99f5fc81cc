//! The machine against tables of what Prometheus does, and against a model of it.

mod model;
mod tables;
mod texts;

use std::sync::Arc;

use super::*;
use crate::alert::{AlertSettings, NoQueries, RuleRef};

/// Second, in milliseconds; ticks in the tests are given in these.
const S: Millis = 1000;

/// Elements are `m0{instance="i0"}`, `m1{instance="i1"}`, ...; from 100 on they repeat with another metric name.
fn labels_of(id: u32) -> Labels {
    let name = if id >= 100 { "other".to_owned() } else { format!("m{id}") };
    Labels::from_pairs([("__name__", name), ("instance", format!("i{}", id % 100))])
}

fn rule(settings: AlertSettings, labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> AlertingRule {
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let reference = RuleRef {
        file: "rules.yml".to_owned(),
        group: "g".to_owned(),
        alert: "Full".to_owned(),
        expr: "m > 0".to_owned(),
    };
    AlertingRule::new(Arc::new(reference), settings, &owned(labels), &owned(annotations)).unwrap()
}

fn context(external_labels: &Labels) -> AlertContext<'_> {
    AlertContext {
        external_labels,
        external_url: "http://forewarn",
        resend_delay: 60 * S,
        template_bytes: 4096,
        queries: &NoQueries,
        template_queries: 8,
    }
}

/// A state's first letter.
fn letter(state: AlertState) -> char {
    match state {
        AlertState::Inactive => 'I',
        AlertState::Pending => 'P',
        AlertState::Firing => 'F',
    }
}
