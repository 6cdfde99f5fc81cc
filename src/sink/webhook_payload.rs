//! Alertmanager's webhook message, version 4 (prometheus/alertmanager `notify/webhook`, `template.Data`). Pure.

use serde::{Serialize, Serializer};

use crate::base::{Labels, LabelsRef, Millis, format_rfc3339};

use super::alertmanager_payload::as_map;
use super::origin::{Origin, wall_times};
use super::pending::Outgoing;

/// What Alertmanager sends as `endsAt` of a firing alert: Go's zero time.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// A message about a batch, which must not be empty. `grouped`: the group is the rule, and the message may tell of
/// several of its alerts; else the group is the single alert (Alertmanager's `group_by: ['...']`).
#[must_use]
pub fn payload(batch: &[Outgoing], receiver: &str, grouped: bool, origin: &Origin, now: Millis) -> Vec<u8> {
    let alerts: Vec<_> = batch.iter().map(|sent| Alert::new(sent, origin, now)).collect();
    let common_labels = common(alerts.iter().map(|a| a.labels.as_ref().iter().collect()));
    let common_annotations =
        common(alerts.iter().map(|a| a.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()));
    let group: Vec<_> = common_labels.iter().filter(|(name, _)| !grouped || *name == "alertname").copied().collect();
    let message = Message {
        receiver,
        status: status(batch.iter().any(Outgoing::is_firing)),
        group_key: group_key(&group),
        alerts: &alerts,
        group_labels: &group,
        common_labels: &common_labels,
        common_annotations: &common_annotations,
        external_url: &origin.external_url,
        version: "4",
        truncated_alerts: 0,
    };
    // Strings into memory: nothing there can fail.
    serde_json::to_vec(&message).unwrap_or_default()
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: &'a [Alert<'a>],
    #[serde(serialize_with = "pairs")]
    group_labels: &'a Pairs<'a>,
    #[serde(serialize_with = "pairs")]
    common_labels: &'a Pairs<'a>,
    #[serde(serialize_with = "pairs")]
    common_annotations: &'a Pairs<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: String,
    /// Alerts left out for `max_alerts`: none, they follow in further messages.
    truncated_alerts: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: Labels,
    #[serde(serialize_with = "as_map")]
    annotations: &'a [(String, String)],
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

impl<'a> Alert<'a> {
    fn new(sent: &'a Outgoing, origin: &Origin, now: Millis) -> Self {
        let (starts, ends) = wall_times(sent, now);
        let labels = origin.labels(&sent.transition);
        Self {
            status: status(sent.is_firing()),
            annotations: &sent.transition.annotations,
            starts_at: format_rfc3339(starts),
            ends_at: if sent.is_firing() { NO_END.to_owned() } else { format_rfc3339(ends) },
            generator_url: origin.generator_url(&sent.transition),
            fingerprint: format!("{:016x}", fingerprint(labels.as_ref())),
            labels,
        }
    }
}

fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

/// As Alertmanager writes it for its root route: the route's matchers, of which we have none, and the group's labels.
fn group_key(group: &[(&str, &str)]) -> String {
    let labels: Vec<_> = group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", labels.join(", "))
}

/// Pairs that stand in every one of the lists.
fn common<'a>(mut lists: impl Iterator<Item = Pairs<'a>>) -> Pairs<'a> {
    let mut shared = lists.next().unwrap_or_default();
    for list in lists {
        shared.retain(|pair| list.contains(pair));
    }
    shared
}

fn pairs<S: Serializer>(pairs: &&Pairs<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}

/// Alertmanager's fingerprint: FNV-1a, 64 bits, over the sorted names and values, each ended by 0xff (prometheus/common `model/signature.go`).
fn fingerprint(labels: LabelsRef<'_>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let strings = labels.iter().flat_map(|(name, value)| [name, value]);
    let bytes = strings.flat_map(|s| s.bytes().chain([0xff]));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;
    use crate::alert::Transition;

    fn message(batch: &[Outgoing], grouped: bool) -> Value {
        let origin = Origin { external_labels: vec![], external_url: "http://fw:9190".into() };
        serde_json::from_slice(&payload(batch, "ops", grouped, &origin, 120_000)).unwrap()
    }

    #[test]
    fn one_alert_is_its_own_group() {
        let body = message(&[Outgoing::new(Arc::new(testing::firing("Down", 60_000)), 60_000)], false);
        let labels = json!({"alertname": "Down", "instance": "a:9100", "severity": "page"});
        let want = json!({
            "receiver": "ops", "status": "firing", "version": "4", "truncatedAlerts": 0, "externalURL": "http://fw:9190",
            "groupKey": r#"{}:{alertname="Down", instance="a:9100", severity="page"}"#,
            "groupLabels": labels, "commonLabels": labels, "commonAnnotations": {"summary": "Down is down"},
            "alerts": [{
                "status": "firing", "labels": labels, "annotations": {"summary": "Down is down"},
                "startsAt": "1970-01-01T00:01:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://fw:9190/graph?g0.expr=up+%3D%3D+0&g0.tab=1", "fingerprint": body["alerts"][0]["fingerprint"],
            }],
        });
        assert_eq!(body, want);
    }

    #[test]
    fn a_message_fires_while_any_of_its_alerts_does() {
        let other = Transition {
            labels: Labels::from_pairs([("alertname", "Down"), ("instance", "b:9100")]),
            annotations: vec![],
            ..testing::resolved("Down", 60_000, 90_000)
        };
        let batch =
            [Outgoing::new(Arc::new(testing::firing("Down", 60_000)), 60_000), Outgoing::new(Arc::new(other), 90_000)];
        let body = message(&batch, true);
        assert_eq!(body["status"], "firing");
        assert_eq!(body["alerts"][1]["status"], "resolved");
        assert_eq!(body["alerts"][1]["endsAt"], "1970-01-01T00:01:30.000Z");
        assert_eq!(body["groupKey"], r#"{}:{alertname="Down"}"#);
        assert_eq!(body["commonLabels"], json!({"alertname": "Down"}));
        assert_eq!(body["commonAnnotations"], json!({}));
        assert_eq!(message(&batch[1..], true)["status"], "resolved");
    }
}
