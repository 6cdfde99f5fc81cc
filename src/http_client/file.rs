//! Files that settings name, and whether they can be read: for those who want to know before they are needed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A file with a secret or a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The setting that names it, as `tls_config.ca_file`.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
}

impl NamedFile {
    /// The file of a setting.
    #[must_use]
    pub fn new(setting: impl Into<String>, path: &Path) -> Self {
        Self { setting: setting.into(), path: path.to_owned() }
    }

    /// The same for a setting within another: `sinks[0].grafana`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { setting: format!("{outer}.{}", self.setting), ..self }
    }

    /// What is wrong with it, if it cannot be read or is empty: setting, file and reason.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let why = match std::fs::metadata(&self.path) {
            // A pipe is read once, by whoever needs what is in it.
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => return None,
            Ok(metadata) if metadata.is_dir() => "it is a directory".to_owned(),
            Ok(_) => match File::open(&self.path).and_then(|mut file| file.read(&mut [0])) {
                Ok(0) => "it is empty".to_owned(),
                Ok(_) => return None,
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        Some(format!("{} {}: {why}", self.setting, self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let fault = |path: &Path| NamedFile::new("ca_file", path).within("tls_config").fault();
        assert!(fault(dir.path()).unwrap().contains("directory"));
        let file = dir.path().join("ca");
        let missing = fault(&file).unwrap();
        assert!(missing.starts_with(&format!("tls_config.ca_file {}: ", file.display())), "{missing}");
        std::fs::write(&file, "").unwrap();
        assert!(fault(&file).unwrap().contains("empty"));
        std::fs::write(&file, "x").unwrap();
        assert_eq!(fault(&file), None);
    }
}
