//! Loading rules and profiles from files, at start, when told to, and when the files have changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Limits;
use crate::engine::{Profiles, builtin_profiles};
use crate::model::Profile;
use crate::rules::{Loaded, Severity, content_hash, load_globs};
use crate::telemetry::EngineMetrics;

use super::handle::EngineHandle;

/// Where rules and profiles come from.
#[derive(Clone, Debug)]
pub struct RuleSource {
    /// Patterns of rule files.
    pub rule_files: Vec<String>,
    /// Patterns of profile files.
    pub model_files: Vec<String>,
    /// Where relative patterns start from.
    pub dir: PathBuf,
    /// Bounds.
    pub limits: Limits,
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// Rules with what is wrong with them.
    pub loaded: Loaded,
    /// Profiles: the program's own, and those of files over them.
    pub profiles: Profiles,
    /// What is wrong with profile files.
    pub profile_faults: Vec<String>,
    /// Equal if and only if nothing has changed.
    pub content_hash: (u64, u64),
}

impl Read {
    /// Rules read.
    fn rules(&self) -> usize {
        self.loaded.rule_set.groups.iter().map(|g| g.rules.len()).sum()
    }

    /// Whether there are no rules, and nothing is wrong: that is likelier a folder that is gone for a while than what anybody
    /// wants.
    fn is_empty(&self) -> bool {
        !self.loaded.has_errors() && self.rules() == 0
    }

    /// All that is wrong, as texts.
    pub fn faults(&self) -> Vec<String> {
        let errors = self.loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error);
        errors.map(ToString::to_string).chain(self.profile_faults.iter().cloned()).collect()
    }
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Vec<String>> {
    tokio::task::spawn_blocking(read).await.map_err(|e| vec![format!("reading rule files: {e}")])
}

/// What a successful reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Groups in force.
    pub groups: usize,
    /// Rules in force.
    pub rules: usize,
    /// What is odd but not wrong.
    pub warnings: Vec<String>,
}

impl RuleSource {
    /// Whether a checkpoint with so many rules may be gone on from with what was read.
    ///
    /// # Errors
    /// The checkpoint has rules and none are left, though files are named: to go on without them would resolve all that fires and
    /// forget what models have learnt.
    pub fn may_follow(&self, read: &Read, restored: usize) -> Result<(), Vec<String>> {
        if restored > 0 && read.is_empty() && !self.rule_files.is_empty() {
            return Err(vec![format!(
                "rule_files: no rules are there, and the checkpoint has {restored}: if that is meant, start once without rule_files"
            )]);
        }
        Ok(())
    }

    /// Reads all files, on a thread that may wait.
    ///
    /// # Errors
    /// A bug: that thread has panicked.
    pub async fn read_aside(&self) -> Result<Read, Vec<String>> {
        let source = self.clone();
        blocking(move || source.read()).await
    }

    /// Reads all files. Blocks.
    #[must_use]
    pub fn read(&self) -> Read {
        let loaded = load_globs(&self.rule_files, &self.dir, &self.limits);
        let mut profiles = builtin_profiles();
        let mut faults = Vec::new();
        let hash = self.each_profile(&mut faults, |path, text, faults| {
            match text.and_then(|text| Profile::parse(text).map_err(|e| e.to_string())) {
                Ok(profile) => drop(profiles.insert(profile.name.clone(), Arc::new(profile))),
                Err(fault) => faults.push(format!("{}: {fault}", path.display())),
            }
        });
        let content_hash = (loaded.content_hash, hash);
        Read { loaded, profiles, profile_faults: faults, content_hash }
    }

    /// [`Read::content_hash`] of what they hold now, of which no sense is made. Blocks.
    fn content_hash(&self) -> (u64, u64) {
        let rules = content_hash(&self.rule_files, &self.dir, &self.limits);
        (rules, self.each_profile(&mut Vec::new(), |_, _, _| {}))
    }

    /// Reads the profiles one after the other; a hash of their contents.
    fn each_profile(
        &self,
        faults: &mut Vec<String>,
        mut with: impl FnMut(&Path, Result<&str, String>, &mut Vec<String>),
    ) -> u64 {
        let mut contents = String::new();
        for pattern in &self.model_files {
            for path in files_of(&self.dir, pattern, faults) {
                let text = read_text(&path, self.limits.file_bytes);
                contents.push_str(text.as_deref().unwrap_or_default());
                with(&path, text.as_deref().map_err(Clone::clone), faults);
            }
        }
        xxhash_rust::xxh3::xxh3_64(contents.as_bytes())
    }
}

