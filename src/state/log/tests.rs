//! The log on a real disk, with failures of the disk asked for by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

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

    /// A log whose disk hangs at this point until the file is there that is returned.
    fn hanging(&self, point: &str) -> (Log, PathBuf) {
        let release = self.dir.path().join("go-on");
        (self.open(&format!("{point}:hang:{}", release.display())), release)
    }

    /// Payloads as read from `from` on, and what is lost.
    fn read(&self, from: u64) -> (Vec<String>, Vec<Lost>) {
        read_all(&self.dir.log(), from)
    }

    fn segments(&self) -> Vec<std::path::PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(self.dir.log()).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

fn read_all(dir: &Path, from: u64) -> (Vec<String>, Vec<Lost>) {
    let mut reader = Reader::new(dir, from).unwrap();
    let mut payloads = Vec::new();
    while let Some(entry) = reader.read().unwrap() {
        payloads.push(String::from_utf8(entry.payload).unwrap());
    }
    (payloads, reader.lost().to_vec())
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
    std::thread::sleep(Duration::from_millis(250));
}

/// Appends until it is taken.
fn appended_at_last(log: &Log, payload: &str) -> u64 {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match appended(log, payload) {
            Ok(number) => return number,
            Err(refused) => assert!(Instant::now() < end, "{refused}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_disk_that_hangs_is_a_refusal_and_no_end() {
    for point in ["log.write:2", "log.sync:2", "log.synced:2"] {
        let bench = Bench::new();
        let (log, release) = bench.hanging(point);
        assert_eq!(appended(&log, "a"), Ok(0));
        let started = Instant::now();
        let outcomes: Vec<_> = (0..3).map(|_| append(&log, "refused")).collect();
        outcomes.iter().for_each(|o| assert_eq!(o.recv().unwrap(), Err(Refused::Stalled)));
        assert!(started.elapsed() >= PATIENCE && started.elapsed() < PATIENCE * 2, "{point}: {:?}", started.elapsed());
        let started = Instant::now();
        assert_eq!(appended(&log, "refused"), Err(Refused::Stalled));
        log.trim(0);
        assert!(started.elapsed() < PATIENCE / 4, "nobody waits for a disk that is known to hang");
        fs::write(release, "").unwrap();
        let next = appended_at_last(&log, "b");
        assert!((2..=4).contains(&next), "{point}: {next}: the numbers of what was refused are not given again");
        assert_eq!(appended(&log, "c"), Ok(next + 1));
        drop(log);
        let all = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(bench.read(0), (all, vec![]), "{point}: what was refused is gone, and no loss");
        assert_eq!(appended(&bench.open(""), "d"), Ok(next + 2));
    }
}

#[test]
fn what_was_refused_is_not_read_though_the_disk_has_it() {
    let bench = Bench::new();
    let (log, release) = bench.hanging("log.sync:2");
    appended(&log, "a").unwrap();
    assert_eq!(appended(&log, "refused"), Err(Refused::Stalled));
    let segment = bench.segments().pop().unwrap();
    let written = fs::read(&segment).unwrap();
    // A process that was killed meanwhile has refused it to nobody, or nobody knows: it is read.
    assert_eq!(bench.read(0).0, ["a", "refused"]);
    fs::write(release, "").unwrap();
    appended_at_last(&log, "b");
    drop(log);
    // As if the disk had not taken the cut.
    fs::write(&segment, written).unwrap();
    assert_eq!(bench.read(0), (vec!["a".to_owned(), "b".to_owned()], vec![]));
    assert_eq!(bench.read(1), (vec!["b".to_owned()], vec![]));
}

#[test]
fn numbers_that_were_refused_are_not_given_again_after_a_restart() {
    let bench = Bench::new();
    let (log, release) = bench.hanging("log.sync:2");
    appended(&log, "a").unwrap();
    assert_eq!(appended(&log, "refused"), Err(Refused::Stalled));
    let segment = bench.segments().pop().unwrap();
    let written = fs::read(&segment).unwrap();
    fs::write(release, "").unwrap();
    // The next segment is begun, and nothing is in it.
    let (log, release) = {
        appended_at_last(&log, "b");
        drop(log);
        fs::remove_file(bench.dir.path().join("go-on")).unwrap();
        bench.hanging("log.write:1")
    };
    assert_eq!(appended(&log, "refused, too"), Err(Refused::Stalled));
    fs::write(release, "").unwrap();
    drop(log);
    fs::write(&segment, written).unwrap();
    let next = appended(&bench.open(""), "c").unwrap();
    assert_eq!(bench.read(0), (["a", "b", "c"].map(str::to_owned).to_vec(), vec![]), "{next}");
}

#[test]
fn the_end_does_not_wait_for_a_disk_that_hangs() {
    let bench = Bench::new();
    let (log, release) = bench.hanging("log.sync:1");
    let (before, started) = (append(&log, "a"), Instant::now());
    drop(log);
    assert!(started.elapsed() < PATIENCE + Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(before.recv().unwrap(), Err(Refused::Stalled));
    fs::write(release, "").unwrap();
}

/// What a power cut leaves of a folder: of each file what was fsynced, and of the rest a part, nothing, or garbage.
fn cut_power(
    log: &Path,
    synced: &std::collections::HashMap<PathBuf, usize>,
    rng: &mut fastrand::Rng,
) -> tempfile::TempDir {
    let after = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let durable = synced.get(&path).copied().unwrap_or(0);
        bytes.truncate(rng.usize(durable..=bytes.len()));
        let damaged = rng.usize(durable..=bytes.len());
        match rng.u8(..3) {
            0 => bytes[damaged..].fill(0),
            1 => bytes[damaged..].iter_mut().for_each(|b| *b = rng.u8(..)),
            _ => {}
        }
        fs::write(after.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    after
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let (mut torn, mut kept_more) = (0, 0);
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let bench = Bench::new();
        let mut synced = std::collections::HashMap::new();
        let mut acknowledged = Vec::new();
        // Some processes one after the other, each with a segment or two of its own; the last is at a fsync when it comes.
        for process in 0..3 {
            let groups = rng.usize(1..6);
            let point = if process < 2 { "log.sync:99".to_owned() } else { format!("log.sync:{}", groups + 1) };
            let release = bench.dir.path().join(format!("go-on-{process}"));
            let options = Options { segment_bytes: rng.u64(100..400), ..Bench::options() };
            let log = bench.open_with(&format!("{point}:hang:{}", release.display()), options);
            for n in 0..groups {
                let payload = format!("{process}/{n}/{}", "x".repeat(rng.usize(0..80)));
                appended(&log, &payload).unwrap();
                acknowledged.push(payload);
            }
            for path in bench.segments() {
                let length = fs::metadata(&path).unwrap().len() as usize;
                synced.insert(path, length);
            }
            if process == 2 {
                let under_way: Vec<_> = (0..rng.usize(1..4)).map(|n| append(&log, &format!("under way {n}"))).collect();
                let grown = |path: &PathBuf| {
                    fs::metadata(path).unwrap().len() as usize > synced.get(path).copied().unwrap_or(0)
                };
                let end = Instant::now() + Duration::from_secs(10);
                while !bench.segments().iter().any(grown) && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // A segment that was begun for them has its head and its name on the disk before they are written.
                for path in bench.segments() {
                    synced.entry(path).or_insert(super::frame::HEAD);
                }
                let after = cut_power(&bench.dir.log(), &synced, &mut rng);
                let (read, lost) = read_all(after.path(), 0);
                assert_eq!(lost, [], "seed {seed}");
                assert_eq!(read[..acknowledged.len()], acknowledged, "seed {seed}");
                let more = &read[acknowledged.len()..];
                assert!(
                    more.iter().enumerate().all(|(n, payload)| *payload == format!("under way {n}")),
                    "seed {seed}: {more:?}"
                );
                kept_more += usize::from(!more.is_empty());
                torn += usize::from(inspect(after.path()).unwrap().iter().any(|report| report.torn > 0));
                fs::write(&release, "").unwrap();
                drop(under_way);
            }
            drop(log);
        }
    }
    // Otherwise nothing was tested.
    assert!(torn > 10 && kept_more > 3, "{torn} torn, {kept_more} with what nobody was told of");
}

#[test]
fn a_segment_that_cannot_be_read_is_told_of_and_passed_by() {
    let bench = Bench::new();
    for i in 0..3 {
        appended(&bench.open(""), &i.to_string()).unwrap();
    }
    let mut reader = Reader::new(&bench.dir.log(), 0).unwrap();
    let middle = bench.segments()[1].clone();
    fs::remove_file(&middle).unwrap();
    fs::create_dir(&middle).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().payload, b"0");
    assert!(!reader.read().unwrap_err().is_content());
    assert_eq!(reader.read().unwrap().unwrap().payload, b"2");
    assert!(reader.read().unwrap().is_none());
    assert_eq!(reader.lost(), []);
}

#[test]
fn a_newest_segment_that_cannot_be_read_stops_no_start_and_none_of_its_numbers_is_given_again() {
    let bench = Bench::new();
    for i in 0..3 {
        appended(&bench.open(""), &i.to_string()).unwrap();
    }
    let newest = bench.segments()[2].clone();
    fs::remove_file(&newest).unwrap();
    fs::create_dir(&newest).unwrap();
    let number = appended(&bench.open(""), "next").unwrap();
    assert!(number > 2, "{number}");
    assert_eq!(appended(&bench.open(""), "and on"), Ok(number + 1), "the segment behind it says where it began");
    let mut reader = Reader::new(&bench.dir.log(), 1).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().payload, b"1");
    assert!(!reader.read().unwrap_err().is_content());
    let rest: Vec<_> = std::iter::from_fn(|| reader.read().unwrap()).map(|entry| entry.payload).collect();
    assert_eq!(rest, [b"next".to_vec(), b"and on".to_vec()]);
}

#[test]
fn what_is_acknowledged_is_read_again_in_order() {
    let bench = Bench::new();
    let log = bench.open("");
    let outcomes: Vec<_> = (0..100).map(|i| append(&log, &i.to_string())).collect();
    let numbers: Vec<u64> = outcomes.iter().map(|o| o.recv().unwrap().unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    drop(log);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&bench.segments()[0]).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
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
            std::thread::sleep(Duration::from_millis(50));
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
