//! Recognises PromQL's grammar over tokens, to say where and why an expression is not one.
//!
//! It builds no tree: the grammar's own parser does, but that parser has neither places nor words for its faults, and no
//! bounds. Both must accept. What is found here is a list of the expression's parts with their places, by which later
//! checks find the place of what they complain about. Knows no types.
//!
//! The grammar is Prometheus' `promql/parser/generated_parser.y`.

use std::ops::Range;

use crate::base::{FAR, LONGEST_SPAN};

use super::cursor::Cursor;
use super::error::{ExprError, FaultKind};
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
    /// The tokens of each argument of a call or aggregation, or of each matcher of a selector.
    pub(super) args: Vec<Range<usize>>,
}

/// What a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// A call of the named function.
    Call(String),
    /// An aggregation.
    Aggregation,
    /// A selector, without its range and offset.
    Selector,
    /// Two operands with an operator, given by its token, and where the second operand begins.
    Binary(usize, usize),
    /// Anything else that is an expression by itself.
    Other,
}

/// Recognises an expression; gives its parts, each after those inside it.
pub(super) fn recognise(text: &str, tokens: &[Token]) -> Result<Vec<Part>, ExprError> {
    let mut grammar = Grammar { cursor: Cursor::new(text, tokens), parts: Vec::new() };
    if *grammar.cursor.kind() == Kind::End {
        let message = "the expression is empty".to_owned();
        return Err(ExprError { message, help: None, span: None, kind: FaultKind::Mistake });
    }
    grammar.binary(0, 0)?;
    if *grammar.cursor.kind() != Kind::End {
        return Err(grammar.cursor.unexpected("an operator or the end"));
    }
    Ok(grammar.parts)
}

struct Grammar<'a> {
    cursor: Cursor<'a>,
    parts: Vec<Part>,
}

/// Keywords that, like the aggregations, are a metric's name where an operand is expected, but never a function's.
const METRIC_KEYWORDS: [&str; 9] =
    ["and", "or", "unless", "by", "without", "offset", "fill", "fill_left", "fill_right"];
