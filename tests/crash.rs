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

use forewarn::base::format_rfc3339;
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::input::{Input, RULES};
use support::receiver::{Answer, Receiver};
use support::victim::{Killer, Victim, now};

/// Kills of a run, all victims together.
const KILLS: usize = 50;
const VICTIMS: usize = 5;
/// Lines that are printed at once, in one batch of a tick: acknowledged together.
const LINES_A_DEATH: usize = 30;
const SOON: Duration = Duration::from_secs(60);

const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\nlimits: {request_bytes: 1048576}\n\
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

/// What a receiver was told, in order: alert, start, status.
fn journalled(receiver: &Receiver) -> Vec<String> {
    let alerts = receiver.bodies().into_iter().flat_map(|body| body["alerts"].as_array().unwrap().clone());
    alerts.map(|alert| state_of(&alert["labels"], &alert["startsAt"], &alert["status"])).collect()
}

fn state_of(labels: &Value, started: &Value, status: &Value) -> String {
    format!("{labels} {} {}", started.as_str().unwrap(), status.as_str().unwrap())
}

/// The states that receivers may be told of, from what was printed.
fn notified(printed: &BTreeMap<String, usize>) -> BTreeSet<String> {
    let state = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        let started = json!(format_rfc3339(line["fired_at"].as_i64()?));
        let status = json!(if line["to"] == "firing" { "firing" } else { "resolved" });
        Some(state_of(&line["labels"], &started, &status))
    };
    printed.keys().filter_map(state).collect()
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
        let mut faults = 0;
        for death in &deaths {
            faults += usize::from(die(&mut victim, death, &armed, &input).await);
        }
        live_on(&mut victim, &input).await;
        (victim, receiver, killed.load(SeqCst), deaths.len(), faults)
    });
    let (lives, ()) = futures_util::future::join(join_all(lives), live_on(&mut through, &input)).await;
    let expected = printed(&through);
    assert!(expected.len() > 300, "only {} transitions", expected.len());
    assert!(expected.values().all(|n| *n == 1));
    let (mut kills, mut unacknowledged, mut repeated) = (0, 0, 0);
    let mut named = 0;
    for (victim, receiver, windows, deaths, faults) in &lives {
        kills += deaths;
        named += faults;
        unacknowledged += windows;
        repeated += compare(victim, receiver, &expected, *windows, *deaths);
    }
    println!(
        "{kills} kills, {named} of them at named points, {unacknowledged} between a POST and its acknowledgement; {} transitions \
         each; {repeated} deliveries repeated with the same identity",
        expected.len()
    );
    assert_eq!(kills, KILLS);
    assert!(named >= 10 && unacknowledged >= 2, "the faults did not come to pass");
}

/// Feeds a victim until it dies as wanted; says whether it did so at a named point.
async fn die(victim: &mut Victim, death: &Death, armed: &Mutex<Option<Killer>>, input: &Input) -> bool {
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
    let died = matches!(death, Death::At(_)) && victim.is_dead();
    victim.kill();
    died
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

/// Compares with what was expected; gives the number of repeated deliveries to the receiver.
fn compare(
    victim: &Victim,
    receiver: &Receiver,
    expected: &BTreeMap<String, usize>,
    windows: usize,
    deaths: usize,
) -> usize {
    let got = printed(victim);
    let keys = |map: &BTreeMap<String, usize>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (lost, new): (Vec<_>, Vec<_>) = (
        keys(expected).difference(&keys(&got)).cloned().collect(),
        keys(&got).difference(&keys(expected)).cloned().collect(),
    );
    assert!(lost.is_empty() && new.is_empty(), "lost {lost:#?}\nmade up {new:#?}\n{}", victim.stderr());
    // Printing acknowledges as receivers do: what was printed in the last moment before a death may come again, the same.
    let printed_again: usize = got.values().map(|n| n - 1).sum();
    assert!(printed_again <= deaths * LINES_A_DEATH, "{printed_again} lines came again");

    // Receivers are told the newest state of each alert; what is over before it could be sent is left out.
    let told = journalled(receiver);
    let (known, mut newest, mut again) = (notified(expected), BTreeMap::new(), 0);
    let mut seen = BTreeSet::new();
    for state in &told {
        assert!(known.contains(state), "made up: {state}");
        again += usize::from(!seen.insert(state));
        newest.insert(state.split(' ').next().unwrap(), state);
    }
    for state in newest.values().filter(|state| state.ends_with("firing")) {
        let resolved = format!("{}resolved", state.strip_suffix("firing").unwrap());
        assert!(!known.contains(&resolved), "nobody was told of the end of {state}");
    }
    // One POST can be under way when a death comes.
    assert!(again <= windows + deaths, "{again} deliveries came again in {deaths} deaths");
    println!("{printed_again} lines printed again, {again} of {} deliveries repeated", told.len());
    again
}
