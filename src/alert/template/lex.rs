//! Cuts a template into tokens: text outside actions, and what stands within `{{ }}`.
//!
//! Trim markers (`{{-`, `-}}`) and comments are dealt with here; the parser never sees them. Knows nothing of functions.

use super::TemplateError;
use super::literal::{read_char, read_number, read_quoted};

/// A token and where it begins in the template's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub offset: usize,
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Open,
    Close,
    Space,
    Word(String),
    /// `.name`, without the dot.
    Field(String),
    /// `$name`, without the dollar.
    Variable(String),
    Dot,
    Int(i64),
    Float(f64),
    Str(String),
    Pipe,
    Paren,
    EndParen,
    Declare,
    Assign,
    Comma,
}

/// Go's template white space; other spaces are not allowed in actions.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts the whole text.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    let mut trim = false;
    loop {
        let rest = &text[lexer.at..];
        let open = rest.find("{{");
        let mut outside = &rest[..open.unwrap_or(rest.len())];
        let start = lexer.at;
        lexer.at += outside.len();
        if trim {
            outside = outside.trim_start_matches(SPACE);
        }
        if open.is_some() && trims_before(&text[lexer.at + 2..]) {
            outside = outside.trim_end_matches(SPACE);
        }
        if !outside.is_empty() {
            lexer.tokens.push(Token { offset: start, kind: Kind::Text(outside.to_owned()) });
        }
        if open.is_none() {
            return Ok(lexer.tokens);
        }
        trim = lexer.action()?;
    }
}

/// Whether what follows `{{` is a trim marker: a dash and white space, so that `{{-3}}` remains a number.
fn trims_before(inside: &str) -> bool {
    inside.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACE))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    /// Reads from `{{` to beyond `}}`; says whether the text that follows is to be trimmed.
    fn action(&mut self) -> Result<bool, TemplateError> {
        let opened = self.at;
        self.at += 2;
        let trimmed = trims_before(self.rest());
        if self.rest()[if trimmed { 2 } else { 0 }..].starts_with("/*") {
            return self.comment(opened);
        }
        self.at += usize::from(trimmed);
        self.push(opened, Kind::Open);
        loop {
            let start = self.at;
            if self.rest().is_empty() {
                return Err(TemplateError::new("unclosed action: `}}` is missing", opened));
            }
            if self.rest().starts_with("}}") {
                self.at += 2;
                self.push(start, Kind::Close);
                return Ok(false);
            }
            let spaces = self.rest().len() - self.rest().trim_start_matches(SPACE).len();
            if spaces > 0 {
                self.at += spaces;
                if self.rest().starts_with("-}}") {
                    self.at += 3;
                    self.push(start, Kind::Close);
                    return Ok(true);
                }
                self.push(start, Kind::Space);
            } else {
                let kind = self.token()?;
                self.push(start, kind);
            }
        }
    }

    fn comment(&mut self, opened: usize) -> Result<bool, TemplateError> {
        let Some(end) = self.rest().find("*/") else {
            return Err(TemplateError::new("unclosed comment: `*/` is missing", opened));
        };
        self.at += end + 2;
        for (close, trim) in [("}}", false), (" -}}", true), ("\n-}}", true), ("\t-}}", true)] {
            if self.rest().starts_with(close) {
                self.at += close.len();
                return Ok(trim);
            }
        }
        Err(TemplateError::new("a comment must end with `*/}}` and be alone in its action", opened))
    }

    fn token(&mut self) -> Result<Kind, TemplateError> {
        let start = self.at;
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        let second = rest[first.len_utf8()..].chars().next().unwrap_or(' ');
        let simple = match first {
            '|' => Some(Kind::Pipe),
            '(' => Some(Kind::Paren),
            ')' => Some(Kind::EndParen),
            ',' => Some(Kind::Comma),
            '=' => Some(Kind::Assign),
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            return Ok(kind);
        }
        match first {
            ':' if second == '=' => {
                self.at += 2;
                Ok(Kind::Declare)
            }
            '"' | '`' => read_quoted(self.text, &mut self.at).map(Kind::Str),
            '\'' => read_char(self.text, &mut self.at).map(Kind::Int),
            '$' => {
                self.at += 1;
                let name = self.name();
                self.terminated().map(|()| Kind::Variable(name))
            }
            '.' if !second.is_ascii_digit() => {
                self.at += 1;
                let name = self.name();
                self.terminated().map(|()| if name.is_empty() { Kind::Dot } else { Kind::Field(name) })
            }
            '+' | '-' | '.' | '0'..='9' => read_number(self.text, &mut self.at),
            c if c == '_' || c.is_alphabetic() => {
                let name = self.name();
                self.terminated().map(|()| Kind::Word(name))
            }
            c => Err(TemplateError::new(format!("unexpected {c:?} in action"), start)),
        }
    }

    /// Takes letters, digits and underscores.
    fn name(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    /// A name must not run into something else: `$labels.foo-bar` is a mistake and not a subtraction.
    fn terminated(&self) -> Result<(), TemplateError> {
        let rest = self.rest();
        if rest.is_empty() || rest.starts_with(SPACE) || rest.starts_with(['.', ',', '|', ':', '(', ')', '=']) {
            return Ok(());
        }
        if rest.starts_with("}}") {
            return Ok(());
        }
        let c = rest.chars().next().unwrap_or(' ');
        Err(TemplateError::new(
            format!("bad character {c:?} after a name (a label with such a name is read with: index $labels \"name\")"),
            self.at,
        ))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, offset: usize, kind: Kind) {
        self.tokens.push(Token { offset, kind });
    }
}
