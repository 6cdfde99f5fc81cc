//! The body of Alertmanager's `POST /api/v2/alerts` (its `api/v2/openapi.yaml`, `postableAlerts`). Pure.

use serde::{Serialize, Serializer};

use crate::base::{Labels, Millis, format_rfc3339};

use super::origin::{Origin, wall_times};
use super::pending::Outgoing;

/// The batch as a JSON array, sent at wall-clock time `now`.
#[must_use]
pub fn payload(batch: &[Outgoing], origin: &Origin, now: Millis) -> Vec<u8> {
    let alerts: Vec<_> = batch.iter().map(|sent| PostableAlert::new(sent, origin, now)).collect();
    // Strings into memory: nothing there can fail.
    serde_json::to_vec(&alerts).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'a> {
    labels: Labels,
    #[serde(serialize_with = "as_map")]
    annotations: &'a [(String, String)],
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
}

impl<'a> PostableAlert<'a> {
    fn new(sent: &'a Outgoing, origin: &Origin, now: Millis) -> Self {
        let (starts, ends) = wall_times(sent, now);
        Self {
            labels: origin.labels(&sent.transition),
            annotations: &sent.transition.annotations,
            starts_at: format_rfc3339(starts),
            ends_at: format_rfc3339(ends),
            generator_url: origin.generator_url(&sent.transition),
        }
    }
}

/// Pairs as a JSON object, in their order.
pub(super) fn as_map<S: Serializer>(pairs: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing;
    use super::*;

    #[test]
    fn a_firing_and_a_resolved_alert_as_alertmanager_reads_them() {
        let origin =
            Origin { external_labels: vec![("cluster".into(), "eu".into())], external_url: "http://fw:9190".into() };
        let batch = [
            Outgoing::new(Arc::new(testing::firing("Down", 60_000)), 60_000),
            Outgoing::new(Arc::new(testing::resolved("Up", 60_000, 120_000)), 120_000),
        ];
        let body: serde_json::Value = serde_json::from_slice(&payload(&batch, &origin, 120_000)).unwrap();
        let labels = |alert: &str| serde_json::json!({"alertname": alert, "cluster": "eu", "instance": "a:9100", "severity": "page"});
        let generator = "http://fw:9190/graph?g0.expr=up+%3D%3D+0&g0.tab=1";
        let want = serde_json::json!([
            {"labels": labels("Down"), "annotations": {"summary": "Down is down"}, "generatorURL": generator,
             "startsAt": "1970-01-01T00:01:00.000Z", "endsAt": "1970-01-01T00:05:00.000Z"},
            {"labels": labels("Up"), "annotations": {"summary": "Up is down"}, "generatorURL": generator,
             "startsAt": "1970-01-01T00:01:00.000Z", "endsAt": "1970-01-01T00:02:00.000Z"},
        ]);
        assert_eq!(body, want);
    }
}
