//! A small file system in memory that can be filled, and that outlives the processes that use it.
//!
//! It is mounted in the mount namespace of a process that does nothing else and is gone with it, however the test ends;
//! others come to it through `/proc/<pid>/root`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::disk::namespace;
use super::peer::skip;

/// The file system.
pub struct Tmpfs {
    holder: Child,
    _dir: TempDir,
    /// Where it is, for any process of this user.
    pub path: PathBuf,
}

impl Tmpfs {
    /// A file system of this size; None where nothing may be mounted.
    pub fn new(bytes: u64) -> Option<Self> {
        let Some(namespace) = namespace() else {
            skip("this process may not mount a file system, not even in a user namespace");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args(namespace).args([
            "sh",
            "-c",
            r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && echo ready && exec sleep 900"#,
        ]);
        command.args(["sh", &bytes.to_string()]).arg(dir.path());
        let mut holder = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let path = PathBuf::from(format!("/proc/{}/root{}", holder.id(), dir.path().display()));
        Some(Self { holder, _dir: dir, path })
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = File::create(self.path.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn empty(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
