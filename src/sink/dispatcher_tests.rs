//! Tests of `dispatcher.rs`, apart for its length. Time is simulated.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use prometheus::Registry;

use super::super::failure::Verdict;
use super::super::pending::Outgoing;
use super::super::testing;
use super::*;
use crate::alert::Reason;

const START: Millis = 1_700_000_000_000;
/// A webhook's.
const QUIET: Policy = Policy {
    capacity: 100,
    batch: 64,
    one_rule: true,
    repeats: false,
    resolved: true,
    points: false,
    order: Order::Newest,
};

/// A receiver that is there or not, and what it has heard.
#[derive(Clone, Debug, Default)]
struct Peer {
    up: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Receiver for Peer {
    async fn deliver(&self, batch: &[Outgoing], _now: Millis) -> Result<(), Failure> {
        if !self.up.load(Relaxed) {
            let message = "refused".to_owned();
            return Err(Failure { reason: "connect", message, verdict: Verdict::Retry(None) });
        }
        let name = |o: &Outgoing| format!("{} {:?}", o.transition.rule.alert, o.transition.to);
        self.heard.lock().unwrap().extend(batch.iter().map(name));
        Ok(())
    }
}

/// Sinks with one receiver, and their metrics.
fn sinks(policy: Policy, outbox: Option<Arc<Outbox>>) -> (Dispatcher, Peer, Registry) {
    testing::simulate_clock(START);
    let (peer, registry) = (Peer::default(), Registry::new());
    let context = SinkContext {
        origin: Origin::default(),
        queued_alerts: 100,
        backoff: Backoff::default(),
        dry_run: false,
        metrics: SinkMetrics::register(&registry).unwrap(),
        outbox,
    };
    (Dispatcher::start_with("hook", peer.clone(), policy, &context), peer, registry)
}

fn has(registry: &Registry, series: &str) {
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains(series), "{series} in {text}");
}

fn firing(alert: &str) -> Arc<[Transition]> {
    vec![testing::firing(alert, START)].into()
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_webhook_outlives_its_life_while_event_time_stands_still() {
    let (sinks, peer, registry) = sinks(QUIET, None);
    sinks.send(&firing("a"));
    let begun = Instant::now();
    let look = async |from: u64, upto: u64| {
        for seconds in (from..=upto).step_by(10) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let (now, clock) = (begun + Duration::from_secs(seconds), testing::simulated_clock().unwrap());
            sinks.repeating.repeat(Some(START + 1_000), now, clock);
        }
    };
    // Its life is four minutes.
    look(10, 600).await;
    assert_eq!(sinks.states()()[0].waiting, 1);
    has(&registry, "forewarn_sink_kept_alive_total 5");
    peer.up.store(true, Relaxed);
    look(610, 850).await;
    assert_eq!(*peer.heard.lock().unwrap(), ["a Firing"], "once");
    has(&registry, "forewarn_sink_kept_alive_total 5");
}

#[tokio::test(start_paused = true)]
async fn the_end_delivers_or_counts_what_waits_though_a_busy_engine_holds_the_sinks() {
    for up in [true, false] {
        let (sinks, peer, registry) = sinks(QUIET, None);
        peer.up.store(up, Relaxed);
        sinks.send(&firing("a"));
        let sinks = Arc::new(sinks);
        let engine = Arc::clone(&sinks);
        let (began, limit) = (tokio::time::Instant::now(), Duration::from_secs(5));
        assert_eq!(sinks.shutdown(limit).await, usize::from(!up));
        assert!(began.elapsed() <= limit, "{:?}", began.elapsed());
        assert_eq!(peer.heard.lock().unwrap().len(), usize::from(up));
        has(&registry, &format!(r#"forewarn_sink_dropped_total{{reason="shutdown",sink="hook"}} {}"#, u8::from(!up)));
        // What it says now is for nobody, and harms nobody.
        engine.send(&firing("late"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_grows_old_however_often_it_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Arc::new(Outbox::open(&dir.path().join("outbox.redb"), &Registry::new()).unwrap());
    let (sinks, peer, _) = sinks(Policy { repeats: true, ..QUIET }, Some(outbox));
    let oldest = || sinks.states()()[0].kept.clone().unwrap().oldest;
    let repeat = || {
        let now = testing::simulated_clock().unwrap();
        let resent =
            Transition { at: now, reason: Reason::Resent, ends_at: now + 240_000, ..testing::firing("a", START) };
        sinks.send(&vec![resent].into());
        now
    };
    sinks.send(&firing("a"));
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        repeat();
    }
    assert_eq!((sinks.states()()[0].waiting, oldest()), (1, Some(START)));
    peer.up.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((peer.heard.lock().unwrap().len(), oldest()), (1, None));
    peer.up.store(false, Relaxed);
    let again = repeat();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(oldest(), Some(again), "the outage before is over");
}
