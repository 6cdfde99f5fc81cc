//! Every function that templates may call, in one list: Go's own and Prometheus'.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::TemplateContext;
use super::bounded::{Bounded, too_long};
use super::value::Value;
use super::{clock, compare, humanize, printf, text};
use crate::base::parse_duration;

/// Functions on the results of `query`, which templates cannot call yet: they are refused by name when a template is parsed.
pub(super) const QUERY_FUNCTIONS: [&str; 6] = ["query", "first", "label", "value", "strvalue", "sortByLabel"];

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES: usize = 1 << 20;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Index,
    Slice,
    Len,
    Print,
    Println,
    Printf,
    Html,
    Js,
    UrlQuery,
    Args,
    SafeHtml,
    Title,
    ToUpper,
    ToLower,
    Match,
    ReReplaceAll,
    GraphLink,
    TableLink,
    StripPort,
    StripDomain,
    PathPrefix,
    ExternalUrl,
    ParseDuration,
    ToTime,
    ToDuration,
    Now,
    Humanize,
    Humanize1024,
    HumanizeDuration,
    HumanizePercentage,
    HumanizeTimestamp,
}

/// Name, function, fewest and most arguments.
const FUNCTIONS: [(&str, Function, usize, usize); 40] = [
    ("and", Function::And, 1, usize::MAX),
    ("or", Function::Or, 1, usize::MAX),
    ("not", Function::Not, 1, 1),
    ("eq", Function::Eq, 1, usize::MAX),
    ("ne", Function::Ne, 2, 2),
    ("lt", Function::Lt, 2, 2),
    ("le", Function::Le, 2, 2),
    ("gt", Function::Gt, 2, 2),
    ("ge", Function::Ge, 2, 2),
    ("index", Function::Index, 1, usize::MAX),
    ("slice", Function::Slice, 1, 3),
    ("len", Function::Len, 1, 1),
    ("print", Function::Print, 0, usize::MAX),
    ("println", Function::Println, 0, usize::MAX),
    ("printf", Function::Printf, 1, usize::MAX),
    ("html", Function::Html, 0, usize::MAX),
    ("js", Function::Js, 0, usize::MAX),
    ("urlquery", Function::UrlQuery, 0, usize::MAX),
    ("args", Function::Args, 0, usize::MAX),
    ("safeHtml", Function::SafeHtml, 1, 1),
    ("title", Function::Title, 1, 1),
    ("toUpper", Function::ToUpper, 1, 1),
    ("toLower", Function::ToLower, 1, 1),
    ("match", Function::Match, 2, 2),
    ("reReplaceAll", Function::ReReplaceAll, 3, 3),
    ("graphLink", Function::GraphLink, 1, 1),
    ("tableLink", Function::TableLink, 1, 1),
    ("stripPort", Function::StripPort, 1, 1),
    ("stripDomain", Function::StripDomain, 1, 1),
    ("pathPrefix", Function::PathPrefix, 0, 0),
    ("externalURL", Function::ExternalUrl, 0, 0),
    ("parseDuration", Function::ParseDuration, 1, 1),
    ("toTime", Function::ToTime, 1, 1),
    ("toDuration", Function::ToDuration, 1, 1),
    ("now", Function::Now, 0, 0),
    ("humanize", Function::Humanize, 1, 1),
    ("humanize1024", Function::Humanize1024, 1, 1),
    ("humanizeDuration", Function::HumanizeDuration, 1, 1),
    ("humanizePercentage", Function::HumanizePercentage, 1, 1),
    ("humanizeTimestamp", Function::HumanizeTimestamp, 1, 1),
];

