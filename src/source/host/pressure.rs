//! Pressure stall information, from `/proc/pressure` (kernel documentation: `accounting/psi.rst`). Totals are
//! microseconds. "some" is waiting, "full" is stalled; for the CPU only "some" means anything for the whole machine.

use procfs::{CpuPressure, Current, IoPressure, MemoryPressure};

use super::CollectError;
use super::writer::Writer;

pub(super) fn collect(out: &mut Writer<'_>) -> Result<(), CollectError> {
    let seconds = |us: u64| us as f64 / 1e6;
    out.plain("node_pressure_cpu_waiting_seconds_total", seconds(CpuPressure::current()?.some.total));
    let io = IoPressure::current()?;
    out.plain("node_pressure_io_waiting_seconds_total", seconds(io.some.total));
    out.plain("node_pressure_io_stalled_seconds_total", seconds(io.full.total));
    let memory = MemoryPressure::current()?;
    out.plain("node_pressure_memory_waiting_seconds_total", seconds(memory.some.total));
    out.plain("node_pressure_memory_stalled_seconds_total", seconds(memory.full.total));
    Ok(())
}
