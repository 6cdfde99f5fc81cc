//! Checkpoints on a real disk: what crashes, full disks and flipped bytes leave of them.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::base::Record;
use crate::state::{Faults, StateDir};

struct Folder {
    dir: StateDir,
    _root: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::new(root.path());
        drop(dir.lock().unwrap());
        Self { dir, _root: root }
    }

    fn store(&self, fault: &str) -> Store {
        let faults = if fault.is_empty() { Faults::default() } else { Faults::parse(fault).unwrap() };
        Store::open(&self.dir, 3, faults).unwrap()
    }

    fn file(&self, number: u64, name: &str) -> PathBuf {
        self.dir.checkpoints().join(format!("{number:020}")).join(name)
    }
}

fn header(watermark: i64) -> Header {
    let positions = [("log".to_owned(), watermark.unsigned_abs())].into();
    Header { release: "0.1.0".to_owned(), watermark: Some(watermark), positions, ..Header::default() }
}

fn records(n: u8) -> Vec<Record> {
    (0..4_usize).map(|i| Record { name: format!("piece/{i}"), version: 1, bytes: vec![n; 1000 + i] }).collect()
}

fn newest_watermark(folder: &Folder) -> (Option<i64>, usize) {
    let found = folder.store("").newest(None).unwrap();
    (found.checkpoint.and_then(|c| c.manifest.header.watermark), found.passed_over.len())
}

#[test]
fn the_last_few_are_kept_and_the_oldest_of_them_is_told() {
    let folder = Folder::new();
    let mut store = folder.store("");
    assert!(store.newest(None).unwrap().checkpoint.is_none());
    for n in 1..=5 {
        let written = store.write(header(n), &records(n as u8)).unwrap();
        assert_eq!(written.oldest.watermark, Some((n - 2).max(1)));
    }
    assert_eq!(numbers(&folder.dir.checkpoints()).unwrap(), [3, 4, 5]);
    let mode =
        |path: PathBuf| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777;
    assert_eq!(
        [folder.file(5, "."), folder.file(5, "manifest"), folder.file(5, "records")].map(mode),
        [0o700, 0o600, 0o600]
    );
    let mut store = folder.store("");
    let newest = store.newest(None).unwrap().checkpoint.unwrap();
    assert_eq!((newest.manifest.header, newest.records), (header(5), records(5)));
    assert_eq!(store.newest(Some(5)).unwrap().checkpoint.unwrap().records, records(4));
    let written = store.write(header(6), &records(6)).unwrap();
    assert_eq!((written.manifest.number, written.oldest), (6, header(4)));
}

#[test]
fn what_cannot_be_removed_stands_in_nobodys_way() {
    let folder = Folder::new();
    let mut store = folder.store("");
    // As if a removal had failed half-way.
    let going = folder.dir.checkpoints().join("tmp-removed");
    fs::create_dir(&going).unwrap();
    fs::write(going.join("records"), "half").unwrap();
    for n in 1..=4 {
        assert_eq!(store.write(header(n), &records(n as u8)).unwrap().manifest.number, n as u64);
    }
    assert!(!going.exists());
    // And as if removals failed for good: nothing is a folder's name and a file's.
    fs::write(&going, "a file").unwrap();
    for n in 5..=6 {
        assert_eq!(store.write(header(n), &records(n as u8)).unwrap().oldest, header(2));
    }
    fs::remove_file(&going).unwrap();
    assert_eq!(store.write(header(7), &records(7)).unwrap().oldest, header(5));
    assert_eq!(numbers(&folder.dir.checkpoints()).unwrap(), [5, 6, 7]);
}

#[test]
fn any_broken_file_leads_to_the_checkpoint_before() {
    for breaking in ["flip manifest", "flip records", "cut records", "cut manifest", "no manifest", "no records"] {
        let folder = Folder::new();
        let mut store = folder.store("");
        store.write(header(1), &records(1)).unwrap();
        store.write(header(2), &records(2)).unwrap();
        let (how, name) = breaking.split_once(' ').unwrap();
        let path = folder.file(2, name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        match how {
            "flip" => bytes[middle] ^= 0x10,
            "cut" => bytes.truncate(middle),
            _ => {}
        }
        if how == "no" {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, bytes).unwrap();
        }
        assert_eq!(newest_watermark(&folder), (Some(1), 1), "{breaking}");
        // It has been set aside, and its number is not used again while it is there.
        assert_eq!(newest_watermark(&folder), (Some(1), 0), "{breaking}");
    }
}

