//! The log on a real disk, with failures of the disk asked for by name.

use std::fs;
use std::sync::mpsc;

use super::*;
use crate::state::{Faults, StateDir};

struct Bench {
    dir: StateDir,
    _root: tempfile::TempDir,
}

type Outcome = Result<u64, Refused>;

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::new(root.path());
        drop(dir.lock().unwrap());
        Self { dir, _root: root }
    }

    fn options() -> Options {
        Options { segment_bytes: 64 << 20, max_bytes: 1 << 30, created: 77, next: 0 }
    }

    fn open(&self, fault: &str) -> Log {
        self.open_with(fault, Self::options())
    }

    fn open_with(&self, fault: &str, options: Options) -> Log {
        let faults = if fault.is_empty() { Faults::default() } else { Faults::parse(fault).unwrap() };
        Log::open(&self.dir, options, faults, Box::new(|_| ())).unwrap().0
    }

    /// Payloads as read from `from` on, and what is lost.
    fn read(&self, from: u64) -> (Vec<String>, Vec<Lost>) {
        let mut reader = Reader::new(&self.dir.log(), from).unwrap();
        let mut payloads = Vec::new();
        while let Some(entry) = reader.read().unwrap() {
            payloads.push(String::from_utf8(entry.payload).unwrap());
        }
        (payloads, reader.lost().to_vec())
    }

    fn segments(&self) -> Vec<std::path::PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(self.dir.log()).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

fn append(log: &Log, payload: &str) -> mpsc::Receiver<Outcome> {
    let (told, outcome) = mpsc::channel();
    let source = "remote_write".to_owned();
    let entry = Entry { sequence: 0, at: 5, watermark: None, form: 1, source, payload: payload.as_bytes().to_vec() };
    log.append(Append { entry, done: Box::new(move |outcome| told.send(outcome).unwrap()) });
    outcome
}

fn appended(log: &Log, payload: &str) -> Outcome {
    append(log, payload).recv().unwrap()
}

/// Past the time in which all is refused after a failure.
fn wait_for_retry() {
    std::thread::sleep(std::time::Duration::from_millis(250));
}

