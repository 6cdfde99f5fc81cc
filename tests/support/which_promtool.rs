//! Which promtool the tests ask.

use std::ffi::OsString;
use std::path::PathBuf;

/// The one that `PROMTOOL` names, else that of the Prometheus 3 that scripts/fetch-prometheus-3.sh has fetched, else the
/// first on the PATH.
pub fn program() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let within = |home: OsString, folder: &str| PathBuf::from(home).join(folder);
    let home = || within(set("HOME").unwrap_or_else(|| "/tmp".into()), ".cache");
    let cache = set("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let fetched = Some(cache.join("forewarn-test-peers/bin/promtool")).filter(|file| file.is_file());
    set("PROMTOOL").map(PathBuf::from).or(fetched).unwrap_or_else(|| "promtool".into())
}
