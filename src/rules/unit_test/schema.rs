//! What a JSON Schema says of values that the format reads leniently: YAML writes many texts without quotes, as numbers,
//! and null is nothing, as in Go.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::base::DURATION_PATTERN;

/// Gives a type that is read `try_from` another one that one's schema.
macro_rules! schema_of {
    ($written:ty => $($read:ty),+) => {$(
        impl schemars::JsonSchema for $read {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$written>::schema_name()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                <$written>::schema_id()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$written>::json_schema(generator)
            }
        }
    )+};
}

pub(super) use schema_of;

/// A text, with or without quotes.
pub(super) struct ScalarText;

/// A duration, or nothing.
pub(super) struct DurationText;

/// A duration above zero.
pub(super) struct PeriodText;

/// A number; as a text where YAML has none such, like NaN or 5%.
pub(super) struct NumberText;

/// A share: 0.02, or 2%.
pub(super) struct ShareText;

impl JsonSchema for ScalarText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean", "null"]})
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer", "null"], "minLength": 1, "maximum": 0, "pattern": DURATION_PATTERN})
    }
}

impl JsonSchema for PeriodText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "pattern": DURATION_PATTERN, "not": {"pattern": "^[0a-z]+$"}})
    }
}

impl JsonSchema for NumberText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"]})
    }
}

impl JsonSchema for ShareText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"], "minimum": 0, "maximum": 1})
    }
}
