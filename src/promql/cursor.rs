//! Steps over the tokens of an expression, and what is said where one is not expected.
//!
//! Knows signs and words; knows nothing of the grammar they make.

use std::ops::Range;

use super::error::ExprError;
use super::lexer::{Kind, Token};

/// Tokens, and how far a recogniser has come.
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token.
    pub(super) fn new(text: &'a str, tokens: &'a [Token]) -> Self {
        Self { text, tokens, at: 0 }
    }

    /// What the token at hand is.
    pub(super) fn kind(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    /// The index of the token at hand.
    pub(super) fn index(&self) -> usize {
        self.at
    }

    /// The text of the token at hand.
    pub(super) fn written(&self) -> &str {
        &self.text[self.tokens[self.at].span.clone()]
    }

    /// The text of the token at hand in lower case if it is a name, else nothing.
    pub(super) fn word(&self) -> String {
        if *self.kind() == Kind::Name { self.written().to_ascii_lowercase() } else { String::new() }
    }

    /// The bytes of the token at hand.
    pub(super) fn here(&self) -> Range<usize> {
        self.tokens[self.at].span.clone()
    }

    /// The bytes from the first to the last of these tokens, at least the first.
    pub(super) fn span(&self, tokens: Range<usize>) -> Range<usize> {
        let last = tokens.end.clamp(tokens.start + 1, self.tokens.len()) - 1;
        self.tokens[tokens.start].span.start..self.tokens[last].span.end
    }

    /// Whether this sign follows the token at hand.
    pub(super) fn next_is(&self, sign: &'static str) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Sign(sign))
    }

    /// Goes on by one token, but not behind the end.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    /// Takes this sign if it is at hand.
    pub(super) fn sign(&mut self, sign: &'static str) -> bool {
        let found = *self.kind() == Kind::Sign(sign);
        self.at += usize::from(found);
        found
    }

    /// Takes this keyword if it is at hand.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.word() == keyword;
        self.at += usize::from(found);
        found
    }

    /// Takes the closing sign of what was opened at a token.
    pub(super) fn close(&mut self, sign: &'static str, open: usize) -> Result<(), ExprError> {
        if self.sign(sign) {
            return Ok(());
        }
        if *self.kind() == Kind::End {
            let opened = &self.tokens[open].span;
            return Err(ExprError::at(opened.clone(), format!("`{}` is never closed", &self.text[opened.clone()])));
        }
        Err(self.unexpected(match sign {
            ")" => "an operator, `,` or `)`",
            "]" => "`]`",
            _ => "`,` or `}`",
        }))
    }

    /// The fault that the token at hand cannot stand here.
    pub(super) fn unexpected(&self, wanted: &str) -> ExprError {
        let here = self.tokens[self.at].span.clone();
        if *self.kind() == Kind::End {
            // The place is behind the last token: a caret under the end of a comment or blank line helps nobody.
            let end = self.at.checked_sub(1).map_or(0, |last| self.tokens[last].span.end);
            return ExprError::at(end..end, format!("the expression ends where {wanted} is expected"));
        }
        let error = ExprError::at(here, format!("unexpected `{}`, expected {wanted}", self.written()));
        match self.kind() {
            Kind::Sign("{") => error.help("Go or Jinja templates are not expanded in expressions"),
            Kind::Sign("=") => error.help("equality is `==`"),
            Kind::Sign("=~" | "!~") => error.help("regular expressions match labels: up{job=~\"node.*\"}"),
            _ => error,
        }
    }

    /// Whether `by` or `without` and a parenthesis stand at a token.
    pub(super) fn grouping_at(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| {
            t.kind == Kind::Name && matches!(self.text[t.span.clone()].to_ascii_lowercase().as_str(), "by" | "without")
        }) && self.tokens.get(at + 1).is_some_and(|t| t.kind == Kind::Sign("("))
    }
}
