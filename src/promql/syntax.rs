//! Recognises PromQL's grammar over tokens, to say where and why an expression is not one.
//!
//! It builds no tree: the grammar's own parser does, but that parser has neither places nor words for its faults and
//! may recover from a fault by skipping tokens. So both must accept. What is found here is a list of the expression's
//! parts with their places, with which later checks find the place of what they complain about. Knows no types.
//!
//! The grammar is Prometheus' `promql/parser/generated_parser.y`.

use std::ops::Range;

use super::error::ExprError;
use super::extensions::extension;
use super::lexer::{Kind, Token};
use super::{refuse, selector};

/// Deepest nesting of an expression's tree: later walks over it are recursive.
const MAX_DEPTH: usize = 300;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// What it is.
    pub(super) kind: PartKind,
    /// Its tokens, by index.
    pub(super) tokens: Range<usize>,
    /// The tokens of each argument of a call or aggregation.
    pub(super) args: Vec<Range<usize>>,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// A call of the named function.
    Call(String),
    /// An aggregation.
    Aggregation,
    /// Anything else that is an expression by itself.
    Other,
}

/// Recognises an expression; gives its parts, each after those inside it.
pub(super) fn recognise(text: &str, tokens: &[Token]) -> Result<Vec<Part>, ExprError> {
    let mut grammar = Grammar { text, tokens, at: 0, parts: Vec::new() };
    if *grammar.kind() == Kind::End {
        return Err(ExprError { message: "the expression is empty".to_owned(), help: None, span: None });
    }
    grammar.binary(0, 0)?;
    if *grammar.kind() != Kind::End {
        return Err(grammar.unexpected("an operator or the end"));
    }
    Ok(grammar.parts)
}

/// The recogniser: tokens and how far it has come.
pub(super) struct Grammar<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    parts: Vec<Part>,
}

/// Keywords that stand for a metric where an operand is expected; so do the aggregations.
const METRIC_KEYWORDS: [&str; 9] =
    ["and", "or", "unless", "by", "without", "offset", "fill", "fill_left", "fill_right"];
/// Keywords that never stand for a metric.
const RESERVED: [&str; 9] =
    ["atan2", "bool", "on", "ignoring", "group_left", "group_right", "smoothed", "anchored", ":"];
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];
/// How strongly unary minus binds: more than `*`, less than `^`.
const POWER: u8 = 6;

