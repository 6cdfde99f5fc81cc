//! The real forewarn program with a configuration of the test's own, on a free loopback port; killed when dropped.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{eventually, http, peer};

/// An unoptimised program beside other tests needs its time.
const START: Duration = Duration::from_secs(60);

/// A running forewarn.
pub struct Forewarn {
    /// `127.0.0.1:port`.
    pub address: String,
    dir: TempDir,
    child: Child,
}

impl Forewarn {
    /// Starts it in a folder that `fill` has filled; `config` is `forewarn.yml` without `web`. Returns when it answers.
    pub async fn start(config: &str, fill: impl FnOnce(&Path)) -> Self {
        Self::start_with(&[], config, fill).await
    }

    /// The same with further arguments.
    pub async fn start_with(args: &[&str], config: &str, fill: impl FnOnce(&Path)) -> Self {
        let mut forewarn = Self::launch(args, config, "", fill);
        eventually("an answer of forewarn", START, async || {
            forewarn.assert_running();
            http::get(&forewarn.address, "/-/healthy").await.filter(|(status, _)| *status == 200)
        })
        .await;
        forewarn
    }

    /// As [`Self::start`], with more settings of `web`, in YAML. Returns when the port is open.
    pub async fn start_secured(config: &str, web: &str, fill: impl FnOnce(&Path)) -> Self {
        let mut forewarn = Self::launch(&[], config, web, fill);
        eventually("forewarn's port", START, async || {
            forewarn.assert_running();
            TcpStream::connect(&forewarn.address).await.ok()
        })
        .await;
        forewarn
    }

    fn launch(args: &[&str], config: &str, web: &str, fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let address = peer::free_address();
        let config = format!("{config}\nweb: {{listen_address: '{address}', {web}}}\n");
        std::fs::write(dir.path().join("forewarn.yml"), config).unwrap();
        let output = |name: &str| File::create(dir.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(["run", "--config.file", "forewarn.yml"])
            .args(args)
            .current_dir(dir.path())
            .env_remove("FOREWARN_LOG")
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap();
        Self { address, dir, child }
    }

    fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("forewarn ended with {status}:\n{}", self.stderr());
        }
    }

    /// Waits until alerts are live.
    pub async fn ready(&self, limit: Duration) {
        eventually("readiness", limit, async || {
            http::get(&self.address, "/-/ready").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }

    /// The folder with its configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).unwrap()
    }

    /// Standard error so far: the log.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap()
    }

    /// The value of one of its own metrics; `series` is the name with the labels as `/metrics` writes them.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = http::get(&self.address, "/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// The active alerts, as `/api/v1/alerts` gives them.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = http::get_json(&self.address, "/api/v1/alerts").await.unwrap();
        answer["data"]["alerts"].as_array().unwrap().clone()
    }

    /// Sends a signal: `HUP`, `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`; the standard library can only send SIGKILL.
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status().unwrap();
        assert!(kill.success());
    }

    /// Sends a signal and waits for the end, which must come within `limit` and not by the signal itself.
    pub async fn end_by(&mut self, name: &str, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        self.signal(name);
        let status = eventually("the end of forewarn", limit, async || self.child.try_wait().unwrap()).await;
        assert_eq!(status.signal(), None, "SIG{name} killed it");
        println!("ended by SIG{name} after {:.1?}", started.elapsed());
        status
    }
}

impl Drop for Forewarn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Not `println`, which panics when nobody reads: a second panic would leave the peers running.
            let log = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "log of forewarn:\n{log}");
        }
    }
}
