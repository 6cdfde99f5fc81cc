//! What a JSON Schema says of values that the format reads leniently: YAML writes many texts without quotes, as numbers,
//! and null is nothing, as in Go.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::base::DURATION_PATTERN;

/// A text, with or without quotes.
pub(super) struct ScalarText;

/// A duration, or nothing.
pub(super) struct DurationText;

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
