//! What waits in an outbox, for people: reads a copy of the file, so that nothing of it is changed or locked. A process that
//! uses it need not end, and one that has crashed may have left it to be repaired, which happens to the copy.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend as _};

use super::metrics::backlog;
use super::store::{Store, StoreError};
use super::{KEPT_ALIVE, SinkBacklog};

/// The copy is in memory.
const LARGEST: u64 = 1 << 30;
/// A process that writes is between two commits for most of the time; how often we wait for that, and how long.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// What an outbox holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxReport {
    /// What waits, by sink.
    pub sinks: Vec<SinkBacklog>,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Identities of transitions that a restart may give again.
    pub remembered: usize,
    /// Records that cannot be read.
    pub unreadable: usize,
}

/// Why an outbox cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It was written all the time.
    #[error(
        "a running forewarn writes it without a pause; its /metrics say what waits (forewarn_outbox_entries), or try again"
    )]
    Busy,
    /// Too large for a copy in memory.
    #[error(
        "{0} bytes are too many to look into; forewarn_outbox_entries in the /metrics of its process says what waits"
    )]
    TooLarge(u64),
    /// The operating system.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The database: damaged, or a later release's.
    #[error("{0}")]
    Unusable(String),
}

/// Looks into an outbox; None where there is none.
///
/// # Errors
/// See [`LookError`].
pub fn look(file: &Path) -> Result<Option<OutboxReport>, LookError> {
    let Some(bytes) = copy(file)? else { return Ok(None) };
    let unusable = |error: StoreError| LookError::Unusable(error.to_string());
    let file_bytes = bytes.len() as u64;
    let memory = std::sync::Mutex::new(Some(bytes));
    let open = Box::new(move || {
        let bytes = memory.lock().ok().and_then(|mut bytes| bytes.take()).unwrap_or_default();
        let backend = InMemoryBackend::new();
        backend.set_len(bytes.len() as u64)?;
        backend.write(0, &bytes)?;
        // As the outbox itself does: see `store.rs`.
        let mut builder = Database::builder();
        builder.set_check_integrity_on_open(true);
        builder.create_with_backend(backend)
    });
    let store = Store::open(&(open as super::store::Open)).map_err(unusable)?;
    let found = store.load().map_err(unusable)?;
    let waiting = |sink: &SinkBacklog| sink.sink != KEPT_ALIVE;
    let sinks = backlog(&found.image).into_iter().filter(waiting).collect();
    let remembered = found.image.remembered();
    Ok(Some(OutboxReport { sinks, file_bytes, remembered, unreadable: found.unreadable }))
}

/// The file as it was at one moment: read twice with the same result.
fn copy(file: &Path) -> Result<Option<Vec<u8>>, LookError> {
    let mut before: Option<Vec<u8>> = None;
    for _ in 0..TRIES {
        let opened = match fs::File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = opened.metadata()?.len();
        if length > LARGEST {
            return Err(LookError::TooLarge(length));
        }
        let mut bytes = Vec::new();
        opened.take(LARGEST).read_to_end(&mut bytes)?;
        // One that has just been made has nothing in it yet.
        if bytes.is_empty() {
            return Ok(None);
        }
        if before.as_ref() == Some(&bytes) {
            return Ok(before);
        }
        before = Some(bytes);
        std::thread::sleep(PAUSE);
    }
    Err(LookError::Busy)
}
