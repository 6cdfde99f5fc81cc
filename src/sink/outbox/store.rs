//! The outbox on disk: three tables in one redb file. Every commit is durable when it returns (one fsync).
//!
//! - `transitions`: number → [`record`];
//! - `due`: (sink's name, number) for each sink that has not acknowledged it;
//! - `accepted`: (tick, identity) of what was accepted and may come again after a restart.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::super::key::TransitionId;
use super::image::{Accepted, Changes, Image, OnDisk, Whole};
use super::record;

const TRANSITIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("transitions");
const DUE: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("due");
const ACCEPTED: TableDefinition<'_, (i64, u128), ()> = TableDefinition::new("accepted");
/// `format` → the version of these tables.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT: u64 = 1;

/// Labels and annotations may hold what is not for everybody.
const FILE_MODE: u32 = 0o600;

/// Memory for pages. The image in memory answers all questions; pages are only read to be changed.
const CACHE_BYTES: usize = 8 << 20;

/// A file larger than this is shrunk at the start.
const SHRINK_BYTES: u64 = 64 << 20;

/// How the database is opened; tests give one with faults.
pub(super) type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// Why the outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Another process.
    #[error("{}: another forewarn uses this outbox; give each its own state.dir", .0.display())]
    InUse(PathBuf),
    /// A later release wrote it.
    #[error("{}: written by a later release (format {found}; this one reads {FORMAT})", .file.display())]
    Later {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file system.
    #[error("{}: {error}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it says.
        error: String,
    },
    /// It is there, and may be whole, but cannot be read now. Whoever began without it would write over what waits in it.
    #[error(
        "{}: cannot be read: {error}; it may hold alerts that nobody was told of. Mend the cause, or move the file away to begin without them",
        .file.display()
    )]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the database says.
        error: String,
    },
    /// No thread.
    #[error("no thread for the outbox: {0}")]
    Thread(io::Error),
}

/// Why the database does not do what it should; it must be opened anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// Whatever the database says.
    #[error(transparent)]
    Database(Box<redb::Error>),
    /// A later release's tables: hands off.
    #[error("written by a later release (format {0}; this one reads {FORMAT})")]
    Later(u64),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

/// The open database.
#[derive(Debug)]
pub(super) struct Store(Database);

/// What was found on disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) image: Image,
    /// Records that cannot be read; they are left out.
    pub(super) unreadable: usize,
}

