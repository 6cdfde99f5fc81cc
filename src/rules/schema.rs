//! The JSON Schema of rule files, for editors: draft 7, which they read best.
//!
//! The files are read by hand (`format.rs`), to keep places and go on after faults, so the schema is written by hand as
//! well; a test holds its keys against those that are read.

use serde_json::{Map, Value, json};

use crate::base::DURATION_PATTERN;

/// The schema: Prometheus' rule files, and `PrometheusRule` resources.
#[must_use]
pub fn rule_file_schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "forewarn rule file",
        "description": "Rule groups as in Prometheus, or a PrometheusRule resource; expressions may use the predictive functions.",
        "anyOf": [{"$ref": "#/definitions/file"}, {"$ref": "#/definitions/resource"}],
        "definitions": {
            "file": object(file(), &[]),
            "resource": resource(),
            "group": object(group(), &["name"]),
            "resource_group": object(resource_group(), &["name"]),
            "alert": object(alert(), &["alert", "expr"]),
            "record": object(record(), &["record", "expr"]),
            "duration": {
                // 0 needs no unit and so may stand there as a number.
                "type": ["string", "integer", "null"],
                "minLength": 1,
                "maximum": 0,
                "pattern": DURATION_PATTERN,
                "examples": ["15s", "5m", "1h30m", "7d"],
            },
            "text": {"type": ["string", "number", "boolean", "null"]},
            "expr": {
                "type": ["string", "number"],
                "description": "PromQL, with predict_seasonal(), predict_quantile(), predict_anomaly(), time_until() and changed_at(). Evaluated at every tick of the group.",
            },
            "labels": {
                "type": ["object", "null"],
                "propertyNames": {"minLength": 1, "not": {"const": "__name__"}},
                "additionalProperties": {"$ref": "#/definitions/text"},
            },
            "annotations": {
                "type": ["object", "null"],
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"$ref": "#/definitions/text"},
            },
        },
    })
}

type Properties = Map<String, Value>;

fn object(properties: Properties, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn properties<const N: usize>(of: [(&str, Value); N]) -> Properties {
    of.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// A definition with a description of its own. Beside `$ref` draft 7 reads nothing else, hence `allOf`.
fn described(definition: &str, description: &str) -> Value {
    json!({"description": description, "allOf": [{"$ref": format!("#/definitions/{definition}")}]})
}

fn list(of: &str, description: &str) -> Value {
    json!({"type": ["array", "null"], "description": description, "items": {"$ref": format!("#/definitions/{of}")}})
}

fn file() -> Properties {
    properties([("groups", list("group", "Groups of rules. Names are unique within the file."))])
}

fn resource() -> Value {
    let spec = object(properties([("groups", list("resource_group", "Groups of rules."))]), &[]);
    json!({
        "type": "object",
        "properties": {
            "apiVersion": {"const": "monitoring.coreos.com/v1"},
            "kind": {"const": "PrometheusRule"},
            "metadata": {"type": "object"},
            "spec": spec,
        },
        "required": ["apiVersion", "kind", "spec"],
    })
}

fn group() -> Properties {
    let rule = json!({"anyOf": [{"$ref": "#/definitions/alert"}, {"$ref": "#/definitions/record"}]});
    properties([
        ("name", json!({"type": ["string", "number"], "minLength": 1, "description": "Unique within the file."})),
        (
            "interval",
            described("duration", "How often the rules are evaluated; global.evaluation_interval if left out."),
        ),
        ("query_offset", described("duration", "How long to wait for late samples before a tick is evaluated.")),
        (
            "limit",
            json!({"type": ["integer", "null"], "minimum": 0, "description": "Most alerts or samples of one rule; beyond it the rule fails. 0 is no limit."}),
        ),
        ("labels", described("labels", "Labels for every rule of the group; a rule's own stand above them.")),
        (
            "rules",
            json!({"type": ["array", "null"], "description": "Evaluated in this order; later ones see what earlier ones record.", "items": rule}),
        ),
    ])
}

fn resource_group() -> Properties {
    let mut out = group();
    out.insert("partial_response_strategy".to_owned(), json!({"type": "string", "description": "Thanos'; read over."}));
    out
}

fn alert() -> Properties {
    properties([
        (
            "alert",
            json!({"type": ["string", "number"], "minLength": 1, "description": "Name of the alert: its label alertname."}),
        ),
        ("expr", described("expr", "Every element of the result is an alert, whatever its value.")),
        ("for", described("duration", "How long the expression must hold before the alert fires.")),
        (
            "keep_firing_for",
            described("duration", "How long the alert keeps firing after the expression stopped holding."),
        ),
        (
            "labels",
            described("labels", "Labels to add; templates, like {{ $labels.job }}. The value does not belong here."),
        ),
        ("annotations", described("annotations", "Texts for people; templates, like {{ $value | humanize }}.")),
    ])
}

fn record() -> Properties {
    properties([
        (
            "record",
            json!({"type": "string", "minLength": 1, "not": {"pattern": "[{}]"}, "description": "Name of the series that the result is stored as, level:metric:operations."}),
        ),
        ("expr", described("expr", "What is stored.")),
        ("labels", described("labels", "Labels to add or replace.")),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::format::{Document, Group, Rule, Spec};
    use super::*;

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let keys = |properties: Properties| properties.into_iter().map(|(key, _)| key).collect::<BTreeSet<String>>();
        let read = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        assert_eq!(keys(group()), read(Group::KEYS));
        let rule: BTreeSet<String> = keys(alert()).union(&keys(record())).cloned().collect();
        assert_eq!(rule, read(Rule::KEYS));
        let schema = rule_file_schema();
        let of_resource = &schema["definitions"]["resource"]["properties"];
        let mut documents: BTreeSet<String> = keys(of_resource.as_object().unwrap().clone());
        assert_eq!(keys(of_resource["spec"]["properties"].as_object().unwrap().clone()), read(Spec::KEYS));
        documents.extend(keys(file()));
        documents.remove("metadata");
        assert_eq!(documents, read(Document::KEYS));
    }
}
