//! A small real file system that fills at a steady rate, and a node_exporter that sees it.
//!
//! The tmpfs is mounted in a mount namespace of node_exporter's own, so it is gone when that process is, however the test
//! ends. Where the kernel grants user namespaces no root is needed. The test writes through `/proc/<pid>/root`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::peer::{Peer, require, skip};

/// Mounts, then becomes node_exporter. It reads the mounts of process 1 unless shown another `/proc`.
const IN_NAMESPACE: &str = r#"
    set -e
    mkdir -p disk proc
    ln -sfn /proc/self proc/1
    mount -t tmpfs -o "size=$1" tmpfs disk
    shift
    exec "$@"
"#;

/// The file system, and the node_exporter that it lives and dies with.
pub struct Disk {
    pub exporter: Peer,
    /// Where the file system is mounted, as node_exporter sees and reports it.
    pub mountpoint: String,
    root: PathBuf,
}

impl Disk {
    /// A file system of this size; None where node_exporter is missing or nothing may be mounted.
    pub async fn new(bytes: u64) -> Option<Self> {
        let program = require("prometheus-node-exporter")?;
        let Some(namespace) = namespace() else {
            skip("this process may not mount a file system, not even in a user namespace");
            return None;
        };
        let args = move |address: &str, dir: &Path| {
            let mut args: Vec<String> = namespace.iter().map(ToString::to_string).collect();
            args.extend(["sh", "-c", IN_NAMESPACE, "sh"].map(str::to_owned));
            args.extend([bytes.to_string(), program.display().to_string()]);
            args.extend([
                format!("--web.listen-address={address}"),
                format!("--path.procfs={}", dir.join("proc").display()),
            ]);
            args.extend(
                [
                    "--collector.disable-defaults",
                    "--collector.filesystem",
                    "--collector.filesystem.mount-points-exclude=^/(dev|proc|sys)($|/)",
                    "--collector.filesystem.fs-types-exclude=^(autofs|proc|sysfs|cgroup2?)$",
                ]
                .map(str::to_owned),
            );
            args
        };
        let exporter = Peer::start("unshare", "/", None, args).await?;
        let mountpoint = exporter.dir().join("disk");
        let root = PathBuf::from(format!("/proc/{}/root{}", exporter.id(), mountpoint.display()));
        Some(Self { exporter, mountpoint: mountpoint.display().to_string(), root })
    }

    /// The share that is used, from 0 to 1, as `df` has it.
    pub fn used(&self) -> f64 {
        let stat = rustix::fs::statvfs(&self.root).unwrap();
        1.0 - stat.f_bavail as f64 / stat.f_blocks as f64
    }

    /// Begins to fill it at so many bytes a second.
    pub fn fill(&self, bytes_per_second: u64) -> Filling {
        let path = self.root.join("data");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || fill(&path, bytes_per_second, &stopped));
        Filling { stop, thread: Some(thread) }
    }

    /// Removes what [`Self::fill`] has written.
    pub fn empty(&self) {
        std::fs::remove_file(self.root.join("data")).unwrap();
    }
}

/// A file system being filled. Ends when dropped.
pub struct Filling {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Instant>>>,
}

impl Filling {
    /// Waits until no more goes in, and says when that was.
    pub async fn full(mut self) -> Instant {
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap().unwrap()
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// Writes until the file system is full; None if stopped before.
fn fill(path: &Path, bytes_per_second: u64, stop: &AtomicBool) -> Option<Instant> {
    let mut file = File::create(path).unwrap();
    let (started, mut written) = (Instant::now(), 0);
    let page = [7; 4096];
    while !stop.load(SeqCst) {
        // By the clock and not by the number of turns, so that a busy machine slows nothing down for long.
        let due = started.elapsed().as_millis() as u64 * bytes_per_second / 1000;
        while written + page.len() as u64 <= due {
            match file.write_all(&page) {
                Ok(()) => written += page.len() as u64,
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => return Some(Instant::now()),
                Err(e) => panic!("{}: {e}", path.display()),
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// The arguments of `unshare` with which a mount succeeds here.
pub fn namespace() -> Option<&'static [&'static str]> {
    let all: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let dir = tempfile::tempdir().unwrap();
    all.into_iter().find(|namespace| {
        let mut probe = Command::new("unshare");
        probe.args(*namespace).args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path());
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}
