//! CPU time by mode, from `/proc/stat`.
//!
//! The kernel's idle and iowait counters can step back a little; a counter that falls would read as a reset and give an
//! absurd rate. As node_exporter does, a small step back keeps the old value and a large one (a CPU that was taken out
//! and put back) starts anew.

use std::collections::BTreeMap;

use procfs::{FromBufReadSI, KernelStats, current_system_info};

use super::CollectError;
use super::writer::Writer;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;

/// Seconds by mode, then guest and guest_nice.
type Times = [f64; 10];

/// The last values by CPU.
#[derive(Debug, Default)]
pub(super) struct Cpus(BTreeMap<String, Times>);

impl Cpus {
    pub(super) fn collect(&mut self, out: &mut Writer<'_>) -> Result<(), CollectError> {
        let text = std::fs::read_to_string("/proc/stat")?;
        let stats = KernelStats::from_buf_read(text.as_bytes(), current_system_info())?;
        // CPUs that are off leave gaps, so their numbers come from the lines themselves.
        let names = text.lines().filter_map(|l| l.strip_prefix("cpu")?.split(' ').next().filter(|n| !n.is_empty()));
        let mut present = BTreeMap::new();
        for (name, cpu) in names.zip(&stats.cpu_time) {
            let ms = |v: u64| v as f64 / 1e3;
            let maybe = |v: Option<u64>| v.map_or(0.0, ms);
            let new = [
                ms(cpu.user_ms()),
                ms(cpu.nice_ms()),
                ms(cpu.system_ms()),
                ms(cpu.idle_ms()),
                maybe(cpu.iowait_ms()),
                maybe(cpu.irq_ms()),
                maybe(cpu.softirq_ms()),
                maybe(cpu.steal_ms()),
                maybe(cpu.guest_ms()),
                maybe(cpu.guest_nice_ms()),
            ];
            present.insert(name.to_owned(), monotonic(self.0.get(name), new));
        }
        self.0 = present;
        for (name, times) in &self.0 {
            for (mode, v) in MODES.iter().zip(times) {
                out.with("node_cpu_seconds_total", &[("cpu", name), ("mode", mode)], *v);
            }
            for (mode, v) in [("user", times[8]), ("nice", times[9])] {
                out.with("node_cpu_guest_seconds_total", &[("cpu", name), ("mode", mode)], v);
            }
        }
        Ok(())
    }
}

/// Steps back of less than this many seconds are the kernel's inaccuracy.
const STEP_BACK_SECONDS: f64 = 3.0;

fn monotonic(old: Option<&Times>, new: Times) -> Times {
    match old {
        Some(old) if old[IDLE] - new[IDLE] < STEP_BACK_SECONDS => std::array::from_fn(|i| new[i].max(old[i])),
        _ => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_step_back_is_held_and_a_large_one_is_a_reset() {
        let (old, mut new) = ([10.0; 10], [11.0; 10]);
        new[IDLE] = 9.5;
        assert_eq!(monotonic(Some(&old), new)[IDLE], 10.0);
        new[IDLE] = 1.0;
        assert_eq!(monotonic(Some(&old), new), new);
        assert_eq!(monotonic(None, new), new);
    }
}
