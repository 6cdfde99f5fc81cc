//! The outbox over a disk with faults: full, slow, torn by a crash, damaged.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use redb::{Database, StorageBackend};

use super::super::pending::{Order, Policy};
use super::super::testing;
use super::*;
use crate::alert::Reason;

const NEWEST: Policy = Policy {
    capacity: 100,
    batch: 64,
    one_rule: false,
    repeats: true,
    resolved: true,
    points: false,
    order: Order::Newest,
};
const QUIET: Policy = Policy { repeats: false, ..NEWEST };

/// A disk that outlives those who write it.
#[derive(Debug, Default)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    /// What would be there after a loss of power.
    synced: Mutex<Vec<u8>>,
    full: AtomicBool,
    /// Milliseconds that a sync takes.
    sync_takes: AtomicU64,
}

impl Disk {
    fn opener(self: &Arc<Self>) -> store::Open {
        let disk = Arc::clone(self);
        Box::new(move || Database::builder().create_with_backend(Backend(Arc::clone(&disk))))
    }

    fn open(self: &Arc<Self>) -> (Arc<Outbox>, Registry) {
        let registry = Registry::new();
        (Arc::new(Outbox::open_with(Path::new("disk"), self.opener(), &registry, Faults::default()).unwrap()), registry)
    }

    /// The power fails: what was not synced is lost.
    fn after_power_loss(&self) -> Arc<Self> {
        let synced = self.synced.lock().unwrap().clone();
        Arc::new(Self { bytes: Mutex::new(synced.clone()), synced: Mutex::new(synced), ..Self::default() })
    }
}

