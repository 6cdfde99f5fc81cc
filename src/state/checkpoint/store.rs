//! Checkpoints on disk: written beside the others and named last, the newest whole one read, the last few kept.
//!
//! `checkpoints/00000000000000000042/` has `manifest` and `records`. While it is written its name begins with `tmp-`.
//! One whose contents turn out to be wrong is set aside as `broken-…`, for people to look at.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::manifest::{FORMAT, Header, Manifest, ManifestError};
use crate::base::Record;
use crate::state::folder::{create, create_dir, names, sync_dir};
use crate::state::{Faults, Point, StateDir, StateError};

const MANIFEST: &str = "manifest";
const RECORDS: &str = "records";
const UNFINISHED: &str = "tmp-";
const BROKEN: &str = "broken-";
/// Broken checkpoints left for people.
const BROKEN_KEPT: usize = 3;

/// The checkpoints of a state folder.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    keep: usize,
    faults: Faults,
    next: u64,
    /// Those that a restart may go back to, oldest first.
    kept: Vec<Manifest>,
}

/// A checkpoint as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it is of.
    pub manifest: Manifest,
    /// The records.
    pub records: Vec<Record>,
}

/// What was found in the folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest whole checkpoint, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that could not be read, and why.
    pub passed_over: Vec<StateError>,
}

/// What came of writing a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The new checkpoint.
    pub manifest: Manifest,
    /// The oldest one that a restart may go back to, this one at the latest: nothing before it will be asked for again.
    pub oldest: Header,
}

impl Store {
    /// Looks at the folder, and takes away what a crash has left unfinished. The folder must be locked.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open(dir: &StateDir, keep: usize, faults: Faults) -> Result<Self, StateError> {
        let dir = dir.checkpoints();
        for name in names(&dir)?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            remove(&dir.join(name))?;
        }
        let numbers = numbers(&dir)?;
        let next = numbers.last().map_or(1, |last| last + 1);
        let kept = numbers.iter().filter_map(|n| read_manifest(&path(&dir, *n), *n).ok()).collect();
        Ok(Self { dir, keep: keep.max(1), faults, next, kept })
    }

    /// The newest checkpoint that is whole and older than `before`. Broken ones on the way are set aside.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn newest(&mut self, before: Option<u64>) -> Result<Found, StateError> {
        let mut found = Found::default();
        let older = |n: &u64| before.is_none_or(|before| *n < before);
        for number in numbers(&self.dir)?.into_iter().filter(older).rev() {
            match read(&self.dir, number) {
                Ok(checkpoint) => {
                    found.checkpoint = Some(checkpoint);
                    break;
                }
                Err(error) => {
                    if error.is_content() {
                        self.set_aside(number)?;
                    }
                    found.passed_over.push(error);
                }
            }
        }
        Ok(found)
    }

    /// Writes a checkpoint; it is durable when this returns. Older ones beyond `keep` are then removed.
    ///
    /// # Errors
    /// The operating system refuses; the older ones are as they were.
    pub fn write(&mut self, header: Header, records: &[Record]) -> Result<Written, StateError> {
        let number = self.next;
        let manifest = Manifest::new(number, header, records);
        let unfinished = self.dir.join(format!("{UNFINISHED}{number:020}"));
        let written = self.write_files(&unfinished, &manifest, records);
        if written.is_err() {
            // No room is left for what failed; whatever stays is taken away at the next start.
            let _ = remove(&unfinished);
        }
        written?;
        let name = path(&self.dir, number);
        fs::rename(&unfinished, &name).map_err(StateError::io(&name, "name the checkpoint"))?;
        // From here on its number is taken, and it is one of those to be removed some day, whatever else fails.
        self.next += 1;
        self.kept.push(manifest.clone());
        sync_dir(&self.dir)?;
        self.faults.at(Point::CheckpointRenamed).map_err(StateError::io(&name, "go on"))?;
        if let Err(error) = self.prune() {
            tracing::warn!(%error, "a checkpoint that is no longer needed cannot be removed");
        }
        let oldest = self.kept.first().map_or_else(Header::default, |m| m.header.clone());
        Ok(Written { manifest, oldest })
    }

    fn write_files(&self, dir: &Path, manifest: &Manifest, records: &[Record]) -> Result<(), StateError> {
        if dir.exists() {
            remove(dir)?;
        }
        create_dir(dir)?;
        let path = dir.join(RECORDS);
        let fault = |point, path: &Path| self.faults.at(point).map_err(StateError::io(path, "write"));
        let mut file = create(&path)?;
        for (i, record) in records.iter().enumerate() {
            if i == records.len() / 2 {
                fault(Point::CheckpointHalf, &path)?;
            }
            file.write_all(&record.bytes).map_err(StateError::io(&path, "write"))?;
        }
        let manifest_path = dir.join(MANIFEST);
        let mut manifest_file = create(&manifest_path)?;
        manifest_file.write_all(&manifest.encode()).map_err(StateError::io(&manifest_path, "write"))?;
        fault(Point::CheckpointWritten, &path)?;
        file.sync_all().map_err(StateError::io(&path, "fsync"))?;
        manifest_file.sync_all().map_err(StateError::io(&manifest_path, "fsync"))?;
        sync_dir(dir)?;
        fault(Point::CheckpointSynced, &path)
    }

    /// Removes what is older than the last `keep`. What cannot be removed stays known: the next one tries again.
    fn prune(&mut self) -> Result<(), StateError> {
        // Under another name first: what a crash leaves of it half-way must not look like a damaged one.
        let going = self.dir.join(format!("{UNFINISHED}removed"));
        if going.exists() {
            remove(&going)?;
        }
        while self.kept.len() > self.keep {
            let oldest = path(&self.dir, self.kept[0].number);
            fs::rename(&oldest, &going).map_err(StateError::io(&oldest, "rename"))?;
            self.kept.remove(0);
            // Before its files go, or a power cut may leave the name without them.
            sync_dir(&self.dir)?;
            remove(&going)?;
        }
        Ok(())
    }

    fn set_aside(&mut self, number: u64) -> Result<(), StateError> {
        let aside = self.dir.join(format!("{BROKEN}{number:020}"));
        if aside.exists() {
            remove(&aside)?;
        }
        fs::rename(path(&self.dir, number), &aside).map_err(StateError::io(&aside, "set the checkpoint aside"))?;
        self.kept.retain(|manifest| manifest.number != number);
        let broken: Vec<String> = names(&self.dir)?.into_iter().filter(|name| name.starts_with(BROKEN)).collect();
        let beyond = broken.len().saturating_sub(BROKEN_KEPT);
        broken.iter().take(beyond).try_for_each(|name| remove(&self.dir.join(name)))
    }
}

