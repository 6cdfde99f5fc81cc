//! State of network devices, from `/sys/class/net` (kernel documentation: `ABI/testing/sysfs-class-net`). Files that a
//! device does not answer (the speed of one that is down) are left out.

use std::fs;
use std::path::Path;

use super::CollectError;
use super::config::Filters;
use super::writer::Writer;

pub(super) fn collect(filters: &Filters, out: &mut Writer<'_>) -> Result<(), CollectError> {
    let mut devices = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        devices.push(entry?.path());
    }
    devices.sort_unstable();
    for path in devices {
        let Some(device) = path.file_name().and_then(|n| n.to_str()) else { continue };
        // Bonding puts plain files beside the devices.
        if filters.network_devices.is_match(device) || !path.is_dir() {
            continue;
        }
        let labels = [("device", device)];
        let up = fs::read_to_string(path.join("operstate"))?.trim() == "up";
        out.with("node_network_up", &labels, if up { 1.0 } else { 0.0 });
        if let Some(n) = number(&path, "carrier") {
            out.with("node_network_carrier", &labels, n);
        }
        if let Some(n) = number(&path, "carrier_changes") {
            out.with("node_network_carrier_changes_total", &labels, n);
        }
        if let Some(n) = number(&path, "mtu") {
            out.with("node_network_mtu_bytes", &labels, n);
        }
        // Megabits a second; -1 where it is unknown.
        if let Some(n) = number(&path, "speed").filter(|n| *n >= 0.0) {
            out.with("node_network_speed_bytes", &labels, n * 1e6 / 8.0);
        }
    }
    Ok(())
}

fn number(device: &Path, file: &str) -> Option<f64> {
    fs::read_to_string(device.join(file)).ok()?.trim().parse().ok()
}
