//! Boot time, context switches, interrupts, forks and processes, from `/proc/stat`.

use procfs::{FromBufReadSI, KernelStats, current_system_info};

use super::CollectError;
use super::writer::Writer;

pub(super) fn collect(out: &mut Writer<'_>) -> Result<(), CollectError> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let stats = KernelStats::from_buf_read(text.as_bytes(), current_system_info())?;
    out.plain("node_boot_time_seconds", stats.btime as f64);
    out.plain("node_context_switches_total", stats.ctxt as f64);
    out.plain("node_forks_total", stats.processes as f64);
    let interrupts = text.lines().find_map(|l| l.strip_prefix("intr ")?.split(' ').next()?.parse().ok());
    out.plain("node_intr_total", interrupts.ok_or(CollectError::Form("/proc/stat"))?);
    if let Some(n) = stats.procs_running {
        out.plain("node_procs_running", f64::from(n));
    }
    if let Some(n) = stats.procs_blocked {
        out.plain("node_procs_blocked", f64::from(n));
    }
    Ok(())
}
