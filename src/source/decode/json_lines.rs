//! What decoders of JSON lines share: documents one after the other, each on a line of its own or not.
//!
//! A payload is taken whole or not at all. Knows nothing of what the documents mean.

use serde::de::DeserializeOwned;

use super::{Decoded, Dropped};
use crate::base::{BatchBuilder, LabelError, Limits, Millis};

/// Why a payload was refused; nothing of it was taken.
#[derive(Debug, thiserror::Error)]
pub enum JsonLinesError {
    /// Not JSON, or not of the shape.
    #[error("document {number}: {error}")]
    Json {
        /// Which document, from 1.
        number: usize,
        /// What is wrong, and where.
        error: serde_json::Error,
    },
    /// Of the shape, but not to be understood.
    #[error("document {number}: {text}")]
    Value {
        /// Which document, from 1.
        number: usize,
        /// What is wrong.
        text: String,
    },
    /// More samples than may wait for the watermark.
    #[error("more than {0} samples in one message (limits.pending_samples)")]
    TooManySamples(usize),
    /// There is no document in it.
    #[error("no JSON document")]
    Nothing,
}

/// Reads documents of one shape; `take` adds what one of them holds.
pub(super) fn decode<T: DeserializeOwned>(
    payload: &[u8],
    limits: &Limits,
    take: impl Fn(T, &mut Samples) -> Result<(), String>,
) -> Result<Decoded, JsonLinesError> {
    let mut samples = Samples { builder: BatchBuilder::new(limits), dropped: Dropped::default() };
    let mut number = 0;
    for document in serde_json::Deserializer::from_slice(payload).into_iter::<T>() {
        number += 1;
        let document = document.map_err(|error| JsonLinesError::Json { number, error })?;
        take(document, &mut samples).map_err(|text| JsonLinesError::Value { number, text })?;
        if samples.builder.sample_count() > limits.pending_samples {
            return Err(JsonLinesError::TooManySamples(limits.pending_samples));
        }
    }
    if number == 0 {
        return Err(JsonLinesError::Nothing);
    }
    Ok(Decoded { batch: samples.builder.finish(), dropped: samples.dropped, ..Decoded::default() })
}

/// The samples of a payload so far.
pub(super) struct Samples {
    builder: BatchBuilder,
    dropped: Dropped,
}

impl Samples {
    /// Adds a sample of a series; one whose labels break a limit is left out and counted.
    pub(super) fn add<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>, t: Millis, v: f64) {
        labels.into_iter().for_each(|(name, value)| self.builder.label(name, value));
        match self.builder.end_labels() {
            Ok(()) => self.builder.sample(t, v),
            Err(fault) => self.refuse(fault),
        }
    }

    fn refuse(&mut self, fault: LabelError) {
        self.dropped.series(fault, 1);
    }
}