/// Keywords that never stand for a metric.
const RESERVED: [&str; 8] = ["atan2", "bool", "on", "ignoring", "group_left", "group_right", "smoothed", "anchored"];
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
        let start = self.cursor.index();
        if nested > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut depth = self.unary(nested + 1)?;
        while let Some(binds) = self.operator().filter(|binds| *binds >= precedence) {
            let operator = self.cursor.kind().clone();
            let at = self.cursor.index();
            self.cursor.advance();
            if *self.cursor.kind() == Kind::Sign("/") && matches!(operator, Kind::Sign("<" | ">")) {
                return Err(refuse::trim_operator(self.cursor.span(self.cursor.index() - 1..self.cursor.index() + 1)));
            }
            self.modifiers()?;
            let second = self.cursor.index();
            let right = if binds == POWER { binds } else { binds + 1 };
            depth = 1 + depth.max(self.binary(right, nested + 1)?);
            if depth > MAX_DEPTH {
                return Err(self.too_deep());
            }
            self.part(PartKind::Binary(at, second), start, Vec::new());
        }
        Ok(depth)
    }

    fn unary(&mut self, nested: usize) -> Result<usize, ExprError> {
        let start = self.cursor.index();
        if self.cursor.sign("+") || self.cursor.sign("-") {
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
        let start = self.cursor.index();
        let mut depth = 1;
        match self.cursor.kind() {
            Kind::Duration(_) => self.duration("", true)?,
            Kind::Number(_) | Kind::Text(_) => self.cursor.advance(),
            Kind::Sign("(") => {
                self.cursor.advance();
                depth += self.binary(0, nested)?;
                self.cursor.close_with(")", start, "an operator or `)`")?;
                self.part(PartKind::Other, start, Vec::new());
            }
            Kind::Sign("{") => {
                let matchers = selector::matchers(&mut self.cursor, false)?;
                self.part(PartKind::Selector, start, matchers);
            }
            Kind::Name => depth += self.named(nested)?,
            _ => return Err(self.cursor.unexpected("an expression")),
        }
        Ok(depth)
    }

    /// What begins with a name: an aggregation, a call, a number or a selector.
    fn named(&mut self, nested: usize) -> Result<usize, ExprError> {
        let start = self.cursor.index();
        let written = self.cursor.written();
        let word = self.cursor.word();
        let calls = self.cursor.next_is("(");
        if matches!(word.as_str(), "inf" | "nan") {
            self.cursor.advance();
            return Ok(0);
        }
        if AGGREGATIONS.contains(&word.as_str()) && (calls || self.cursor.grouping_at(self.cursor.index() + 1)) {
            return self.aggregation(&word, nested);
        }
        if AGGREGATIONS.contains(&word.as_str()) && self.cursor.grouping_word_at(start + 1) {
            self.cursor.advance();
            self.cursor.advance();
            return Err(self.cursor.unexpected("`(` and label names").help("as in sum by (job, instance) (x)"));
        }
        if calls && !METRIC_KEYWORDS.contains(&word.as_str()) && !RESERVED.contains(&word.as_str()) {
            refuse::function(written, self.cursor.span(start..start + 1))?;
            let name = written.to_owned();
            self.cursor.advance();
            let (args, depth) = self.arguments(nested)?;
            if let Some(extension) = extension(&name)
                && !(extension.arity.0..=extension.arity.1).contains(&args.len())
            {
                let message = format!("wrong number of arguments for {name}()");
                return Err(
                    ExprError::at(self.cursor.span(start..self.cursor.index()), message).help(extension.signature)
                );
            }
            self.part(PartKind::Call(name), start, args);
            return Ok(depth);
        }
        if RESERVED.contains(&word.as_str()) {
            return Err(self.cursor.unexpected("an expression"));
        }
        self.cursor.advance();
        let braces = *self.cursor.kind() == Kind::Sign("{");
        let matchers = if braces { selector::matchers(&mut self.cursor, true)? } else { Vec::new() };
        self.part(PartKind::Selector, start, matchers);
        Ok(0)
    }

    fn aggregation(&mut self, word: &str, nested: usize) -> Result<usize, ExprError> {
        let start = self.cursor.index();
        if matches!(word, "limitk" | "limit_ratio") {
            return Err(refuse::aggregation(word, self.cursor.span(start..start + 1)));
        }
        self.cursor.advance();
        let before = self.cursor.grouping_at(self.cursor.index());
        if before {
            self.cursor.advance();
            self.labels()?;
        }
        if *self.cursor.kind() != Kind::Sign("(") {
            return Err(self.cursor.unexpected("`(`"));
        }
        let (args, depth) = self.arguments(nested)?;
        let with_parameter = matches!(word, "topk" | "bottomk" | "count_values" | "quantile");
        if args.len() != 1 + usize::from(with_parameter) {
            let wanted = if with_parameter { "2 arguments: a parameter and a vector" } else { "1 argument, a vector" };
            return Err(ExprError::at(
                self.cursor.span(start..self.cursor.index()),
                format!("{word} takes {wanted}; {} given", args.len()),
            ));
        }
        if !before && self.cursor.grouping_at(self.cursor.index()) {
            self.cursor.advance();
            self.labels()?;
        }
        self.part(PartKind::Aggregation, start, args);
        Ok(depth)
    }

    /// Arguments in parentheses: the tokens of each, and the depth of the deepest.
    fn arguments(&mut self, nested: usize) -> Result<(Vec<Range<usize>>, usize), ExprError> {
        let open = self.cursor.index();
        self.cursor.advance();
        let (mut args, mut depth) = (Vec::new(), 0);
        if self.cursor.sign(")") {
            return Ok((args, depth));
        }
        loop {
            let start = self.cursor.index();
            depth = depth.max(self.binary(0, nested)?);
            args.push(start..self.cursor.index());
            if !self.cursor.sign(",") {
                break;
            }
        }
        self.cursor.close(")", open)?;
        Ok((args, depth))
    }

    /// Ranges, subqueries, offsets and the like after an operand.
    fn suffixes(&mut self, start: usize) -> Result<(), ExprError> {
        loop {
            let here = self.cursor.here();
            match self.cursor.kind() {
                Kind::Sign("[") => self.range()?,
                Kind::Sign("@") => self.pin()?,
                Kind::Name => match self.cursor.word().as_str() {
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
        let open = self.cursor.index();
        self.cursor.advance();
        self.duration("a duration like 5m", true)?;
        if self.cursor.sign(":") && *self.cursor.kind() != Kind::Sign("]") {
            self.duration("a duration like 5m, or `]`", true)?;
        }
        if is_arithmetic(self.cursor.kind()) {
            return Err(refuse::duration_arithmetic(self.cursor.here()));
        }
        self.cursor.close("]", open)
    }

    fn offset(&mut self) -> Result<(), ExprError> {
        self.cursor.advance();
        let _ = self.cursor.sign("-") || self.cursor.sign("+");
        self.duration("a duration like 5m", false)
    }

    /// The instant after `@`: seconds since 1970, `start()` or `end()`.
    fn pin(&mut self) -> Result<(), ExprError> {
        // No sample is further away.
        const MOST_SECONDS: f64 = FAR as f64 / 1000.0;
        self.cursor.advance();
        if let "start" | "end" = self.cursor.word().as_str() {
            self.cursor.advance();
            let open = self.cursor.index();
            return match self.cursor.sign("(") {
                true => self.cursor.close(")", open),
                false => Err(self.cursor.unexpected("`()`")),
            };
        }
        let _ = self.cursor.sign("-") || self.cursor.sign("+");
        match self.cursor.kind() {
            Kind::Duration(_) => {}
            Kind::Number(n) if *n <= MOST_SECONDS => {}
            Kind::Number(_) => {
                return Err(ExprError::at(self.cursor.here(), "the instant is further away than any sample can be")
                    .help("after @ stand seconds since 1970"));
            }
            _ => return Err(self.cursor.unexpected("seconds since 1970, start() or end()")),
        }
        self.cursor.advance();
        Ok(())
    }

    /// A duration, or a number of seconds that is one.
    fn duration(&mut self, wanted: &str, positive: bool) -> Result<(), ExprError> {
        // The parser makes a `Duration` of the number, which has no negative, infinite or very large values.
        const MOST_SECONDS: f64 = LONGEST_SPAN as f64 / 1000.0;
        let here = self.cursor.here();
        match self.cursor.kind() {
            Kind::Duration(millis) if *millis > 0 => {}
            Kind::Duration(_) => return Err(ExprError::at(here, "a duration must be longer than 0")),
            Kind::Number(n) if positive && *n <= 0.0 => {
                return Err(ExprError::at(here, "a duration must be longer than 0"));
            }
            Kind::Number(n) if (0.0..=MOST_SECONDS).contains(n) => {}
            Kind::Number(_) => return Err(ExprError::at(here, "the duration is too long")),
            Kind::Sign("(" | "-" | "+") => return Err(refuse::duration_arithmetic(here)),
            Kind::Name if self.cursor.next_is("(") => {
                return Err(refuse::duration_arithmetic(here));
            }
            _ => return Err(self.cursor.unexpected(wanted)),
        }
        self.cursor.advance();
        Ok(())
    }

    /// Precedence of the operator at hand.
    fn operator(&self) -> Option<u8> {
        Some(match self.cursor.kind() {
            Kind::Sign("^") => POWER,
            Kind::Sign("*" | "/" | "%") => 5,
            Kind::Sign("+" | "-") => 4,
            Kind::Sign("==" | "!=" | "<" | "<=" | ">" | ">=") => 3,
            Kind::Name => match self.cursor.word().as_str() {
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
        self.cursor.keyword("bool");
        if self.cursor.keyword("on") || self.cursor.keyword("ignoring") {
            self.labels()?;
            if (self.cursor.keyword("group_left") || self.cursor.keyword("group_right"))
                && *self.cursor.kind() == Kind::Sign("(")
            {
                self.labels()?;
            }
        } else if let word @ ("group_left" | "group_right") = self.cursor.word().as_str() {
            let here = self.cursor.here();
            return Err(ExprError::at(here, format!("{word} needs on(...) or ignoring(...) before it")));
        }
        if let word @ ("fill" | "fill_left" | "fill_right") = self.cursor.word().as_str()
            && self.cursor.next_is("(")
        {
            return Err(refuse::fill_modifier(word, self.cursor.here()));
        }
        Ok(())
    }

    /// Label names in parentheses.
    fn labels(&mut self) -> Result<(), ExprError> {
        let open = self.cursor.index();
        if !self.cursor.sign("(") {
            return Err(self.cursor.unexpected("`(` and label names"));
        }
        while !self.cursor.sign(")") {
            match self.cursor.kind() {
                Kind::Text(_) => {}
                Kind::Name if !self.cursor.written().contains(':') => {}
                Kind::End => return self.cursor.close(")", open),
                _ => return Err(self.cursor.unexpected("a label name")),
            }
            self.cursor.advance();
            if !self.cursor.sign(",") {
                return self.cursor.close_with(")", open, "`,` or `)`");
            }
        }
        Ok(())
    }

    fn part(&mut self, kind: PartKind, start: usize, args: Vec<Range<usize>>) {
        self.parts.push(Part { kind, tokens: start..self.cursor.index(), args });
    }

    fn too_deep(&self) -> ExprError {
        ExprError::at(self.cursor.here(), format!("the expression is nested more than {MAX_DEPTH} deep"))
            .help("split it into recording rules")
    }
}

fn is_arithmetic(kind: &Kind) -> bool {
    matches!(kind, Kind::Sign("+" | "-" | "*" | "/" | "%" | "^"))
}
