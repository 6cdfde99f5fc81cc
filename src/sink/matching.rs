//! Which alerts a sink gets: `match`, a list of selectors, of which one must hold. Pure.
//!
//! Labels are an alert's identity, so that the answer is the same for its whole life.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alert::{AlertState, Transition};
use crate::base::{Labels, Millis};
use crate::promql::{Selector, parse_matchers};

use super::origin::Origin;
use super::pending::Policy;
use super::point::point;

/// `match` of a sink: selectors like `{severity!="info"}`. An alert is sent if all matchers of one of them hold.
#[derive(Clone, Debug, Default)]
pub struct Match {
    written: Vec<String>,
    selectors: Vec<Arc<Selector>>,
}

impl Match {
    /// Whether every alert is sent: nothing is said.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.written.is_empty()
    }

    fn holds(&self, labels: &Labels) -> bool {
        self.is_all() || self.selectors.iter().any(|selector| selector.matches(labels.as_ref()))
    }
}

impl PartialEq for Match {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Match {}

impl Serialize for Match {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<String>::deserialize(deserializer)?;
        let selector = |text: &String| {
            parse_matchers(text).map(Arc::new).map_err(|e| {
                serde::de::Error::custom(format!("match: {text:?}: {e}; write matchers like '{{severity!=\"info\"}}'"))
            })
        };
        let selectors = written.iter().map(selector).collect::<Result<_, _>>()?;
        Ok(Self { written, selectors })
    }
}

impl schemars::JsonSchema for Match {
    fn schema_name() -> Cow<'static, str> {
        "Match".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "description": "Only alerts that one of these selectors matches are sent, such as {severity!=\"info\"}; all if left out.",
            "items": {"type": "string", "pattern": r"^\s*\{"},
        })
    }
}

/// What one sink wants: its policy, and the alerts that it matches.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) policy: Policy,
    matched: Match,
    origin: Arc<Origin>,
    /// Ends of alerts that began before are sent in any case.
    ends_before: Millis,
    /// If there are any, what one of these concerns.
    any: Vec<Wish>,
}

impl From<Policy> for Wish {
    /// All alerts.
    fn from(policy: Policy) -> Self {
        Self { policy, matched: Match::default(), origin: Arc::default(), ends_before: Millis::MIN, any: Vec::new() }
    }
}

impl Wish {
    /// The alerts that `matched` says, by their labels and the external ones.
    pub(super) fn new(policy: Policy, matched: &Match, origin: &Arc<Origin>) -> Self {
        Self { matched: matched.clone(), origin: Arc::clone(origin), ..Self::from(policy) }
    }

    /// Of alerts that began to fire before `start`, when another `match` may have been in force, the end is sent in any case.
    /// For receivers that make nothing of the end of what they have not heard of.
    pub(super) fn with_ends_before(self, start: Millis) -> Self {
        Self { ends_before: start, ..self }
    }

    /// The alerts that any of these concerns, if there are any.
    pub(super) fn of_any(policy: Policy, any: Vec<Self>) -> Self {
        Self { any, ..Self::from(policy) }
    }

    /// Whether the alert is one for this sink.
    pub(super) fn concerns(&self, transition: &Transition) -> bool {
        if !self.any.is_empty() {
            return self.any.iter().any(|wish| wish.concerns(transition));
        }
        // The end of a point would make another where it marks another instant.
        let is_point = self.policy.points && point(transition).is_some();
        let is_end = transition.to == AlertState::Inactive && !is_point;
        self.matched.is_all()
            || is_end && transition.fired_at.is_some_and(|fired_at| fired_at < self.ends_before)
            || self.matched.holds(&self.origin.labels(transition))
    }

    /// Whether the sink is owed this transition.
    pub(super) fn wants(&self, transition: &Transition) -> bool {
        self.policy.wants(transition) && self.concerns(transition)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn read(yaml: &str) -> Result<Match, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    fn wish(yaml: &str) -> Wish {
        let origin = Origin { external_labels: vec![("cluster".into(), "eu".into())], ..Origin::default() };
        Wish::new(super::super::grafana::GrafanaConfig::policy(10), &read(yaml).unwrap(), &Arc::new(origin))
    }

    #[test]
    fn one_selector_must_hold_with_all_its_matchers() {
        // alertname="Down", instance="a:9100", severity="page"
        let firing = testing::firing("Down", 60_000);
        for (yaml, sent) in [
            ("[]", true),
            (r#"['{severity!="info"}']"#, true),
            (r#"['{severity="info"}']"#, false),
            (r#"['{severity="info"}', '{instance=~"a:.*"}']"#, true),
            (r#"['{severity="page", instance!~"a.*"}']"#, false),
            (r#"['{alertname="Down", cluster="eu"}']"#, true),
            (r#"['{cluster!="eu"}']"#, false),
            (r#"['{team=""}']"#, true),
            ("['{}']", true),
        ] {
            assert_eq!(wish(yaml).wants(&firing), sent, "{yaml}");
        }
    }

    #[test]
    fn the_end_of_what_began_under_another_match_is_sent() {
        let ended = testing::resolved("Down", 60_000, 90_000);
        let other = wish(r#"['{severity="info"}']"#);
        assert!(!other.wants(&ended));
        assert!(other.clone().with_ends_before(70_000).wants(&ended));
        assert!(!other.with_ends_before(50_000).wants(&ended));
    }

    #[test]
    fn it_is_written_as_it_was_read_and_mistakes_are_named() {
        let yaml = r#"['{severity!="info"}', '{a=~"b|c"}']"#;
        assert_eq!(serde_json::to_string(&read(yaml).unwrap()).unwrap(), r#"["{severity!=\"info\"}","{a=~\"b|c\"}"]"#);
        for bad in
            [r#"['severity="info"']"#, r#"['{severity=info}']"#, r#"['{a=~"("}']"#, "['up > 1']", "['{}[5m]']", "up"]
        {
            let error = read(bad).unwrap_err();
            assert!(bad == "up" || error.contains("write matchers like '{severity!="), "{bad}: {error}");
        }
    }
}
