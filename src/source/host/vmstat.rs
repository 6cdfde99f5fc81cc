//! Paging, swapping and out-of-memory kills, from `/proc/vmstat`: the fields node_exporter takes, `oom_kill*`, `pgpg*`,
//! `pswp*` and `pg*fault*`.

use super::CollectError;
use super::writer::Writer;

pub(super) fn collect(out: &mut Writer<'_>) -> Result<(), CollectError> {
    let text = std::fs::read_to_string("/proc/vmstat")?;
    for (name, v) in text.lines().filter_map(|l| l.split_once(' ')) {
        let starts = ["oom_kill", "pgpg", "pswp"].iter().any(|p| name.starts_with(p));
        if starts || (name.starts_with("pg") && name.contains("fault")) {
            out.plain(&format!("node_vmstat_{name}"), v.parse().map_err(|_| CollectError::Form("/proc/vmstat"))?);
        }
    }
    Ok(())
}