impl Grammar<'_> {
    /// Operators of at least this precedence, with their operands; gives the depth of the tree.
    fn binary(&mut self, precedence: u8, nested: usize) -> Result<usize, ExprError> {
        let start = self.at;
        if nested > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut depth = self.unary(nested + 1)?;
        while let Some(binds) = self.operator().filter(|binds| *binds >= precedence) {
            self.at += 1;
            if *self.kind() == Kind::Sign("/") && matches!(self.tokens[self.at - 1].kind, Kind::Sign("<" | ">")) {
                return Err(refuse::trim_operator(self.span(self.at - 1..self.at + 1)));
            }
            self.modifiers()?;
            let right = if binds == POWER { binds } else { binds + 1 };
            depth = 1 + depth.max(self.binary(right, nested + 1)?);
            if depth > MAX_DEPTH {
                return Err(self.too_deep());
            }
            self.part(PartKind::Other, start, Vec::new());
        }
        Ok(depth)
    }

    fn unary(&mut self, nested: usize) -> Result<usize, ExprError> {
        let start = self.at;
        if self.sign("+") || self.sign("-") {
            let depth = 1 + self.binary(POWER, nested)?;
            self.part(PartKind::Other, start, Vec::new());
            return Ok(depth);
        }
        let depth = self.operand(nested)?;
        self.suffixes(start)?;
        Ok(depth)
    }

    /// A literal, a selector, a call, an aggregation or a parenthesis.
    fn operand(&mut self, nested: usize) -> Result<usize, ExprError> {
        let start = self.at;
        let mut depth = 1;
        match self.kind() {
            Kind::Duration(_) => self.duration("", true)?,
            Kind::Number(_) | Kind::Text(_) => self.at += 1,
            Kind::Sign("(") => {
                self.at += 1;
                depth += self.binary(0, nested)?;
                self.close(")", start)?;
                self.part(PartKind::Other, start, Vec::new());
            }
            Kind::Sign("{") => {
                selector::matchers(self, None)?;
                self.part(PartKind::Other, start, Vec::new());
            }
            Kind::Name => depth += self.named(nested)?,
            _ => return Err(self.unexpected("an expression")),
        }
        Ok(depth)
    }

    /// What begins with a name: an aggregation, a call, a number or a selector.
    fn named(&mut self, nested: usize) -> Result<usize, ExprError> {
        let start = self.at;
        let written = self.written();
        let word = self.word();
        let next = self.tokens.get(self.at + 1).map(|t| &t.kind);
        let calls = next == Some(&Kind::Sign("("));
        if matches!(word.as_str(), "inf" | "nan") {
            self.at += 1;
            return Ok(0);
        }
        if AGGREGATIONS.contains(&word.as_str()) && (calls || self.grouping_at(self.at + 1)) {
            return self.aggregation(&word, nested);
        }
        if calls && !METRIC_KEYWORDS.contains(&word.as_str()) && !RESERVED.contains(&word.as_str()) {
            refuse::function(written, self.tokens[start].span.clone())?;
            let name = written.to_owned();
            self.at += 1;
            let (args, depth) = self.arguments(nested)?;
            if let Some(extension) = extension(&name)
                && !(extension.arity.0..=extension.arity.1).contains(&args.len())
            {
                let message = format!("wrong number of arguments for {name}()");
                return Err(ExprError::at(self.span(start..self.at), message).help(extension.signature));
            }
            self.part(PartKind::Call(name), start, args);
            return Ok(depth);
        }
        if RESERVED.contains(&word.as_str()) {
            return Err(self.unexpected("an expression"));
        }
        self.at += 1;
        if *self.kind() == Kind::Sign("{") {
            selector::matchers(self, Some(start))?;
        }
        self.part(PartKind::Other, start, Vec::new());
        Ok(0)
    }

    fn aggregation(&mut self, word: &str, nested: usize) -> Result<usize, ExprError> {
        let start = self.at;
        if matches!(word, "limitk" | "limit_ratio") {
            return Err(refuse::aggregation(word, self.tokens[start].span.clone()));
        }
        self.at += 1;
        let before = self.grouping_at(self.at);
        if before {
            self.at += 1;
            self.labels()?;
        }
        if *self.kind() != Kind::Sign("(") {
            return Err(self.unexpected("`(`"));
        }
        let (args, depth) = self.arguments(nested)?;
        let with_parameter = matches!(word, "topk" | "bottomk" | "count_values" | "quantile");
        if args.len() != 1 + usize::from(with_parameter) {
            let wanted = if with_parameter { "2 arguments: a parameter and a vector" } else { "1 argument, a vector" };
            return Err(ExprError::at(
                self.span(start..self.at),
                format!("{word} takes {wanted}; {} given", args.len()),
            ));
        }
        if !before && self.grouping_at(self.at) {
            self.at += 1;
            self.labels()?;
        }
        self.part(PartKind::Aggregation, start, args);
        Ok(depth)
    }

    /// Arguments in parentheses: the tokens of each, and the depth of the deepest.
    fn arguments(&mut self, nested: usize) -> Result<(Vec<Range<usize>>, usize), ExprError> {
        let open = self.at;
        self.at += 1;
        let (mut args, mut depth) = (Vec::new(), 0);
        if self.sign(")") {
            return Ok((args, depth));
        }
        loop {
            let start = self.at;
            depth = depth.max(self.binary(0, nested)?);
            args.push(start..self.at);
            if !self.sign(",") {
                break;
            }
        }
        self.close(")", open)?;
        Ok((args, depth))
    }

    /// Ranges, subqueries, offsets and the like after an operand.
    fn suffixes(&mut self, start: usize) -> Result<(), ExprError> {
        loop {
            let here = self.tokens[self.at].span.clone();
            match self.kind() {
                Kind::Sign("[") => self.range()?,
                Kind::Sign("@") => return Err(refuse::at_modifier(here)),
                Kind::Name => match self.word().as_str() {
                    "offset" => self.offset()?,
                    word @ ("smoothed" | "anchored") => return Err(refuse::range_modifier(word, here)),
                    _ => return Ok(()),
                },
                _ => return Ok(()),
            }
            self.part(PartKind::Other, start, Vec::new());
        }
    }

    fn range(&mut self) -> Result<(), ExprError> {
        let open = self.at;
        self.at += 1;
        self.duration("a duration like 5m", true)?;
        if self.sign(":") && *self.kind() != Kind::Sign("]") {
            self.duration("a duration like 5m, or `]`", true)?;
        }
        if is_arithmetic(self.kind()) {
            return Err(refuse::duration_arithmetic(self.tokens[self.at].span.clone()));
        }
        self.close("]", open)
    }

    fn offset(&mut self) -> Result<(), ExprError> {
        let keyword = self.at;
        self.at += 1;
        if *self.kind() == Kind::Sign("-") {
            return Err(refuse::negative_offset(self.span(keyword..(self.at + 2).min(self.tokens.len()))));
        }
        self.sign("+");
        self.duration("a duration like 5m", false)
    }

    /// A duration, or a number of seconds that is one.
    fn duration(&mut self, wanted: &str, positive: bool) -> Result<(), ExprError> {
        // The parser makes a `Duration` of the number, which has no negative, infinite or very large values.
        const MOST_SECONDS: f64 = 290.0 * 365.0 * 86_400.0;
        let here = self.tokens[self.at].span.clone();
        match self.kind() {
            Kind::Duration(millis) if *millis > 0 => {}
            Kind::Duration(_) => return Err(ExprError::at(here, "a duration must be longer than 0")),
            Kind::Number(n) if positive && *n <= 0.0 => {
                return Err(ExprError::at(here, "a duration must be longer than 0"));
            }
            Kind::Number(n) if (0.0..=MOST_SECONDS).contains(n) => {}
            Kind::Number(_) => return Err(ExprError::at(here, "the duration is too long")),
            Kind::Sign("(" | "-" | "+") => return Err(refuse::duration_arithmetic(here)),
            Kind::Name if self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Sign("(")) => {
                return Err(refuse::duration_arithmetic(here));
            }
            _ => return Err(self.unexpected(wanted)),
        }
        self.at += 1;
        Ok(())
    }

    /// Precedence of the operator at hand.
    fn operator(&self) -> Option<u8> {
        Some(match self.kind() {
            Kind::Sign("^") => POWER,
            Kind::Sign("*" | "/" | "%") => 5,
            Kind::Sign("+" | "-") => 4,
            Kind::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") => 3,
            Kind::Name => match self.word().as_str() {
                "atan2" => 5,
                "and" | "unless" => 2,
                "or" => 1,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// `bool`, `on`, `ignoring`, `group_left` and `group_right` after an operator.
    fn modifiers(&mut self) -> Result<(), ExprError> {
        self.keyword("bool");
        if self.keyword("on") || self.keyword("ignoring") {
            self.labels()?;
            if (self.keyword("group_left") || self.keyword("group_right")) && *self.kind() == Kind::Sign("(") {
                self.labels()?;
            }
        } else if let word @ ("group_left" | "group_right") = self.word().as_str() {
            let here = self.tokens[self.at].span.clone();
            return Err(ExprError::at(here, format!("{word} needs on(...) or ignoring(...) before it")));
        }
        if let word @ ("fill" | "fill_left" | "fill_right") = self.word().as_str()
            && self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Sign("("))
        {
            return Err(refuse::fill_modifier(word, self.tokens[self.at].span.clone()));
        }
        Ok(())
    }

    /// Label names in parentheses.
    fn labels(&mut self) -> Result<(), ExprError> {
        let open = self.at;
        if !self.sign("(") {
            return Err(self.unexpected("`(` and label names"));
        }
        while !self.sign(")") {
            match self.kind() {
                Kind::Text(_) => {}
                Kind::Name if !self.written().contains(':') => {}
                Kind::End => return self.close(")", open),
                _ => return Err(self.unexpected("a label name")),
            }
            self.at += 1;
            if !self.sign(",") {
                return self.close(")", open);
            }
        }
        Ok(())
    }

    fn grouping_at(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| {
            t.kind == Kind::Name && matches!(self.text[t.span.clone()].to_ascii_lowercase().as_str(), "by" | "without")
        }) && self.tokens.get(at + 1).is_some_and(|t| t.kind == Kind::Sign("("))
    }

    fn part(&mut self, kind: PartKind, start: usize, args: Vec<Range<usize>>) {
        self.parts.push(Part { kind, tokens: start..self.at, args });
    }

    fn too_deep(&self) -> ExprError {
        ExprError::at(self.tokens[self.at].span.clone(), format!("the expression is nested more than {MAX_DEPTH} deep"))
            .help("split it into recording rules")
    }
}

/// Small steps over tokens, which `selector` takes as well.
impl Grammar<'_> {
    pub(super) fn kind(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub(super) fn index(&self) -> usize {
        self.at
    }

    /// The text of the token at hand.
    pub(super) fn written(&self) -> &str {
        &self.text[self.tokens[self.at].span.clone()]
    }

    /// The text of the token at hand in lower case if it is a name, else nothing.
    fn word(&self) -> String {
        if *self.kind() == Kind::Name { self.written().to_ascii_lowercase() } else { String::new() }
    }

    /// The bytes from the first to the last of these tokens.
    pub(super) fn span(&self, tokens: Range<usize>) -> Range<usize> {
        self.tokens[tokens.start].span.start..self.tokens[tokens.end.max(tokens.start + 1) - 1].span.end
    }

    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    /// Takes this sign if it is at hand.
    pub(super) fn sign(&mut self, sign: &'static str) -> bool {
        let found = *self.kind() == Kind::Sign(sign);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> bool {
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
}

fn is_arithmetic(kind: &Kind) -> bool {
    matches!(kind, Kind::Sign("+" | "-" | "*" | "/" | "%" | "^"))
}
