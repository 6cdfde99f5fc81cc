//! Traces that exemplars name, and what the identity of one looks like. Knows no wire format.

use crate::base::{Labels, LabelsRef, Millis};

/// A trace worth a look, of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceExemplar {
    /// Labels of the series, without its name; of a histogram those that all its series have.
    pub labels: Labels,
    /// Its identity, in hexadecimal.
    pub trace_id: String,
    /// When.
    pub at: Millis,
}

/// Exemplars kept of one message.
pub(super) const TRACES_MAX: usize = 1_000;

impl TraceExemplar {
    /// Bytes of the labels of a series of which traces are kept: many are kept, and no series to alert about has more.
    pub const LABEL_BYTES_MAX: usize = 4 << 10;

    /// Of the series with these labels; None if they are too long.
    pub(super) fn new(series: LabelsRef<'_>, trace_id: String, at: Millis) -> Option<Self> {
        let of_all = |name: &str| !["__name__", "le", "quantile"].contains(&name);
        let is_short = series.as_bytes().len() <= Self::LABEL_BYTES_MAX;
        is_short.then(|| Self { labels: series.filter(of_all), trace_id, at })
    }
}

/// Whether this is the identity of a trace: 128 bits, or 64 as Zipkin has them. Nothing else may get into links.
pub(super) fn is_trace_id(text: &str) -> bool {
    matches!(text.len(), 16 | 32) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The identity of a trace in hexadecimal, from OTLP's sixteen bytes; None where there is none.
#[must_use]
pub fn trace_id(bytes: &[u8]) -> Option<String> {
    let is_one = bytes.len() == 16 && bytes.iter().any(|b| *b != 0);
    is_one.then(|| bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_told_from_other_bytes() {
        assert_eq!(trace_id(&[0xab; 16]), Some("ab".repeat(16)));
        assert!(is_trace_id(&trace_id(&[1; 16]).unwrap_or_default()));
        for other in [&[0; 16][..], &[1; 15], &[1; 17], &[]] {
            assert_eq!(trace_id(other), None);
        }
    }
}
