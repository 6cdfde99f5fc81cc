//! Tokens to tree. Names of variables and functions are checked here, so that a typing error is found when the rule file is
//! loaded and not when the alert fires.

use std::collections::BTreeMap;

use super::TemplateError;
use super::ast::{Branch, Command, Node, Operand, Pipeline, Place, Term};
use super::functions::Function;
use super::lex::{Kind, Token};

/// Deepest nesting of actions and parentheses.
const MAX_DEPTH: usize = 64;

/// What a template's text says.
#[derive(Default, Clone, Debug, PartialEq)]
pub(super) struct Tree {
    pub body: Vec<Node>,
    /// Bodies of `define` and `block`, by name.
    pub defined: BTreeMap<String, Vec<Node>>,
}

/// Parses the tokens of a template. `variables` are those that it begins with, without `$`.
pub(super) fn parse(tokens: &[Token], length: usize, variables: &[&str]) -> Result<Tree, TemplateError> {
    let mut parser = Parser {
        tokens,
        at: 0,
        length,
        variables: variables.iter().map(|&name| name.to_owned()).collect(),
        depth: 0,
        ranges: 0,
        opened: 0,
        defined: BTreeMap::new(),
    };
    let (body, end) = parser.body()?;
    match end {
        Stop::Text => Ok(Tree { body, defined: parser.defined }),
        Stop::End(offset) => Err(TemplateError::new("unexpected {{end}}: nothing is open", offset)),
        Stop::Else(offset) => Err(TemplateError::new("unexpected {{else}}: nothing is open", offset)),
    }
}

/// What a body ended with, and where.
enum Stop {
    Text,
    End(usize),
    Else(usize),
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Bytes of the text: where an error about its end stands.
    length: usize,
    variables: Vec<String>,
    depth: usize,
    /// How many `range` are open.
    ranges: usize,
    /// Where the action begins.
    opened: usize,
    defined: BTreeMap<String, Vec<Node>>,
}

impl<'a> Parser<'a> {
    fn body(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(token) = self.next() {
            if let Kind::Text(text) = &token.kind {
                nodes.push(Node::Text(text.clone()));
                continue;
            }
            self.opened = token.offset;
            self.skip_space();
            let offset = self.offset();
            let word = match self.peek() {
                Some(Kind::Word(word)) => word.as_str(),
                _ => "",
            };
            match word {
                "end" => {
                    self.keyword()?;
                    return Ok((nodes, Stop::End(offset)));
                }
                // What follows `else` is left to the caller, which may find an `if` or a `with`.
                "else" => {
                    self.at += 1;
                    self.skip_space();
                    return Ok((nodes, Stop::Else(offset)));
                }
                "define" => self.define(offset)?,
                _ => nodes.push(self.action(word, offset)?),
            }
        }
        Ok((nodes, Stop::Text))
    }

    fn action(&mut self, word: &str, offset: usize) -> Result<Node, TemplateError> {
        match word {
            "if" => self.branch("if").map(Node::If),
            "with" => self.branch("with").map(Node::With),
            "range" => self.branch("range").map(Node::Range),
            "break" | "continue" => {
                let node = if word == "break" { Node::Break } else { Node::Continue };
                self.keyword()?;
                if self.ranges == 0 {
                    return Err(TemplateError::new(format!("{{{{{word}}}}} outside {{{{range}}}}"), offset));
                }
                Ok(node)
            }
            "template" => {
                self.at += 1;
                self.skip_space();
                let position = self.offset();
                let name = self.template_name()?;
                let argument = if self.peek() == Some(&Kind::Close) { None } else { Some(self.pipeline("template")?) };
                self.close()?;
                let place = Place { position, start: self.opened, end: self.offset() };
                Ok(Node::Template { place, name, argument })
            }
            "block" => {
                self.at += 1;
                let name = self.template_name()?;
                let argument = Some(self.pipeline("block")?);
                self.close()?;
                let place = self.place(offset);
                self.definition(name.clone(), offset)?;
                Ok(Node::Template { place, name, argument })
            }
            _ => {
                let pipeline = self.pipeline("command")?;
                self.close()?;
                Ok(Node::Action(pipeline))
            }
        }
    }