/// The numbers of the checkpoints in a folder, oldest first.
///
/// # Errors
/// The operating system refuses.
pub fn numbers(dir: &Path) -> Result<Vec<u64>, StateError> {
    let number = |name: &String| Some(name).filter(|n| n.len() == 20).and_then(|n| n.parse().ok());
    Ok(names(dir)?.iter().filter_map(number).collect())
}

/// Reads one checkpoint and checks every byte of it.
///
/// # Errors
/// It is not there, not whole, or of a later release.
pub fn read(dir: &Path, number: u64) -> Result<Checkpoint, StateError> {
    let dir = path(dir, number);
    let manifest = read_manifest(&dir, number)?;
    let records = dir.join(RECORDS);
    let file = slurp(&records)?;
    let records = manifest.cut(&file).map_err(|e| StateError::broken(&records, e.to_string()))?;
    Ok(Checkpoint { manifest, records })
}

fn read_manifest(dir: &Path, number: u64) -> Result<Manifest, StateError> {
    let path = dir.join(MANIFEST);
    match Manifest::decode(&slurp(&path)?) {
        Ok(manifest) if manifest.number == number => Ok(manifest),
        Ok(manifest) => Err(StateError::broken(&path, format!("it is the manifest of number {}", manifest.number))),
        Err(ManifestError::Newer(found)) => Err(StateError::Newer { path, found, known: FORMAT }),
        Err(ManifestError::Broken(what)) => Err(StateError::broken(&path, what)),
    }
}

/// A file that must be there: one that is missing is a fault of the checkpoint, not of the machine.
fn slurp(path: &Path) -> Result<Vec<u8>, StateError> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StateError::broken(path, "it is missing"),
        _ => StateError::io(path, "read")(error),
    })
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}"))
}

/// Takes a folder away.
fn remove(dir: &Path) -> Result<(), StateError> {
    fs::remove_dir_all(dir).map_err(StateError::io(dir, "remove"))
}
