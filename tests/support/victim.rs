//! A forewarn that is killed and started again on the same folder, its senders, and its receiver's journal.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forewarn::base::Millis;
use forewarn::base::encode::{compress, encode_write_request};
use serde_json::Value;
use tempfile::TempDir;

use super::input::{Input, PROFILE};
use super::{eventually, http, peer};

/// An unoptimised program beside other tests needs its time.
const START: Duration = Duration::from_secs(60);

/// One forewarn's folder, and the process in it if one runs.
pub struct Victim {
    pub address: String,
    dir: TempDir,
    config: String,
    /// What we add to each configuration.
    rest: String,
    lives: Arc<Mutex<Lives>>,
    /// Which request is to be acknowledged next.
    pub sent: usize,
}

/// The processes that ran one after another.
#[derive(Default)]
struct Lives {
    child: Option<Child>,
    /// How those that have ended did.
    ends: Vec<End>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub status: ExitStatus,
    /// Whether we killed it.
    pub by_us: bool,
}

impl Lives {
    /// Notes the end of the process if it has come.
    fn look(&mut self) {
        if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
            self.note(status, false);
        }
    }

    fn note(&mut self, status: ExitStatus, killed: bool) {
        self.child = None;
        // One that came before us has its own status.
        self.ends.push(End { status, by_us: killed && status.signal() == Some(9) });
    }
}

/// Ends a victim from elsewhere, such as from within its receiver.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Lives>>);

impl Killer {
    /// SIGKILL, and the end of it. Says whether it is this that ended the process.
    pub fn kill(&self) -> bool {
        let mut lives = self.0.lock().unwrap();
        lives.look();
        let Some(child) = &mut lives.child else { return false };
        let _ = child.kill();
        let status = child.wait().unwrap();
        lives.note(status, true);
        lives.ends.last().unwrap().by_us
    }

    /// How many have ended so far: the number of the one that runs.
    pub fn life(&self) -> usize {
        self.0.lock().unwrap().ends.len()
    }
}

impl Victim {
    /// A folder with this configuration, without `web`, `model_files` and `state`, these rules, the profile of the [`Input`]'s
    /// rules, and these settings of `state`; nothing runs yet. `{life}` in the configuration is the number of the process.
    pub fn new(config: &str, rules: &str, state: &str) -> Self {
        Self::within(tempfile::tempdir().unwrap(), config, rules, state)
    }

    /// As [`Self::new`], the folder being made in another one, if that is there.
    pub fn new_in(parent: &str, config: &str, rules: &str, state: &str) -> Self {
        let dir = tempfile::tempdir_in(parent).or_else(|_| tempfile::tempdir()).unwrap();
        Self::within(dir, config, rules, state)
    }

    fn within(dir: TempDir, config: &str, rules: &str, state: &str) -> Self {
        let address = peer::free_address();
        let rest = format!("\nmodel_files: [quick.yaml]\nweb: {{listen_address: '{address}'}}\nstate: {{{state}}}\n");
        let config = format!("{config}{rest}");
        std::fs::write(dir.path().join("rules.yml"), rules).unwrap();
        std::fs::write(dir.path().join("quick.yaml"), PROFILE).unwrap();
        Self { address, dir, config, rest, lives: Arc::default(), sent: 0 }
    }

    /// Another configuration for the processes to come.
    pub fn configure(&mut self, config: &str) {
        self.config = format!("{config}{}", self.rest);
    }

    /// Starts the process with further arguments.
    pub fn launch_with(&mut self, further: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        command.arg("run").args(further);
        self.spawn(command);
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
        command.arg("run");
        self.spawn(command);
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.is_dead());
        let life = self.killer().life();
        let config = self.config.replace("{life}", &life.to_string());
        std::fs::write(self.dir.path().join("forewarn.yml"), config).unwrap();
        let output = |name: &str| File::create_new(self.output(name, life)).unwrap();
        command.args(["--config.file", "forewarn.yml"]).current_dir(self.dir.path());
        command.env_remove("FOREWARN_LOG").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        self.lives.lock().unwrap().child = Some(command.spawn().unwrap());
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
        Killer(Arc::clone(&self.lives))
    }

    /// As [`Killer::kill`].
    pub fn kill(&self) -> bool {
        self.killer().kill()
    }

    /// Whether no process runs: none yet, killed, or ended by itself.
    pub fn is_dead(&self) -> bool {
        let mut lives = self.lives.lock().unwrap();
        lives.look();
        lives.child.is_none()
    }

    /// How its processes ended, in order.
    pub fn ends(&self) -> Vec<End> {
        let mut lives = self.lives.lock().unwrap();
        lives.look();
        lives.ends.clone()
    }

    /// Sends a signal: `TERM`, `STOP`.
    pub fn signal(&self, name: &str) {
        assert!(!self.is_dead(), "forewarn has ended:\n{}", self.stderr());
        let id = self.lives.lock().unwrap().child.as_ref().unwrap().id();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap().success());
    }

    /// SIGTERM; waits for the end, which must be a good one.
    pub async fn end(&mut self, limit: Duration) {
        self.signal("TERM");
        eventually("the end", limit, async || self.is_dead().then_some(())).await;
        assert_eq!(self.ends().last().unwrap().status.code(), Some(0), "{}", self.stderr());
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

    /// The logs of all its processes.
    pub fn stderr(&self) -> String {
        (0..=self.killer().life()).map(|life| self.stderr_of(life)).collect()
    }

    /// The log of one process.
    pub fn stderr_of(&self, life: usize) -> String {
        std::fs::read_to_string(self.output("stderr", life)).unwrap_or_default()
    }

    /// Whole lines on standard output of all its processes.
    pub fn lines(&self) -> Vec<Value> {
        (0..=self.killer().life()).flat_map(|life| self.lines_of(life)).collect()
    }

    /// Whole lines on standard output of one process.
    pub fn lines_of(&self, life: usize) -> Vec<Value> {
        let text = std::fs::read_to_string(self.output("stdout", life)).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    fn output(&self, name: &str, life: usize) -> PathBuf {
        self.dir.path().join(format!("{name}-{life}"))
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
