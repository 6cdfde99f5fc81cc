//! An Alertmanager that is down for an hour, in simulated time: what it has when it is back, and how soon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;

use super::alertmanager::AlertmanagerConfig;
use super::failure::{Failure, Verdict};
use super::outbox::Outbox;
use super::pending::{Order, Outgoing, Pending, Policy};
use super::worker::Receiver;
use super::{Backoff, Dispatcher, Origin, SinkContext, SinkMetrics, testing};
use crate::alert::{AlertState, Reason, Transition};
use crate::base::Millis;
use crate::state::Faults;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// Longest time of an attempt that hangs: the default of the sink.
const HANGS: Millis = 10_000;

/// 400 alerts of which each fires and rests in turns of its own, told as the engine does: changes, and repetitions by the minute.
fn engine(now: Millis, pending: &mut Pending, truth: &mut BTreeMap<usize, Option<Millis>>) {
    for n in 0..400 {
        let period = MINUTE * (7 + n as Millis % 41);
        let fires = (now / period + n as Millis) % 3 == 0;
        let since = truth.entry(n).or_default();
        let name = format!("Alert{n:03}");
        let transition = match (*since, fires) {
            (None, true) => testing::firing(&name, now),
            (Some(start), true) => Transition {
                at: now,
                ends_at: now + 4 * MINUTE,
                reason: Reason::Resent,
                ..testing::firing(&name, start)
            },
            (Some(start), false) => testing::resolved(&name, start, now),
            (None, false) => continue,
        };
        *since = fires.then(|| since.unwrap_or(now));
        pending.put(0, &Arc::new(transition), now);
    }
}

/// Runs until all is delivered after the end of the outage; gives how long that took. `hangs`: attempts run into their time-out
/// while it is down, instead of failing at once.
fn recovers_within(hangs: bool, jitter: f64) -> Millis {
    let policy = Policy {
        capacity: 100_000,
        batch: 256,
        one_rule: false,
        repeats: true,
        resolved: true,
        points: false,
        order: Order::Newest,
    };
    let (mut pending, mut truth, mut believed) = (Pending::new(policy), BTreeMap::new(), BTreeMap::new());
    let origin = Origin::default();
    let (down, back) = (MINUTE, MINUTE + HOUR);
    let (mut now, mut next_tick, mut failures) = (0, 0, 0);
    loop {
        while next_tick <= now {
            engine(next_tick, &mut pending, &mut truth);
            next_tick += MINUTE;
        }
        let (batch, _) = pending.take(now);
        if batch.is_empty() {
            if now >= back {
                break;
            }
            now = next_tick;
            continue;
        }
        if (down..back).contains(&now) {
            // It came back in the middle of this attempt, and hears of it no more than before.
            now += if hangs { HANGS } else { 1 };
            pending.failed(&batch);
            failures += 1;
            now += Backoff::default().wait(failures, jitter, None).as_millis() as Millis;
            continue;
        }
        failures = 0;
        let body: serde_json::Value =
            serde_json::from_slice(&super::alertmanager_payload::payload(&batch, &origin, now)).unwrap();
        for (sent, alert) in batch.iter().zip(body.as_array().unwrap()) {
            let ends = crate::base::parse_rfc3339(alert["endsAt"].as_str().unwrap()).unwrap();
            let fires = sent.transition.to == AlertState::Firing;
            assert_eq!(ends > now, fires, "what Alertmanager makes of it at {now}: {alert}");
            believed.insert(sent.transition.rule.alert.clone(), fires);
        }
        // Generous for 256 alerts on a local network.
        now += Duration::from_millis(100).as_millis() as Millis;
        pending.delivered(&batch);
    }
    for (n, since) in truth {
        let believes = believed.get(&format!("Alert{n:03}")).copied().unwrap_or(false);
        assert_eq!(believes, since.is_some(), "Alert{n:03}");
    }
    now - back
}

#[test]
fn after_an_hour_of_outage_all_current_states_are_there_within_30_seconds() {
    for hangs in [false, true] {
        for jitter in [0.05, 0.5, 1.0] {
            let took = recovers_within(hangs, jitter);
            assert!(took <= 30_000, "{took} ms with jitter {jitter}, attempts that hang: {hangs}");
        }
    }
}

/// A disk whose every fsync takes its time, as that of a busy cloud disk does; otherwise memory where there is any.
#[derive(Debug)]
struct SlowDisk(redb::backends::FileBackend);

const FSYNC: Duration = Duration::from_millis(10);

impl redb::StorageBackend for SlowDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        std::thread::sleep(FSYNC);
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

/// An Alertmanager that is there or not. While it is not, attempts hang.
#[derive(Clone, Debug, Default)]
struct Peer {
    up: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
    /// When requests came, and what they said.
    requests: Arc<Mutex<Vec<(Millis, Vec<u8>)>>>,
}

impl Receiver for Peer {
    async fn deliver(&self, batch: &[Outgoing], now: Millis) -> Result<(), Failure> {
        self.attempts.fetch_add(1, Relaxed);
        if !self.up.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(HANGS as u64)).await;
            let message = "deadline has elapsed".to_owned();
            return Err(Failure { reason: "timeout", message, verdict: Verdict::Retry(None) });
        }
        tokio::time::sleep(POST).await;
        self.requests.lock().unwrap().push((now, super::alertmanager_payload::payload(batch, &Origin::default(), now)));
        Ok(())
    }
}

