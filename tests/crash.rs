//! Killed again and again, forewarn tells of the same as one that runs through: no transition is lost, none is told twice.
//!
//! All victims and the one that is left alone get the same samples at the same time by remote write. A sender repeats what
//! was not acknowledged, as Prometheus does. What they print and what their receivers journal is compared at the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use support::input::{Input, RULES};
use support::receiver::{Answer, Receiver};
use support::victim::{Killer, Victim, now};

/// Kills of a run, all victims together.
const KILLS: usize = 50;
const VICTIMS: usize = 5;
const SOON: Duration = Duration::from_secs(60);

const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\n\
    sources: {remote_write: {lateness: 0s, idle_timeout: 1h}}\n";

/// A folder whose alerts go to standard output and to a receiver.
fn victim(receiver: &Receiver) -> Victim {
    let url = &receiver.address;
    let config = format!("{CONFIG}sinks: [stdout: {{format: json}}, webhook: {{name: journal, url: 'http://{url}/'}}]");
    Victim::new(&config, RULES, "dir: state, checkpoint_interval: 300ms, keep: 2, log_max_bytes: 4194304")
}

/// What is printed about each transition, how often.
fn printed(victim: &Victim) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in victim.lines() {
        *lines.entry(line.to_string()).or_default() += 1;
    }
    lines
}

/// Which alerts a receiver was told of, and in which state: labels, start, status; how often each.
fn journalled(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for body in receiver.bodies() {
        for alert in body["alerts"].as_array().unwrap() {
            let key = format!("{} {} {}", alert["labels"], alert["startsAt"], alert["status"]);
            *told.entry(key).or_default() += 1;
        }
    }
    told
}

/// How a process is brought down.
#[derive(Clone, Debug)]
enum Death {
    After(Duration),
    At(String),
    /// When the receiver has got a POST, before it answers.
    Unacknowledged,
}

fn deaths(seed: u64) -> Vec<Death> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let points = [
        "checkpoint.half",
        "checkpoint.written",
        "checkpoint.synced",
        "checkpoint.renamed",
        "log.write",
        "log.written",
        "log.synced",
    ];
    let mut one = |n: usize| match n % 3 {
        0 => Death::After(Duration::from_millis(rng.u64(300..3_500))),
        1 => Death::At(format!("{}:{}", points[rng.usize(..points.len())], rng.u64(1..5))),
        _ if rng.u8(..3) == 0 => Death::Unacknowledged,
        _ => Death::After(Duration::from_millis(rng.u64(1..2_000))),
    };
    (0..KILLS / VICTIMS).map(|n| one(n + seed as usize)).collect()
}

