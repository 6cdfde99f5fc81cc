//! What can go wrong with saved state, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refused.
    #[error("{path}: cannot {what}: {error}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// The bytes are not what was written.
    #[error("{path}: {what}")]
    Broken {
        /// File or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Written by a later release.
    #[error(
        "{path}: form {found} is newer than this release knows ({known}); run the release that wrote it, or a later one"
    )]
    Newer {
        /// File.
        path: PathBuf,
        /// Its form.
        found: u16,
        /// The newest form known here.
        known: u16,
    },
    /// Another process has the folder.
    #[error("{path}: used by another forewarn (process {owner}); give each its own state.dir")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Process id, as the lock file has it.
        owner: String,
    },
}

impl StateError {
    /// Adds where and at what to an error of the operating system.
    pub fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, what, error }
    }

    /// Says that bytes are wrong.
    #[must_use]
    pub fn broken(path: &Path, what: impl Into<String>) -> Self {
        Self::Broken { path: path.to_owned(), what: what.into() }
    }

    /// Whether the contents are at fault, not the machine.
    #[must_use]
    pub fn is_content(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }

    /// Whether there is no room: the disk or the quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let kind = match self {
            Self::Io { error, .. } => error.kind(),
            _ => return false,
        };
        matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}
