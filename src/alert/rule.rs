//! An alerting rule as its machine needs it: times, limit, and parsed templates for labels and annotations.

use std::sync::Arc;

use super::{Queries, RuleRef, Template, TemplateContext, TemplateError};
use crate::base::{LabelBuilder, Labels, METRIC_NAME, Millis};

/// The label that names an alert.
pub(super) const ALERT_NAME: &str = "alertname";

/// A rule, its templates parsed. Parsed once, when its file is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingRule {
    reference: Arc<RuleRef>,
    settings: AlertSettings,
    labels: Vec<(String, Template)>,
    annotations: Vec<(String, Template)>,
    labels_vary: bool,
    /// What its templates query, with holes.
    queries: Vec<String>,
}

/// The numbers of a rule and its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertSettings {
    /// `for`: how long the expression must hold before the alert fires.
    pub hold: Millis,
    /// `keep_firing_for`: how long the alert keeps firing after the expression stopped holding.
    pub keep_firing: Millis,
    /// The group's interval.
    pub interval: Millis,
    /// The group's `limit`: most alerts, pending and firing together; 0 is no limit.
    pub limit: usize,
}

/// What all rules share when they are evaluated.
#[derive(Clone, Copy, Debug)]
pub struct AlertContext<'a> {
    /// `global.external_labels` of the configuration, for templates.
    pub external_labels: &'a Labels,
    /// Where this server is reached from outside, for templates.
    pub external_url: &'a str,
    /// How long a firing or resolved alert is not sent again; Prometheus' `--rules.alert.resend-delay`, 1m.
    pub resend_delay: Millis,
    /// Most bytes of one expanded template.
    pub template_bytes: usize,
    /// Who answers templates' queries.
    pub queries: &'a dyn Queries,
    /// Most queries of one template.
    pub template_queries: usize,
}

/// A template of a rule that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} {name:?}: {error}")]
pub struct RuleTemplateError {
    /// `label` or `annotation`.
    pub place: &'static str,
    /// Name of the label or annotation.
    pub name: String,
    /// What is wrong with its template.
    pub error: TemplateError,
}

/// What the templates of one alert are expanded with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluated<'a> {
    /// The element's labels, `__name__` included.
    pub element: &'a Labels,
    pub value: f64,
    pub at: Millis,
}

impl AlertingRule {
    /// Parses the templates of a rule.
    ///
    /// # Errors
    /// The first template that does not parse.
    pub fn new(
        reference: Arc<RuleRef>,
        settings: AlertSettings,
        labels: &[(String, String)],
        annotations: &[(String, String)],
    ) -> Result<Self, RuleTemplateError> {
        let labels = parse_all("label", labels)?;
        let annotations = parse_all("annotation", annotations)?;
        let labels_vary = labels.iter().any(|(_, template)| template.uses_value());
        let templates = labels.iter().chain(&annotations).map(|(_, template)| template);
        let queries = templates.flat_map(Template::queries).map(|query| query.expr).collect();
        Ok(Self { reference, settings, labels, annotations, labels_vary, queries })
    }

    /// Which rule it is.
    #[must_use]
    pub fn reference(&self) -> &Arc<RuleRef> {
        &self.reference
    }

    /// Its numbers.
    #[must_use]
    pub fn settings(&self) -> &AlertSettings {
        &self.settings
    }

    /// Whether `other` gives the same alerts for the same elements, so that it may take over this one's alerts at a reload:
    /// as in Prometheus, the name and the labels are the same; expression, times and annotations may differ.
    #[must_use]
    pub fn same_identity(&self, other: &Self) -> bool {
        self.reference.alert == other.reference.alert && self.labels == other.labels
    }

    /// Whether the annotations' templates are the same.
    #[must_use]
    pub fn same_texts(&self, other: &Self) -> bool {
        self.annotations == other.annotations
    }

    /// The expressions that its templates query, with [`super::TEXT_HOLE`] and [`super::NUMBER_HOLE`] for what is not known
    /// before an alert begins.
    #[must_use]
    pub fn queries(&self) -> &[String] {
        &self.queries
    }

    /// Whether the labels of an alert may differ from tick to tick for the same element.
    pub(super) fn labels_vary(&self) -> bool {
        self.labels_vary
    }

    /// The labels of the alert of an element: the element's without `__name__`, the rule's over them, `alertname` over all.
    pub(super) fn alert_labels(&self, evaluated: Evaluated<'_>, context: &AlertContext<'_>) -> Labels {
        let mut builder = evaluated.element.as_ref().to_builder();
        builder.remove(METRIC_NAME);
        for (name, template) in &self.labels {
            self.set_expanded(&mut builder, name, template, evaluated, context);
        }
        builder.set(ALERT_NAME, self.reference.alert.as_str());
        builder.build()
    }

    /// The annotations, expanded, in the order of the file.
    pub(super) fn expand_annotations(
        &self,
        evaluated: Evaluated<'_>,
        context: &AlertContext<'_>,
    ) -> Vec<(String, String)> {
        let expanded = |template: &Template| match template.is_static() {
            Some(text) => text.to_owned(),
            None => template.expand_or_error(&self.reference.alert, &template_context(evaluated, context)),
        };
        self.annotations.iter().map(|(name, template)| (name.clone(), expanded(template))).collect()
    }

    fn set_expanded(
        &self,
        builder: &mut LabelBuilder,
        name: &str,
        template: &Template,
        evaluated: Evaluated<'_>,
        context: &AlertContext<'_>,
    ) {
        match template.is_static() {
            Some(text) => builder.set(name, text),
            None => {
                let expanded = template.expand_or_error(&self.reference.alert, &template_context(evaluated, context));
                builder.set(name, expanded)
            }
        };
    }
}

fn parse_all(
    place: &'static str,
    templates: &[(String, String)],
) -> Result<Vec<(String, Template)>, RuleTemplateError> {
    let parse = |(name, text): &(String, String)| match Template::parse(text) {
        Ok(template) => Ok((name.clone(), template)),
        Err(error) => Err(RuleTemplateError { place, name: name.clone(), error }),
    };
    templates.iter().map(parse).collect()
}

fn template_context<'a>(evaluated: Evaluated<'a>, context: &AlertContext<'a>) -> TemplateContext<'a> {
    TemplateContext {
        labels: evaluated.element.as_ref(),
        external_labels: context.external_labels,
        external_url: context.external_url,
        value: evaluated.value,
        now: evaluated.at,
        max_bytes: context.template_bytes,
        queries: context.queries,
        max_queries: context.template_queries,
    }
}
