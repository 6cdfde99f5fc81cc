//! Checkpoints: one folder each with a manifest and the records, there as a whole or not at all.

mod manifest;
mod store;
#[cfg(test)]
mod tests;

pub use manifest::{FORMAT, Header, Manifest, ManifestError, Piece};
pub use store::{Checkpoint, Found, Store, Written, numbers, read};
