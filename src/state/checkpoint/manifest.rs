//! The manifest of a checkpoint: one line of JSON, and its checksum on a line of its own. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::base::{Millis, Record};

/// Form of manifest and records file that this release writes. `tests/fixtures/state` keeps one of each.
pub const FORMAT: u16 = 1;

/// What a checkpoint is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The release that wrote it.
    pub release: String,
    /// When, by the clock.
    pub created: Millis,
    /// How far event time had come.
    pub watermark: Option<Millis>,
    /// How far each stream had been read: the first item that is not in the checkpoint.
    pub positions: BTreeMap<String, u64>,
    /// Fingerprint of the rules in force.
    pub rules: String,
}

/// Where a record stands in the records file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Name of the record.
    pub name: String,
    /// Its version.
    pub version: u16,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// CRC-32 of the bytes.
    pub crc32: u32,
}

/// All that is known of a checkpoint without its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of these files.
    pub format: u16,
    /// Number of the checkpoint; later ones have greater numbers.
    pub number: u64,
    /// What it is of.
    #[serde(flatten)]
    pub header: Header,
    /// Bytes of the records file.
    pub bytes: u64,
    /// The records, in the order of the file.
    pub records: Vec<Piece>,
}

/// Why bytes are no manifest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Torn or flipped.
    #[error("{0}")]
    Broken(String),
    /// Of a later release.
    #[error("form {0}")]
    Newer(u16),
}

impl Manifest {
    /// The manifest of records that stand in the file one after the other.
    #[must_use]
    pub fn new(number: u64, header: Header, records: &[Record]) -> Self {
        let mut bytes = 0;
        let piece = |record: &Record| {
            let offset = bytes;
            bytes += record.bytes.len() as u64;
            let (name, version) = (record.name.clone(), record.version);
            Piece { name, version, offset, bytes: record.bytes.len() as u64, crc32: crc32fast::hash(&record.bytes) }
        };
        let records = records.iter().map(piece).collect();
        Self { format: FORMAT, number, header, bytes, records }
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Maps with string keys and numbers: nothing there that JSON could not say.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        let sum = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc32 {sum:08x}");
        text.into_bytes()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is not as it was written, or of a later release.
    pub fn decode(file: &[u8]) -> Result<Self, ManifestError> {
        let broken = |what: &str| ManifestError::Broken(what.to_owned());
        let end = file.iter().position(|b| *b == b'\n').ok_or_else(|| broken("the manifest is torn"))?;
        let (line, sum) = file.split_at(end + 1);
        if sum != format!("crc32 {:08x}\n", crc32fast::hash(line)).as_bytes() {
            return Err(broken("the manifest's checksum is wrong"));
        }
        // Before the rest, which a later form may say otherwise.
        #[derive(Deserialize)]
        struct Form {
            format: u16,
        }
        let json = |e: serde_json::Error| ManifestError::Broken(format!("the manifest cannot be read: {e}"));
        let Form { format } = serde_json::from_slice(line).map_err(json)?;
        if format > FORMAT {
            return Err(ManifestError::Newer(format));
        }
        serde_json::from_slice(line).map_err(json)
    }

    /// Takes the records out of their file.
    ///
    /// # Errors
    /// The file is not the one that was written.
    pub fn cut(&self, file: &[u8]) -> Result<Vec<Record>, ManifestError> {
        if file.len() as u64 != self.bytes {
            let (is, was) = (file.len(), self.bytes);
            return Err(ManifestError::Broken(format!("the records have {is} bytes and were written with {was}")));
        }
        let cut = |piece: &Piece| {
            let (start, end) = (piece.offset as usize, piece.offset.checked_add(piece.bytes).map(|end| end as usize));
            let bytes = end.and_then(|end| file.get(start..end));
            match bytes.filter(|bytes| crc32fast::hash(bytes) == piece.crc32) {
                Some(bytes) => Ok(Record { name: piece.name.clone(), version: piece.version, bytes: bytes.to_vec() }),
                None => Err(ManifestError::Broken(format!("the checksum of record {:?} is wrong", piece.name))),
            }
        };
        self.records.iter().map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> Vec<Record> {
        let record = |name: &str, bytes: &[u8]| Record { name: name.to_owned(), version: 3, bytes: bytes.to_vec() };
        vec![record("a", b"first"), record("b", b""), record("c", b"last")]
    }

    fn manifest() -> Manifest {
        let header = Header {
            release: "0.1.0".to_owned(),
            watermark: Some(-5),
            positions: [("log".to_owned(), u64::MAX)].into(),
            ..Header::default()
        };
        Manifest::new(7, header, &records())
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = manifest();
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        assert_eq!(manifest.cut(b"firstlast").unwrap(), records());
        assert_eq!((manifest.bytes, manifest.records[2].offset), (9, 5));
    }

    #[test]
    fn a_later_form_is_told_from_a_broken_one() {
        let later = Manifest { format: FORMAT + 1, ..manifest() };
        assert_eq!(Manifest::decode(&later.encode()).unwrap_err(), ManifestError::Newer(FORMAT + 1));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_goes_unseen(at: prop::sample::Index, bit in 0..8_u8) {
            let file = manifest().encode();
            let mut flipped = file.clone();
            flipped[at.index(file.len())] ^= 1 << bit;
            prop_assert!(matches!(Manifest::decode(&flipped), Err(ManifestError::Broken(_))));
            prop_assert!(Manifest::decode(&file[..at.index(file.len())]).is_err());
            let mut records = b"firstlast".to_vec();
            records[at.index(9)] ^= 1 << bit;
            prop_assert!(manifest().cut(&records).is_err());
        }
    }
}
