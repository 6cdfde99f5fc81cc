//! The files that a client was set up with: librdkafka reads them then and not again, so that who renews them is heard only by
//! another client.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::Connection;

/// How often they are looked at, at most.
const LOOK: Duration = Duration::from_secs(5);
/// A file of certificates is far smaller than this.
const FILE_BYTES: u64 = 1 << 20;

/// What they held when the client was set up.
#[derive(Debug)]
pub struct Secrets {
    files: Vec<PathBuf>,
    digest: Option<u128>,
    looked: Option<Instant>,
}

impl Secrets {
    /// The files of a connection as they are.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let files: Vec<PathBuf> = connection.files().into_iter().map(|named| named.path).collect();
        let digest = digest(&files);
        Self { files, digest, looked: None }
    }

    /// Whether they hold something else. One that is missing is about to come. Read every five seconds at most.
    #[must_use]
    pub fn have_changed(&mut self, now: Instant) -> bool {
        if self.files.is_empty() || self.looked.is_some_and(|at| now.saturating_duration_since(at) < LOOK) {
            return false;
        }
        self.looked = Some(now);
        digest(&self.files).is_some_and(|digest| Some(digest) != self.digest)
    }
}

/// None if one of them cannot be read.
fn digest(files: &[PathBuf]) -> Option<u128> {
    let mut hasher = Xxh3::new();
    for path in files {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    Some(hasher.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::TlsConfig;

    #[test]
    fn what_is_renewed_is_seen_and_what_is_missing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("ca"), "one").unwrap();
        let tls = TlsConfig { ca_file: Some(file("ca")), ..TlsConfig::default() };
        let connection = Connection { tls: Some(tls), ..Connection::default() };
        let (mut secrets, start) = (Secrets::of(&connection), Instant::now());
        let mut at = |seconds| secrets.have_changed(start + Duration::from_secs(seconds));
        assert!(!at(0));
        std::fs::write(file("ca"), "two").unwrap();
        assert!(!at(4), "looked at a moment ago");
        std::fs::rename(file("ca"), file("elsewhere")).unwrap();
        assert!(!at(5));
        std::fs::rename(file("elsewhere"), file("ca")).unwrap();
        assert!(at(10) && !at(11) && at(15));
        assert!(!Secrets::of(&Connection::default()).have_changed(start), "no files, nothing to renew");
    }
}