/// Opens a file as the outbox does.
pub(super) fn opener(file: PathBuf) -> Open {
    // Without the check a file that was altered behind redb's back might be trusted, or end the process.
    Box::new(move || {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&file)?;
        // The name must be as durable as what is in the file.
        File::open(folder_of(&file))?.sync_all()?;
        let (is_new, same) = (opened.metadata()?.len() == 0, opened.try_clone()?);
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let made = builder.create_with_backend(FileBackend::new(opened)?);
        if made.is_err() && is_new {
            // Half a database would never become one; an empty file will when there is room.
            same.set_len(0)?;
        }
        made
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens the outbox at the start. A damaged file is set aside, under another name, and a new one begun: alerts must go out.
/// Where a new one cannot be made (full disk) the process begins in memory. One that is there but cannot be read now is
/// left alone: see [`OutboxError::Unreadable`].
pub(super) fn open_at_start(file: &Path, open: &Open) -> Result<(Option<Store>, Found), OutboxError> {
    for attempt in 0..2 {
        let held = may_hold_alerts(file);
        let loaded = Store::open(open).and_then(|store| Ok((store.load()?, store)));
        let error = match loaded {
            Ok((found, mut store)) => {
                store.shrink(file);
                return Ok((Some(store), found));
            }
            Err(error) => error,
        };
        let (name, text) = (|| file.to_owned(), error.to_string());
        match error {
            StoreError::Later(found) => return Err(OutboxError::Later { file: name(), found }),
            error if error.is_in_use() => return Err(OutboxError::InUse(name())),
            error if error.is_mistake() => return Err(OutboxError::Io { file: name(), error: text }),
            error if attempt == 0 && error.is_damage() => set_aside(file, &error)?,
            _ if held => return Err(OutboxError::Unreadable { file: name(), error: text }),
            error => {
                tracing::error!(file = %file.display(), %error, "the outbox cannot be made; alerts are delivered from memory until it can");
                break;
            }
        }
    }
    Ok((None, Found { image: Image::default(), unreadable: 0 }))
}

/// Whether there is a file with something in it, or whether that cannot be told.
fn may_hold_alerts(file: &Path) -> bool {
    match std::fs::metadata(file) {
        Ok(meta) => meta.len() > 0,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Opens the outbox again while the process runs. One that is damaged by now is set aside: all that waits is in memory, and
/// will be written into the new one.
pub(super) fn open_again(file: &Path, open: &Open) -> Result<Store, StoreError> {
    match Store::open(open) {
        Err(error) if error.is_damage() => {
            let Ok(aside) = move_aside(file) else { return Err(error) };
            tracing::error!(file = %file.display(), %error, aside = %aside.display(), "the outbox is damaged; it is set aside and written anew from memory");
            Store::open(open)
        }
        opened => opened,
    }
}

fn set_aside(file: &Path, error: &StoreError) -> Result<(), OutboxError> {
    let moved = move_aside(file);
    let aside = moved.map_err(|e| OutboxError::Io { file: file.to_owned(), error: e.to_string() })?;
    tracing::error!(file = %file.display(), %error, aside = %aside.display(), "the outbox is damaged; it is set aside and a new one begun: alerts that waited in it are not sent");
    Ok(())
}

fn move_aside(file: &Path) -> io::Result<PathBuf> {
    let aside = (0..).map(|n| file.with_extension(format!("redb.damaged-{n}"))).find(|name| !name.exists());
    let aside = aside.unwrap_or_else(|| file.with_extension("redb.damaged"));
    std::fs::rename(file, &aside)?;
    Ok(aside)
}

impl StoreError {
    fn database(&self) -> Option<&redb::Error> {
        match self {
            Self::Database(error) => Some(error),
            Self::Later(_) => None,
        }
    }

    fn is_in_use(&self) -> bool {
        matches!(self.database(), Some(redb::Error::DatabaseAlreadyOpen))
    }

    /// What only the person who configured it can mend.
    fn is_mistake(&self) -> bool {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
        let kinds = [IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem];
        matches!(self.database(), Some(redb::Error::Io(e)) if kinds.contains(&e.kind()))
    }

    fn is_damage(&self) -> bool {
        match self.database() {
            // A file that is no database at all is said to be invalid data; one cut short ends unexpectedly.
            Some(redb::Error::Io(e)) => matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
            Some(
                redb::Error::Corrupted(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::RepairAborted
                | redb::Error::TableTypeMismatch { .. },
            ) => true,
            _ => false,
        }
    }
}

impl Store {
    /// Opens the database, if it has tables that this release knows.
    pub(super) fn open(open: &Open) -> Result<Self, StoreError> {
        let store = Self(open()?);
        match store.format()? {
            found if found > FORMAT => Err(StoreError::Later(found)),
            _ => Ok(store),
        }
    }

    /// Gives back the room that a long backlog has taken; the database itself only reuses it.
    fn shrink(&mut self, file: &Path) {
        if std::fs::metadata(file).is_ok_and(|meta| meta.len() > SHRINK_BYTES)
            && let Err(error) = self.0.compact()
        {
            tracing::warn!(%error, "the outbox stays as large as it is");
        }
    }

    /// Writes what has changed; durable when it returns.
    pub(super) fn apply(&self, changes: &Changes, names: &[String]) -> Result<(), StoreError> {
        let txn = self.0.begin_write()?;
        {
            let mut transitions = txn.open_table(TRANSITIONS)?;
            let mut due = txn.open_table(DUE)?;
            let mut accepted = txn.open_table(ACCEPTED)?;
            let name = |index: u16| names.get(usize::from(index)).map_or("", String::as_str);
            for (seq, record) in changes.put.iter().chain(&changes.renewed) {
                transitions.insert(seq, record.as_slice())?;
            }
            for (index, seq) in &changes.owed {
                due.insert((name(*index), *seq), ())?;
            }
            for (index, seq) in &changes.settled {
                due.remove((name(*index), *seq))?;
            }
            for seq in &changes.removed {
                transitions.remove(seq)?;
            }
            if let Some(upto) = changes.forget_upto {
                accepted.retain_in::<(i64, u128), _>(..=(upto, u128::MAX), |_, ()| false)?;
            }
            for (at, id) in &changes.remember {
                accepted.insert((*at, id.get()), ())?;
            }
        }
        seal(txn)
    }

    /// Puts all of the image in the place of what is there.
    pub(super) fn rewrite(&self, whole: &Whole, names: &[String]) -> Result<(), StoreError> {
        let txn = self.0.begin_write()?;
        txn.delete_table(TRANSITIONS)?;
        txn.delete_table(DUE)?;
        txn.delete_table(ACCEPTED)?;
        {
            let mut transitions = txn.open_table(TRANSITIONS)?;
            let mut due = txn.open_table(DUE)?;
            let mut accepted = txn.open_table(ACCEPTED)?;
            for (seq, entry) in &whole.entries {
                transitions.insert(seq, record::encode(&entry.transition, entry.received).as_slice())?;
                for name in entry.due.iter().filter_map(|index| names.get(usize::from(*index))) {
                    due.insert((name.as_str(), *seq), ())?;
                }
            }
            for (at, id) in &whole.accepted {
                accepted.insert((*at, id.get()), ())?;
            }
        }
        seal(txn)
    }

    /// The version of what is there, or of a new file.
    fn format(&self) -> Result<u64, StoreError> {
        let txn = self.0.begin_read()?;
        match txn.open_table(META) {
            Ok(meta) => Ok(meta.get("format")?.map_or(FORMAT, |v| v.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(FORMAT),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn load(&self) -> Result<Found, StoreError> {
        let txn = self.0.begin_read()?;
        let transitions = match txn.open_table(TRANSITIONS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Found { image: Image::default(), unreadable: 0 }),
            Err(error) => return Err(error.into()),
        };
        let mut sinks: HashMap<u64, Vec<String>> = HashMap::new();
        for row in txn.open_table(DUE)?.iter()? {
            let (key, ()) = row.map(|(key, value)| (key, value.value()))?;
            let (name, seq) = key.value();
            sinks.entry(seq).or_default().push(name.to_owned());
        }
        let mut accepted: BTreeSet<Accepted> = BTreeSet::new();
        for row in txn.open_table(ACCEPTED)?.iter()? {
            let (at, id) = row?.0.value();
            accepted.insert((at, TransitionId::from_number(id)));
        }
        let (mut entries, mut unreadable) = (Vec::new(), 0);
        for row in transitions.iter()? {
            let (seq, bytes) = row?;
            let (seq, bytes) = (seq.value(), bytes.value());
            match record::decode(bytes) {
                Ok((transition, received)) => {
                    let sinks = sinks.remove(&seq).unwrap_or_default();
                    entries.push(OnDisk { seq, transition: Arc::new(transition), received, bytes: bytes.len(), sinks });
                }
                Err(error) => {
                    unreadable += 1;
                    tracing::error!(%error, "an alert in the outbox cannot be read; it is not sent");
                }
            }
        }
        Ok(Found { image: Image::restore(entries, accepted), unreadable })
    }
}

/// Commits. redb's default is what is wanted: one fsync, and checksums that find a torn commit at the next opening.
fn seal(txn: WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(META)?.insert("format", FORMAT)?;
    Ok(txn.commit()?)
}
