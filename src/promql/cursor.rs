//! Steps over the tokens of an expression, and what is said where one is not expected.
//!
//! Knows signs and words; knows nothing of the grammar they make.

use std::ops::Range;

use super::error::ExprError;
use super::lexer::{Kind, Token};

/// What a matcher's value must be.
pub(super) const QUOTED: &str = "a quoted string";

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
        let wanted = match sign {
            ")" => "an operator, `,` or `)`",
            "]" => "`]`",
            _ => "`,` or `}`",
        };
        self.close_with(sign, open, wanted)
    }

    /// The same, with what is said to be expected.
    pub(super) fn close_with(&mut self, sign: &'static str, open: usize, wanted: &str) -> Result<(), ExprError> {
        if self.sign(sign) {
            return Ok(());
        }
        if *self.kind() == Kind::End {
            let opened = &self.tokens[open].span;
            return Err(ExprError::at(opened.clone(), format!("`{}` is never closed", &self.text[opened.clone()])));
        }
        Err(self.unexpected(wanted))
    }

    /// The fault that the token at hand cannot stand here.
    pub(super) fn unexpected(&self, wanted: &str) -> ExprError {
        let here = self.tokens[self.at].span.clone();
        let before = self.at.checked_sub(1).map(|last| &self.tokens[last]);
        if *self.kind() == Kind::End {
            // The place is behind the last token: a caret under the end of a comment or blank line helps nobody.
            let end = before.map_or(0, |last| last.span.end);
            let error = ExprError::at(end..end, format!("the expression ends where {wanted} is expected"));
            return match before.map(|last| &last.kind) {
                Some(Kind::Sign("%")) => error.help("`%` is the remainder of a division; 5 percent is 0.05"),
                _ => error,
            };
        }
        let error = ExprError::at(here, format!("unexpected `{}`, expected {wanted}", self.written()));
        let help = match (before.map(|last| &last.kind), self.kind()) {
            (Some(Kind::Sign("=")), Kind::Sign(">")) => "greater or equal is `>=`",
            (Some(Kind::Sign("<")), Kind::Sign(">")) => "not equal is `!=`",
            (_, Kind::Sign("=")) if self.next_is(">") => "greater or equal is `>=`",
            (Some(Kind::Sign("/")), Kind::Sign("/" | "*")) => "comments begin with #",
            (Some(Kind::Number(_)), Kind::Sign(",")) => "numbers are written without commas: 1000, or 1_000",
            (Some(Kind::Number(_)), Kind::Name) if wanted == "`]`" => "a duration has no blanks: 5m",
            (Some(Kind::Sign("=" | "!=")), Kind::Name) if wanted == QUOTED => "values are quoted: job=\"node\"",
            (_, Kind::Sign("{")) => "all matchers stand in one pair of braces: x{a=\"b\", c=\"d\"}",
            (_, Kind::Sign("=")) => "equality is `==`",
            (_, Kind::Sign("!")) => "there is no `not`: write x == 0, x unless y, or absent(x)",
            (_, Kind::Sign("=~" | "!~")) => "regular expressions match labels: up{job=~\"node.*\"}",
            (_, Kind::Sign(";")) => "one rule has one expression",
            _ => return error,
        };
        error.help(help)
    }

    /// Whether `by` or `without` stands at a token.
    pub(super) fn grouping_word_at(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| {
            t.kind == Kind::Name && matches!(self.text[t.span.clone()].to_ascii_lowercase().as_str(), "by" | "without")
        })
    }

    /// Whether `by` or `without` and a parenthesis stand at a token.
    pub(super) fn grouping_at(&self, at: usize) -> bool {
        self.grouping_word_at(at) && self.tokens.get(at + 1).is_some_and(|t| t.kind == Kind::Sign("("))
    }
}
