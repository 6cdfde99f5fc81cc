//! Texts of alerts: values in labels, and labels that the expression has dropped.

use std::collections::BTreeSet;

use super::labels::{Flow, flow};
use super::{Lint, Report, Text};
use crate::base::nearest;

/// Looks at an alert's labels and annotations.
pub(super) fn check(report: &mut Report<'_, '_, '_>) {
    if !report.subject.is_alert {
        return;
    }
    let flow = flow(report.subject.root);
    for text in report.subject.texts {
        let Some(template) = &text.template else { continue };
        if text.is_label && template.uses_value() {
            report.file(
                Lint::ValueInLabel,
                text.at.clone(),
                format!(
                    "the label {} contains the value, so the alert changes its identity with every change of the value",
                    text.name
                ),
                "put the value into an annotation",
            );
        }
        dropped(report, text, &flow);
    }
}

fn dropped(report: &mut Report<'_, '_, '_>, text: &Text, flow: &Flow) {
    let mut told = BTreeSet::new();
    for read in text.template.iter().flat_map(|template| template.labels_read()) {
        if flow.may_have(&read.name) || !told.insert(read.name.clone()) {
            continue;
        }
        let place = read.offset..read.offset + read.length;
        let at = super::super::scalar::place(report.found.source(), text.at.clone(), &text.value, place);
        let kept = flow.only.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let what = if read.name == "alertname" {
            "is not among $labels: those are the expression's".to_owned()
        } else if flow.only.is_none() {
            "is not there: the expression drops it".to_owned()
        } else if kept.is_empty() {
            "is not there: the expression's result has no labels".to_owned()
        } else {
            format!("is not there: the expression keeps {kept} only")
        };
        let help = match nearest(&read.name, flow.only.iter().flatten().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("keep it, as in sum by ({}) (...), or take it out of the text", read.name),
        };
        let message = format!("the label {} {what}, so the text has a gap", read.name);
        report.file(Lint::LabelDropped, at.unwrap_or(text.at.clone()), message, help);
    }
}