#[derive(Debug)]
struct Backend(Arc<Disk>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let start = offset as usize;
        out.copy_from_slice(&self.0.bytes.lock().unwrap()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut bytes = self.0.bytes.lock().unwrap();
        if self.0.full.load(Ordering::Relaxed) && len as usize > bytes.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        bytes.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        std::thread::sleep(Duration::from_millis(self.0.sync_takes.load(Ordering::Relaxed)));
        self.0.synced.lock().unwrap().clone_from(&self.0.bytes.lock().unwrap());
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        if self.0.full.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let start = offset as usize;
        self.0.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn firing(alert: &str, at: Millis) -> Arc<Transition> {
    Arc::new(testing::firing(alert, at))
}

fn names(restored: &[Restored]) -> Vec<String> {
    restored.iter().map(|r| format!("{} {}", r.transition.rule.alert, r.transition.at)).collect()
}

fn text(registry: &Registry) -> String {
    prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[test]
fn what_is_not_acknowledged_is_there_after_a_loss_of_power() {
    let disk = Arc::new(Disk::default());
    let (outbox, _) = disk.open();
    let (am, none) = outbox.attach("am", NEWEST).unwrap();
    assert!(none.is_empty());
    outbox.attach("hook", QUIET).unwrap();
    let resent = Arc::new(Transition { reason: Reason::Resent, ..testing::firing("a", 3) });
    let accepted = outbox.accept(vec![firing("a", 1), firing("b", 2), resent], 500);
    assert_eq!(accepted.len(), 3);
    let disk = disk.after_power_loss();
    let (again, registry) = disk.open();
    assert_eq!(names(&again.attach("am", NEWEST).unwrap().1), ["a 1", "b 2", "a 3"]);
    let (_, hook) = again.attach("hook", QUIET).unwrap();
    assert_eq!(names(&hook), ["a 1", "b 2"], "repetitions are not due there");
    assert_eq!((hook[0].received, &*hook[0].transition), (500, &testing::firing("a", 1)));
    let shown = text(&registry);
    assert!(shown.contains(r#"forewarn_outbox_entries{sink="am"} 3"#), "{shown}");
    assert!(shown.contains(r#"forewarn_outbox_restored{sink="hook"} 2"#), "{shown}");

    // The first outbox goes on, as if there had been no loss: one by one they leave.
    am.settle(&[accepted[0].seq, accepted[2].seq]);
    assert!(outbox.flush(Duration::from_secs(5)));
    drop(again);
}

#[test]
fn what_is_settled_is_gone_and_forgotten_sinks_are_cleared() {
    let disk = Arc::new(Disk::default());
    let (outbox, _) = disk.open();
    let (am, _) = outbox.attach("am", NEWEST).unwrap();
    outbox.attach("hook", NEWEST).unwrap();
    let accepted = outbox.accept(vec![firing("a", 1), firing("b", 2)], 0);
    am.settle(&[accepted[0].seq]);
    assert!(outbox.flush(Duration::from_secs(5)));
    let (again, _) = disk.after_power_loss().open();
    assert_eq!(names(&again.attach("am", NEWEST).unwrap().1), ["b 2"]);
    assert_eq!(again.drop_unattached(), [("hook".to_owned(), 2)]);
    assert_eq!(again.drop_unattached(), []);
    let mut backlog = again.backlog();
    backlog.sort_by(|a, b| a.sink.cmp(&b.sink));
    assert_eq!(backlog.iter().map(|b| (b.sink.as_str(), b.entries)).collect::<Vec<_>>(), [("am", 1), ("hook", 0)]);
    assert_eq!(backlog[0].oldest, Some(0));
    // Numbers go on where they ended, so that nothing takes the place of what waits.
    assert!(again.accept(vec![firing("c", 3)], 0)[0].seq > accepted[1].seq);
}

#[test]
fn what_was_accepted_is_not_accepted_again_after_a_restart() {
    let disk = Arc::new(Disk::default());
    let (outbox, _) = disk.open();
    outbox.accept(vec![firing("a", 10), firing("a", 20)], 0);
    outbox.forget_upto(10);
    assert!(outbox.flush(Duration::from_secs(5)));
    let (again, registry) = disk.after_power_loss().open();
    let accepted = again.accept(vec![firing("a", 10), firing("a", 20), firing("a", 30)], 0);
    assert_eq!(accepted.iter().map(|n| n.transition.at).collect::<Vec<_>>(), [10, 30], "10 was forgotten");
    assert!(text(&registry).contains("forewarn_outbox_duplicates_total 1"));
}

#[test]
fn a_full_disk_stops_no_alert_and_is_made_up_for() {
    let disk = Arc::new(Disk::default());
    let (outbox, registry) = disk.open();
    let (am, _) = outbox.attach("am", NEWEST).unwrap();
    let before = outbox.accept(vec![firing("a", 1), firing("b", 1)], 0);
    assert!(outbox.is_durable());
    disk.full.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let during: Vec<_> = (2..50).map(|at| outbox.accept(vec![firing("c", at)], 0)).collect();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(during.iter().all(|accepted| accepted.len() == 1));
    assert!(!outbox.is_durable());
    let shown = text(&registry);
    assert!(shown.contains("forewarn_outbox_durable 0"), "{shown}");
    assert!(shown.contains("forewarn_outbox_undurable_total 48"), "{shown}");
    assert!(outbox.accept(vec![firing("c", 2)], 0).is_empty(), "known all the same");
    am.settle(&[before[0].seq, during[0][0].seq]);
    disk.full.store(false, Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(10);
    while !outbox.is_durable() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(outbox.flush(Duration::from_secs(5)));
    assert!(text(&registry).contains("forewarn_outbox_durable 1"));
    let (again, _) = disk.after_power_loss().open();
    let restored = names(&again.attach("am", NEWEST).unwrap().1);
    assert_eq!((restored.len(), restored[0].as_str(), restored[1].as_str()), (48, "b 1", "c 3"));
    assert!(again.accept(vec![firing("c", 2), firing("c", 49)], 0).is_empty());
}

#[test]
fn a_hanging_disk_holds_the_engine_for_a_second_once() {
    let disk = Arc::new(Disk::default());
    let (outbox, _) = disk.open();
    outbox.attach("am", NEWEST).unwrap();
    disk.sync_takes.store(3_000, Ordering::Relaxed);
    let started = Instant::now();
    for at in 1..100 {
        assert_eq!(outbox.accept(vec![firing("a", at)], 0).len(), 1);
    }
    let took = started.elapsed();
    assert!(PATIENCE <= took && took < PATIENCE + Duration::from_millis(900), "{took:?}");
    assert!(!outbox.is_durable());
    disk.sync_takes.store(0, Ordering::Relaxed);
    let end = Instant::now() + Duration::from_secs(15);
    while !outbox.is_durable() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(outbox.is_durable());
    let (again, _) = disk.after_power_loss().open();
    assert_eq!(again.attach("am", NEWEST).unwrap().1.len(), 99);
}

#[test]
fn a_damaged_file_is_set_aside_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbox.redb");
    let outbox = Outbox::open(&file, &Registry::new()).unwrap();
    assert!(matches!(Outbox::open(&file, &Registry::new()), Err(OutboxError::InUse(_))));
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(outbox);
    let mut damaged = std::fs::read(&file).unwrap();
    damaged[..64].fill(0xff);
    std::fs::write(&file, &damaged).unwrap();
    let outbox = Arc::new(Outbox::open(&file, &Registry::new()).unwrap());
    assert!(outbox.accept(vec![firing("a", 1)], 0).len() == 1 && outbox.is_durable());
    assert_eq!(std::fs::read(dir.path().join("outbox.redb.damaged-0")).unwrap(), damaged);
    drop(outbox);
    let missing = dir.path().join("no/such/folder/outbox.redb");
    assert!(matches!(Outbox::open(&missing, &Registry::new()), Err(OutboxError::Io { .. })));
}

#[test]
fn a_file_that_is_damaged_while_it_is_away_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbox.redb");
    std::fs::write(&file, vec![7; 100_000]).unwrap();
    assert!(store::open_again(&file, &store::opener(file.clone())).is_ok());
    assert_eq!(std::fs::read(dir.path().join("outbox.redb.damaged-0")).unwrap().len(), 100_000);
    // What is not damaged is left where it is.
    let outbox = Outbox::open(&file, &Registry::new()).unwrap();
    assert!(store::open_again(&file, &store::opener(file.clone())).is_err());
    drop(outbox);
    assert!(file.exists() && !dir.path().join("outbox.redb.damaged-1").exists());
}

#[test]
fn a_file_that_cannot_be_read_now_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbox.redb");
    let outbox = Arc::new(Outbox::open(&file, &Registry::new()).unwrap());
    outbox.attach("am", NEWEST).unwrap();
    outbox.accept(vec![firing("a", 1)], 0);
    drop(outbox);
    let whole = std::fs::read(&file).unwrap();
    let failing = |file: &Path, kind: io::ErrorKind| {
        let opener = Box::new(move || Err(redb::StorageError::Io(io::Error::from(kind)).into()));
        Outbox::open_with(file, opener, &Registry::new(), Faults::default())
    };
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        let refused = failing(&file, kind);
        assert!(matches!(refused, Err(OutboxError::Unreadable { .. })), "{kind}: {refused:?}");
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
    // Where there is none, or nothing in it, there is nothing to lose.
    let empty = dir.path().join("empty.redb");
    std::fs::write(&empty, "").unwrap();
    for file in [empty, dir.path().join("none.redb")] {
        assert!(!failing(&file, io::ErrorKind::StorageFull).unwrap().is_durable());
    }
    let again = Arc::new(Outbox::open(&file, &Registry::new()).unwrap());
    assert_eq!(names(&again.attach("am", NEWEST).unwrap().1), ["a 1"]);
}

#[test]
fn a_later_releases_tables_are_not_written_over() {
    use redb::{ReadableTable as _, TableHandle as _};
    const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let disk = Arc::new(Disk::default());
    let database = disk.opener()().unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("format", 99).unwrap();
    txn.commit().unwrap();
    drop(database);
    let refused = Outbox::open_with(Path::new("disk"), disk.opener(), &Registry::new(), Faults::default());
    assert!(matches!(refused, Err(OutboxError::Later { found: 99, .. })), "{refused:?}");

    // It appears while forewarn delivers from memory.
    let (opener, tries) = (disk.opener(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&tries);
    let late = Box::new(move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Err(redb::StorageError::Io(io::Error::from(io::ErrorKind::StorageFull)).into()),
        _ => opener(),
    });
    let outbox = Arc::new(Outbox::open_with(Path::new("disk"), late, &Registry::new(), Faults::default()).unwrap());
    assert_eq!(outbox.accept(vec![firing("a", 1)], 0).len(), 1);
    let end = Instant::now() + Duration::from_secs(10);
    while tries.load(Ordering::Relaxed) < 3 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(tries.load(Ordering::Relaxed) >= 3 && !outbox.is_durable());
    drop(outbox);
    let database = disk.opener()().unwrap();
    let txn = database.begin_write().unwrap();
    let tables: Vec<String> = txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    assert_eq!(tables, ["meta"], "no table of ours is made or deleted");
    let format = txn.open_table(META).unwrap().get("format").unwrap().map(|version| version.value());
    assert_eq!(format, Some(99));
}

#[test]
fn no_flipped_byte_ends_the_process_or_invents_an_alert() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbox.redb");
    let outbox = Arc::new(Outbox::open(&file, &Registry::new()).unwrap());
    outbox.attach("am", NEWEST).unwrap();
    let all: Vec<_> = (1..40).map(|at| firing("a", at)).collect();
    outbox.accept(all.clone(), 0);
    drop(outbox);
    let whole = std::fs::read(&file).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] != 0).collect();
    for step in 0..40 {
        let mut damaged = whole.clone();
        damaged[used[step * (used.len() - 1) / 39]] ^= 0x55;
        std::fs::write(&file, &damaged).unwrap();
        let outbox = Arc::new(Outbox::open(&file, &Registry::new()).unwrap());
        for restored in outbox.attach("am", NEWEST).unwrap().1 {
            assert!(all.contains(&restored.transition), "{restored:?}");
        }
    }
}

/// What may happen to an outbox.
#[derive(Clone, Debug)]
enum Step {
    Accept(u8),
    Settle(u8, bool),
    Forget(u8),
    PowerLoss,
    FullDisk(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..20).prop_map(Step::Accept),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(n, sink)| Step::Settle(n, sink)),
        1 => (0u8..20).prop_map(Step::Forget),
        2 => Just(Step::PowerLoss),
        1 => any::<bool>().prop_map(Step::FullDisk),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, nothing that was durably accepted and not settled is missing, and what was settled comes back at
    /// most when its settlement had no time to reach the disk.
    #[test]
    fn nothing_durable_is_lost(steps in proptest::collection::vec(step(), 1..40)) {
        let mut disk = Arc::new(Disk::default());
        let (mut outbox, _) = disk.open();
        let attach = |outbox: &Arc<Outbox>| ["am", "hook"].map(|name| outbox.attach(name, NEWEST).unwrap());
        let [mut am, mut hook] = attach(&outbox).map(|(slot, _)| slot);
        // Due: (sink, number); those of which it is not known whether they are on disk may or may not come back.
        let mut due: BTreeSet<(bool, u64)> = BTreeSet::new();
        let mut unsure: BTreeSet<(bool, u64)> = BTreeSet::new();
        let mut settled: BTreeSet<(bool, u64)> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Accept(at) => {
                    let numbers = outbox.accept(vec![firing("a", at.into())], 0);
                    let into = if outbox.is_durable() { &mut due } else { &mut unsure };
                    into.extend(numbers.iter().flat_map(|n| [(false, n.seq), (true, n.seq)]));
                }
                Step::Settle(n, sink) => {
                    let of_sink: Vec<_> = due.iter().filter(|(s, _)| *s == sink).copied().collect();
                    if let Some(one) = of_sink.get(usize::from(n) % of_sink.len().max(1)) {
                        if sink { hook.settle(&[one.1]) } else { am.settle(&[one.1]) }
                        due.remove(one);
                        settled.insert(*one);
                    }
                }
                Step::Forget(at) => outbox.forget_upto(at.into()),
                Step::FullDisk(full) => disk.full.store(full, Ordering::Relaxed),
                Step::PowerLoss => {
                    let lost = disk.after_power_loss();
                    disk.full.store(false, Ordering::Relaxed);
                    disk = lost;
                    outbox = disk.open().0;
                    let attached = attach(&outbox);
                    let mut found = BTreeSet::new();
                    for (sink, (_, restored)) in [(false, &attached[0]), (true, &attached[1])] {
                        found.extend(restored.iter().map(|r| (sink, r.seq)));
                    }
                    prop_assert!(due.is_subset(&found), "lost {:?}", due.difference(&found).collect::<Vec<_>>());
                    let known: BTreeSet<_> = due.iter().chain(&unsure).chain(&settled).copied().collect();
                    prop_assert!(found.is_subset(&known), "invented {:?}", found.difference(&known).collect::<Vec<_>>());
                    due = found;
                    unsure.clear();
                    let [(a, _), (b, _)] = attached;
                    (am, hook) = (a, b);
                }
            }
        }
    }
}
