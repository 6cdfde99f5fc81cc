//! Memory, from `/proc/meminfo`. The metric names are the kernel's own field names, so every field of every kernel comes
//! through; a list of known fields would lag behind.

use super::CollectError;
use super::writer::Writer;

pub(super) fn collect(out: &mut Writer<'_>) -> Result<(), CollectError> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    for line in text.lines() {
        let (name, v) = field(line).ok_or(CollectError::Form("/proc/meminfo"))?;
        out.plain(&name, v);
    }
    Ok(())
}

/// `Active(anon):  123 kB` is `node_memory_Active_anon_bytes` 125952; a field without unit keeps its name.
fn field(line: &str) -> Option<(String, f64)> {
    let (key, rest) = line.split_once(':')?;
    let mut words = rest.split_whitespace();
    let v: f64 = words.next()?.parse().ok()?;
    let key = key.replace('(', "_").replace(')', "");
    match words.next() {
        None => Some((format!("node_memory_{key}"), v)),
        Some("kB") => Some((format!("node_memory_{key}_bytes"), v * 1024.0)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units() {
        assert_eq!(field("Active(anon):  123 kB"), Some(("node_memory_Active_anon_bytes".to_owned(), 125_952.0)));
        assert_eq!(field("HugePages_Total:   4"), Some(("node_memory_HugePages_Total".to_owned(), 4.0)));
        assert_eq!(field("MemFree 3"), None);
        assert_eq!(field("MemFree: x kB"), None);
    }
}