    /// `if`, `with` and `range`, from the word to beyond `end`. The variables it declares end with it.
    fn branch(&mut self, word: &str) -> Result<Branch, TemplateError> {
        self.at += 1;
        self.deeper()?;
        let outer = self.variables.len();
        let pipeline = self.pipeline(word)?;
        self.close()?;
        let is_range = word == "range";
        let declared = self.variables.len();
        self.ranges += usize::from(is_range);
        let (body, mut end) = self.body()?;
        self.ranges -= usize::from(is_range);
        self.variables.truncate(declared);
        let mut otherwise = Vec::new();
        if let Stop::Else(offset) = end {
            match self.peek() {
                // `else if` is an `if` alone in the `else` and shares its `end`.
                Some(Kind::Word(next)) if next == word && !is_range => {
                    otherwise = vec![self.action(word, offset)?];
                    end = Stop::End(offset);
                }
                _ => {
                    self.close()?;
                    (otherwise, end) = self.body()?;
                }
            }
        }
        self.variables.truncate(outer);
        self.depth -= 1;
        match end {
            Stop::End(_) => Ok(Branch { pipeline, body, otherwise }),
            Stop::Else(offset) => Err(TemplateError::new("expected {{end}}, found a second {{else}}", offset)),
            Stop::Text => Err(TemplateError::new(format!("{{{{end}}}} of {{{{{word}}}}} is missing"), self.length)),
        }
    }

    fn define(&mut self, offset: usize) -> Result<(), TemplateError> {
        self.at += 1;
        let name = self.template_name()?;
        self.close()?;
        if self.depth > 0 {
            return Err(TemplateError::new("{{define}} must not stand within another action", offset));
        }
        self.definition(name, offset)
    }

    /// The body of a `define` or `block`. It sees no variables from outside, as in Go.
    fn definition(&mut self, name: String, offset: usize) -> Result<(), TemplateError> {
        self.deeper()?;
        let outside = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.body()?;
        self.variables = outside;
        self.ranges = ranges;
        self.depth -= 1;
        if !matches!(end, Stop::End(_)) {
            return Err(TemplateError::new(format!("{{{{end}}}} of template {name:?} is missing"), offset));
        }
        if self.defined.insert(name.clone(), body).is_some() {
            return Err(TemplateError::new(format!("template {name:?} is defined twice"), offset));
        }
        Ok(())
    }

    fn template_name(&mut self) -> Result<String, TemplateError> {
        self.skip_space();
        let offset = self.offset();
        match self.next().map(|t| &t.kind) {
            Some(Kind::Str(name)) => {
                let name = name.clone();
                self.skip_space();
                Ok(name)
            }
            _ => Err(TemplateError::new("the name of a template must be a quoted string", offset)),
        }
    }

    /// A pipeline up to `}}` or `)`, neither of which it takes.
    fn pipeline(&mut self, context: &str) -> Result<Pipeline, TemplateError> {
        self.skip_space();
        let offset = self.offset();
        let (declared, assigns) = self.left_side(context)?;
        let mut commands = vec![self.command(context)?];
        while self.peek() == Some(&Kind::Pipe) {
            self.at += 1;
            let command = self.command(context)?;
            if !can_take_arguments(&command.operand) {
                let message = format!("stage {} of the pipeline is no function", commands.len() + 1);
                return Err(TemplateError::new(message, command.place.start));
            }
            commands.push(command);
        }
        if assigns {
            if let Some(name) = declared.iter().find(|name| !self.variables.contains(name)) {
                return Err(TemplateError::new(format!("undefined variable ${name}"), offset));
            }
        } else {
            self.variables.extend(declared.iter().cloned());
        }
        Ok(Pipeline { place: self.place(offset), variables: declared, assigns, commands })
    }

