//! Open files of the whole machine, from `/proc/sys/fs/file-nr`: allocated, unused, maximum.

use super::CollectError;
use super::writer::Writer;

pub(super) fn collect(out: &mut Writer<'_>) -> Result<(), CollectError> {
    let text = std::fs::read_to_string("/proc/sys/fs/file-nr")?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let [allocated, _, maximum] = numbers[..] else { return Err(CollectError::Form("/proc/sys/fs/file-nr")) };
    out.plain("node_filefd_allocated", allocated);
    out.plain("node_filefd_maximum", maximum);
    Ok(())
}
