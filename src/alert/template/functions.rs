//! Every function that templates may call, in one list: Go's own and Prometheus', with what they take. What they do is in
//! `call.rs`.

use super::value::Value;

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
    Call,
    UrlQueryEscape,
    Query,
    First,
    Label,
    Value,
    StrValue,
    SortByLabel,
}

/// What an argument may be, as Go's types have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Samples,
    Sample,
}

/// Name, function, fewest and most arguments. The kinds of the arguments are in [`Function::parameter`].
const FUNCTIONS: [(&str, Function, usize, usize); 48] = [
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
    ("slice", Function::Slice, 1, usize::MAX),
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
    ("call", Function::Call, 1, usize::MAX),
    ("urlQueryEscape", Function::UrlQueryEscape, 1, 1),
    ("query", Function::Query, 1, 1),
    ("first", Function::First, 1, 1),
    ("label", Function::Label, 2, 2),
    ("value", Function::Value, 1, 1),
    ("strvalue", Function::StrValue, 1, 1),
    ("sortByLabel", Function::SortByLabel, 2, 2),
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

    /// What the argument at `index` may be.
    pub fn parameter(self, index: usize) -> Kind {
        match self {
            Self::Query
            | Self::SafeHtml
            | Self::Title
            | Self::ToUpper
            | Self::ToLower
            | Self::Match
            | Self::ReReplaceAll
            | Self::GraphLink
            | Self::TableLink
            | Self::StripPort
            | Self::StripDomain
            | Self::ParseDuration
            | Self::UrlQueryEscape => Kind::Text,
            Self::Printf | Self::Label | Self::SortByLabel if index == 0 => Kind::Text,
            Self::First | Self::SortByLabel => Kind::Samples,
            Self::Label | Self::Value | Self::StrValue => Kind::Sample,
            _ => Kind::Any,
        }
    }
}

impl Kind {
    /// Whether a value is of the kind.
    pub fn takes(self, value: &Value<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Text => matches!(value, Value::Text(_)),
            // Both may be nil in Go.
            Self::Samples => matches!(value, Value::Samples(_) | Value::Nil),
            Self::Sample => matches!(value, Value::Sample(_) | Value::Nil),
        }
    }

    /// The type in Go.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Samples => "template.queryResult",
            Self::Sample => "*template.sample",
        }
    }
}