    /// The variables before `:=` or `=`, if any: one, or two for `range`. Second: whether it is `=`.
    fn left_side(&mut self, context: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let (start, offset) = (self.at, self.offset());
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek() {
            names.push(name.clone());
            self.at += 1;
            self.skip_space();
            match self.peek() {
                Some(Kind::Comma) => {
                    self.at += 1;
                    self.skip_space();
                }
                Some(kind @ (Kind::Declare | Kind::Assign)) => {
                    let assigns = *kind == Kind::Assign;
                    self.at += 1;
                    if names.len() > if context == "range" { 2 } else { 1 } {
                        return Err(TemplateError::new(format!("too many variables in {context}"), offset));
                    }
                    return Ok((names, assigns));
                }
                _ => break,
            }
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        self.skip_space();
        let offset = self.offset();
        let mut operands = Vec::new();
        loop {
            match self.peek() {
                None | Some(Kind::Close | Kind::Pipe | Kind::EndParen) => break,
                _ => operands.push(self.operand()?),
            }
            match self.peek() {
                Some(Kind::Space) => self.skip_space(),
                None | Some(Kind::Close | Kind::Pipe | Kind::EndParen) => break,
                Some(other) => {
                    let message = format!("unexpected {}: put a space between operands", name_of(other));
                    return Err(TemplateError::new(message, self.offset()));
                }
            }
        }
        if operands.is_empty() {
            return Err(TemplateError::new(format!("missing value for {context}"), offset));
        }
        let operand = operands.remove(0);
        Ok(Command { place: self.place(offset), operand, arguments: operands })
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let offset = self.offset();
        let Some(token) = self.next() else {
            return Err(TemplateError::new("unexpected end", offset));
        };
        let mut fields = Vec::new();
        let term = match &token.kind {
            Kind::Dot => Term::Dot,
            Kind::Field(name) => {
                fields.push(name.clone());
                Term::Dot
            }
            Kind::Variable(name) => self.variable(name, offset)?,
            Kind::Int(v) => Term::Int(*v),
            Kind::Float(v) => Term::Float(*v),
            Kind::Str(s) => Term::Text(s.clone()),
            Kind::Word(word) => word_term(word, offset)?,
            Kind::Paren => {
                self.deeper()?;
                let pipeline = self.pipeline("parenthesis")?;
                self.depth -= 1;
                if self.next().map(|t| &t.kind) != Some(&Kind::EndParen) {
                    return Err(TemplateError::new("unclosed parenthesis", offset));
                }
                Term::Pipeline(Box::new(pipeline))
            }
            other => return Err(TemplateError::new(format!("unexpected {}", name_of(other)), offset)),
        };
        let term_place = self.place(offset);
        let position = if matches!(self.peek(), Some(Kind::Field(_))) { self.offset() } else { offset };
        while let Some(Kind::Field(name)) = self.peek() {
            if matches!(term, Term::Nil | Term::Bool(_) | Term::Int(_) | Term::Float(_) | Term::Text(_)) {
                return Err(TemplateError::new(format!("a constant has no field .{name}"), self.offset()));
            }
            fields.push(name.clone());
            self.at += 1;
        }
        Ok(Operand { place: Place { position, ..self.place(offset) }, term_place, term, fields })
    }

    fn variable(&self, name: &str, offset: usize) -> Result<Term, TemplateError> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(Term::Variable(name.to_owned()));
        }
        Err(TemplateError::new(format!("undefined variable ${name}"), offset))
    }

    /// Takes a word that must be alone in its action.
    fn keyword(&mut self) -> Result<(), TemplateError> {
        self.at += 1;
        self.close()
    }

    fn close(&mut self) -> Result<(), TemplateError> {
        self.skip_space();
        let offset = self.offset();
        match self.next().map(|t| &t.kind) {
            Some(Kind::Close) => Ok(()),
            Some(other) => Err(TemplateError::new(format!("unexpected {}", name_of(other)), offset)),
            None => Err(TemplateError::new("unexpected end", offset)),
        }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::new(format!("nested deeper than {MAX_DEPTH}"), self.offset()));
        }
        Ok(())
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    fn peek(&self) -> Option<&'a Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.at += 1;
        }
    }

    /// From `start` to here.
    fn place(&self, start: usize) -> Place {
        Place { position: start, start, end: self.offset() }
    }

    fn offset(&self) -> usize {
        self.tokens.get(self.at).map_or(self.length, |token| token.offset)
    }
}

fn word_term(word: &str, offset: usize) -> Result<Term, TemplateError> {
    if let Some(function) = Function::named(word) {
        return Ok(Term::Function(function));
    }
    match word {
        "true" => Ok(Term::Bool(true)),
        "false" => Ok(Term::Bool(false)),
        "nil" => Ok(Term::Nil),
        _ => Err(TemplateError::new(format!("function {word:?} is not defined"), offset)),
    }
}

/// Whether a later stage of a pipeline may be this: a constant cannot take the value of the stage before.
fn can_take_arguments(operand: &Operand) -> bool {
    !operand.fields.is_empty() || matches!(operand.term, Term::Variable(_) | Term::Function(_))
}

/// A token as the user wrote it.
fn name_of(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Open => "{{".to_owned(),
        Kind::Close => "}}".to_owned(),
        Kind::Space => "space".to_owned(),
        Kind::Word(word) => word.clone(),
        Kind::Field(name) => format!(".{name}"),
        Kind::Variable(name) => format!("${name}"),
        Kind::Dot => ".".to_owned(),
        Kind::Int(v) => v.to_string(),
        Kind::Float(v) => v.to_string(),
        Kind::Str(s) => format!("{s:?}"),
        Kind::Pipe => "|".to_owned(),
        Kind::Paren => "(".to_owned(),
        Kind::EndParen => ")".to_owned(),
        Kind::Declare => ":=".to_owned(),
        Kind::Assign => "=".to_owned(),
        Kind::Comma => ",".to_owned(),
    }
}
