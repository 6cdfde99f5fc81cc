//! The way of recorded samples to a remote-write receiver, against a strict fake: order, retries, refusals, bounds, the end.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use forewarn::base::{Labels, Millis, Recorded, is_stale, stale_nan};
use forewarn::sink::{Origin, RecordedLane, RecordedMetrics, RemoteWriteSinkConfig, remote_write};
use prometheus::{Registry, TextEncoder};
use support::eventually;
use support::write_receiver::{Fault, WriteReceiver};

const SOON: Duration = Duration::from_secs(20);

struct Bench {
    lane: RecordedLane,
    registry: Registry,
}

impl Bench {
    /// A lane to `url` with further settings.
    fn start(url: &str, further: &str, origin: &Origin) -> Self {
        let yaml = format!("url: '{url}'\nname: p\n{further}");
        let config: RemoteWriteSinkConfig = serde_saphyr::from_str(&yaml).unwrap();
        let registry = Registry::new();
        let metrics = RecordedMetrics::register(&registry).unwrap();
        Self { lane: remote_write::start(&config, origin, |_| true, &metrics).unwrap(), registry }
    }

    fn metric(&self, line: &str) -> f64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0.0)
    }

    fn samples(&self, outcome: &str) -> f64 {
        self.metric(&format!(r#"forewarn_recorded_samples_total{{outcome="{outcome}",sink="p"}}"#))
    }

    async fn is_empty(&self) {
        let waits = || self.metric(r#"forewarn_recorded_queue_samples{sink="p"}"#);
        eventually("an empty queue", SOON, async || (waits() == 0.0).then_some(())).await;
    }
}

const QUICK: &str = "remote_timeout: 1s\nqueue_config: {batch_send_deadline: 10ms, max_backoff: 100ms}\n";

/// The samples of a tick: so many series, each with the instant as its value.
fn tick(series: usize, t: Millis) -> Vec<Recorded> {
    let labels = |i: usize| Labels::from_pairs([("__name__", "rec:sum".to_owned()), ("i", i.to_string())]);
    (0..series).map(|i| Recorded { labels: labels(i), t, v: t as f64 }).collect()
}

fn all_of(instants: std::ops::Range<Millis>) -> Vec<(Millis, f64)> {
    instants.map(|t| (t, t as f64)).collect()
}

#[tokio::test]
async fn faults_that_pass_cost_nothing_and_order_is_kept() {
    let receiver = WriteReceiver::start().await;
    receiver.fail([
        Fault::Status(500),
        Fault::RetryAfter(429, 1),
        Fault::Hang(Duration::from_secs(30)),
        Fault::TakenUnanswered,
        Fault::Status(503),
    ]);
    let origin = Origin {
        external_labels: vec![("cluster".to_owned(), "x".to_owned()), ("i".to_owned(), "stands back".to_owned())],
        ..Origin::default()
    };
    let bench = Bench::start(&receiver.url(), QUICK, &origin);
    for t in 0..200 {
        bench.lane.put(&tick(30, t));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut end = tick(30, 200);
    end.iter_mut().for_each(|sample| sample.v = stale_nan());
    bench.lane.put(&end);
    bench.is_empty().await;
    let taken = receiver.taken();
    assert_eq!(taken.len(), 30);
    for (labels, mut samples) in taken {
        assert_eq!((labels.as_ref().get("cluster"), labels.as_ref().get("i").unwrap().len() < 3), (Some("x"), true));
        let (t, marker) = samples.pop().unwrap();
        assert!(t == 200 && is_stale(marker));
        assert_eq!(samples, all_of(0..200), "{labels}");
    }
    let requests = receiver.requests();
    assert!(requests[2].0 - requests[1].0 >= Duration::from_millis(990), "Retry-After is honoured");
    // Of a request that was taken without an answer all but the newest sample of each series is refused at the second time.
    let [sent, there_already] = ["sent", "out_of_order"].map(|outcome| bench.samples(outcome));
    assert!(sent + there_already == 30.0 * 201.0 && there_already < 30.0 * 20.0, "{sent} {there_already}");
    assert_eq!(["dropped", "duplicate", "refused"].map(|outcome| bench.samples(outcome)), [0.0; 3]);
    for (reason, n) in [("too_many_requests", 1.0), ("timeout", 2.0), ("server_error", 2.0)] {
        let line = format!(r#"forewarn_recorded_errors_total{{reason="{reason}",sink="p"}}"#);
        assert_eq!(bench.metric(&line), n, "{reason}");
    }
    let last = bench.metric(r#"forewarn_recorded_last_success_timestamp_seconds{sink="p"}"#);
    assert!((last - jiff::Timestamp::now().as_second() as f64).abs() < 60.0);
}

#[tokio::test]
async fn what_was_there_before_a_restart_is_refused_and_hinders_nothing() {
    let receiver = WriteReceiver::start().await;
    let before = Bench::start(&receiver.url(), QUICK, &Origin::default());
    (0..100).for_each(|t| before.lane.put(&tick(10, t)));
    before.is_empty().await;
    let asked = receiver.requests().len();
    // A process that begins again with an earlier tick, all of it in one request with what is new.
    let after = Bench::start(&receiver.url(), QUICK, &Origin::default());
    after.lane.put(&(70..150).flat_map(|t| tick(10, t)).collect::<Vec<_>>());
    after.is_empty().await;
    assert!(receiver.taken().values().all(|samples| *samples == all_of(0..150)));
    assert_eq!((after.samples("out_of_order"), after.samples("sent")), (29.0 * 10.0, 51.0 * 10.0));
    let asked = receiver.requests().len() - asked;
    assert!(asked <= 1 + 29 * 7 + 51, "{asked} requests");
    // Afterwards all is as it was.
    after.lane.put(&(150..200).flat_map(|t| tick(10, t)).collect::<Vec<_>>());
    after.is_empty().await;
    assert!(receiver.taken().values().all(|samples| *samples == all_of(0..200)));
    assert_eq!((after.lane.state())().trouble, None);
}

#[tokio::test]
async fn a_conflict_costs_the_sample_and_no_other() {
    let receiver = WriteReceiver::start().await;
    let bench = Bench::start(&receiver.url(), QUICK, &Origin::default());
    bench.lane.put(&tick(500, 7));
    bench.is_empty().await;
    let mut again = tick(1_000, 7);
    again[123].v = -1.0;
    bench.lane.put(&again);
    bench.is_empty().await;
    assert_eq!((bench.samples("duplicate"), bench.samples("sent")), (1.0, 500.0 + 999.0));
    assert_eq!(receiver.taken().len(), 1_000);
}

#[tokio::test]
async fn a_hanging_receiver_delays_nobody_and_costs_the_oldest() {
    let receiver = WriteReceiver::start().await;
    receiver.fail([Fault::Hang(Duration::from_secs(60)), Fault::Hang(Duration::from_secs(60))]);
    let settings = "remote_timeout: 2s\nqueue_config: {capacity: 1000, max_samples_per_send: 100, max_backoff: 100ms, \
                    batch_send_deadline: 10ms}\n";
    let bench = Bench::start(&receiver.url(), settings, &Origin::default());
    bench.lane.put(&tick(10, 0));
    eventually("the first request", SOON, async || (receiver.requests().len() == 1).then_some(())).await;
    let started = Instant::now();
    (1..500).for_each(|t| bench.lane.put(&tick(10, t)));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let state = bench.lane.state();
    assert_eq!((state().samples, bench.samples("dropped")), (1_000, 4_000.0));
    eventually("trouble", SOON, async || state().trouble.filter(|(_, why)| !why.is_empty())).await;
    assert!(bench.metric(r#"forewarn_recorded_oldest_seconds{sink="p"}"#) >= 1.0);
    assert!(bench.metric(r#"forewarn_recorded_queue_bytes{sink="p"}"#) > 10_000.0);
    bench.is_empty().await;
    // What was under way when the bound was reached is still sent.
    let want: Vec<_> = std::iter::once((0, 0.0)).chain(all_of(401..500)).collect();
    assert!(receiver.taken().values().all(|samples| *samples == want), "{:?}", receiver.taken().values().next());
    assert_eq!(state().trouble, None);
}

#[tokio::test]
async fn other_refusals_are_counted_and_not_repeated() {
    let receiver = WriteReceiver::start().await;
    receiver.fail([Fault::Status(401)]);
    let bench = Bench::start(&receiver.url(), QUICK, &Origin::default());
    bench.lane.put(&tick(10, 0));
    bench.is_empty().await;
    assert_eq!((bench.samples("refused"), receiver.requests().len()), (10.0, 1));
    assert!((bench.lane.state())().trouble.is_some_and(|(_, why)| why.contains("401")));
    bench.lane.put(&tick(10, 1));
    bench.is_empty().await;
    assert_eq!(bench.samples("sent"), 10.0);
}

#[tokio::test]
async fn the_end_sends_what_waits_and_takes_no_longer_than_it_may() {
    let receiver = WriteReceiver::start().await;
    // Samples would wait for others for an hour.
    let patient = "queue_config: {batch_send_deadline: 1h}\n";
    let bench = Bench::start(&receiver.url(), patient, &Origin::default());
    bench.lane.put(&tick(10, 0));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.requests().len(), 0);
    bench.lane.finish(SOON).await;
    assert!(bench.lane.waiting().is_none());
    bench.lane.shutdown(SOON, false).await;
    assert_eq!(receiver.taken().len(), 10);

    receiver.fail([Fault::Hang(Duration::from_secs(60))]);
    let Bench { lane, registry } = Bench::start(&receiver.url(), patient, &Origin::default());
    lane.put(&tick(10, 1));
    assert_eq!(lane.waiting().unwrap().name, "recorded/p");
    let started = Instant::now();
    lane.shutdown(Duration::from_millis(500), false).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains(r#"forewarn_recorded_samples_total{outcome="shutdown",sink="p"} 10"#), "{text}");
}

#[tokio::test]
async fn what_waited_at_a_checkpoint_goes_first() {
    let receiver = WriteReceiver::start().await;
    let patient = "queue_config: {batch_send_deadline: 1h}\n";
    let before = Bench::start(&receiver.url(), patient, &Origin::default());
    (0..10).for_each(|t| before.lane.put(&tick(10, t)));
    let records: Vec<_> = before.lane.waiting().into_iter().collect();
    drop(before);
    let after = Bench::start(&receiver.url(), QUICK, &Origin::default());
    after.lane.restore(&records);
    after.lane.put(&tick(10, 10));
    after.is_empty().await;
    assert!(receiver.taken().values().all(|samples| *samples == all_of(0..11)));
    assert!(after.lane.waiting().is_none());
}

#[tokio::test]
async fn alerts_are_sent_unless_they_are_not_wanted() {
    let receiver = WriteReceiver::start().await;
    let named = |name: &str| Recorded { labels: Labels::from_pairs([("__name__", name)]), t: 0, v: 1.0 };
    let samples = [named("ALERTS"), named("ALERTS_FOR_STATE"), named("rec")];
    let names = || receiver.taken().keys().map(ToString::to_string).collect::<Vec<_>>();
    let without = Bench::start(&receiver.url(), &format!("{QUICK}send_alerts: false\n"), &Origin::default());
    without.lane.put(&samples);
    without.is_empty().await;
    assert_eq!(names(), ["rec"]);
    let with = Bench::start(&receiver.url(), QUICK, &Origin::default());
    with.lane.put(&samples);
    with.is_empty().await;
    assert_eq!(names(), ["ALERTS", "ALERTS_FOR_STATE", "rec"]);
}
