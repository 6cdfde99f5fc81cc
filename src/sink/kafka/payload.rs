//! A transition as a Kafka message: the payload in either format, and the headers. Pure.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::alert::{AlertState, Transition};
use crate::base::format_rfc3339;

use super::super::key::TransitionId;
use super::super::transition_text::json_line;
use super::config::TransitionFormat;

/// A transition as protobuf; the schema is in docs/kafka.md. Times are Unix milliseconds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AlertTransition {
    /// Names the transition; the same when it comes again.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The tick at which it happened.
    #[prost(int64, tag = "2")]
    pub at: i64,
    /// Rule file.
    #[prost(string, tag = "3")]
    pub file: String,
    /// Group.
    #[prost(string, tag = "4")]
    pub group: String,
    /// The alert's name.
    #[prost(string, tag = "5")]
    pub alert: String,
    /// The rule's expression.
    #[prost(string, tag = "6")]
    pub expr: String,
    /// The alert's labels.
    #[prost(btree_map = "string, string", tag = "7")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[prost(btree_map = "string, string", tag = "8")]
    pub annotations: BTreeMap<String, String>,
    /// State before: `inactive`, `pending`, `firing`.
    #[prost(string, tag = "9")]
    pub from: String,
    /// State after.
    #[prost(string, tag = "10")]
    pub to: String,
    /// Why, as in the JSON.
    #[prost(string, tag = "11")]
    pub reason: String,
    /// Value of the expression when it last held.
    #[prost(double, tag = "12")]
    pub value: f64,
    /// When the expression began to hold.
    #[prost(int64, tag = "13")]
    pub active_at: i64,
    /// When the alert began to fire.
    #[prost(int64, optional, tag = "14")]
    pub fired_at: Option<i64>,
    /// When it was resolved.
    #[prost(int64, optional, tag = "15")]
    pub resolved_at: Option<i64>,
    /// When receivers may give it up.
    #[prost(int64, tag = "16")]
    pub ends_at: i64,
}

impl From<&Transition> for AlertTransition {
    fn from(t: &Transition) -> Self {
        Self {
            id: TransitionId::of(t).to_string(),
            at: t.at,
            file: t.rule.file.clone(),
            group: t.rule.group.clone(),
            alert: t.rule.alert.clone(),
            expr: t.rule.expr.clone(),
            labels: t.labels.as_ref().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            annotations: t.annotations.iter().cloned().collect(),
            from: state(t.from).to_owned(),
            to: state(t.to).to_owned(),
            reason: reason(t),
            value: t.value,
            active_at: t.active_at,
            fired_at: t.fired_at,
            resolved_at: t.resolved_at,
            ends_at: t.ends_at,
        }
    }
}

/// The message's content.
#[must_use]
pub fn payload(transition: &Transition, format: TransitionFormat) -> Vec<u8> {
    match format {
        TransitionFormat::Json => json_line(transition).into_bytes(),
        TransitionFormat::Protobuf => AlertTransition::from(transition).encode_to_vec(),
    }
}

/// What consumers may want to know without reading the content.
#[must_use]
pub fn headers(transition: &Transition, format: TransitionFormat) -> Vec<(&'static str, String)> {
    let content = match format {
        TransitionFormat::Json => "application/json",
        TransitionFormat::Protobuf => "application/x-protobuf; proto=forewarn.AlertTransition",
    };
    vec![
        ("content-type", content.to_owned()),
        ("forewarn-id", TransitionId::of(transition).to_string()),
        ("forewarn-alert", transition.rule.alert.clone()),
        ("forewarn-state", state(transition.to).to_owned()),
        ("forewarn-time", format_rfc3339(transition.at)),
    ]
}

fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Inactive => "inactive",
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
    }
}

/// As serde writes it.
fn reason(transition: &Transition) -> String {
    let value = serde_json::to_value(transition.reason).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    #[test]
    fn both_formats_say_the_same() {
        let transition = testing::resolved("Down", 1_000, 5_000);
        let json: serde_json::Value = serde_json::from_slice(&payload(&transition, TransitionFormat::Json)).unwrap();
        let got = AlertTransition::decode(&payload(&transition, TransitionFormat::Protobuf)[..]).unwrap();
        assert_eq!(got, AlertTransition::from(&transition));
        assert_eq!((got.to.as_str(), got.reason.as_str()), ("inactive", "cleared"));
        assert_eq!((json["to"].as_str(), json["reason"].as_str()), (Some("inactive"), Some("cleared")));
        assert_eq!((got.at, got.fired_at, got.resolved_at), (5_000, Some(1_000), Some(5_000)));
        assert_eq!(json["labels"]["instance"].as_str(), got.labels.get("instance").map(String::as_str));
        assert_eq!(json["annotations"]["summary"].as_str(), got.annotations.get("summary").map(String::as_str));
        let headers = headers(&transition, TransitionFormat::Json);
        assert!(headers.contains(&("forewarn-state", "inactive".to_owned())));
        assert!(headers.contains(&("forewarn-id", got.id)));
    }
}
