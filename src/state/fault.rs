//! Faults that tests ask for: the process dies, or the operating system "refuses" or "hangs", at a named point.
//!
//! `FOREWARN_FAULT=point:n` aborts when `point` is passed for the n-th time; `point:n:eio` and `point:n:enospc` let that
//! passing fail instead; `point:n:hang:FILE` holds it up until there is such a file. An abort is SIGABRT after a line on standard
//! error that names the point, so that whoever asked for it can tell it from a defect. This is in every build, so that what is
//! tested is what runs; without the variable a point costs one look at a `None`. Whoever sets a process' environment can end
//! it in any case.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often a point that hangs looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);

/// Places at which a fault can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Half of a checkpoint's records are written.
    CheckpointHalf,
    /// A checkpoint's files are written, but not fsynced.
    CheckpointWritten,
    /// A checkpoint's files are fsynced, but it has not got its name.
    CheckpointSynced,
    /// A checkpoint has got its name; nobody has been told, older ones are still there.
    CheckpointRenamed,
    /// Frames are about to be written to the log.
    LogWrite,
    /// Frames are written to the log, but not fsynced.
    LogWritten,
    /// The log's fsync itself.
    LogSync,
    /// Frames are durable in the log; nobody has been told.
    LogSynced,
    /// The outbox is about to write what has changed.
    OutboxWrite,
    /// The outbox has committed it; nobody has been told.
    OutboxCommitted,
    /// A receiver has acknowledged a delivery; the outbox knows nothing of it yet.
    SinkAcknowledged,
}

impl Point {
    /// Their names, as `FOREWARN_FAULT` has them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(name, _)| name)
    }

    const ALL: [(&'static str, Self); 11] = [
        ("checkpoint.half", Self::CheckpointHalf),
        ("checkpoint.written", Self::CheckpointWritten),
        ("checkpoint.synced", Self::CheckpointSynced),
        ("checkpoint.renamed", Self::CheckpointRenamed),
        ("log.write", Self::LogWrite),
        ("log.written", Self::LogWritten),
        ("log.sync", Self::LogSync),
        ("log.synced", Self::LogSynced),
        ("outbox.write", Self::OutboxWrite),
        ("outbox.committed", Self::OutboxCommitted),
        ("sink.acknowledged", Self::SinkAcknowledged),
    ];
}

/// The faults of a process; mostly none.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    name: &'static str,
    point: Point,
    at: u64,
    what: What,
    passed: AtomicU64,
}

#[derive(Clone, Debug)]
enum What {
    Abort,
    Fail(rustix::io::Errno),
    /// Until there is this file.
    Hang(PathBuf),
}

impl Faults {
    /// What `FOREWARN_FAULT` says.
    ///
    /// # Errors
    /// It says something else than a fault.
    pub fn from_env() -> Result<Self, String> {
        match std::env::var("FOREWARN_FAULT") {
            Ok(text) if !text.is_empty() => Self::parse(&text).map_err(|e| format!("FOREWARN_FAULT: {e}")),
            _ => Ok(Self::default()),
        }
    }

    /// Reads `point:n`, `point:n:eio`, `point:n:enospc`, `point:n:hang:FILE`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(4, ':');
        let name = parts.next().unwrap_or_default();
        let known = || Point::ALL.map(|(name, _)| name).join(", ");
        let (name, point) = Point::ALL
            .into_iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(|| format!("{name:?} is no point; there are {}", known()))?;
        let at = parts.next().unwrap_or("1").parse().map_err(|_| format!("{text:?} is not point:number"))?;
        let what = match parts.next() {
            None => What::Abort,
            Some("eio") => What::Fail(rustix::io::Errno::IO),
            Some("enospc") => What::Fail(rustix::io::Errno::NOSPC),
            Some("hang") => {
                let file = parts.next().filter(|file| !file.is_empty());
                What::Hang(file.ok_or_else(|| format!("{text:?} names no file that would end it"))?.into())
            }
            Some(other) => return Err(format!("{other:?} is none of eio, enospc, hang")),
        };
        if let Some(rest) = parts.next() {
            return Err(format!("{rest:?} is too much"));
        }
        Ok(Self(Some(Arc::new(Plan { name, point, at, what, passed: AtomicU64::new(0) }))))
    }

    /// Whether a fault is asked for.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.0.is_some()
    }

    /// Passes a point.
    ///
    /// # Errors
    /// The fault that was asked for here.
    pub fn at(&self, point: Point) -> io::Result<()> {
        let Some(plan) = self.0.as_ref().filter(|plan| plan.point == point) else { return Ok(()) };
        if plan.passed.fetch_add(1, Relaxed) + 1 != plan.at {
            return Ok(());
        }
        match &plan.what {
            What::Abort => {
                // Not `eprintln`, which panics where nobody reads.
                let _ = writeln!(io::stderr(), "forewarn: FOREWARN_FAULT: aborted at {}:{}", plan.name, plan.at);
                std::process::abort()
            }
            What::Fail(errno) => Err((*errno).into()),
            What::Hang(until) => {
                while !until.exists() {
                    std::thread::sleep(LOOK);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_at_its_turn_and_once() {
        let faults = Faults::parse("log.sync:2:enospc").unwrap();
        assert!(faults.at(Point::LogSync).is_ok() && faults.at(Point::LogWrite).is_ok());
        assert_eq!(faults.at(Point::LogSync).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(faults.at(Point::LogSync).is_ok());
        assert!(Faults::default().at(Point::LogSync).is_ok());
    }

    #[test]
    fn a_point_hangs_until_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("go:on");
        let faults = Faults::parse(&format!("log.sync:1:hang:{}", file.display())).unwrap();
        let (told, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(faults.at(Point::LogSync).is_ok()));
        assert!(ended.recv_timeout(Duration::from_millis(50)).is_err());
        std::fs::write(&file, "").unwrap();
        assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(Faults::parse("log.sink:1").unwrap_err().contains("log.synced"));
        assert!(Faults::parse("log.sync:x").is_err() && Faults::parse("log.sync:1:emfile").is_err());
        assert!(
            Faults::parse("log.sync:1:hang").unwrap_err().contains("file")
                && Faults::parse("log.sync:1:eio:x").is_err()
        );
    }
}
