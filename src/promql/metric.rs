//! A metric as text: a name and labels, as `up{job="node"}` names one series. Not a selector: every label has its value.

use super::error::ExprError;
use super::lexer::{Kind, Token, tokens};
use crate::base::{LabelBuilder, Labels, METRIC_NAME};

/// Reads a metric: `name`, `{label="value"}`, `name{label="value"}` or, for names that need quotes,
/// `{"na.me", "la.bel"="value"}`. No text at all is the metric without labels.
///
/// ```
/// use forewarn::promql::parse_metric;
/// assert_eq!(parse_metric(r#"up { job = 'node', }"#).unwrap().to_string(), r#"up{job="node"}"#);
/// ```
///
/// # Errors
/// Anything else: matchers other than `=`, a label or the name given twice.
pub fn parse_metric(text: &str) -> Result<Labels, ExprError> {
    let tokens = tokens(text)?;
    let mut reader = Reader { text, tokens: &tokens, at: 0, labels: LabelBuilder::default() };
    if reader.peek() == &Kind::Name {
        let name = reader.written().to_owned();
        reader.at += 1;
        reader.set(METRIC_NAME, name)?;
    }
    if reader.takes("{") {
        while !reader.takes("}") {
            reader.label()?;
            if !reader.takes(",") && reader.peek() != &Kind::Sign("}") {
                return Err(reader.unexpected("`,` or `}`"));
            }
        }
    }
    match reader.peek() {
        Kind::End => Ok(reader.labels.build()),
        _ => Err(reader.unexpected("the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    labels: LabelBuilder,
}

impl<'a> Reader<'a> {
    fn label(&mut self) -> Result<(), ExprError> {
        let name = match self.peek() {
            Kind::Name => self.written().to_owned(),
            Kind::Text(quoted) => quoted.clone(),
            _ => return Err(self.unexpected("a label's name")),
        };
        let is_quoted = self.peek() != &Kind::Name;
        self.at += 1;
        if is_quoted && matches!(self.peek(), Kind::Sign("," | "}")) {
            return self.set(METRIC_NAME, name);
        }
        if !self.takes("=") {
            return Err(self.unexpected("`=`"));
        }
        let Kind::Text(value) = self.peek().clone() else { return Err(self.unexpected("a quoted string")) };
        self.at += 1;
        self.set(&name, value)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), ExprError> {
        if self.labels.get(name).is_some() {
            let before = &self.tokens[self.at.saturating_sub(1)];
            return Err(ExprError::at(before.span.clone(), format!("the label {name} is given twice")));
        }
        self.labels.set(name, value);
        Ok(())
    }

    fn peek(&self) -> &'a Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn written(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |token| &self.text[token.span.clone()])
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        let is_there = self.peek() == &Kind::Sign(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn unexpected(&self, expected: &str) -> ExprError {
        let span = self.tokens.get(self.at).map_or(self.text.len()..self.text.len(), |token| token.span.clone());
        let found = if span.is_empty() { "the end".to_owned() } else { format!("`{}`", self.written()) };
        ExprError::at(span, format!("unexpected {found}, expected {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_read_back_as_they_are_shown() {
        for text in ["up", "{}", r#"a:b{x="1", y="\"q\""}"#, r#"{job="test"}"#] {
            assert_eq!(parse_metric(text).unwrap().to_string(), text);
        }
        assert_eq!(parse_metric("").unwrap(), Labels::default());
        assert_eq!(parse_metric("up{}").unwrap().to_string(), "up");
        assert_eq!(
            parse_metric(r#"{"a.b", "c.d"="e"}"#).unwrap(),
            Labels::from_pairs([("__name__", "a.b"), ("c.d", "e")])
        );
        assert_eq!(parse_metric(r#"{__name__="up", by="x",}"#).unwrap().to_string(), r#"up{by="x"}"#);
    }

    #[test]
    fn what_is_no_metric_is_refused() {
        for (text, message) in [
            (r#"up{job="p", instance="x""#, "unexpected the end, expected `,` or `}`"),
            (r#"up{job=~"p"}"#, "unexpected `=~`, expected `=`"),
            (r#"up{a="1", a="2"}"#, "the label a is given twice"),
            (r#"up{__name__="x"}"#, "the label __name__ is given twice"),
            ("up[5m]", "unexpected `[`, expected the end"),
            ("up{job=node}", "unexpected `node`, expected a quoted string"),
            ("up{job='x}", "the string that begins here has no closing '"),
        ] {
            assert_eq!(parse_metric(text).unwrap_err().message, message, "{text}");
        }
    }
}
