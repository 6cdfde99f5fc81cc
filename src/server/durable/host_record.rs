//! What the engine's owner knows besides the engine, as a record of a checkpoint: how far each source had come, and who has
//! been told of what happened before the first start. Pure.

use serde::{Deserialize, Serialize};

use crate::base::{Millis, Record};

/// Name of the record.
const NAME: &str = "host/progress";
/// Version written. `tests/fixtures/state` has one of each.
const VERSION: u16 = 1;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// From which tick on transitions are told to sinks; those before were history.
    pub told_since: Millis,
    /// Alerts that fire since then without anybody's having been told, by their keys.
    pub untold: Vec<u128>,
    /// The sources, in their order.
    pub sources: Vec<SourceProgress>,
}

/// How far a source had come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProgress {
    /// Its name; the targets of a job share one.
    pub name: String,
    /// Newest event time.
    pub newest: Option<Millis>,
    /// Up to where it has promised that nothing comes any more.
    pub quiet: Option<Millis>,
}

impl HostRecord {
    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Record {
        // Into memory, and of a type without anything that postcard could not say.
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        Record { name: NAME.to_owned(), version: VERSION, bytes }
    }

    /// Finds it among a checkpoint's records.
    ///
    /// # Errors
    /// What does not fit.
    pub fn find(records: &[Record]) -> Result<Self, String> {
        let record = records.iter().find(|r| r.name == NAME).ok_or_else(|| format!("there is no record {NAME}"))?;
        if record.version != VERSION {
            return Err(format!("record {NAME} has version {}, this release reads {VERSION}", record.version));
        }
        postcard::from_bytes(&record.bytes).map_err(|e| format!("record {NAME}: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_among_the_others() {
        let sources = vec![SourceProgress { name: "remote_write".to_owned(), newest: Some(-1), quiet: None }];
        let host = HostRecord { told_since: 5, untold: vec![u128::MAX], sources };
        let other = Record { name: "windows/0".to_owned(), version: 9, bytes: vec![1] };
        assert_eq!(HostRecord::find(&[other.clone(), host.encode()]).unwrap(), host);
        assert!(HostRecord::find(&[other]).unwrap_err().contains(NAME));
        let later = Record { version: VERSION + 1, ..host.encode() };
        assert!(HostRecord::find(&[later]).unwrap_err().contains("version"));
    }
}
