//! `forewarn state inspect` on folders that are whole, damaged and in use: what it says, its exit code, and that it changes
//! nothing.
//!
//! `UPDATE_GOLDEN=1 cargo test --test state_inspect` writes the text anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use forewarn::base::{Record, format_rfc3339};
use forewarn::sink::outbox::Outbox;
use forewarn::state::checkpoint::{Header, Store};
use forewarn::state::{Faults, StateDir};
use prometheus::Registry;
use serde_json::Value;
use support::alerts::{Sinks, firing, now};
use support::eventually;
use support::input::{Input, RULES};
use support::peer::free_address;
use support::victim::{self, Victim};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// The folder of a release, as a kill has left it, and an outbox in it; two alerts wait for one sink, one for the other.
async fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state/0.1.0/state");
    copy(&release, dir.path());
    let dead = free_address();
    let outbox = |name: &str| Arc::new(Outbox::open(&dir.path().join(name), &Registry::new()).unwrap());
    let hook = |name: &str| format!("- webhook: {{name: {name}, url: 'http://{dead}/'}}\n");
    let of = |yaml: &str, outbox: &Arc<Outbox>| {
        Sinks::start_with(yaml, |context| {
            context.outbox = Some(Arc::clone(outbox));
            context.queued_alerts = 1_000;
        })
    };
    let kept = outbox("outbox.redb");
    let sinks = of(&hook("pager"), &kept);
    sinks.send([firing("A", now())]);
    drop(sinks);
    released(kept).await;
    let kept = eventually("the outbox", SOON, async || {
        Outbox::open(&dir.path().join("outbox.redb"), &Registry::new()).ok().map(Arc::new)
    })
    .await;
    let sinks = of(&(hook("pager") + &hook("archive")), &kept);
    sinks.send([firing("B", now())]);
    drop(sinks);
    released(kept).await;
    dir
}

/// Waits until the tasks of sinks have let go of an outbox, and ends it.
async fn released(outbox: Arc<Outbox>) {
    eventually("the end of the sinks", SOON, async || (Arc::strong_count(&outbox) == 1).then_some(())).await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(entry, to).unwrap();
        }
    }
}

/// Everything in a folder: contents, and when they were written last.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()));
        }
    }
    all
}

/// Exit code and text, as people and as programs get it.
fn inspect(dir: &Path) -> (i32, String, Value) {
    let run = |further: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        let output = command.args(["state", "inspect"]).arg(dir).args(further).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), output.stderr)
    };
    let (code, text, errors) = run(&[]);
    let (same, json, _) = run(&["--json"]);
    assert_eq!(code, same);
    let json = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&errors)));
    (code, text, json)
}

fn newest(dir: &Path) -> PathBuf {
    let found = fs::read_dir(dir.join("checkpoints")).unwrap().map(|entry| entry.unwrap().path());
    found.filter(|path| path.file_name().unwrap().len() == 20).max().unwrap()
}

