//! The engine's owner without sources or sinks of its own.

use super::super::handle::EngineHandle;
use super::*;
use crate::base::{BatchBuilder, Labels, Limits};
use crate::engine::{EngineOptions, Inline, builtin_profiles};
use crate::rules::{RuleSet, load_file};
use crate::telemetry::Metrics;

#[tokio::test]
async fn samples_that_come_before_the_rules_wait_for_them() {
    let metrics = Metrics::new().unwrap();
    let known = KnownSource {
        id: SourceId(0),
        of: SourceId(0),
        pace: Pace::Recorded,
        silence_max: 0,
        metrics: metrics.source.of("replay"),
    };
    let engine = Engine::new(EngineOptions::default());
    let host = Host::new(
        engine,
        Box::new(Inline),
        vec![known],
        metrics.engine.clone(),
        Board::default(),
        outlet(|_: Arc<[Transition]>| {}),
    );
    let mut warm = host.warm();
    let (handle, commands) = EngineHandle::new();
    let (queue, events) = mpsc::channel(4);
    let ended = host.spawn(Inputs { events, commands }).unwrap();

    let mut batch = BatchBuilder::new(&Limits::default());
    batch.series(Labels::from_pairs([("__name__", "up")]).as_ref());
    batch.sample(60_000, 0.0);
    queue.send(SourceEvent::Batch(SourceId(0), batch.finish())).await.unwrap();
    queue.send(SourceEvent::End(SourceId(0))).await.unwrap();
    // Time enough to do the wrong thing.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!*warm.borrow());

    let (groups, _) = load_file("rules.yml", "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    handle.load(rules, builtin_profiles()).await.unwrap().unwrap();
    warm.wait_for(|warm| *warm).await.unwrap();
    assert_eq!(handle.holdings().await.unwrap().series, 1);
    drop(queue);
    ended.await.unwrap();
}

#[tokio::test]
async fn nothing_is_done_for_those_who_have_gone_away() {
    let metrics = Metrics::new().unwrap();
    let (engine, sent) = (Engine::new(EngineOptions::default()), outlet(|_: Arc<[Transition]>| {}));
    let mut host = Host::new(engine, Box::new(Inline), vec![], metrics.engine.clone(), Board::default(), sent);
    let (reply, answer) = oneshot::channel();
    host.obey(Command::Groups(reply));
    assert!(answer.await.unwrap().is_empty());
    let (reply, answer) = oneshot::channel();
    drop(answer);
    assert!(Host::is_for_nobody(&Command::Groups(reply)));
    // Rules are put in force, whoever hears of it.
    let (groups, _) = load_file("rules.yml", "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    let (reply, answer) = oneshot::channel();
    drop(answer);
    host.obey(Command::Load { rules, profiles: builtin_profiles(), reply });
    assert_eq!(host.engine.groups().len(), 1);
}

#[tokio::test]
async fn a_stream_that_others_read_is_in_no_checkpoint_any_more() {
    let metrics = Metrics::new().unwrap();
    let (engine, sent) = (Engine::new(EngineOptions::default()), outlet(|_: Arc<[Transition]>| {}));
    let mut host = Host::new(engine, Box::new(Inline), vec![], metrics.engine.clone(), Board::default(), sent);
    for stream in ["kafka/k/t/0", "kafka/k/t/1"] {
        host.take(SourceEvent::Reached(crate::source::Position { stream: stream.into(), next: 7 }));
    }
    host.take(SourceEvent::Left("kafka/k/t/0".into()));
    assert_eq!(host.positions, Positions::from([("kafka/k/t/1".into(), 7)]));
}

#[tokio::test]
async fn what_is_held_and_for_whom_time_waits_is_shown_while_time_stands_still() {
    let metrics = Metrics::new().unwrap();
    let known = |id, name, pace| {
        let id = SourceId(id);
        KnownSource { id, of: id, pace, silence_max: 0, metrics: metrics.source.of(name) }
    };
    let log = Pace::Log { lateness: 0, idle_timeout: 1_000_000, patience: 1_000_000 };
    let live = Pace::Live { lateness: 0, idle_timeout: 1_000_000 };
    let sources = vec![known(0, "remote_write", live), known(1, "bus", log)];
    let (engine, sent) = (Engine::new(EngineOptions::default()), outlet(|_: Arc<[Transition]>| {}));
    let mut host = Host::new(engine, Box::new(Inline), sources, metrics.engine.clone(), Board::default(), sent);
    let (groups, _) = load_file("rules.yml", "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    host.obey(Command::Load { rules, profiles: builtin_profiles(), reply: oneshot::channel().0 });

    let mut batch = BatchBuilder::new(&Limits::default());
    batch.series(Labels::from_pairs([("__name__", "up")]).as_ref());
    batch.sample(clock::now(), 0.0);
    host.take(SourceEvent::Batch(SourceId(0), batch.finish()));
    host.advance();
    host.started -= 30_000;
    host.look_around();
    let shown = metrics.encode().unwrap();
    assert!(shown.contains("forewarn_engine_ticks_total 0\n"), "{shown}");
    assert!(shown.contains("forewarn_engine_held{kind=\"waiting_samples\"} 1\n"), "{shown}");
    assert!(metrics.engine.lag_seconds.get() >= 30.0, "since the start");
    assert!(
        host.lag.look(0, None, Instant::now()).over.is_some_and(|wait| wait.source == "bus"),
        "and not of who is heard"
    );
}

#[tokio::test]
async fn what_is_newest_of_a_source_is_shown_also_where_it_came_before_a_restart() {
    let metrics = Metrics::new().unwrap();
    let pace = Pace::Live { lateness: 0, idle_timeout: 1_000_000 };
    let known = |id, name| {
        let id = SourceId(id);
        KnownSource { id, of: id, pace, silence_max: 0, metrics: metrics.source.of(name) }
    };
    // Two of a job's targets, one that has never sent, and one that has not since.
    let sources = vec![known(0, "scrape_j"), known(1, "scrape_j"), known(2, "otlp"), known(3, "remote_write")];
    let (engine, sent) = (Engine::new(EngineOptions::default()), outlet(|_: Arc<[Transition]>| {}));
    let mut host = Host::new(engine, Box::new(Inline), sources, metrics.engine.clone(), Board::default(), sent);
    for (id, newest) in [(0, 9_000), (1, 7_000), (3, 5_000)] {
        host.marks.resume(SourceId(id), (Some(newest), None), clock::now());
    }
    host.look_around();
    let shown = metrics.encode().unwrap();
    let newest: Vec<&str> =
        shown.lines().filter_map(|line| line.strip_prefix("forewarn_source_newest_sample_seconds")).collect();
    assert_eq!(newest, ["{source=\"remote_write\"} 5", "{source=\"scrape_j\"} 9"]);
}

#[tokio::test]
async fn sources_are_told_while_too_much_waits_for_event_time() {
    let metrics = Metrics::new().unwrap();
    let options =
        EngineOptions { limits: Limits { pending_samples: 8, ..Limits::default() }, ..EngineOptions::default() };
    let (engine, sent) = (Engine::new(options), outlet(|_: Arc<[Transition]>| {}));
    let event_time = crate::source::clock::EventTime::default();
    let host = Host::new(engine, Box::new(Inline), vec![], metrics.engine.clone(), Board::default(), sent);
    let mut host = host.tells(event_time.clone());
    let (groups, _) = load_file("rules.yml", "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]");
    let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
    host.obey(Command::Load { rules, profiles: builtin_profiles(), reply: oneshot::channel().0 });
    let sample = |host: &mut Host, t| {
        let mut batch = BatchBuilder::new(&Limits::default());
        batch.series(Labels::from_pairs([("__name__", "up")]).as_ref());
        batch.sample(t, 1.0);
        host.ingest(SourceId(0), &batch.finish());
        host.tell_crowded();
        event_time.is_crowded()
    };
    let minute = 60_000;
    let crowded: Vec<bool> = (1..=5).map(|n| sample(&mut host, n * minute)).collect();
    assert_eq!(crowded, [false, false, false, false, true]);
    // As long as more than a quarter of the room is taken.
    host.advance_to(2 * minute);
    assert!(sample(&mut host, 6 * minute));
    host.advance_to(5 * minute);
    assert!(!sample(&mut host, 7 * minute));
}
