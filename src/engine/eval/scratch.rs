//! Memory that operations use within one evaluation and share between them.

use crate::engine::interner::Marks;

/// Sets and lists, empty between evaluations.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Label sets met.
    pub marks: Marks,
    /// Others met.
    pub others: Marks,
}
