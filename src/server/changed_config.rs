//! Whether `forewarn.yml` has come to say something else since the start: a reload reads rules and profiles again, not this
//! file, and whoever has changed it is told so. Starts and stops nothing.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::config::{Config, base_dir};

/// The configuration that the process runs with, and where it came from.
#[derive(Debug)]
pub(super) struct ConfigAtStart {
    file: PathBuf,
    config: Config,
    /// Fingerprint of what was found changed last.
    told: Option<u64>,
}

/// What to say of a file that has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// To whoever asks for a reload, each time.
    pub text: String,
    /// Whether this content was not found before: the log says it once.
    pub is_new: bool,
}

impl ConfigAtStart {
    /// What was read from `file`, before anything was added to it.
    pub(super) fn new(file: &Path, config: Config) -> Self {
        Self { file: file.to_owned(), config, told: None }
    }

    /// Reads the file again; None if it says what it said.
    pub(super) async fn look(&mut self) -> Option<Change> {
        let read = tokio::fs::read_to_string(&self.file).await;
        self.judge(read)
    }

    /// Comments and the order of keys are no change.
    fn judge(&mut self, read: io::Result<String>) -> Option<Change> {
        let (file, parsed) =
            (self.file.display(), read.as_ref().map(|text| Config::parse(text, &base_dir(&self.file))));
        let text = match parsed {
            Ok(Ok(config)) if config == self.config => {
                self.told = None;
                return None;
            }
            Ok(Ok(_)) => format!("{file} has changed; its changes need a restart"),
            // Why not, a stranger who may ask for reloads need not see.
            Ok(Err(_)) => format!(
                "{file} has changed; its changes need a restart, which would fail: forewarn check config {file} says why"
            ),
            Err(error) => format!("{file} cannot be read any more, so that a restart would fail: {error}"),
        };
        let content = xxh3_64(read.as_deref().unwrap_or(&text).as_bytes());
        Some(Change { text, is_new: self.told.replace(content) != Some(content) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_to_all_who_ask_and_new_once_for_each_content() {
        let config = Config::parse("global: {evaluation_interval: 5s}", Path::new("/etc/fw")).unwrap();
        let mut at_start = ConfigAtStart::new(Path::new("/etc/fw/forewarn.yml"), config);
        let mut look = |text: &str| at_start.judge(Ok(text.to_owned())).map(|change| (change.text, change.is_new));
        assert_eq!(look("# quicker\nglobal:\n  evaluation_interval: 5000ms\n"), None, "it says the same");
        let changed =
            |is_new| Some(("/etc/fw/forewarn.yml has changed; its changes need a restart".to_owned(), is_new));
        assert_eq!(look("global: {evaluation_interval: 6s}"), changed(true));
        assert_eq!(look("global: {evaluation_interval: 6s}"), changed(false));
        assert_eq!(look("global: {evaluation_interval: 7s}"), changed(true));
        let (text, is_new) = look("global: {evaluation_intervall: 7s}").unwrap();
        assert!(is_new && text.contains("which would fail: forewarn check config /etc/fw/forewarn.yml"), "{text}");
        assert_eq!(look("global: {evaluation_interval: 5s}"), None);
        assert_eq!(look("global: {evaluation_interval: 6s}"), changed(true), "again");
        let gone = at_start.judge(Err(io::ErrorKind::NotFound.into())).unwrap();
        assert!(gone.is_new && gone.text.contains("cannot be read"), "{gone:?}");
        assert!(!at_start.judge(Err(io::ErrorKind::NotFound.into())).unwrap().is_new);
    }
}
