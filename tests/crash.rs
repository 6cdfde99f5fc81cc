//! Killed again and again, forewarn tells of the same as one that runs through: no transition is lost, none is told twice.
//!
//! All victims and the one that is left alone get the same samples at the same time by remote write. A sender repeats what
//! was not acknowledged, as Prometheus does. What they print and what their receivers have journalled is compared at the end:
//! all of it and in order, but for the one delivery that was under way at each death.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use forewarn::alert::Transition;
use forewarn::base::Millis;
use forewarn::engine::{Engine, EngineOptions, Inline, Output, Profiles};
use forewarn::model::Profile;
use forewarn::rules::{RuleSet, load_file};
use forewarn::state::Point;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use support::eventually;
use support::input::{Input, PROFILE, RULES};
use support::receiver::{Answer, Receiver};
use support::told::{Deliveries, Item, journalled, newest, printed};
use support::victim::{Killer, Victim, now};

/// Kills of a run, all victims together.
const KILLS: usize = 50;
const VICTIMS: usize = 5;
/// At each named point of the program, so many of them.
const AT_EACH_POINT: usize = 2;
/// In the middle of a POST, at each of the two receivers.
const IN_A_POST: usize = 4;
const STEPS: usize = 450;
const SOON: Duration = Duration::from_secs(60);

const CONFIG: &str = "global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\nlimits: {request_bytes: 1048576}\n\
    sources: {remote_write: {lateness: 0s, idle_timeout: 1h}}\n";
const STATE: &str = "dir: state, checkpoint_interval: 300ms, keep: 2, log_max_bytes: 4194304";
/// A disk that others keep busy for seconds is another fault than these (docs/delivery.md, "When the disk fails"). To a
/// process that is killed memory is as durable as a disk.
const MEMORY: &str = "/dev/shm";
const SINKS: [&str; 3] = ["journal", "newest", "stdout"];

