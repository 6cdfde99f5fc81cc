//! What can be wrong with a snapshot.

/// Why an engine cannot go on from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record that the snapshot lists, or must have, is not there.
    #[error("the snapshot has no record {record}")]
    Missing {
        /// Its name.
        record: String,
    },
    /// A record that the snapshot does not list, or of a kind that this release does not know.
    #[error("record {record} is none of this snapshot, or of a newer release")]
    Unknown {
        /// Its name.
        record: String,
    },
    /// A record of another release.
    #[error(
        "record {record} has version {version}, and this release reads {}; restore it with the release that wrote it",
        known.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    )]
    Version {
        /// Its name.
        record: String,
        /// Its version.
        version: u16,
        /// Versions that can be read.
        known: &'static [u16],
    },
    /// A record whose bytes are not as they were written.
    #[error("record {record} is damaged: {reason}")]
    Damaged {
        /// Its name.
        record: String,
        /// What does not fit.
        reason: String,
    },
}

/// What does not fit in a record.
#[derive(Debug)]
pub(in crate::engine) struct Fault(pub String);

impl Fault {
    /// As an error of a record.
    pub fn of(self, record: &str) -> RestoreError {
        RestoreError::Damaged { record: record.to_owned(), reason: self.0 }
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}
