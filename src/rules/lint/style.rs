//! Conventions that not everybody shares; off unless switched on.

use super::{Lint, Report};

/// Looks at a rule.
pub(super) fn check(report: &mut Report<'_, '_, '_>) {
    let subject = report.subject;
    if !subject.is_alert {
        // https://prometheus.io/docs/practices/rules/
        if subject.name.split(':').filter(|part| !part.is_empty()).count() < 2 {
            let at = subject.at.clone();
            let message = format!("{} is not named as recording rules are: level:metric:operations", subject.name);
            report.file(Lint::RecordingRuleName, at, message, "as in job:http_requests:rate5m");
        }
        return;
    }
    let has = |label: bool, names: &[&str]| {
        subject.texts.iter().any(|text| text.is_label == label && names.contains(&text.name.as_str()))
    };
    if !has(true, &["severity"]) {
        let help = "add labels: {severity: ...}, so that Alertmanager knows whom to tell";
        report.file(Lint::MissingSeverity, subject.at.clone(), format!("{} has no label severity", subject.name), help);
    }
    if !has(false, &["summary", "description", "message"]) {
        let message = format!("{} has no summary or description", subject.name);
        report.file(Lint::MissingSummary, subject.at.clone(), message, "say in an annotation what is wrong, and where");
    }
}
