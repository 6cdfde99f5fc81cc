//! The segment that is being written, and the names of all.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::frame::{HEAD, Head};
use crate::state::folder::{create, names, sync_dir};
use crate::state::{Faults, Point, StateError};

/// The segment at the end of the log.
#[derive(Debug)]
pub struct Active {
    file: File,
    path: PathBuf,
    /// Number in its name.
    pub number: u64,
    /// Bytes that are durable.
    pub bytes: u64,
}

impl Active {
    /// A new segment, durable with its head and its name.
    pub fn begin(dir: &Path, number: u64, head: Head) -> Result<Self, StateError> {
        let path = path(dir, number);
        let begun = (|| {
            let mut file = create(&path)?;
            file.write_all(&head.encode()).map_err(StateError::io(&path, "write"))?;
            file.sync_all().map_err(StateError::io(&path, "fsync"))?;
            sync_dir(dir)?;
            Ok(file)
        })();
        match begun {
            Ok(file) => Ok(Self { file, path, number, bytes: HEAD as u64 }),
            Err(error) => {
                // Half a head is no segment; the reader would say the same.
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Appends frames; they are durable when this returns, and the segment's once they are kept. After an error, and if they
    /// are not to be kept, the segment must be given up.
    pub fn append(&mut self, frames: &[u8], faults: &Faults) -> Result<(), StateError> {
        let write = faults.at(Point::LogWrite).and_then(|()| self.file.write_all(frames));
        write.map_err(StateError::io(&self.path, "write"))?;
        let sync = faults.at(Point::LogWritten).and_then(|()| faults.at(Point::LogSync));
        sync.and_then(|()| self.file.sync_data()).map_err(StateError::io(&self.path, "fsync"))
    }

    /// Keeps what was appended last.
    pub fn keep(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Gives the segment up after a failure. What is not durable is cut off if the disk lets it be, which also makes room.
    pub fn give_up(self) -> (u64, u64) {
        let cut = self.file.set_len(self.bytes);
        if let Err(error) = cut {
            tracing::debug!(path = %self.path.display(), %error, "a torn tail stays in the log; it will be passed over");
        }
        (self.number, self.bytes)
    }
}

/// Where a segment is.
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// The numbers of all segments, oldest first.
pub fn numbers(dir: &Path) -> Result<Vec<u64>, StateError> {
    let number = |name: &String| name.strip_suffix(".log").filter(|n| n.len() == 20)?.parse().ok();
    Ok(names(dir)?.iter().filter_map(number).collect())
}
