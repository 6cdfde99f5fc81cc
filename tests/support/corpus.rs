//! Where the corpora that others have written are.

use std::path::PathBuf;

#[path = "skip.rs"]
pub mod skip;

/// A file or folder of the corpora beside the project, or where `FOREWARN_CORPUS` says; None with a message where it is
/// absent.
pub fn corpus(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FOREWARN_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), PathBuf::from);
    let found = root.join(path);
    if !found.exists() {
        skip::skipped(&format!("../shared/corpus/{path} is absent"));
        return None;
    }
    Some(found)
}