#[test]
fn a_write_that_fails_leaves_the_one_before_and_can_be_repeated() {
    for point in ["checkpoint.half", "checkpoint.written", "checkpoint.synced"] {
        let folder = Folder::new();
        let mut store = folder.store(&format!("{point}:2:enospc"));
        store.write(header(1), &records(1)).unwrap();
        let refused = store.write(header(2), &records(2)).unwrap_err();
        assert!(refused.is_full() && !refused.is_content(), "{refused}");
        assert_eq!(newest_watermark(&folder), (Some(1), 0));
        assert_eq!(fs::read_dir(folder.dir.checkpoints()).unwrap().count(), 1, "nothing is left of it");
        store.write(header(3), &records(3)).unwrap();
        assert_eq!(newest_watermark(&folder), (Some(3), 0));
    }
}

#[test]
fn one_that_got_its_name_and_then_failed_is_removed_in_its_turn() {
    let folder = Folder::new();
    let mut store = folder.store("checkpoint.renamed:2:eio");
    store.write(header(1), &records(1)).unwrap();
    assert!(store.write(header(2), &records(2)).is_err());
    // It is whole, and counts as one that a restart may go back to.
    for n in 3..=5 {
        assert_eq!(store.write(header(n), &records(n as u8)).unwrap().oldest, header((n - 2).max(1)));
    }
    assert_eq!(numbers(&folder.dir.checkpoints()).unwrap(), [3, 4, 5]);
    assert_eq!(newest_watermark(&folder), (Some(5), 0));
}

/// What a power cut leaves of a folder that is being written: files without their ends.
fn cut_power(from: &std::path::Path, to: &std::path::Path, rng: &mut fastrand::Rng, is_unfinished: bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            let is_unfinished = from.file_name().unwrap().to_str().unwrap().starts_with("tmp-");
            cut_power(&from, &to, rng, is_unfinished);
            continue;
        }
        let mut bytes = fs::read(&from).unwrap();
        if is_unfinished {
            bytes.truncate(rng.usize(..=bytes.len()));
        }
        if !is_unfinished || rng.bool() {
            fs::write(&to, bytes).unwrap();
        }
    }
}

#[test]
fn a_power_cut_takes_no_checkpoint_that_was_told_of() {
    let mut unfinished = 0;
    for (seed, point) in ["half", "written", "synced", "renamed"].into_iter().cycle().take(24).enumerate() {
        let (folder, mut rng) = (Folder::new(), fastrand::Rng::with_seed(seed as u64));
        let told = rng.usize(1..5);
        let release = folder.dir.path().join("go-on");
        let mut store = folder.store(&format!("checkpoint.{point}:{}:hang:{}", told + 1, release.display()));
        let (tell, written) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for n in 1..=told + 1 {
                tell.send(store.write(header(n as i64), &records(n as u8)).unwrap().manifest.number).unwrap();
            }
        });
        (0..told).for_each(|_| assert!(written.recv().unwrap() > 0));
        let under_way = folder.dir.checkpoints().join(match point {
            "renamed" => format!("{:020}", told + 1),
            _ => format!("tmp-{:020}", told + 1),
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !under_way.exists() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let after = Folder::new();
        cut_power(&folder.dir.checkpoints(), &after.dir.checkpoints(), &mut rng, false);
        fs::write(release, "").unwrap();
        thread.join().unwrap();
        unfinished += usize::from(fs::read_dir(after.dir.checkpoints()).unwrap().count() > told.min(3));
        let (newest, passed_over) = newest_watermark(&after);
        let expected = told + usize::from(point == "renamed");
        assert_eq!((newest, passed_over), (Some(expected as i64), 0), "seed {seed}, {point}");
    }
    assert!(unfinished > 12, "nothing was under way: {unfinished}");
}

#[test]
fn what_a_crash_left_unfinished_is_taken_away() {
    let folder = Folder::new();
    folder.store("").write(header(1), &records(1)).unwrap();
    let unfinished = folder.dir.checkpoints().join("tmp-00000000000000000002");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("records"), b"half").unwrap();
    assert_eq!(newest_watermark(&folder), (Some(1), 0));
    assert!(!unfinished.exists());
}

#[test]
fn a_checkpoint_of_a_later_release_is_not_set_aside() {
    let folder = Folder::new();
    folder.store("").write(header(1), &records(1)).unwrap();
    let dir = folder.dir.checkpoints().join(format!("{:020}", 2));
    fs::create_dir(&dir).unwrap();
    let later = Manifest { format: FORMAT + 1, ..Manifest::new(2, header(2), &[]) };
    fs::write(dir.join("manifest"), later.encode()).unwrap();
    assert_eq!(newest_watermark(&folder), (Some(1), 1));
    assert_eq!(newest_watermark(&folder), (Some(1), 1), "it stays for the release that can read it");
}
