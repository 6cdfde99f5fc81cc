//! The same OTLP bytes to our decoder and to Prometheus 3.5's own OTLP handler and storage (`scripts/otlp-reference`; Debian
//! builds Prometheus without it): equal series, times and values, staleness markers among them.
//!
//! `FOREWARN_SEED` chooses other messages.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;

use forewarn::base::{CounterStart, Limits, Millis, TimeSpan, format_value, is_stale};
use forewarn::source::decode::CreatedTimestamps;
use forewarn::source::decode::otlp::{MetricsDecoder, OtlpEncoding, OtlpSettings, TranslationStrategy};
use prost::Message as _;
use support::http;
use support::otlp::json::to_collector_json;
use support::otlp::messages::Messages;
use support::peer::Peer;

/// Rounds of messages, ten seconds apart.
const ROUNDS: u64 = 4;

/// Samples by series and time; values as Prometheus writes them, `stale` for staleness markers.
type Stored = BTreeMap<String, BTreeMap<Millis, String>>;

/// What Prometheus' handler has stored.
async fn stored(peer: &Peer) -> Stored {
    let answer = http::get_json(&peer.address, "/dump").await.unwrap();
    let mut stored = Stored::new();
    for series in answer.as_array().unwrap() {
        let labels: BTreeMap<String, String> = serde_json::from_value(series["labels"].clone()).unwrap();
        let samples: Vec<(String, String)> = serde_json::from_value(series["samples"].clone()).unwrap();
        let samples = samples.into_iter().map(|(t, v)| (t.parse().unwrap(), v));
        stored.insert(format!("{labels:?}"), samples.collect());
    }
    stored
}

/// Posts rounds of messages to both and compares what they have.
async fn compare(config: &str, settings: OtlpSettings, mut messages: Messages, encoding: OtlpEncoding) {
    let Some(peer) = Peer::otlp_reference(config).await else { return };
    let mut decoder = MetricsDecoder::new(settings, CreatedTimestamps::Ignore, &Limits::default());
    let mut ours = Stored::new();
    for _ in 0..ROUNDS {
        let request = messages.next_request();
        let (bytes, kind) = match encoding {
            OtlpEncoding::Protobuf => (request.encode_to_vec(), "application/x-protobuf"),
            OtlpEncoding::Json => (to_collector_json(&request).into_bytes(), "application/json"),
        };
        let answer = http::post(&peer.address, "/v1/metrics", &[("Content-Type", kind)], &bytes).await;
        let log = || std::fs::read_to_string(peer.dir().join("log")).unwrap();
        let (status, body) = answer.unwrap_or_else(|| panic!("no answer: {}", log()));
        assert_eq!(status, 200, "{body}");
        let taken = decoder.decode(&bytes, encoding, TimeSpan::ALL).unwrap();
        assert_eq!(taken.rejected_points, 0, "{:?}", taken.decoded.dropped);
        let batch = taken.decoded.batch;
        for run in batch.runs() {
            let labels: BTreeMap<_, _> = batch.labels(run).iter().collect();
            // That a delta's total begins is no sample: to a series without older ones it says nothing.
            for sample in batch.samples(run).iter().filter(|s| CounterStart::of(s.v) != Some(CounterStart::Anew)) {
                let value = if is_stale(sample.v) { "stale".to_owned() } else { format_value(sample.v) };
                ours.entry(format!("{labels:?}")).or_default().insert(sample.t, value);
            }
        }
    }
    let theirs = stored(&peer).await;
    for (labels, samples) in &theirs {
        assert_eq!(ours.get(labels), Some(samples), "{labels}");
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    let all: Vec<&String> = theirs.values().flat_map(BTreeMap::values).collect();
    let stale = all.iter().filter(|v| **v == "stale").count();
    println!("{} series, {} samples, {stale} of them staleness markers: equal", theirs.len(), all.len());
    assert!(theirs.len() > 500 && (stale > 50 || messages.is_delta()), "{} series, {stale} stale", theirs.len());
}

fn messages(set: u64) -> Messages {
    let seed: u64 = std::env::var("FOREWARN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(7);
    Messages::new(seed + set, forewarn::source::clock::now() / 1000 * 1000 - 600_000)
}

#[tokio::test]
async fn protobuf_with_the_defaults() {
    compare("", OtlpSettings::default(), messages(0), OtlpEncoding::Protobuf).await;
}

#[tokio::test]
async fn json_with_promoted_attributes() {
    let config = "otlp: {promote_resource_attributes: [host.name, k8s.pod.name, service.name], \
                  keep_identifying_resource_attributes: true}";
    let promote = ["host.name", "k8s.pod.name", "service.name"];
    let settings = OtlpSettings {
        promote_resource_attributes: promote.iter().map(ToString::to_string).collect(),
        keep_identifying_resource_attributes: true,
        ..OtlpSettings::default()
    };
    compare(config, settings, messages(1), OtlpEncoding::Json).await;
}

#[tokio::test]
async fn all_attributes_promoted_and_names_not_escaped() {
    let config = "otlp: {promote_all_resource_attributes: true, ignore_resource_attributes: [host.name], \
                  translation_strategy: NoUTF8EscapingWithSuffixes}";
    let settings = OtlpSettings {
        promote_all_resource_attributes: true,
        ignore_resource_attributes: vec!["host.name".to_owned()],
        translation_strategy: TranslationStrategy::NoUTF8EscapingWithSuffixes,
        ..OtlpSettings::default()
    };
    compare(config, settings, messages(2), OtlpEncoding::Protobuf).await;
}

#[tokio::test]
async fn names_as_they_are() {
    let settings = OtlpSettings { translation_strategy: TranslationStrategy::NoTranslation, ..OtlpSettings::default() };
    compare("otlp: {translation_strategy: NoTranslation}", settings, messages(3), OtlpEncoding::Json).await;
}

#[tokio::test]
async fn deltas_become_the_same_totals() {
    compare("", OtlpSettings::default(), messages(4).delta(), OtlpEncoding::Protobuf).await;
}