#[test]
fn what_is_acknowledged_is_read_again_in_order() {
    let bench = Bench::new();
    let log = bench.open("");
    let outcomes: Vec<_> = (0..100).map(|i| append(&log, &i.to_string())).collect();
    let numbers: Vec<u64> = outcomes.iter().map(|o| o.recv().unwrap().unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    drop(log);
    assert_eq!(bench.read(97), (["97", "98", "99"].map(str::to_owned).to_vec(), vec![]));
    // Numbers go on where they ended.
    assert_eq!(appended(&bench.open(""), "next"), Ok(100));
    assert_eq!(bench.read(99).0, ["99", "next"]);
}

#[test]
fn many_share_one_fsync() {
    let bench = Bench::new();
    let (groups, told) = mpsc::channel();
    let observer: Observer = Box::new(move |event| {
        if let Event::Synced { entries, .. } = event {
            // The others gather meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(50));
            groups.send(entries).unwrap();
        }
    });
    let log = Log::open(&bench.dir, Bench::options(), Faults::default(), observer).unwrap().0;
    let outcomes: Vec<_> = (0..500).map(|i| append(&log, &i.to_string())).collect();
    outcomes.iter().for_each(|o| assert!(o.recv().unwrap().is_ok()));
    drop(log);
    let groups: Vec<usize> = told.iter().collect();
    assert_eq!(groups.iter().sum::<usize>(), 500);
    assert!(groups.len() < 100, "{groups:?}");
}

#[test]
fn a_failed_fsync_is_no_acknowledgement_and_its_segment_is_not_used_again() {
    for fault in ["log.sync:2:eio", "log.write:2:enospc", "log.written:2:eio"] {
        let bench = Bench::new();
        let log = bench.open(fault);
        assert_eq!(appended(&log, "a"), Ok(0));
        assert_eq!(appended(&log, "b"), Err(Refused::Failed), "{fault}");
        assert_eq!(appended(&log, "at once"), Err(Refused::Failed), "the disk is given a moment");
        wait_for_retry();
        assert_eq!(appended(&log, "b again"), Ok(2), "the number of what failed is not used again");
        drop(log);
        assert_eq!(bench.segments().len(), 2);
        assert_eq!(bench.read(0), (vec!["a".to_owned(), "b again".to_owned()], vec![]), "{fault}");
        assert_eq!(appended(&bench.open(""), "c"), Ok(3));
        assert_eq!(bench.read(2).0, ["b again", "c"]);
    }
}

#[test]
fn a_torn_tail_is_passed_over_and_is_no_loss() {
    for cut in [1, 9, 40] {
        let bench = Bench::new();
        let log = bench.open("");
        ["a", "b", "torn-torn-torn"].iter().for_each(|p| assert!(appended(&log, p).is_ok()));
        drop(log);
        let last = bench.segments().pop().unwrap();
        let bytes = fs::read(&last).unwrap();
        fs::write(&last, &bytes[..bytes.len() - cut]).unwrap();
        assert_eq!(bench.read(0), (vec!["a".to_owned(), "b".to_owned()], vec![]));
        assert_eq!(appended(&bench.open(""), "c"), Ok(2));
        assert_eq!(bench.read(0), (["a", "b", "c"].map(str::to_owned).to_vec(), vec![]));
        let reports = inspect(&bench.dir.log()).unwrap();
        assert!(reports[0].torn > 0 && reports[1].torn == 0, "{reports:?}");
    }
}

#[test]
fn damage_before_the_end_is_reported_and_costs_no_more_than_it_hit() {
    let bench = Bench::new();
    let log = bench.open("");
    ["a", "hit", "c"].iter().for_each(|p| assert!(appended(&log, p).is_ok()));
    drop(log);
    let path = bench.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|w| w == b"hit").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(bench.read(0), (vec!["a".to_owned(), "c".to_owned()], vec![Lost(1..2)]));
    assert_eq!(bench.read(2), (vec!["c".to_owned()], vec![]), "what a checkpoint holds is no loss");
    // A later segment tells of an end that is missing.
    drop(bench.open(""));
    let cut = fs::read(&path).unwrap();
    fs::write(&path, &cut[..at]).unwrap();
    assert_eq!(bench.read(0), (vec!["a".to_owned()], vec![Lost(1..3)]));
}

#[test]
fn a_full_log_refuses_until_it_is_trimmed() {
    let bench = Bench::new();
    let log = bench.open_with("", Options { segment_bytes: 1000, max_bytes: 5000, ..Bench::options() });
    let payload = "x".repeat(450);
    let taken = (0..20).map_while(|_| appended(&log, &payload).ok()).count() as u64;
    assert!((8..=11).contains(&taken), "{taken}");
    assert_eq!(appended(&log, &payload), Err(Refused::Full));
    let before = bench.segments().len();
    log.trim(5);
    assert_eq!(appended(&log, &payload), Ok(taken));
    assert!(bench.segments().len() < before && log.bytes() <= 5000);
    assert_eq!(bench.read(5).0.len() as u64, taken + 1 - 5);
    drop(log);
    // What was trimmed is missed by whoever has no checkpoint any more.
    let first_kept = match &bench.read(0).1[..] {
        [Lost(lost)] => lost.end,
        other => panic!("{other:?}"),
    };
    assert!((3..=5).contains(&first_kept), "{first_kept}");
}

#[test]
fn numbers_go_on_from_the_checkpoint_where_the_log_is_gone() {
    let bench = Bench::new();
    let log = bench.open_with("", Options { next: 40, ..Bench::options() });
    assert_eq!(appended(&log, "a"), Ok(40));
    drop(log);
    assert_eq!(bench.read(40), (vec!["a".to_owned()], vec![]));
}

#[test]
fn a_torn_head_is_an_empty_segment() {
    let bench = Bench::new();
    fs::write(bench.dir.log().join(format!("{:020}.log", 1)), b"FWLO").unwrap();
    let log = bench.open("");
    assert_eq!(appended(&log, "a"), Ok(0));
    drop(log);
    assert_eq!(bench.read(0), (vec!["a".to_owned()], vec![]));
    assert_eq!(inspect(&bench.dir.log()).unwrap()[1].created, Some(77));
}
