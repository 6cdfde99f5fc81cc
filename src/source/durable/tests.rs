//! The ways through a real log: a disk that hangs, and senders that hang up.

use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use prometheus::Opts;
use tokio::sync::mpsc;

use super::*;
use crate::base::{BatchBuilder, Labels};
use crate::source::{Inlet, SourceEvent, SourceId};
use crate::state::log::{Options, PATIENCE, Reader};
use crate::state::{Faults, StateDir};

struct Bench {
    dir: StateDir,
    release: PathBuf,
    log: SourceLog,
    unlogged: IntCounterVec,
    _root: tempfile::TempDir,
}

impl Bench {
    /// `{}` in a fault is the file that ends it.
    fn new(fault: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (dir, release) = (StateDir::new(root.path().join("state")), root.path().join("go-on"));
        drop(dir.lock().unwrap());
        let options = Options { segment_bytes: 1 << 20, max_bytes: 8 << 20, created: 1, next: 0 };
        let fault = fault.replace("{}", release.to_str().unwrap());
        let faults = if fault.is_empty() { Faults::default() } else { Faults::parse(&fault).unwrap() };
        let (log, _) = Log::open(&dir, options, faults, Box::new(|_| ())).unwrap();
        let unlogged = IntCounterVec::new(Opts::new("unlogged", "unlogged"), &["source"]).unwrap();
        let log = SourceLog::new(log).counting(unlogged.clone());
        Self { dir, release, log, unlogged, _root: root }
    }

    fn intake(&self, queue: mpsc::Sender<SourceEvent>) -> Intake {
        let inlet = Inlet { id: SourceId(1), queue };
        Intake { inlet, source: "remote_write".to_owned(), log: Some(self.log.clone()) }
    }

    /// First values of the batches in the log.
    fn logged(&self) -> Vec<f64> {
        let (mut reader, mut values) = (Reader::new(&self.dir.log(), 0).unwrap(), Vec::new());
        while let Some(entry) = reader.read().unwrap() {
            values.push(value(&decode(&entry, &Limits::default(), &mut Vec::new()).unwrap()));
        }
        assert_eq!(reader.lost(), []);
        values
    }
}

fn batch(value: f64) -> Batch {
    let mut builder = BatchBuilder::new(&Limits::default());
    builder.series(Labels::from_pairs([("__name__", "up")]).as_ref());
    builder.sample(value as i64, value);
    builder.finish()
}

fn value(batch: &Batch) -> f64 {
    batch.all_samples()[0].v
}

/// The batches of events, with the log's position where there is one.
fn taken(events: &mut mpsc::Receiver<SourceEvent>) -> Vec<(f64, Option<u64>)> {
    let mut taken = Vec::new();
    while let Ok(event) = events.try_recv() {
        taken.push(match event {
            SourceEvent::Unlogged(_, batch) => (value(&batch), None),
            SourceEvent::Logged(_, batch, next) => (value(&batch), Some(next)),
            other => panic!("{other:?}"),
        });
    }
    taken
}

#[tokio::test]
async fn a_hanging_disk_refuses_senders_and_lets_scrapes_go_on() {
    let bench = Bench::new("log.sync:2:hang:{}");
    let (queue, mut events) = mpsc::channel(16);
    let intake = bench.intake(queue.clone());
    let (gated, task) = gate(Inlet { id: SourceId(2), queue }, "host".to_owned(), bench.log.clone());
    tokio::spawn(task);
    let take = async |value: f64| {
        let room = intake.room(Duration::from_secs(5)).await.unwrap();
        room.take(batch(value), None).await
    };
    let scrape = async |value: f64| gated.queue.send(SourceEvent::Batch(SourceId(2), batch(value))).await.unwrap();
    assert_eq!(take(1.0).await, Ok(()));

    let started = Instant::now();
    assert_eq!(take(2.0).await, Err(ComeAgain::Log(Refused::Stalled)));
    assert!(started.elapsed() >= PATIENCE && started.elapsed() < PATIENCE * 2, "{:?}", started.elapsed());
    let started = Instant::now();
    for n in 0..200 {
        assert_eq!(take(3.0).await, Err(ComeAgain::Log(Refused::Stalled)));
        scrape(f64::from(100 + n)).await;
        while events.len() > 1 {
            let event = events.recv().await;
            assert!(matches!(event, Some(SourceEvent::Unlogged(..) | SourceEvent::Logged(..))), "{event:?}");
        }
    }
    assert!(started.elapsed() < PATIENCE / 2, "nobody waits while it is known to hang: {:?}", started.elapsed());
    assert!(bench.unlogged.with_label_values(&["host"]).get() >= 199);

    std::fs::write(&bench.release, "").unwrap();
    while take(4.0).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scrape(5.0).await;
    while bench.logged().len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rest = taken(&mut events);
    // The refused one had the number 1, which nobody gets again.
    assert_eq!(rest[rest.len() - 2..], [(4.0, Some(3)), (5.0, Some(4))]);
    assert_eq!(bench.logged(), [1.0, 4.0, 5.0], "what was refused is in no log");
}

#[tokio::test]
async fn a_sender_that_hangs_up_is_taken_in_whole_or_not_at_all() {
    let bench = Bench::new("log.sync:1:hang:{}");
    let (queue, mut events) = mpsc::channel(2);
    let intake = bench.intake(queue.clone());
    // Between room and batch: its place is free again.
    for _ in 0..5 {
        let room = intake.room(Duration::from_secs(1)).await.unwrap();
        drop(room.take(batch(1.0), None));
        assert_eq!(queue.capacity(), 2);
    }
    // While the log has it: it is the engine's in the log's order, though nobody waits.
    let room = intake.room(Duration::from_secs(1)).await.unwrap();
    {
        let mut waiting = pin!(room.take(batch(2.0), None));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(queue.capacity(), 1);
    std::fs::write(&bench.release, "").unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap();
    assert!(matches!(event, Some(SourceEvent::Logged(_, batch, 1)) if value(&batch) == 2.0));
    assert_eq!((queue.capacity(), bench.logged()), (2, vec![2.0]));
    // And where the log refuses it, its place is free as well.
    let refusing = Bench::new("log.sync:1:eio");
    let room = refusing.intake(queue.clone()).room(Duration::from_secs(1)).await.unwrap();
    let _ = room.take(batch(3.0), None).now_or_never();
    let end = Instant::now() + Duration::from_secs(10);
    while queue.capacity() < 2 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((queue.capacity(), taken(&mut events).len(), refusing.logged().len()), (2, 0, 0));
}
