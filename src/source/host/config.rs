//! The `host` source's settings, with node_exporter's defaults for what is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::source::config::Span;

/// Settings of the host source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// How often the machine is read.
    pub interval: Span,
    /// Labels for every series. `job` is `node` and `instance` the host's name unless given here.
    pub labels: BTreeMap<String, String>,
    /// Mount points to leave out, a regular expression.
    pub mount_points_exclude: String,
    /// File system types to leave out, a regular expression.
    pub fs_types_exclude: String,
    /// Block devices to leave out, a regular expression.
    pub disks_exclude: String,
    /// Network devices to leave out, a regular expression.
    pub network_devices_exclude: String,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            interval: Span(Duration::from_secs(15)),
            labels: BTreeMap::new(),
            mount_points_exclude:
                "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)".to_owned(),
            fs_types_exclude: concat!(
                "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|",
                "nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$"
            )
            .to_owned(),
            disks_exclude: r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$".to_owned(),
            network_devices_exclude: "^$".to_owned(),
        }
    }
}

/// The filters, compiled.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    pub mount_points: Regex,
    pub fs_types: Regex,
    pub disks: Regex,
    pub network_devices: Regex,
}

impl HostConfig {
    /// Whether it can work.
    ///
    /// # Errors
    /// A regular expression that is none, with its setting.
    pub fn validate(&self) -> Result<(), String> {
        let patterns = [
            ("mount_points_exclude", &self.mount_points_exclude),
            ("fs_types_exclude", &self.fs_types_exclude),
            ("disks_exclude", &self.disks_exclude),
            ("network_devices_exclude", &self.network_devices_exclude),
        ];
        let faults =
            patterns.into_iter().map(|(name, pattern)| Regex::new(pattern).map_err(|e| format!("{name}: {e}")));
        faults.collect::<Result<Vec<_>, _>>().map(drop)
    }

    pub(super) fn filters(&self) -> Result<Filters, regex::Error> {
        Ok(Filters {
            mount_points: Regex::new(&self.mount_points_exclude)?,
            fs_types: Regex::new(&self.fs_types_exclude)?,
            disks: Regex::new(&self.disks_exclude)?,
            network_devices: Regex::new(&self.network_devices_exclude)?,
        })
    }
}
