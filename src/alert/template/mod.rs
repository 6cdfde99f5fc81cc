//! Templates in labels and annotations: the part of Go's `text/template` that Prometheus' rule files use, with Prometheus'
//! own functions. docs/decisions/0002-templates.md says why it is written here.
//!
//! A template is parsed once, when its rule file is loaded, and expanded with an alert's labels and value. It reads no
//! clock, and series only by asking [`Queries`], whose answers are somebody else's.

mod asked;
mod ast;
mod bounded;
mod call;
mod clock;
mod compare;
mod eval;
mod excerpt;
mod float;
mod functions;
mod humanize;
mod invoke;
mod lex;
mod literal;
mod parse;
mod printf;
mod reads;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod varies;

use std::fmt;

pub use self::asked::{AskedQuery, NUMBER_HOLE, TEXT_HOLE};
use self::ast::{Node, Place};
use self::parse::Tree;
pub use self::reads::LabelRead;
use self::value::Value;
use crate::base::{Labels, LabelsRef, Millis};

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// As written, for errors.
    source: String,
    tree: Tree,
    uses_value: bool,
}

/// Answers queries of templates.
pub trait Queries: fmt::Debug {
    /// The result of a PromQL expression at an instant, in the order in which templates see it.
    ///
    /// # Errors
    /// Why there is none; the text of the expansion will say so.
    fn query(&self, expr: &str, at: Millis) -> Result<Vec<(Labels, f64)>, String>;
}

/// For templates that are expanded where nothing can be queried.
#[derive(Clone, Copy, Debug)]
pub struct NoQueries;

impl Queries for NoQueries {
    fn query(&self, _: &str, _: Millis) -> Result<Vec<(Labels, f64)>, String> {
        Err("there is nothing to query here".to_owned())
    }
}

/// What a template is expanded with.
#[derive(Clone, Copy, Debug)]
pub struct TemplateContext<'a> {
    /// `$labels`: the labels of the vector's element, `__name__` among them if it has one.
    pub labels: LabelsRef<'a>,
    /// `$externalLabels`: `global.external_labels` of the configuration.
    pub external_labels: &'a Labels,
    /// `$externalURL`: where this server is reached from outside.
    pub external_url: &'a str,
    /// `$value`.
    pub value: f64,
    /// What `now` gives: the tick.
    pub now: Millis,
    /// Most bytes of the result, and of every text made on the way.
    pub max_bytes: usize,
    /// Who answers `query`.
    pub queries: &'a dyn Queries,
    /// Most queries of one expansion.
    pub max_queries: usize,
}

/// A template that does not parse or cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template, byte {offset}: {message}")]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes from the beginning of the template.
    pub offset: usize,
    /// What was being expanded.
    fault: Option<Box<TemplateFault>>,
}

/// What was being expanded when an error came up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TemplateFault {
    place: Place,
    /// Name of the innermost `define`.
    within: Option<String>,
    /// A part of the template that the message quotes, and where in the message.
    quoted: Option<(usize, Place)>,
}

impl TemplateError {
    fn new(message: impl Into<String>, offset: usize) -> Self {
        Self { message: message.into(), offset, fault: None }
    }
}

/// The variables that every template begins with, as Prometheus declares them. The empty name is `$`.
const VARIABLES: [&str; 5] = ["", "labels", "externalLabels", "externalURL", "value"];

impl Template {
    /// Parses a template.
    ///
    /// ```
    /// use forewarn::alert::Template;
    /// let error = Template::parse("{{ $labels.job | humanise }}").unwrap_err();
    /// assert_eq!(error.to_string(), r#"template, byte 17: function "humanise" is not defined"#);
    /// ```
    ///
    /// # Errors
    /// What Go's parser refuses, and unknown functions and variables.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let tokens = lex::lex(text)?;
        let tree = parse::parse(&tokens, text.len(), &VARIABLES)?;
        let uses_value = varies::varies(&tree);
        Ok(Self { source: text.to_owned(), tree, uses_value })
    }

    /// The text itself where there is no action in it, so that it need not be expanded.
    #[must_use]
    pub fn is_static(&self) -> Option<&str> {
        match self.tree.body.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether the result may differ between ticks though the labels are the same: it reads the value, or `now`, or queries.
    /// In doubt (the whole data is passed on as one) this says yes.
    #[must_use]
    pub fn uses_value(&self) -> bool {
        self.uses_value
    }

    /// The alert's labels that the template reads without asking first whether they are there.
    #[must_use]
    pub fn labels_read(&self) -> Vec<LabelRead> {
        reads::reads(&self.tree)
    }

    /// The queries it makes, as far as they are known before it is expanded.
    #[must_use]
    pub fn queries(&self) -> Vec<AskedQuery> {
        asked::queries(&self.tree)
    }

    /// Expands the template.
    ///
    /// # Errors
    /// What Go's templates refuse when they run (a field of what has none, wrong types or numbers of arguments), a
    /// result beyond `max_bytes`, and too many steps.
    pub fn expand(&self, context: &TemplateContext<'_>) -> Result<String, TemplateError> {
        if let Some(text) = self.is_static() {
            return if text.len() > context.max_bytes {
                Err(TemplateError::new(bounded::too_long(context.max_bytes), 0))
            } else {
                Ok(text.to_owned())
            };
        }
        let variables = vec![
            (VARIABLES[0], Value::Root(context)),
            (VARIABLES[1], Value::Labels(context.labels)),
            (VARIABLES[2], Value::Labels(context.external_labels.as_ref())),
            (VARIABLES[3], Value::Text(context.external_url.into())),
            (VARIABLES[4], Value::Float(context.value)),
        ];
        eval::expand(&self.tree, context, variables)
    }

    /// Expands the template; what goes wrong becomes the text, in the words and with the places of Prometheus, so that the
    /// alert is sent all the same.
    #[must_use]
    pub fn expand_or_error(&self, alert: &str, context: &TemplateContext<'_>) -> String {
        self.expand(context).unwrap_or_else(|error| {
            format!("<error expanding template: {}>", excerpt::executing(&error, &self.source, alert))
        })
    }
}
