//! Real servers on free loopback ports, with storage in a temporary folder, killed when dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http;
use super::skip::lacking;

/// A running server.
pub struct Peer {
    /// `127.0.0.1:port`.
    pub address: String,
    dir: TempDir,
    launch: Launch,
    child: Child,
}

struct Launch {
    program: PathBuf,
    ready_path: &'static str,
    args: Box<Args>,
}

/// Arguments for an address and a folder.
type Args = dyn Fn(&str, &Path) -> Vec<String> + Send + Sync;

impl Peer {
    /// An Alertmanager with this configuration; None where it is not installed.
    pub async fn alertmanager(config: &str) -> Option<Self> {
        let args = |address: &str, dir: &Path| {
            vec![
                format!("--config.file={}", dir.join("config.yml").display()),
                format!("--storage.path={}", dir.join("data").display()),
                format!("--web.listen-address={address}"),
                "--cluster.listen-address=".to_owned(),
            ]
        };
        Self::start("prometheus-alertmanager", "/-/ready", Some(config), args).await
    }

    /// A Prometheus with this configuration and further arguments; None where it is not installed.
    pub async fn prometheus(config: &str, further: &[&str]) -> Option<Self> {
        let further: Vec<String> = further.iter().map(ToString::to_string).collect();
        let args = move |address: &str, dir: &Path| {
            let mut args = vec![
                format!("--config.file={}", dir.join("config.yml").display()),
                format!("--storage.tsdb.path={}", dir.join("data").display()),
                format!("--web.listen-address={address}"),
            ];
            args.extend(further.iter().cloned());
            args
        };
        let program = newer_prometheus().unwrap_or_else(|| "prometheus".to_owned());
        Self::start(&program, "/-/ready", Some(config), args).await
    }

    /// A node_exporter with further arguments; None where it is not installed.
    pub async fn node_exporter(further: &[&str]) -> Option<Self> {
        let further: Vec<String> = further.iter().map(ToString::to_string).collect();
        let args = move |address: &str, _: &Path| {
            let mut args = vec![format!("--web.listen-address={address}")];
            args.extend(further.iter().cloned());
            args
        };
        Self::start("prometheus-node-exporter", "/", None, args).await
    }

    /// Prometheus' OTLP handler alone, see `scripts/otlp-reference`; None where it has not been built.
    pub async fn otlp_reference(config: &str) -> Option<Self> {
        let args = |address: &str, dir: &Path| {
            let config = dir.join("config.yml").display().to_string();
            vec!["--deltas".to_owned(), format!("--address={address}"), format!("--config={config}")]
        };
        let program = built("FOREWARN_OTLP_REFERENCE", "bin-otlp-reference/otlp-reference");
        Self::start(&program, "/ready", Some(config), args).await
    }

    /// `http://127.0.0.1:port` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The folder it keeps its things in; `config.yml` is there.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills it, as a crash would; [`Self::revive`] starts it again.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again at the same address after [`Self::kill`].
    pub async fn revive(&mut self) {
        self.child = spawn(&self.launch, &self.address, self.dir.path());
        assert!(self.is_ready().await, "{}", self.log());
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts any server; `args` are given its address and its folder, which is also its working folder. None where the
    /// program is not installed.
    pub async fn start(
        program: &str,
        ready_path: &'static str,
        config: Option<&str>,
        args: impl Fn(&str, &Path) -> Vec<String> + Send + Sync + 'static,
    ) -> Option<Self> {
        let launch = Launch { program: require(program)?, ready_path, args: Box::new(args) };
        let dir = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            std::fs::write(dir.path().join("config.yml"), config).unwrap();
        }
        let address = free_address();
        let child = spawn(&launch, &address, dir.path());
        let mut peer = Self { address, dir, launch, child };
        // Another process may have taken the port in between.
        for _ in 0..4 {
            if peer.is_ready().await {
                return Some(peer);
            }
            peer.kill();
            peer.address = free_address();
            peer.child = spawn(&peer.launch, &peer.address, peer.dir.path());
        }
        assert!(peer.is_ready().await, "{program} does not start: {}", peer.log());
        Some(peer)
    }

    /// Waits until it answers; false when it has ended instead.
    async fn is_ready(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if matches!(http::get(&self.address, self.launch.ready_path).await, Some((200, _))) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Prometheus that `FOREWARN_PROMETHEUS` names, or the one that `scripts/fetch-prometheus-3.sh` has put beside the tree.
fn newer_prometheus() -> Option<String> {
    if let Ok(named) = std::env::var("FOREWARN_PROMETHEUS") {
        return Some(named);
    }
    Some(cached("bin/prometheus")).filter(|file| Path::new(file).is_file())
}

/// What `make peers` has put into the cache, or what a variable names instead.
pub fn built(variable: &str, file: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| cached(file))
}

/// A file in the cache that `make peers` fills.
fn cached(file: &str) -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = || format!("{}/.cache", set("HOME").unwrap_or_else(|| "/tmp".to_owned()));
    let cache = set("XDG_CACHE_HOME").unwrap_or_else(home);
    format!("{cache}/forewarn-test-peers/{file}")
}

/// Where a program is. Missing: says so and gives None, or panics where peers are a must.
pub fn require(program: &str) -> Option<PathBuf> {
    // An absolute path is kept by `join`.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|file| file.is_file()) {
        return Some(found);
    }
    skip(&format!("{program} is not installed (`make test` installs it)"));
    None
}

/// Says that the test is skipped and why; panics where nothing may be.
pub fn skip(why: &str) {
    lacking(why);
}

/// A loopback address that nobody listens on right now.
pub fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn spawn(launch: &Launch, address: &str, dir: &Path) -> Child {
    let log = File::create(dir.join("log")).unwrap();
    Command::new(&launch.program)
        .args((launch.args)(address, dir))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