impl Function {
    /// The function of that name.
    pub fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, ..)| *known == name).map(|(_, function, ..)| *function)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, function, ..)| *function == self).map_or("", |(name, ..)| name)
    }

    /// Whether this many arguments will do.
    pub fn check_count(self, count: usize) -> Result<(), String> {
        let (least, most) = FUNCTIONS.iter().find(|(_, f, ..)| *f == self).map_or((0, usize::MAX), |f| (f.2, f.3));
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let wanted = if least == most { least.to_string() } else { format!("at least {least}") };
        Err(format!("wrong number of args for {}: want {wanted} got {count}", self.name()))
    }

    /// Calls the function. `and` and `or` are given all their values here; whoever evaluates may stop before.
    pub fn call<'a>(self, values: &[Value<'a>], data: &'a TemplateContext<'a>) -> Result<Value<'a>, String> {
        self.check_count(values.len())?;
        let result = match self {
            Self::And => values.iter().find(|v| !v.is_true()).or(values.last()).cloned().unwrap_or(Value::Nil),
            Self::Or => values.iter().find(|v| v.is_true()).or(values.last()).cloned().unwrap_or(Value::Nil),
            Self::Not => Value::Bool(!values[0].is_true()),
            Self::Eq => Value::Bool(compare::equal(values)?),
            Self::Ne => Value::Bool(!compare::equal(values)?),
            Self::Lt => ordered(values, &[Ordering::Less])?,
            Self::Le => ordered(values, &[Ordering::Less, Ordering::Equal])?,
            Self::Gt => ordered(values, &[Ordering::Greater])?,
            Self::Ge => ordered(values, &[Ordering::Greater, Ordering::Equal])?,
            Self::Index => index(values)?,
            Self::Slice => slice(values)?,
            Self::Len => Value::Int(length(&values[0])?),
            Self::Print => written(data, |out| printf::print(out, values))?,
            Self::Println => written(data, |out| printf::println(out, values))?,
            Self::Printf => {
                let format = string(&values[0])?;
                written(data, |out| printf::printf(out, format, &values[1..]))?
            }
            Self::Html => escaped(values, data, text::html)?,
            Self::Js => escaped(values, data, text::js)?,
            Self::UrlQuery => escaped(values, data, text::urlquery)?,
            Self::Args => {
                let named = values.iter().enumerate().map(|(i, value)| (format!("arg{i}"), value.clone()));
                Value::Map(Rc::new(named.collect()))
            }
            Self::SafeHtml => Value::text(string(&values[0])?),
            Self::Title => Value::text(text::title(string(&values[0])?)),
            Self::ToUpper => Value::text(text::to_upper(string(&values[0])?)),
            Self::ToLower => Value::text(text::to_lower(string(&values[0])?)),
            Self::Match => Value::Bool(regex(string(&values[0])?)?.is_match(string(&values[1])?)),
            Self::ReReplaceAll => {
                let (pattern, by, within) = (string(&values[0])?, string(&values[1])?, string(&values[2])?);
                written(data, |out| replace_all(out, &regex(pattern)?, by, within))?
            }
            Self::GraphLink => Value::text(text::graph_link(string(&values[0])?)),
            Self::TableLink => Value::text(text::table_link(string(&values[0])?)),
            Self::StripPort => Value::text(text::strip_port(string(&values[0])?)),
            Self::StripDomain => Value::text(text::strip_domain(string(&values[0])?)),
            Self::PathPrefix => Value::Text(Cow::Borrowed(text::url_path(data.external_url))),
            Self::ExternalUrl => Value::Text(Cow::Borrowed(data.external_url)),
            Self::ParseDuration => {
                let millis = parse_duration(string(&values[0])?).map_err(|e| e.to_string())?;
                Value::Float(millis as f64 / 1000.0)
            }
            Self::ToTime => Value::Time(clock::to_time(values[0].to_float()?)?),
            Self::ToDuration => Value::Duration((values[0].to_float()? * 1e9) as i64),
            Self::Now => Value::Float(data.now as f64 / 1000.0),
            Self::Humanize => Value::text(humanize::humanize(values[0].to_float()?)),
            Self::Humanize1024 => Value::text(humanize::humanize1024(values[0].to_float()?)),
            Self::HumanizeDuration => Value::text(humanize::humanize_duration(values[0].to_float()?)),
            Self::HumanizePercentage => Value::text(humanize::humanize_percentage(values[0].to_float()?)),
            Self::HumanizeTimestamp => Value::text(humanize::humanize_timestamp(values[0].to_float()?)?),
        };
        match &result {
            Value::Text(text) if text.len() > data.max_bytes => Err(too_long(data.max_bytes)),
            _ => Ok(result),
        }
    }
}

fn string<'v>(value: &'v Value<'_>) -> Result<&'v str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("expected string; found {}", other.type_name())),
    }
}

fn written<'a>(
    data: &TemplateContext<'_>,
    write: impl FnOnce(&mut Bounded) -> Result<(), String>,
) -> Result<Value<'a>, String> {
    let mut out = Bounded::new(data.max_bytes);
    write(&mut out)?;
    Ok(Value::text(out.into_text()))
}

/// What `print` would write, escaped.
fn escaped<'a>(
    values: &[Value<'_>],
    data: &TemplateContext<'_>,
    escape: fn(&str) -> String,
) -> Result<Value<'a>, String> {
    let mut out = Bounded::new(data.max_bytes);
    printf::print(&mut out, values)?;
    Ok(Value::text(escape(&out.into_text())))
}

fn ordered<'a>(values: &[Value<'_>], wanted: &[Ordering]) -> Result<Value<'a>, String> {
    let ordering = compare::order(&values[0], &values[1])?;
    Ok(Value::Bool(ordering.is_some_and(|o| wanted.contains(&o))))
}

fn length(value: &Value<'_>) -> Result<i64, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Labels(labels) => labels.iter().count(),
        Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

fn index<'a>(values: &[Value<'a>]) -> Result<Value<'a>, String> {
    let mut current = values[0].clone();
    for key in &values[1..] {
        current = match (&current, key) {
            (Value::Labels(_) | Value::Map(_), Value::Text(name)) => current.field(name)?,
            (Value::Labels(_) | Value::Map(_), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()));
            }
            (Value::Text(text), Value::Int(at)) => {
                let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
                Value::Int(i64::from(*byte.ok_or_else(|| format!("index out of range: {at}"))?))
            }
            (Value::Text(_), other) => return Err(format!("cannot index with type {}", other.type_name())),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(current)
}

fn slice<'a>(values: &[Value<'a>]) -> Result<Value<'a>, String> {
    let Value::Text(text) = &values[0] else {
        return Err(format!("can't slice item of type {}", values[0].type_name()));
    };
    let mut bounds = [0, text.len()];
    for (bound, value) in bounds.iter_mut().zip(&values[1..]) {
        let Value::Int(at) = value else { return Err(format!("cannot index with type {}", value.type_name())) };
        *bound = usize::try_from(*at)
            .ok()
            .filter(|at| *at <= text.len())
            .ok_or_else(|| format!("index out of range: {at}"))?;
    }
    let [start, end] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    text.get(start..end).map(Value::text).ok_or_else(|| format!("{start}..{end} cuts a character in two"))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build().map_err(|e| format!("bad regular expression: {e}"))
}

fn replace_all(out: &mut Bounded, regex: &Regex, by: &str, within: &str) -> Result<(), String> {
    let mut end = 0;
    let mut replacement = String::new();
    for captures in regex.captures_iter(within) {
        let Some(whole) = captures.get(0) else { continue };
        out.push(&within[end..whole.start()])?;
        replacement.clear();
        captures.expand(by, &mut replacement);
        out.push(&replacement)?;
        end = whole.end();
    }
    out.push(&within[end..])
}
