//! A piece of a checkpoint: bytes with a name and a version. Knows nothing of files, nor of what the bytes mean.

/// A named, versioned piece of saved state. Its writer alone knows what the bytes are; whoever keeps them adds checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is of, such as `windows/3`; unique within a checkpoint.
    pub name: String,
    /// Version of the form of `bytes`.
    pub version: u16,
    /// The state.
    pub bytes: Vec<u8>,
}
