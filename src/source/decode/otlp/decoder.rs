//! A stream of messages into batches, by one owner: the reader and the running totals that go with it.

use super::delta::{DeltaChanges, DeltaTotals};
use super::metrics::{MetricsReader, TakenMetrics};
use super::settings::OtlpSettings;
use super::{OtlpEncoding, OtlpError};
use crate::base::{Limits, TimeSpan};
use crate::source::decode::CreatedTimestamps;

/// Decodes messages of one stream of metrics.
#[derive(Debug)]
pub struct MetricsDecoder {
    reader: MetricsReader,
    deltas: DeltaTotals,
}

impl MetricsDecoder {
    /// A decoder without running totals.
    #[must_use]
    pub fn new(settings: OtlpSettings, created: CreatedTimestamps, limits: &Limits) -> Self {
        Self { reader: MetricsReader::new(settings, created, limits), deltas: DeltaTotals::new(limits) }
    }

    /// Decodes an `ExportMetricsServiceRequest`, which is also `MetricsData`; samples outside of `accepted` are left out.
    ///
    /// # Errors
    /// The message is malformed or breaks a limit; nothing of it is taken.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        encoding: OtlpEncoding,
        accepted: TimeSpan,
    ) -> Result<TakenMetrics, OtlpError> {
        let request = self.reader.read(bytes, encoding)?;
        self.reader.take(&request, accepted, &mut self.deltas)
    }
    /// Takes the deltas of a message that was left to come again back out of the totals.
    pub fn undo(&mut self, changes: DeltaChanges) {
        self.deltas.undo(changes);
    }
}
