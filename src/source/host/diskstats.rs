//! Block devices, from `/proc/diskstats` (kernel documentation: `admin-guide/iostats.rst`). A sector there is 512 bytes,
//! whatever the device's own.

use super::CollectError;
use super::config::Filters;
use super::writer::Writer;

const SECTOR_BYTES: f64 = 512.0;

pub(super) fn collect(filters: &Filters, out: &mut Writer<'_>) -> Result<(), CollectError> {
    for disk in procfs::diskstats()? {
        if filters.disks.is_match(&disk.name) {
            continue;
        }
        let mut put = |name: &str, v: f64| out.with(name, &[("device", &disk.name)], v);
        let seconds = |ms: u64| ms as f64 / 1e3;
        put("node_disk_reads_completed_total", disk.reads as f64);
        put("node_disk_reads_merged_total", disk.merged as f64);
        put("node_disk_read_bytes_total", disk.sectors_read as f64 * SECTOR_BYTES);
        put("node_disk_read_time_seconds_total", seconds(disk.time_reading));
        put("node_disk_writes_completed_total", disk.writes as f64);
        put("node_disk_writes_merged_total", disk.writes_merged as f64);
        put("node_disk_written_bytes_total", disk.sectors_written as f64 * SECTOR_BYTES);
        put("node_disk_write_time_seconds_total", seconds(disk.time_writing));
        put("node_disk_io_now", disk.in_progress as f64);
        put("node_disk_io_time_seconds_total", seconds(disk.time_in_progress));
        put("node_disk_io_time_weighted_seconds_total", seconds(disk.weighted_time_in_progress));
        let newer_kernels = [
            ("node_disk_discards_completed_total", disk.discards.map(|n| n as f64)),
            ("node_disk_discards_merged_total", disk.discards_merged.map(|n| n as f64)),
            ("node_disk_discarded_sectors_total", disk.sectors_discarded.map(|n| n as f64)),
            ("node_disk_discard_time_seconds_total", disk.time_discarding.map(seconds)),
            ("node_disk_flush_requests_total", disk.flushes.map(|n| n as f64)),
            ("node_disk_flush_requests_time_seconds_total", disk.time_flushing.map(seconds)),
        ];
        newer_kernels.iter().for_each(|(name, v)| v.iter().for_each(|v| put(name, *v)));
    }
    Ok(())
}
