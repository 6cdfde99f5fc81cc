//! The folder that a process keeps its state in: made for its owner alone, and locked for one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StateError;

/// Only the owner may look into what is made here: labels can tell more than an operator wants.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Paths within a state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// Held while a process uses a folder. The kernel lets go of it when the process ends, however it does.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl StateDir {
    /// The folder, which need not be there yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where checkpoints are.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// Where the log's segments are.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Where alerts wait until they are acknowledged.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox.redb")
    }

    /// Makes the folder and those within where they are missing, and takes the lock.
    ///
    /// # Errors
    /// No right to, no room, or another process has it.
    pub fn lock(&self) -> Result<Lock, StateError> {
        for dir in [self.0.clone(), self.checkpoints(), self.log()] {
            make(&dir)?;
        }
        let path = self.0.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(StateError::io(&path, "open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                return Err(StateError::Locked { path: self.0.clone(), owner: owner.trim().to_owned() });
            }
            Err(error) => return Err(StateError::io(&path, "lock")(error.into())),
        }
        // For people only: a disk without room for it is no reason not to start.
        let named =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        let named = named.map_err(StateError::io(&path, "write"));
        named.or_else(|error| if error.is_full() { Ok(()) } else { Err(error) })?;
        Ok(Lock(file))
    }
}

/// Makes a folder for its owner alone, and its name durable, and those of the folders above that were not there either. One
/// that is there keeps its rights.
fn make(dir: &Path) -> Result<(), StateError> {
    let above = dir.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    if dir.is_dir() {
        // Whoever made it may have died before the name was durable. It may be somebody else's folder that it is in.
        above.into_iter().for_each(|above| drop(sync_dir(above)));
        return Ok(());
    }
    let Some(above) = above else { return create_dir(dir) };
    if !above.is_dir() {
        make(above)?;
    }
    match DirBuilder::new().mode(FOLDER_MODE).create(dir) {
        // By somebody else just now.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made.map_err(StateError::io(dir, "make the folder"))?,
    }
    sync_dir(above)
}

/// A new file for its owner alone; what had its name is overwritten.
pub(super) fn create(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE);
    options.open(path).map_err(StateError::io(path, "create"))
}

/// A new folder for its owner alone.
pub(super) fn create_dir(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().mode(FOLDER_MODE).create(path).map_err(StateError::io(path, "make the folder"))
}

/// Makes names in a folder durable: those given, and those taken away.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StateError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(StateError::io(dir, "fsync"))
}

/// The names in a folder, sorted; none where there is no folder.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StateError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(StateError::io(dir, "read the folder")(error)),
    };
    let names: Result<Vec<_>, _> = entries.map(|entry| entry.map(|e| e.file_name())).collect();
    let names = names.map_err(StateError::io(dir, "read the folder"))?;
    let mut names: Vec<String> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_process_at_a_time_and_no_other_user() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::new(root.path().join("a/state"));
        let lock = dir.lock().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([dir.path(), &dir.checkpoints(), &dir.log()].map(mode), [0o700; 3]);
        assert_eq!(mode(&dir.path().join("lock")), 0o600);
        let refused = dir.lock().unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(matches!(dir.lock(), Err(StateError::Locked { .. })));
        drop(lock);
        dir.lock().unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let error = StateDir::new(root.path().join("file/state")).lock().unwrap_err().to_string();
        assert!(error.contains("file: cannot make the folder"), "{error}");
    }
}
