//! A forewarn that is killed and started again on the same folder, its senders, and its receiver's journal.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forewarn::base::Millis;
use forewarn::base::encode::{compress, encode_write_request};
use serde_json::Value;
use tempfile::TempDir;

use super::input::Input;
use super::{eventually, http, peer};

/// An unoptimised program beside other tests needs its time.
const START: Duration = Duration::from_secs(60);

/// One forewarn's folder, and the process in it if one runs.
pub struct Victim {
    pub address: String,
    dir: TempDir,
    child: Arc<Mutex<Option<Child>>>,
    /// Which request is to be acknowledged next.
    pub sent: usize,
}

/// Ends a victim from elsewhere, such as from within its receiver.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Option<Child>>>);

impl Killer {
    /// SIGKILL, and the end of it.
    pub fn kill(&self) {
        if let Some(mut child) = self.0.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Victim {
    /// A folder with this configuration, without `web` and `state`, these rules, and these settings of `state`; nothing runs
    /// yet.
    pub fn new(config: &str, rules: &str, state: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = peer::free_address();
        let config = format!("{config}\nweb: {{listen_address: '{address}'}}\nstate: {{{state}}}\n");
        std::fs::write(dir.path().join("forewarn.yml"), config).unwrap();
        std::fs::write(dir.path().join("rules.yml"), rules).unwrap();
        Self { address, dir, child: Arc::default(), sent: 0 }
    }

    /// Starts the process, with a fault if one is named, and does not wait for it.
    pub fn launch(&mut self, fault: Option<&str>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        command.envs(fault.map(|fault| ("FOREWARN_FAULT", fault)));
        self.launch_as(command);
    }

    /// Starts the process with the clock set to another time, as `faketime` writes it: `-3d`.
    pub fn launch_at(&mut self, time: &str) {
        // Without faketime itself, which would stand between us and the process that is to be killed.
        let library = Command::new("faketime").args(["-f", time, "sh", "-c", "echo $LD_PRELOAD"]).output().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        command.env("LD_PRELOAD", String::from_utf8(library.stdout).unwrap().trim()).env("FAKETIME", time);
        // The monotonic clock is nobody's to set.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.launch_as(command);
    }

    fn launch_as(&mut self, mut command: Command) {
        let output = |name: &str| -> File {
            OpenOptions::new().append(true).create(true).open(self.dir.path().join(name)).unwrap()
        };
        command.args(["run", "--config.file", "forewarn.yml"]).current_dir(self.dir.path());
        command.env_remove("FOREWARN_LOG").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        *self.child.lock().unwrap() = Some(command.spawn().unwrap());
    }

    /// Waits until it answers; panics with its log if it has ended instead.
    pub async fn answers(&mut self) {
        eventually("an answer of forewarn", START, async || {
            assert!(!self.is_dead(), "forewarn has ended:\n{}", self.stderr());
            http::get(&self.address, "/-/healthy").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }

    /// Waits until all is replayed.
    pub async fn ready(&self, limit: Duration) {
        let ready = async || http::get(&self.address, "/-/ready").await.filter(|(status, _)| *status == 200);
        eventually("readiness", limit, ready).await;
    }

    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    pub fn kill(&self) {
        self.killer().kill();
    }

    /// Whether no process runs: killed, or ended by a fault.
    pub fn is_dead(&self) -> bool {
        let mut child = self.child.lock().unwrap();
        child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// SIGTERM; waits for the end, which must be a good one.
    pub async fn end(&mut self, limit: Duration) {
        let id = self.child.lock().unwrap().as_ref().unwrap().id();
        assert!(Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().unwrap().success());
        let status =
            eventually("the end", limit, async || self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap());
        assert_eq!(status.await.code(), Some(0), "{}", self.stderr());
    }

    /// Sends what has come so far of an input, in order, each request again until it is acknowledged; returns when `until`
    /// is reached or the process is dead. Panics where a request is refused for good.
    pub async fn feed(&mut self, input: &Input, until: Instant) {
        while self.sent < input.steps() && Instant::now() < until {
            let wait = input.time(self.sent) - now();
            if wait > 0 {
                let left = until.saturating_duration_since(Instant::now());
                tokio::time::sleep(Duration::from_millis(wait.unsigned_abs()).min(left)).await;
                continue;
            }
            if self.is_dead() {
                return;
            }
            let body = compress(&encode_write_request(&input.batch(self.sent)));
            match http::post(&self.address, "/api/v1/write", &[], &body).await {
                Some((204, _)) => self.sent += 1,
                Some((503, _)) | None => tokio::time::sleep(Duration::from_millis(20)).await,
                Some((status, text)) => panic!("{status}: {text}"),
            }
        }
    }

    /// Starts it, without a fault, and waits until it is ready.
    pub async fn started(mut self) -> Self {
        self.launch(None);
        self.answers().await;
        self.ready(START).await;
        self
    }

    /// Feeds an input up to this step, which is to be acknowledged soon.
    pub async fn feed_to(&mut self, input: &Input, step: usize) {
        let part = Input::new(input.time(0), step);
        self.feed(&part, Instant::now() + START).await;
        assert_eq!(self.sent, step, "{}", self.stderr());
    }

    /// Gives the rest of an input, ends in order, and gives what was printed by all its processes.
    pub async fn live_out(mut self, input: &Input) -> BTreeSet<String> {
        self.answers().await;
        self.feed_to(input, input.steps()).await;
        self.ready(START).await;
        self.end(START).await;
        self.lines().iter().map(Value::to_string).collect()
    }

    /// The file whose being there ends a fault of the kind `hang`.
    pub fn release(&self) -> PathBuf {
        self.dir.path().join("go-on")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// Whole lines on standard output of all its processes.
    pub fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("stdout")).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The value of one of its own metrics.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = http::get(&self.address, "/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            use std::io::Write as _;
            // Not `println`, which panics when nobody reads.
            let _ = writeln!(std::io::stderr(), "log of forewarn in {}:\n{}", self.dir().display(), self.stderr());
        }
    }
}

/// Wall-clock time.
pub fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}
