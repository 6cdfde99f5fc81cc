//! Values within a template, with the types that Go's templates would see.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::TemplateContext;
use super::clock::{format_duration, format_time};
use super::float::shortest;
use crate::base::{Labels, LabelsRef, Millis, parse_value};

/// An element of a query's result: its labels and value.
pub(super) type Sample = (Labels, f64);

/// A value. Text and labels are borrowed from the template or the alert where possible.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// No value: `nil`, or what a missing key of [`Value::Map`] gives.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// `map[string]string`; a missing key is the empty string.
    Labels(LabelsRef<'a>),
    /// What `args` gives.
    Map(Rc<BTreeMap<String, Value<'a>>>),
    /// The data the template was given.
    Root(&'a TemplateContext<'a>),
    /// An instant.
    Time(Millis),
    /// A span in nanoseconds.
    Duration(i64),
    /// A number with a name, such as a month: number, name, type.
    Named(i64, &'static str, &'static str),
    /// What `query` gives.
    Samples(Rc<[Rc<Sample>]>),
    /// One element of it.
    Sample(Rc<Sample>),
    /// The labels of one.
    SampleLabels(Rc<Sample>),
}

/// The type of an alert's data, as Go names it.
const ROOT_TYPE: &str =
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }";

impl<'a> Value<'a> {
    /// A text that was made here.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    /// Go's truth: false for zero, nil and what is empty.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(v) | Self::Duration(v) | Self::Named(v, ..) => *v != 0,
            Self::Float(v) => *v != 0.0,
            Self::Text(s) => !s.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
            Self::SampleLabels(sample) => !sample.0.as_ref().is_empty(),
            Self::Root(_) | Self::Time(_) | Self::Sample(_) => true,
        }
    }

    /// The type as Go names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Labels(_) | Self::SampleLabels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Root(_) => ROOT_TYPE,
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Named(_, _, name) => name,
            Self::Samples(_) => "template.queryResult",
            Self::Sample(_) => "*template.sample",
        }
    }

    /// The number that Prometheus' own functions take: a number, or a text that reads as one.
    pub fn to_float(&self) -> Result<f64, String> {
        match self {
            Self::Float(v) => Ok(*v),
            Self::Int(v) => Ok(*v as f64),
            Self::Duration(ns) => Ok(*ns as f64 / 1e9),
            Self::Text(text) => {
                parse_value(text).ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
            }
            other => Err(format!("can't convert {} to float", other.type_name())),
        }
    }

    /// The value of a field or key.
    pub fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Labels(labels) => Ok(Self::Text(Cow::Borrowed(labels.get(name).unwrap_or("")))),
            Self::SampleLabels(sample) => Ok(Self::text(sample.0.as_ref().get(name).unwrap_or(""))),
            Self::Sample(sample) => match name {
                "Labels" => Ok(Self::SampleLabels(Rc::clone(sample))),
                "Value" => Ok(Self::Float(sample.1)),
                _ => Err(format!("can't evaluate field {name} in type {}", self.type_name())),
            },
            Self::Map(map) => Ok(map.get(name).cloned().unwrap_or(Self::Nil)),
            Self::Root(data) => match name {
                "Labels" => Ok(Self::Labels(data.labels)),
                "ExternalLabels" => Ok(Self::Labels(data.external_labels.as_ref())),
                "ExternalURL" => Ok(Self::Text(Cow::Borrowed(data.external_url))),
                "Value" => Ok(Self::Float(data.value)),
                _ => Err(format!("can't evaluate field {name} in type {}", self.type_name())),
            },
            Self::Nil => Err(format!("nil data; no entry for key {name:?}")),
            _ => Err(format!("can't evaluate field {name} in type {}", self.type_name())),
        }
    }

    /// The elements, sorted by key, for what has keys.
    pub fn entries(&self) -> Option<Vec<(String, Self)>> {
        match self {
            Self::Labels(labels) => {
                Some(labels.iter().map(|(name, value)| (name.to_owned(), Self::Text(Cow::Borrowed(value)))).collect())
            }
            Self::SampleLabels(sample) => {
                Some(sample.0.as_ref().iter().map(|(name, value)| (name.to_owned(), Self::text(value))).collect())
            }
            Self::Map(map) => Some(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()),
            _ => None,
        }
    }

    /// The text of a value that has no parts, as `%v` writes it.
    pub fn scalar_text(&self) -> Cow<'_, str> {
        match self {
            Self::Bool(b) => Cow::Borrowed(if *b { "true" } else { "false" }),
            Self::Int(v) => Cow::Owned(v.to_string()),
            Self::Float(v) => Cow::Owned(shortest(*v)),
            Self::Text(s) => Cow::Borrowed(s),
            Self::Time(t) => Cow::Owned(format_time(*t)),
            Self::Duration(ns) => Cow::Owned(format_duration(*ns)),
            Self::Named(_, name, _) => Cow::Borrowed(name),
            Self::Nil
            | Self::Labels(_)
            | Self::Map(_)
            | Self::Root(_)
            | Self::Samples(_)
            | Self::Sample(_)
            | Self::SampleLabels(_) => Cow::Borrowed("<nil>"),
        }
    }
}
