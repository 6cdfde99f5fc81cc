//! What is wrong with an expression, where, and how to mend it.
//!
//! Knows nothing of files: places are bytes of the expression's own text.

use std::ops::Range;

/// An expression that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong, in one line.
    pub message: String,
    /// How to mend it, where that is known.
    pub help: Option<String>,
    /// Where: bytes of the expression's text. None where the fault lies in the whole.
    pub span: Option<Range<usize>>,
    /// What kind of fault.
    pub kind: FaultKind,
}

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nobody takes it.
    Mistake,
    /// It is PromQL that is refused.
    Refusal,
    /// Prometheus takes it, and fails when it evaluates it.
    Late,
}

impl ExprError {
    /// A fault at a place.
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, span: Some(span), kind: FaultKind::Mistake }
    }

    /// A part of PromQL that is refused.
    pub(super) fn refused(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Refusal, ..Self::at(span, message) }
    }

    /// What Prometheus finds when it evaluates.
    pub(super) fn late(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { kind: FaultKind::Late, ..Self::at(span, message) }
    }

    /// Adds how to mend it.
    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
