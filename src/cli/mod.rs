//! The command line: one file a command.

pub mod check;
mod junit;
pub mod test;
