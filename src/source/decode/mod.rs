//! Wire formats into batches. Pure: bytes in, [`Decoded`] or an error out.

mod created_timestamps;
pub mod json_lines;
pub mod otlp;
pub mod prometheus_kafka_adapter;
pub mod protobuf;
pub mod remote_write;
pub mod remote_write_v2;
mod target_labels;
pub mod telegraf;
pub mod text;
mod trace_exemplar;

pub use created_timestamps::CreatedTimestamps;
pub use target_labels::{Pair, TargetLabels};
pub use trace_exemplar::{TraceExemplar, trace_id};

use std::fmt;

use crate::base::{Batch, LabelError};

/// A decoded payload: what was taken, and what was left out and why.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The samples taken.
    pub batch: Batch,
    /// The samples left out.
    pub dropped: Dropped,
    /// Traces that its exemplars name, as far as they are kept.
    pub traces: Vec<TraceExemplar>,
    /// Exemplars of the series taken, whatever becomes of them: for who has to be told that they have come. Remote write 2.0's.
    pub exemplars: u64,
}

/// Counts of what was left out, by reason.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    by_label_fault: [u64; 6],
    /// Native histogram samples, which are not supported.
    pub histograms: u64,
    /// Samples too far in the future of this host's clock.
    pub future: u64,
    /// Samples too far in its past.
    pub too_old: u64,
    /// Points of sums and histograms that do not say whether they are totals or deltas.
    pub temporality: u64,
    /// Deltas that came late or twice.
    pub delta_out_of_order: u64,
    /// Deltas of more series than totals are kept of.
    pub delta_series: u64,
}

const FAULTS: [LabelError; 6] = [
    LabelError::TooMany,
    LabelError::Name,
    LabelError::Value,
    LabelError::Duplicate,
    LabelError::Utf8,
    LabelError::Empty,
];

impl Dropped {
    /// Counts samples of a series that was refused.
    pub fn series(&mut self, fault: LabelError, samples: u64) {
        if let Some(at) = FAULTS.iter().position(|f| *f == fault) {
            self.by_label_fault[at] += samples;
        }
    }

    /// All reasons there are, as metric label values.
    pub fn reasons() -> impl Iterator<Item = &'static str> {
        Self::default().all().map(|(reason, _)| reason)
    }

    /// The reasons with a count above zero, as metric label values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.all().filter(|(_, n)| *n > 0)
    }

    fn all(self) -> impl Iterator<Item = (&'static str, u64)> {
        let faults = FAULTS.into_iter().zip(self.by_label_fault).map(|(fault, n)| (fault.reason(), n));
        faults.chain([("native_histogram", self.histograms), ("future", self.future), ("too_old", self.too_old)]).chain(
            [
                ("unknown_temporality", self.temporality),
                ("delta_out_of_order", self.delta_out_of_order),
                ("too_many_delta_series", self.delta_series),
            ],
        )
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, n)| n).sum()
    }
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
