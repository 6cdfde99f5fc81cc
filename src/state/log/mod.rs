//! A log of what must not be lost once it is acknowledged: appended in groups, durable before anybody is told, read again
//! after a crash.
//!
//! The log is a row of segments, files that are only ever appended to, and never by two processes or after a failure: a
//! start begins a new one, and so does whatever follows a failed write or fsync. After a failed fsync the kernel may have
//! thrown away what it could not write and say nothing the next time, so nothing after the last good fsync of such a
//! segment is trusted. Each segment's head says how far the log was acknowledged when it began, which tells a torn tail
//! that nobody was told of from loss; entries from there up to its own first one were refused, whatever the disk has of them.
//!
//! Two threads: one makes groups, answers, and never touches the disk; the other does nothing else. A disk that hangs is
//! a refusal after two seconds, not a silence.

mod disk;
mod frame;
mod handle;
mod reader;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use frame::{Entry, Head, VERSION};
pub use handle::{Append, Event, Log, Observer, Options, Refused};
pub use reader::{Lost, Reader, SegmentReport, Survey, inspect};
pub use writer::PATIENCE;