/// How a process is brought down.
#[derive(Clone, Copy, Debug)]
enum Death {
    After(Duration),
    /// At a named point, when it is passed for so many times.
    At(&'static str, u64),
    /// When this receiver has got a POST, before it answers.
    InPost(&'static str),
}

/// All deaths of a run. The order and the moments are chance, of a seed; that each kind and each point is there is not.
fn deaths() -> Vec<Death> {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut deaths = Vec::new();
    for name in Point::names() {
        // Those of the log are passed at every request.
        let most = if name.starts_with("log.") { 12 } else { 3 };
        deaths.extend((0..AT_EACH_POINT).map(|_| Death::At(name, rng.u64(1..=most))));
    }
    deaths.extend((0..IN_A_POST).flat_map(|_| ["journal", "newest"].map(Death::InPost)));
    let random = KILLS.checked_sub(deaths.len()).expect("fewer points");
    assert!(random >= 10, "only {random} deaths at random moments");
    deaths.extend((0..random).map(|n| Death::After(Duration::from_millis(rng.u64(1..[400, 2_000, 3_500][n % 3])))));
    rng.shuffle(&mut deaths);
    deaths
}

/// A POST as the receiver got it.
#[derive(Clone)]
struct Post {
    sink: String,
    /// Which process sent it.
    life: usize,
    at: Millis,
    items: Vec<Item>,
    /// Whether the process was killed before it could hear of the answer.
    unanswered: bool,
}

/// A victim with its receiver.
struct Case {
    victim: Victim,
    posts: Arc<Mutex<Vec<Post>>>,
    /// At whose next POST it is to be killed.
    armed: Arc<Mutex<Option<&'static str>>>,
    /// By process and sink: alerts that waited in the outbox when it started.
    restored: BTreeMap<(usize, &'static str), usize>,
    _receiver: Receiver,
}

impl Case {
    async fn new() -> Self {
        let (posts, armed, killer): (Arc<Mutex<Vec<Post>>>, Arc<Mutex<_>>, Arc<OnceLock<Killer>>) = Default::default();
        let (journal, trigger, kill) = (Arc::clone(&posts), Arc::clone(&armed), Arc::clone(&killer));
        let receiver = Receiver::answering(move |_, post| {
            let at = now();
            let (sink, life) = post.path.trim_start_matches('/').split_once('/').unwrap();
            let items = post.body["alerts"].as_array().unwrap().iter().map(Item::of_webhook).collect();
            let mut armed = trigger.lock().unwrap();
            let (life, hit) = (life.parse().unwrap(), *armed == Some(sink));
            if hit {
                *armed = None;
            }
            // What a process has sent may arrive after its death.
            let killer: &Killer = kill.get().unwrap();
            let unanswered = hit && killer.life() == life && killer.kill();
            journal.lock().unwrap().push(Post { sink: sink.to_owned(), life, at, items, unanswered });
            Answer::Status(200)
        })
        .await;
        let hook = |name: &str, further: &str| {
            format!(
                "webhook: {{name: {name}, url: 'http://{}/{name}/{{life}}', max_alerts: 0{further}}}",
                receiver.address
            )
        };
        let (every, newest) = (hook("journal", ", every_transition: true"), hook("newest", ""));
        let victim = Victim::new_in(
            MEMORY,
            &format!("{CONFIG}sinks: [stdout: {{format: json}}, {every}, {newest}]"),
            RULES,
            STATE,
        );
        assert!(killer.set(victim.killer()).is_ok());
        Self { victim, posts, armed, restored: BTreeMap::new(), _receiver: receiver }
    }

    async fn start(&mut self) {
        self.victim.launch(None);
        self.victim.answers().await;
        self.victim.ready(SOON).await;
    }

    /// Feeds a victim until it dies as wanted, and holds that it dies of nothing else. `share` is how far it should come.
    async fn die(&mut self, death: Death, input: &Input, share: usize) {
        let fault = match death {
            Death::At(point, n) => Some(format!("{point}:{n}")),
            _ => None,
        };
        // The first process runs already.
        if fault.is_some() && self.victim.sent == 0 && self.victim.killer().life() == 0 {
            assert!(self.victim.kill());
        }
        let extra = self.victim.ends().len();
        if self.victim.is_dead() {
            self.victim.launch(fault.as_deref());
        }
        let life = self.victim.killer().life();
        if let Death::InPost(sink) = death {
            *self.armed.lock().unwrap() = Some(sink);
        }
        let limit = Instant::now() + if let Death::After(wait) = death { wait } else { SOON };
        let mut upto = share.max(self.victim.sent);
        while Instant::now() < limit && !self.victim.is_dead() {
            if self.victim.sent == upto && fault.is_some() {
                upto = (upto + 2).min(STEPS - 60);
            }
            let part = Input::new(input.time(0), upto);
            self.victim.feed(&part, limit.min(Instant::now() + Duration::from_millis(100))).await;
            self.look(life).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.armed.lock().unwrap().take();
        let killed = self.victim.kill();
        let ends = self.victim.ends();
        let (end, log) = (ends[extra], self.victim.stderr_of(life));
        match &fault {
            None => assert!(end.by_us, "{death:?}: {:?}\n{log}", end.status),
            Some(fault) => {
                let said = format!("forewarn: FOREWARN_FAULT: aborted at {fault}");
                let as_planned = end.status.signal() == Some(6) && log.lines().any(|line| line == said);
                assert!(!end.by_us && as_planned, "{death:?}: {:?}, at step {upto}\n{log}", end.status);
            }
        }
        assert_eq!(killed, matches!(death, Death::After(_)), "{death:?} did not come to pass");
    }

    /// What the process that runs says of the outbox as it found it.
    async fn look(&mut self, life: usize) {
        for sink in SINKS {
            if !self.restored.contains_key(&(life, sink))
                && let Some(n) = self.victim.metric(&format!("forewarn_outbox_restored{{sink=\"{sink}\"}}")).await
            {
                self.restored.insert((life, sink), n as usize);
            }
        }
    }

    /// Gives the rest of the input, and ends in order.
    async fn live_on(&mut self, input: &Input) {
        if self.victim.is_dead() {
            self.victim.launch(None);
        }
        self.victim.answers().await;
        self.victim.feed(input, Instant::now() + Duration::from_secs(120)).await;
        assert_eq!(self.victim.sent, input.steps(), "not all was taken:\n{}", self.victim.stderr());
        self.victim.ready(SOON).await;
        self.look(self.victim.killer().life()).await;
        for sink in SINKS {
            eventually("an empty outbox", SOON, async || {
                let waiting = self.victim.metric(&format!("forewarn_outbox_entries{{sink=\"{sink}\"}}")).await?;
                (waiting == 0.0).then_some(())
            })
            .await;
        }
        self.victim.end(SOON).await;
        let log = self.victim.stderr();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// The deliveries of each process to a receiver, with their arrivals.
    fn arrivals(&self, sink: &str) -> Vec<Vec<(Millis, Vec<Item>)>> {
        let mut lives = vec![Vec::new(); self.victim.ends().len()];
        for post in self.posts.lock().unwrap().iter().filter(|post| post.sink == sink) {
            lives[post.life].push((post.at, post.items.clone()));
        }
        lives
    }

    fn deliveries(&self, sink: &str) -> Vec<Deliveries> {
        self.arrivals(sink).into_iter().map(|posts| posts.into_iter().map(|(_, items)| items).collect()).collect()
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let of = |life| self.victim.lines_of(life).iter().map(Value::to_string).collect();
        (0..self.victim.ends().len()).map(of).collect()
    }

    /// That no process told more again than had waited in the outbox at its start; gives the sum.
    fn repeated(&self, sink: &'static str, again: &[usize]) -> usize {
        assert_eq!(again[0], 0);
        for (life, n) in again.iter().enumerate() {
            if let Some(restored) = self.restored.get(&(life, sink)) {
                assert!(n <= restored, "process {life} told {sink} {n} again, of {restored} that waited");
            }
        }
        again.iter().sum()
    }
}

/// Alerts as a receiver tells them apart, from lines: what it is told of, and nothing else.
fn notified(lines: &[String]) -> Vec<(String, bool, Value)> {
    let state = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        // It fires on without having been resolved.
        line["fired_at"].as_i64().filter(|_| line["reason"] != "kept_firing")?;
        let firing = line["to"] == "firing";
        let at = if firing { &line["fired_at"] } else { &line["resolved_at"] };
        Some((line["labels"].to_string(), firing, at.clone()))
    };
    lines.iter().filter_map(state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_told_is_what_an_uninterrupted_run_tells() {
    let mut through = Case::new().await;
    through.start().await;
    let mut victims = Vec::new();
    for deaths in deaths().chunks(KILLS / VICTIMS) {
        let mut case = Case::new().await;
        case.start().await;
        victims.push((case, deaths.to_vec()));
    }
    // All have started: nothing is history to any of them.
    let input = Input::new((now() / 1000 + 2) * 1000, STEPS);
    let lives = victims.into_iter().map(async |(mut case, deaths)| {
        for (n, death) in deaths.iter().enumerate() {
            // The last process has as much as two others, undisturbed.
            case.die(*death, &input, STEPS * (n + 1) / (deaths.len() + 2)).await;
        }
        case.live_on(&input).await;
        case
    });
    let (cases, ()) = join(join_all(lives), through.live_on(&input)).await;

    let lines = through.lines().concat();
    let all: Vec<Item> = through.deliveries("journal").concat().concat();
    assert!(lines.len() > 400 && all.len() > 200, "only {} lines, {} deliveries", lines.len(), all.len());
    assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "told twice without a death");
    let told: Vec<_> = all.iter().map(|item| (item.alert.clone(), item.firing, json!(item.at))).collect();
    same("the journal, against the lines,", &told, &notified(&lines));
    let (faults, _) = newest(&through.arrivals("newest"), &all);
    assert!(faults.is_empty(), "{faults:#?}");

    let (mut kills, mut unanswered) = (0, 0);
    let mut again = SINKS.map(|_| 0);
    for case in &cases {
        let ends = case.victim.ends();
        kills += ends[..ends.len() - 1].iter().filter(|end| end.status.signal().is_some()).count();
        unanswered += case.posts.lock().unwrap().iter().filter(|post| post.unanswered).count();
        for (sum, n) in again.iter_mut().zip(compare(case, &lines, &all)) {
            *sum += n;
        }
    }
    println!(
        "{kills} kills, {} of them at named points, {unanswered} before the answer to a POST; {} lines and {} deliveries to the \
         journal each; told again with the same identity: {again:?} at {SINKS:?}",
        AT_EACH_POINT * Point::names().count(),
        lines.len(),
        all.len(),
    );
    assert!(kills >= KILLS);
    assert_eq!(unanswered, 2 * IN_A_POST);
}

/// Compares with the run that was left alone; gives how much was told again, by sink.
fn compare(case: &Case, lines: &[String], all: &[Item]) -> [usize; 3] {
    let journal = case.deliveries("journal");
    let heard = journalled(&journal);
    same("the journal", &heard.once, all);
    let printed = printed(&case.lines());
    same("standard output", &printed.once, lines);
    let (faults, newest_again) = newest(&case.arrivals("newest"), all);
    assert!(faults.is_empty(), "{faults:#?}\n{}", case.victim.stderr());

    // What was not answered comes again, whatever else does.
    let lost: Vec<Post> = case.posts.lock().unwrap().iter().filter(|post| post.unanswered).cloned().collect();
    for Post { sink, life, items, .. } in lost {
        let later = case.deliveries(&sink)[life + 1..].concat().concat();
        match sink.as_str() {
            "journal" => assert!(later.starts_with(&items), "not told again: {items:?}"),
            _ => {
                for item in &items {
                    let newer = |heard: &Item| heard.alert == item.alert && heard.at >= item.at;
                    assert!(later.iter().any(newer), "neither told again nor of anything newer: {item:?}");
                }
            }
        }
    }
    [
        case.repeated("journal", &heard.again),
        case.repeated("newest", &newest_again),
        case.repeated("stdout", &printed.again),
    ]
}

/// Shows the first difference, not two lists of hundreds.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &[T], wanted: &[T]) {
    let at = got.iter().zip(wanted).take_while(|(got, wanted)| got == wanted).count();
    let near = |list: &[T]| format!("{:#?}", &list[at.saturating_sub(1)..list.len().min(at + 3)]);
    assert!(got == wanted, "{what} differs at {at} of {}: {}\nwanted {}", wanted.len(), near(got), near(wanted));
}

/// Transitions of an engine that begins with a step of the input, until its end: time, alert, labels, change, value.
fn computed(input: &Input, from: usize) -> BTreeSet<(Millis, String)> {
    let (groups, faults) = load_file("rules.yml", RULES);
    assert!(faults.is_empty(), "{faults:?}");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let profile = Profile::parse(PROFILE).unwrap();
    let profiles: Profiles = [(profile.name.clone(), Arc::new(profile))].into();
    let mut engine = Engine::new(EngineOptions::default());
    let mut out = Output::default();
    engine.load(&rules, &profiles, &mut out).unwrap();
    for step in from..input.steps() {
        engine.ingest(&input.batch(step));
        engine.advance(input.time(step), &Inline, &mut out);
    }
    let told = |t: &Transition| (t.at, format!("{} {} {:?} {}", t.rule.alert, t.labels, t.to, t.value));
    out.transitions.iter().map(told).collect()
}

/// Without it a restart could lose the models and this test would not notice.
#[test]
fn what_is_told_depends_on_what_models_have_learnt() {
    let input = Input::new(1_700_000_000_000, STEPS);
    let (whole, anew) = (computed(&input, 0), computed(&input, STEPS / 2));
    let late = |told: &BTreeSet<(Millis, String)>, alert: &str| -> BTreeSet<_> {
        let of = |(at, text): &&(Millis, String)| *at >= input.time(300) && text.starts_with(&format!("{alert} "));
        told.iter().filter(of).cloned().collect()
    };
    for alert in ["Strange", "Surprise", "Rises", "Empties"] {
        let (learnt, not) = (late(&whole, alert), late(&anew, alert));
        let common = learnt.intersection(&not).count();
        assert!(learnt.len() >= 4 && common * 2 < learnt.len(), "{alert}: {common} of {learnt:#?}");
    }
    // The others' windows are full again, whoever began when.
    assert_eq!(late(&whole, "Odd"), late(&anew, "Odd"));
    assert!(late(&whole, "Odd").len() >= 4);
}

fn item(alert: &str, firing: bool, at: Millis) -> Item {
    Item { alert: alert.to_owned(), firing, at, text: String::new() }
}

#[test]
fn a_journal_is_judged() {
    let [a, b, c, d] = [1, 2, 3, 4].map(|at| item("a", at % 2 == 1, at));
    let batch = |items: &[&Item]| items.iter().map(|i| (*i).clone()).collect::<Vec<_>>();
    // The last delivery of a life again, and more with it.
    let heard = journalled(&[
        vec![batch(&[&a]), batch(&[&b])],
        vec![batch(&[&b, &c])],
        vec![],
        vec![batch(&[&b, &c]), batch(&[&d])],
    ]);
    assert_eq!((heard.once, heard.again), (batch(&[&a, &b, &c, &d]), vec![0, 1, 0, 2]));
    // One that was acknowledged long before, or in the same life, or only a part, stays.
    for lives in [
        [vec![batch(&[&a]), batch(&[&b])], vec![batch(&[&a])]],
        [vec![batch(&[&a]), batch(&[&a])], vec![]],
        [vec![batch(&[&a, &b])], vec![batch(&[&b])]],
    ] {
        assert!(journalled(&lives).once.len() > 2 || lives[1].is_empty() && journalled(&lives).once.len() == 2);
    }
    let lines = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let heard = printed(&[lines("a b c"), lines("b"), lines("b c d"), lines("e")]);
    assert_eq!((heard.once, heard.again), (lines("a b c d e"), vec![0, 1, 2, 0]));
    assert_eq!(printed(&[lines("a b c"), lines("b d")]).once, lines("a b c b d"));
}

#[test]
fn newest_states_are_judged() {
    let all = [item("a", true, 10), item("a", false, 20), item("b", true, 12), item("a", true, 30)];
    let judge = |lives: &[&[(Millis, usize)]]| {
        let posts = |life: &&[(Millis, usize)]| life.iter().map(|(at, n)| (*at, vec![all[*n].clone()])).collect();
        newest(&lives.iter().map(posts).collect::<Vec<_>>(), &all)
    };
    assert_eq!(judge(&[&[(11, 0), (21, 1), (22, 2), (31, 3)]]), (vec![], vec![0]));
    // It came and went unheard; what was under way comes again.
    assert_eq!(judge(&[&[(31, 2), (32, 3)], &[(40, 3)]]), (vec![], vec![0, 1]));
    for (lives, fault) in [
        (&[&[(11, 0), (21, 1), (22, 2)][..]][..], "believes None"),
        (&[&[(13, 2), (31, 3)]], "passed over"),
        (&[&[(11, 0), (13, 2), (31, 3), (32, 1)]], "after a newer"),
        (&[&[(11, 0), (12, 0), (21, 1), (22, 2), (31, 3)]], "again"),
        (&[&[(11, 0), (21, 1), (22, 2), (31, 3)], &[(40, 2)]], "again"),
    ] {
        let faults = judge(lives).0;
        assert!(faults.len() == 1 && faults[0].contains(fault), "{fault}: {faults:#?}");
    }
}