/// Alerts that wait at the end of the outage.
const ALERTS: usize = 20_000;
/// Time of a request with 256 alerts, generously.
const POST: Duration = Duration::from_millis(50);
/// The engine's repetitions; they come seldom, so that the test ends soon.
const REPEATED: Millis = 30 * MINUTE;

/// What the engine says of all alerts in one tick, five hundred at a time, so that no write of the outbox takes long unoptimised.
fn tick(round: usize, now: Millis, truth: &mut [Option<Millis>], sinks: &Dispatcher, outbox: &Outbox) {
    for (part, alerts) in truth.chunks_mut(500).enumerate() {
        let transitions = alerts.iter_mut().enumerate().filter_map(|(n, since)| {
            let fires = (round + part * 500 + n) % 3 != 0;
            let name = format!("Alert{:05}", part * 500 + n);
            let transition = match (*since, fires) {
                (None, true) => Transition { ends_at: now + 4 * REPEATED, ..testing::firing(&name, now) },
                (Some(start), true) => {
                    let ends_at = now + 4 * REPEATED;
                    Transition { at: now, ends_at, reason: Reason::Resent, ..testing::firing(&name, start) }
                }
                (Some(start), false) => testing::resolved(&name, start, now),
                (None, false) => return None,
            };
            *since = fires.then(|| since.unwrap_or(now));
            Some(transition)
        });
        sinks.send(&transitions.collect());
        while !outbox.is_durable() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The real dispatcher, worker and outbox. Simulated is the time of attempts and of waiting between them; the disk's is real
/// and comes on top.
#[tokio::test(start_paused = true)]
async fn twenty_thousand_alerts_that_waited_for_an_hour_on_disk_are_there_within_30_seconds() {
    fastrand::seed(3);
    let began = 1_700_000_000_000;
    testing::simulate_clock(began);
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let file = dir.path().join("outbox.redb");
    let disk = file.clone();
    let open = Box::new(move || {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(&disk)?;
        redb::Database::builder().create_with_backend(SlowDisk(redb::backends::FileBackend::new(file)?))
    });
    let registry = Registry::new();
    let outbox = Arc::new(Outbox::open_with(&file, open, &registry, Faults::default()).unwrap());
    let context = SinkContext {
        origin: Origin::default(),
        queued_alerts: 100_000,
        backoff: Backoff::default(),
        dry_run: false,
        metrics: SinkMetrics::register(&registry).unwrap(),
        outbox: Some(Arc::clone(&outbox)),
    };
    let peer = Peer::default();
    peer.up.store(true, Relaxed);
    let sinks = Dispatcher::start_with("am", peer.clone(), AlertmanagerConfig::policy(100_000), &context);
    let waiting = sinks.states();
    let waiting = || waiting()[0].waiting;
    let delivered = async || {
        while waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };

    let mut truth = vec![None; ALERTS];
    tick(0, began, &mut truth, &sinks, &outbox);
    delivered().await;
    peer.up.store(false, Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (down, attempts) = (tokio::time::Instant::now(), peer.attempts.load(Relaxed));
    for round in 1..=2 {
        tick(round, testing::simulated_clock().unwrap(), &mut truth, &sinks, &outbox);
        tokio::time::sleep(Duration::from_millis((REPEATED - 1_000) as u64)).await;
    }
    tokio::time::sleep_until(down + Duration::from_millis(HOUR as u64)).await;
    let attempts = peer.attempts.load(Relaxed) - attempts;
    assert!(attempts > 200, "only {attempts} attempts in an hour");
    assert_eq!(waiting(), ALERTS);
    let before = peer.requests.lock().unwrap().len();

    peer.up.store(true, Relaxed);
    let (back, really) = (tokio::time::Instant::now(), std::time::Instant::now());
    delivered().await;
    let (simulated, real) = (back.elapsed(), really.elapsed());
    let requests = peer.requests.lock().unwrap().split_off(0);
    println!(
        "{ALERTS} alerts in {} requests: {simulated:.1?} of attempts, {real:.1?} of disk and computing, with {FSYNC:?} an fsync",
        requests.len() - before
    );
    assert!(simulated + real <= Duration::from_secs(30), "{simulated:?} and {real:?}");
    assert!(outbox.is_durable());
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains("forewarn_outbox_failures_total 0"));
    assert!(text.contains(r#"forewarn_outbox_entries{sink="am"} 0"#));

    let mut believed = BTreeMap::new();
    for (at, body) in requests {
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for alert in body.as_array().unwrap() {
            let time = |field: &str| crate::base::parse_rfc3339(alert[field].as_str().unwrap()).unwrap();
            let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
            believed.insert(name, (time("endsAt") > at).then(|| time("startsAt")));
        }
    }
    let wrong = (0..ALERTS).filter(|n| believed.get(&format!("Alert{n:05}")).copied().flatten() != truth[*n]).count();
    assert_eq!(wrong, 0, "of {ALERTS} alerts so many are out of date");
    sinks.shutdown(Duration::from_secs(5)).await;
}
