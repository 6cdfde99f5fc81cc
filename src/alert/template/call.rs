//! What each function does.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::TemplateContext;
use super::bounded::{Bounded, too_long};
use super::functions::Function;
use super::value::{Sample, Value};
use super::{clock, compare, humanize, printf, text};
use crate::base::{parse_duration, re2_pattern};

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES: usize = 1 << 20;

impl Function {
    /// Calls the function. `and` and `or` are given all their values here; whoever evaluates may stop before.
    pub(super) fn call<'a>(self, values: &[Value<'a>], data: &'a TemplateContext<'a>) -> Result<Value<'a>, String> {
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
                let text = string(&values[0])?;
                let fault = |_| {
                    if text.is_empty() {
                        "empty duration string".to_owned()
                    } else {
                        format!("not a valid duration string: {text:?}")
                    }
                };
                let millis = parse_duration(text).map_err(fault)?;
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
            Self::Call => return Err("call of nil".to_owned()),
            Self::UrlQueryEscape => Value::text(text::urlquery(string(&values[0])?)),
            // The expansion counts its queries and makes them itself.
            Self::Query => return Err("there is nothing to query here".to_owned()),
            Self::First => match &values[0] {
                Value::Samples(samples) if !samples.is_empty() => Value::Sample(Rc::clone(&samples[0])),
                _ => return Err("first() called on vector with no elements".to_owned()),
            },
            Self::Label => Value::text(sample(&values[1])?.0.as_ref().get(string(&values[0])?).unwrap_or("")),
            Self::Value => Value::Float(sample(&values[0])?.1),
            Self::StrValue => Value::text(sample(&values[0])?.0.as_ref().get("__value__").unwrap_or("")),
            Self::SortByLabel => sort_by_label(string(&values[0])?, &values[1]),
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
        Value::SampleLabels(sample) => sample.0.as_ref().iter().count(),
        Value::Samples(samples) => samples.len(),
        Value::Map(map) => map.len(),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

fn index<'a>(values: &[Value<'a>]) -> Result<Value<'a>, String> {
    let mut current = values[0].clone();
    for key in &values[1..] {
        current = match (&current, key) {
            (Value::Labels(_) | Value::SampleLabels(_) | Value::Map(_), Value::Text(name)) => current.field(name)?,
            (Value::Labels(_) | Value::SampleLabels(_) | Value::Map(_), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()));
            }
            (Value::Samples(samples), Value::Int(at)) => {
                let sample = usize::try_from(*at).ok().and_then(|at| samples.get(at));
                Value::Sample(Rc::clone(sample.ok_or_else(|| out_of_range(*at, samples.len(), "slice"))?))
            }
            (Value::Text(text), Value::Int(at)) => {
                let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
                Value::Int(i64::from(*byte.ok_or_else(|| out_of_range(*at, text.len(), "string"))?))
            }
            (Value::Text(_) | Value::Samples(_), other) => {
                return Err(format!("cannot index slice/array with type {}", other.type_name()));
            }
            (Value::Nil, _) => return Err("index of untyped nil".to_owned()),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(current)
}

/// Go looks at the length itself only later than at what lies beyond it.
fn out_of_range(at: i64, length: usize, what: &str) -> String {
    if usize::try_from(at) == Ok(length) {
        return format!("reflect: {what} index out of range");
    }
    format!("index out of range: {at}")
}

fn slice<'a>(values: &[Value<'a>]) -> Result<Value<'a>, String> {
    let length = match &values[0] {
        Value::Text(text) => text.len(),
        Value::Samples(samples) => samples.len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if values.len() > 3 {
        return Err(match &values[0] {
            Value::Text(_) if values.len() == 4 => "cannot 3-index slice a string".to_owned(),
            _ => format!("too many slice indexes: {}", values.len() - 1),
        });
    }
    let mut bounds = [0, length];
    for (bound, value) in bounds.iter_mut().zip(&values[1..]) {
        let Value::Int(at) = value else {
            return Err(format!("cannot index slice/array with type {}", value.type_name()));
        };
        *bound =
            usize::try_from(*at).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {at}"))?;
    }
    let [start, end] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    match &values[0] {
        Value::Samples(samples) => Ok(Value::Samples(samples[start..end].into())),
        Value::Text(text) => {
            text.get(start..end).map(Value::text).ok_or_else(|| format!("{start}..{end} cuts a character in two"))
        }
        _ => Ok(Value::Nil),
    }
}

fn sample<'v>(value: &'v Value<'_>) -> Result<&'v Sample, String> {
    match value {
        Value::Sample(sample) => Ok(sample),
        _ => Err("runtime error: invalid memory address or nil pointer dereference".to_owned()),
    }
}

/// Stable, and byte by byte as Go compares.
fn sort_by_label<'a>(label: &str, value: &Value<'a>) -> Value<'a> {
    let Value::Samples(samples) = value else { return Value::Nil };
    let mut sorted = samples.to_vec();
    let of = |sample: &Rc<Sample>| sample.0.as_ref().get(label).unwrap_or("").to_owned();
    sorted.sort_by_cached_key(of);
    Value::Samples(sorted.into())
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let bad = |reason: String| format!("bad regular expression: {reason}");
    let translated = re2_pattern(pattern).map_err(bad)?;
    RegexBuilder::new(&translated).size_limit(REGEX_BYTES).build().map_err(|e| bad(e.to_string()))
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
