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
    /// Whether nothing was decoded of a stream that an earlier process may have read.
    resumes: bool,
}

impl MetricsDecoder {
    /// A decoder without running totals, of a stream that is read once from its beginning.
    #[must_use]
    pub fn new(settings: OtlpSettings, created: CreatedTimestamps, limits: &Limits) -> Self {
        let reader = MetricsReader::new(settings, created, limits);
        Self { reader, deltas: DeltaTotals::new(limits), resumes: false }
    }

    /// The same of a stream of which an earlier process may have read more than is known, see [`DeltaTotals::since`].
    #[must_use]
    pub fn resuming(settings: OtlpSettings, created: CreatedTimestamps, limits: &Limits) -> Self {
        Self { resumes: true, ..Self::new(settings, created, limits) }
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
        if std::mem::take(&mut self.resumes) {
            self.deltas.may_have_been_kept(accepted);
        }
        let request = self.reader.read(bytes, encoding)?;
        self.reader.take(&request, accepted, &mut self.deltas)
    }

    /// Takes the deltas of a message that was left to come again back out of the totals.
    pub fn undo(&mut self, changes: DeltaChanges) {
        self.deltas.undo(changes);
    }
}
