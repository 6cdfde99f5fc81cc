//! Load averages, from `/proc/loadavg`.

use procfs::{Current, LoadAverage};

use super::CollectError;
use super::writer::Writer;

pub(super) fn collect(out: &mut Writer<'_>) -> Result<(), CollectError> {
    let load = LoadAverage::current()?;
    out.plain("node_load1", decimal(load.one));
    out.plain("node_load5", decimal(load.five));
    out.plain("node_load15", decimal(load.fifteen));
    Ok(())
}

/// The number the kernel printed: 0.34 and not 0.3400000035762787.
fn decimal(v: f32) -> f64 {
    v.to_string().parse().unwrap_or_else(|_| f64::from(v))
}