/// A receiver at which its victim can be killed in the middle of a POST: it keeps the count of those.
async fn receiver() -> (Receiver, Arc<Mutex<Option<Killer>>>, Arc<AtomicUsize>) {
    let (armed, killed): (Arc<Mutex<Option<Killer>>>, Arc<AtomicUsize>) = Default::default();
    let (trigger, count) = (Arc::clone(&armed), Arc::clone(&killed));
    let receiver = Receiver::answering(move |_, _| {
        if let Some(killer) = trigger.lock().unwrap().take() {
            killer.kill();
            count.fetch_add(1, SeqCst);
        }
        Answer::Status(200)
    });
    (receiver.await, armed, killed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_told_is_what_an_uninterrupted_run_tells() {
    let through_receiver = Receiver::start().await;
    let mut through = victim(&through_receiver);
    through.launch(None);
    through.answers().await;
    through.ready(SOON).await;
    let mut victims = Vec::new();
    for n in 0..VICTIMS {
        let (receiver, armed, killed) = receiver().await;
        let mut victim = victim(&receiver);
        victim.launch(None);
        victims.push((victim, receiver, armed, killed, deaths(n as u64)));
    }
    for (victim, ..) in &mut victims {
        victim.answers().await;
        victim.ready(SOON).await;
    }
    // All have started: nothing is history to any of them.
    let input = Input::new((now() / 1000 + 2) * 1000, 450);

    let lives = victims.into_iter().map(async |(mut victim, receiver, armed, killed, deaths)| {
        for death in &deaths {
            die(&mut victim, death, &armed, &input).await;
        }
        live_on(&mut victim, &input).await;
        (victim, receiver, killed.load(SeqCst), deaths.len())
    });
    let (lives, ()) = futures_util::future::join(join_all(lives), live_on(&mut through, &input)).await;
    let expected = printed(&through);
    assert!(expected.len() > 300, "only {} transitions", expected.len());
    assert!(expected.values().all(|n| *n == 1));
    let expected_posts = journalled(&through_receiver);

    let (mut kills, mut unacknowledged, mut repeated) = (0, 0, 0);
    for (victim, receiver, windows, deaths) in &lives {
        kills += deaths;
        unacknowledged += windows;
        repeated += compare(victim, receiver, &expected, &expected_posts, windows + deaths);
    }
    println!(
        "{kills} kills, {unacknowledged} of them between a POST and its acknowledgement; {} transitions each; {repeated} \
         deliveries repeated with the same identity",
        expected.len()
    );
    assert_eq!(kills, KILLS);
}

/// Feeds a victim until it dies as wanted.
async fn die(victim: &mut Victim, death: &Death, armed: &Mutex<Option<Killer>>, input: &Input) {
    // The first process runs already.
    if victim.is_dead() {
        victim.launch(match death {
            Death::At(fault) => Some(fault),
            _ => None,
        });
    } else if let Death::At(fault) = death {
        victim.kill();
        victim.launch(Some(fault));
    }
    let started = Instant::now();
    let limit = match death {
        Death::After(wait) => started + *wait,
        Death::At(_) | Death::Unacknowledged => started + Duration::from_secs(8),
    };
    if matches!(death, Death::Unacknowledged) {
        *armed.lock().unwrap() = Some(victim.killer());
    }
    while Instant::now() < limit && !victim.is_dead() {
        victim.feed(input, limit.min(Instant::now() + Duration::from_millis(100))).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    armed.lock().unwrap().take();
    victim.kill();
}

/// Gives the rest of the input, and ends in order.
async fn live_on(victim: &mut Victim, input: &Input) {
    if victim.is_dead() {
        victim.launch(None);
    }
    victim.answers().await;
    victim.feed(input, Instant::now() + Duration::from_secs(120)).await;
    assert_eq!(victim.sent, input.steps(), "not all was taken:\n{}", victim.stderr());
    victim.ready(SOON).await;
    victim.end(SOON).await;
}

/// Compares with what was expected; gives the number of repeated deliveries.
fn compare(
    victim: &Victim,
    receiver: &Receiver,
    expected: &BTreeMap<String, usize>,
    expected_posts: &BTreeMap<String, usize>,
    windows: usize,
) -> usize {
    let got = printed(victim);
    let keys = |map: &BTreeMap<String, usize>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (lost, new): (Vec<_>, Vec<_>) = (
        keys(expected).difference(&keys(&got)).cloned().collect(),
        keys(&got).difference(&keys(expected)).cloned().collect(),
    );
    assert!(lost.is_empty() && new.is_empty(), "lost {lost:#?}\nmade up {new:#?}\n{}", victim.stderr());
    // What was printed in the last moment may not be acknowledged in the outbox: such lines come again, the same.
    let printed_again: usize = got.values().map(|n| n - 1).sum();
    let posts = journalled(receiver);
    let unknown: Vec<_> = keys(&posts).difference(&keys(expected_posts)).cloned().collect();
    println!(
        "{printed_again} lines again; {} posts, {} expected; unknown {unknown:?}",
        posts.len(),
        expected_posts.len()
    );
    assert!(printed_again <= windows * 40, "{printed_again}");
    printed_again
}