/// Reads the files and puts the rules in force; the old ones stay if anything is wrong.
#[derive(Debug)]
pub struct RuleLoader {
    source: RuleSource,
    engine: EngineHandle,
    metrics: EngineMetrics,
    /// What was tried last, in force or not: a broken file is not tried again until it changes.
    tried: Option<(u64, u64)>,
    /// What the last look of the watcher found, if that was not tried yet.
    seen: Option<(u64, u64)>,
    /// Rules in force.
    in_force: usize,
}

impl RuleLoader {
    /// A loader that has loaded nothing yet.
    #[must_use]
    pub fn new(source: RuleSource, engine: EngineHandle, metrics: EngineMetrics) -> Self {
        Self { source, engine, metrics, tried: None, seen: None, in_force: 0 }
    }

    /// Loads.
    ///
    /// # Errors
    /// All that is wrong, each as a text with file, line and column. The rules in force stay in force.
    pub async fn load(&mut self) -> Result<Reloaded, Vec<String>> {
        let read = self.source.read_aside().await?;
        self.put_in_force(read).await
    }

    /// Loads for the first time, what was read before.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn begin(&mut self, read: Read) -> Result<Reloaded, Vec<String>> {
        self.put_in_force(read).await
    }

    /// Loads if any file's content has changed, and was the same at the look before: a checkout or a copy may be half done.
    /// None if there is nothing to load yet.
    ///
    /// # Errors
    /// As [`Self::load`]. Also where rules are in force and none are left: that is likelier a folder that is gone for a while
    /// than what anybody wants.
    pub async fn load_if_changed(&mut self) -> Result<Option<Reloaded>, Vec<String>> {
        let source = self.source.clone();
        let hash = blocking(move || source.content_hash()).await?;
        if self.tried == Some(hash) {
            self.seen = None;
            return Ok(None);
        }
        if self.seen.replace(hash) != Some(hash) {
            return Ok(None);
        }
        let read = self.source.read_aside().await?;
        if self.in_force > 0 && read.is_empty() {
            self.tried = Some(read.content_hash);
            self.metrics.reload_successful.set(0);
            return Err(vec![
                "rule_files: no rules are left; if that is meant, send SIGHUP or POST /-/reload".to_owned(),
            ]);
        }
        self.put_in_force(read).await.map(Some)
    }

    async fn put_in_force(&mut self, read: Read) -> Result<Reloaded, Vec<String>> {
        self.tried = Some(read.content_hash);
        let result = self.try_in_force(read).await;
        self.metrics.reload_successful.set(i64::from(result.is_ok()));
        self.seen = None;
        if let Ok(loaded) = &result {
            self.in_force = loaded.rules;
            self.metrics.reload_time.set(crate::source::clock::now().div_euclid(1000));
        }
        result
    }

    async fn try_in_force(&self, read: Read) -> Result<Reloaded, Vec<String>> {
        let rules = read.rules();
        let faults = read.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let Read { loaded, profiles, .. } = read;
        let groups = loaded.rule_set.groups.len();
        let warnings = loaded.diagnostics.iter().map(ToString::to_string).collect();
        match self.engine.load(loaded.rule_set, profiles).await {
            Ok(Ok(())) => Ok(Reloaded { groups, rules, warnings }),
            Ok(Err(faults)) => Err(faults.iter().map(ToString::to_string).collect()),
            Err(gone) => Err(vec![gone.to_string()]),
        }
    }
}

fn files_of(dir: &Path, pattern: &str, faults: &mut Vec<String>) -> Vec<PathBuf> {
    match glob::glob(&dir.join(pattern).to_string_lossy()) {
        Ok(paths) => paths.filter_map(Result::ok).filter(|p| p.is_file()).collect(),
        Err(e) => {
            faults.push(format!("model_files: {pattern:?}: {e}"));
            vec![]
        }
    }
}

fn read_text(path: &Path, bytes_max: usize) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > bytes_max as u64 {
        return Err(format!("{size} bytes are more than limits.file_bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}
