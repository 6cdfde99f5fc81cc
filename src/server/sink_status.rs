//! How the sinks are, for the status page: pure.

use crate::base::{Millis, format_duration};
use crate::sink::{SinkConfig, SinkState};

use super::http::{Health, SinkStatus};

/// How long attempts may fail before it is more than a hiccup.
const HICCUP: Millis = 60_000;

/// The status of each sink; `states` are in the order of the configuration.
pub(super) fn statuses(configs: &[SinkConfig], states: Vec<SinkState>, now: Millis) -> Vec<SinkStatus> {
    let kinds = configs.iter().flat_map(|config| match config {
        SinkConfig::Alertmanager(config) => {
            let targets: Vec<_> = config.static_configs.iter().flat_map(|group| group.targets.clone()).collect();
            targets.into_iter().map(|target| ("alertmanager", target)).collect()
        }
        SinkConfig::Stdout(_) => vec![("stdout", "standard output".to_owned())],
        // The URL of a webhook is a secret.
        SinkConfig::Webhook(_) => vec![("webhook", String::new())],
        SinkConfig::Grafana(config) => {
            vec![("grafana", config.url.as_ref().map_or_else(String::new, ToString::to_string))]
        }
    });
    states.into_iter().zip(kinds).map(|(state, (kind, place))| status(state, kind, place, now)).collect()
}

fn status(state: SinkState, kind: &str, place: String, now: Millis) -> SinkStatus {
    let age = |since: Millis| format_duration(now.saturating_sub(since).max(0) / 1000 * 1000);
    let mut detail: Vec<String> = Some(place).filter(|place| !place.is_empty()).into_iter().collect();
    let mut health = Health::Good;
    if let Some((since, why)) = &state.trouble {
        health = if now.saturating_sub(*since) < HICCUP { Health::Degraded } else { Health::Failed };
        detail.push(format!("failing for {}: {why}", age(*since)));
    }
    if let Some(kept) = state.kept.filter(|kept| kept.entries > 0) {
        let oldest = kept.oldest.map_or_else(String::new, |oldest| format!(", the oldest for {}", age(oldest)));
        detail.push(format!("{} in the outbox ({} KiB){oldest}", kept.entries, kept.bytes.div_ceil(1024)));
    }
    let (kind, detail) = (kind.to_owned(), detail.join("; "));
    SinkStatus { name: state.name, kind, health, detail, waiting: state.waiting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::outbox::SinkBacklog;

    #[test]
    fn people_see_what_waits_and_what_fails() {
        let yaml = "- webhook: {url: 'http://x/secret'}\n- alertmanager: {static_configs: [{targets: ['a:9093', 'b:9093']}]}\n";
        let configs: Vec<SinkConfig> = serde_saphyr::from_str(yaml).unwrap();
        let state = |name: &str, trouble: Option<Millis>, entries: usize| SinkState {
            name: name.to_owned(),
            waiting: entries,
            trouble: trouble.map(|since| (since, "connection refused".to_owned())),
            kept: Some(SinkBacklog {
                entries,
                bytes: 1500 * entries,
                oldest: (entries > 0).then_some(0),
                ..Default::default()
            }),
        };
        let states = vec![state("webhook", None, 0), state("am/a", Some(70_000), 2), state("am/b", Some(1_000), 1)];
        let shown = statuses(&configs, states, 90_500);
        let text = |s: &SinkStatus| format!("{} {} {:?} {} {}", s.name, s.kind, s.health, s.detail, s.waiting);
        assert_eq!(
            shown.iter().map(text).collect::<Vec<_>>(),
            [
                "webhook webhook Good  0",
                "am/a alertmanager Degraded a:9093; failing for 20s: connection refused; 2 in the outbox (3 KiB), the oldest for 1m30s 2",
                "am/b alertmanager Failed b:9093; failing for 1m29s: connection refused; 1 in the outbox (2 KiB), the oldest for 1m30s 1",
            ]
        );
    }
}