/// The log's largest segment.
fn segment(dir: &Path) -> PathBuf {
    let segments = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    segments.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// A text in which what depends on the moment of the test is left out.
fn masked(text: &str, report: &Value) -> String {
    let oldest = |sink: &Value| sink["oldest"].as_str().unwrap().to_owned();
    let sinks = report["outbox"]["sinks"].as_array().unwrap();
    let mut text = text.replace(&format!("a file of {} bytes", report["outbox"]["bytes"]), "a file of BYTES bytes");
    for time in sinks.iter().map(oldest) {
        text = text.replace(&time, "TIME");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_folder_is_shown_and_left_alone() {
    let before = now();
    let dir = folder().await;
    let was = contents(dir.path());
    let (code, text, report) = inspect(dir.path());
    assert_eq!(code, 0, "{text}");
    assert_eq!(contents(dir.path()), was);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state_inspect.txt");
    let shown = masked(&text, &report);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&golden).unwrap());
    let sinks = report["outbox"]["sinks"].as_array().unwrap();
    let waiting: Vec<_> = sinks.iter().map(|s| (s["sink"].as_str().unwrap(), s["entries"].as_u64().unwrap())).collect();
    assert_eq!(waiting, [("pager", 2), ("archive", 1)]);
    let oldest = sinks[0]["oldest"].as_str().unwrap().to_owned();
    assert!(oldest >= format_rfc3339(before) && oldest <= format_rfc3339(now()), "{oldest}");

    // A crash leaves a torn end, which nobody was told was safe.
    let path = segment(dir.path());
    let mut torn = fs::read(&path).unwrap();
    torn.extend(torn[40..100].to_vec());
    fs::write(&path, torn).unwrap();
    let (code, text, _) = inspect(dir.path());
    assert!(code == 0 && text.contains("60 bytes torn or damaged"), "{text}");
    // Without a log, or an outbox, a folder is whole as well.
    fs::remove_file(dir.path().join("outbox.redb")).unwrap();
    let (code, text, report) = inspect(dir.path());
    assert!(code == 0 && text.ends_with("outbox\n  none\n") && report["outbox"].is_null(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_each_part_is_said_and_has_its_exit_code() {
    let whole = folder().await;
    let damaged = |damage: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        damage(dir.path());
        let was = contents(dir.path());
        let (code, text, report) = inspect(dir.path());
        assert_eq!(contents(dir.path()), was);
        assert_eq!(code, 1, "{text}");
        (text, report)
    };
    let (text, report) = damaged(&|dir| flip(&newest(dir).join("records"), 1_000));
    assert!(text.contains("NOT WHOLE") && report["checkpoints"][0]["fault"].is_string(), "{text}");

    // Whole, but of something else than this release's engine.
    let (text, report) = damaged(&|dir| {
        let mut store = Store::open(&StateDir::new(dir), 3, Faults::default()).unwrap();
        let record = Record { name: "rules".to_owned(), version: 9_999, bytes: vec![1, 2, 3] };
        store.write(Header::default(), &[record]).unwrap();
    });
    assert!(text.contains("NOT RESTORABLE"), "{text}");
    assert!(report["checkpoints"][0]["engine_fault"].is_string() && report["checkpoints"][0]["fault"].is_null());

    let (text, report) = damaged(&|dir| flip(&segment(dir), 200));
    let lost = &report["log_lost"][0];
    assert!(lost["end"].as_u64() > lost["start"].as_u64(), "{report}");
    assert!(text.contains(&format!("DAMAGED  entries {} to ", lost["start"])), "{text}");

    let outbox = |dir: &Path| dir.join("outbox.redb");
    let (text, report) = damaged(&|dir| fs::write(outbox(dir), vec![7; 5_000]).unwrap());
    assert!(text.contains("outbox\n  NOT READABLE") && report["outbox_fault"].is_string(), "{text}");
    let half = |dir: &Path| fs::File::options().write(true).open(outbox(dir)).unwrap().set_len(4_096).unwrap();
    assert!(damaged(&half).0.contains("outbox\n  NOT READABLE"));
}

/// The process has its outbox locked, and writes it all the time; it notices nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_can_be_looked_into() {
    let config = format!(
        "global: {{evaluation_interval: 200ms}}\nrule_files: [rules.yml]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1h}}}}\n\
         sinks: [webhook: {{name: dead, url: 'http://{}/', every_transition: true}}]",
        free_address()
    );
    let mut victim = Victim::new(&config, RULES, "dir: state, checkpoint_interval: 300ms");
    victim.launch(None);
    victim.answers().await;
    victim.ready(SOON).await;
    let input = Input::new((victim::now() / 1000 + 1) * 1000, 60);
    let mut shown = Vec::new();
    while victim.sent < input.steps() {
        victim.feed(&input, Instant::now() + Duration::from_millis(300)).await;
        let (code, text, report) = inspect(&victim.state());
        assert_eq!(code, 0, "{text}");
        shown.push(report["outbox"]["sinks"][0]["entries"].as_u64().unwrap_or(0));
    }
    let entries = victim.metric("forewarn_outbox_entries{sink=\"dead\"}").await.unwrap();
    assert!(entries >= 5.0 && shown.is_sorted() && *shown.last().unwrap() as f64 <= entries, "{shown:?} of {entries}");
    eventually("the same number", SOON, async || {
        let entries = victim.metric("forewarn_outbox_entries{sink=\"dead\"}").await?;
        (inspect(&victim.state()).2["outbox"]["sinks"][0]["entries"].as_f64() == Some(entries)).then_some(())
    })
    .await;
    assert_eq!(victim.metric("forewarn_outbox_failures_total").await, Some(0.0));
    assert_eq!(victim.metric("forewarn_outbox_durable").await, Some(1.0));
    assert_eq!(victim.metric("forewarn_log_failing").await, Some(0.0));
    victim.kill();
    // What a kill leaves needs to be repaired; the copy is.
    let was = contents(&victim.state());
    let (code, _, report) = inspect(&victim.state());
    assert_eq!((code, report["outbox"]["sinks"][0]["entries"].as_f64() >= Some(entries)), (0, true));
    assert_eq!(contents(&victim.state()), was);
}
