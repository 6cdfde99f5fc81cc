//! File systems: size, free space, inodes.
//!
//! `statvfs` on a mount whose server is gone blocks for ever and cannot be interrupted. So mounts are asked one after
//! the other by a thread of their own; when one does not answer in time it is left behind with its thread, reported as
//! `node_filesystem_device_error` 1 and not asked again until it answers, and a new thread goes on with the rest. At most
//! one thread a mount is ever stuck. They are plain threads, since tokio waits for its blocking ones at shutdown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use procfs::MountEntry;
use rustix::fs::StatVfs;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::CollectError;
use super::config::Filters;
use super::writer::Writer;

/// How long one mount may take. A healthy one takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    read_only: bool,
}

type Answer = rustix::io::Result<StatVfs>;
/// How a mount is asked; tests put a mount that hangs in its place.
type Ask = fn(&str) -> Answer;

/// The mounts that have not answered yet.
#[derive(Debug)]
pub(super) struct Filesystems {
    stuck: BTreeMap<String, mpsc::UnboundedReceiver<Answer>>,
    ask: Ask,
}

impl Default for Filesystems {
    fn default() -> Self {
        Self { stuck: BTreeMap::new(), ask: |point| rustix::fs::statvfs(point) }
    }
}

impl Filesystems {
    /// Asks every mount, for at most `budget` in all.
    pub(super) async fn collect(
        &mut self,
        filters: &Filters,
        budget: Duration,
        out: &mut Writer<'_>,
    ) -> Result<(), CollectError> {
        let mounts = mounts(filters)?;
        for (mount, answer) in self.ask_all(mounts, budget).await {
            write(&mount, answer, out);
        }
        Ok(())
    }

    async fn ask_all(&mut self, mounts: Vec<Mount>, budget: Duration) -> Vec<(Mount, Option<StatVfs>)> {
        // One that has answered, or whose thread has ended, is asked afresh.
        self.stuck.retain(|_, answers| matches!(answers.try_recv(), Err(mpsc::error::TryRecvError::Empty)));
        let deadline = Instant::now() + budget;
        let (asked, skipped): (Vec<_>, Vec<_>) =
            mounts.into_iter().partition(|mount| !self.stuck.contains_key(&mount.point));
        let mut results: Vec<_> = skipped.into_iter().map(|mount| (mount, None)).collect();
        let mut rest = &asked[..];
        while !rest.is_empty() && Instant::now() < deadline {
            let (mut answers, leave) = start(rest, self.ask);
            while let [mount, others @ ..] = rest {
                let until = (Instant::now() + PATIENCE).min(deadline);
                let answer = tokio::time::timeout_at(until, answers.recv()).await;
                rest = others;
                if let Ok(answer) = answer {
                    results.push((mount.clone(), answer.and_then(Result::ok)));
                } else {
                    leave.store(true, Ordering::Relaxed);
                    self.stuck.insert(mount.point.clone(), answers);
                    results.push((mount.clone(), None));
                    break;
                }
            }
        }
        results.extend(rest.iter().map(|mount| (mount.clone(), None)));
        results.sort_by(|a, b| a.0.point.cmp(&b.0.point));
        results
    }
}

/// Starts a thread that asks the mounts in order, until it is told to leave.
fn start(mounts: &[Mount], ask: Ask) -> (mpsc::UnboundedReceiver<Answer>, Arc<AtomicBool>) {
    let (send, answers) = mpsc::unbounded_channel();
    let leave = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&leave);
    let points: Vec<String> = mounts.iter().map(|m| m.point.clone()).collect();
    // Without a thread the channel closes, and every mount counts as one that did not answer.
    let _ = std::thread::Builder::new().name("statvfs".to_owned()).spawn(move || {
        for point in points {
            if told.load(Ordering::Relaxed) || send.send(ask(&point)).is_err() {
                return;
            }
        }
    });
    (answers, leave)
}

/// The mounts worth asking: those of process 1 where they can be seen, since a service may live in a mount namespace of
/// its own (systemd's `ProtectSystem`, `PrivateTmp`).
fn mounts(filters: &Filters) -> Result<Vec<Mount>, CollectError> {
    use procfs::FromRead;
    let entries = Vec::<MountEntry>::from_file("/proc/1/mounts")
        .or_else(|_| Vec::<MountEntry>::from_file("/proc/self/mounts"))?;
    let mut mounts: Vec<Mount> = Vec::new();
    for entry in entries {
        let kept = !filters.mount_points.is_match(&entry.fs_file) && !filters.fs_types.is_match(&entry.fs_vfstype);
        let mount = Mount {
            device: entry.fs_spec,
            point: entry.fs_file,
            kind: entry.fs_vfstype,
            read_only: entry.fs_mntops.contains_key("ro"),
        };
        // What is mounted over an earlier mount hides it.
        if kept {
            mounts.retain(|m| m.point != mount.point);
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn write(mount: &Mount, answer: Option<StatVfs>, out: &mut Writer<'_>) {
    let labels = [("device", mount.device.as_str()), ("fstype", &mount.kind), ("mountpoint", &mount.point)];
    out.with("node_filesystem_device_error", &labels, if answer.is_some() { 0.0 } else { 1.0 });
    out.with("node_filesystem_readonly", &labels, if mount.read_only { 1.0 } else { 0.0 });
    let Some(stat) = answer else { return };
    let unit = stat.f_frsize as f64;
    out.with("node_filesystem_size_bytes", &labels, stat.f_blocks as f64 * unit);
    out.with("node_filesystem_free_bytes", &labels, stat.f_bfree as f64 * unit);
    out.with("node_filesystem_avail_bytes", &labels, stat.f_bavail as f64 * unit);
    out.with("node_filesystem_files", &labels, stat.f_files as f64);
    out.with("node_filesystem_files_free", &labels, stat.f_ffree as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str) -> Mount {
        Mount { device: "d".to_owned(), point: point.to_owned(), kind: "ext4".to_owned(), read_only: false }
    }

    fn answered(results: &[(Mount, Option<StatVfs>)]) -> Vec<(&str, bool)> {
        results.iter().map(|(m, a)| (m.point.as_str(), a.is_some())).collect()
    }

    #[tokio::test]
    async fn a_hung_mount_holds_up_neither_the_rest_nor_the_next_time() {
        static HANG: AtomicBool = AtomicBool::new(true);
        let ask: Ask = |point| {
            while point == "/b" && HANG.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
            }
            rustix::fs::statvfs("/")
        };
        let mut filesystems = Filesystems { ask, ..Filesystems::default() };
        let all = || vec![mount("/a"), mount("/b"), mount("/c")];
        let long = Duration::from_secs(20);
        assert_eq!(answered(&filesystems.ask_all(all(), long).await), [("/a", true), ("/b", false), ("/c", true)]);
        let started = std::time::Instant::now();
        assert_eq!(answered(&filesystems.ask_all(all(), long).await), [("/a", true), ("/b", false), ("/c", true)]);
        assert!(started.elapsed() < PATIENCE, "a stuck mount is not waited for again");
        HANG.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(answered(&filesystems.ask_all(all(), long).await), [("/a", true), ("/b", true), ("/c", true)]);
        HANG.store(true, Ordering::Relaxed);
        let short = Duration::from_millis(50);
        assert_eq!(answered(&filesystems.ask_all(all(), short).await), [("/a", true), ("/b", false), ("/c", false)]);
        HANG.store(false, Ordering::Relaxed);
    }
}
