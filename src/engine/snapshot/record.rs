//! Records as bytes: written in pieces of bounded size, each with a checksum of its own, so that whoever reads one back need
//! not trust whoever kept it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{Fault, RestoreError};
use crate::base::Record;

/// What the names of an engine's records begin with; others are not the engine's.
pub(super) const PREFIX: &str = "engine/";

/// Kinds of records, the second part of their names, and the versions that can be read, the newest, which is written, last.
const KINDS: [(&str, &[u16]); 9] = [
    ("contents", &[1]),
    ("rules", &[1]),
    ("profiles", &[1]),
    ("outline", &[1]),
    ("groups", &[1]),
    ("series", &[1]),
    ("waiting", &[1]),
    ("counts", &[1]),
    ("models", &[1]),
];

/// A record is closed when it has so many bytes, so that none grows without bound.
const PIECE: usize = 4 << 20;

/// Records on their way out.
#[derive(Default)]
pub(super) struct Writer {
    records: Vec<Record>,
}

/// A record that goes on in another one when it is large; items are never split.
pub(super) struct Pieces<'w> {
    writer: &'w mut Writer,
    name: String,
    bytes: Vec<u8>,
    written: usize,
}

/// Records on their way in: none unknown, none missing, none damaged.
pub(super) struct Opened<'a> {
    records: BTreeMap<&'a str, &'a [u8]>,
    /// Bytes of all.
    pub bytes: usize,
}

/// Reads values off a record.
pub(in crate::engine) struct Reader<'a> {
    rest: &'a [u8],
}

/// Bytes, written at once.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Adds a value.
pub(in crate::engine) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Only a list that does not know its length can fail, and there is none; what is empty would be refused when it is read.
    *out = postcard::to_extend(value, std::mem::take(out)).unwrap_or_default();
}

/// Adds bytes with their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, &Bytes(bytes));
}

impl Writer {
    /// Adds a record; its kind is the first part of `name`.
    pub fn add(&mut self, name: &str, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let version = versions(name).and_then(|known| known.last()).copied().unwrap_or_default();
        self.records.push(Record { name: format!("{PREFIX}{name}"), version, bytes });
    }

    /// Begins records of many items.
    pub fn pieces(&mut self, name: String) -> Pieces<'_> {
        Pieces { writer: self, name, bytes: vec![], written: 0 }
    }

    /// All records, led by one that lists the others.
    pub fn finish(mut self) -> Vec<Record> {
        let mut bytes = Vec::new();
        put(&mut bytes, &self.records.iter().map(|record| record.name.as_str()).collect::<Vec<_>>());
        self.add("contents", bytes);
        self.records.rotate_right(1);
        self.records
    }
}

impl Pieces<'_> {
    /// Where the next item goes.
    pub fn item(&mut self) -> &mut Vec<u8> {
        if self.bytes.len() >= PIECE {
            self.close();
        }
        if self.bytes.capacity() == 0 && self.written > 0 {
            self.bytes.reserve(PIECE + PIECE / 16);
        }
        &mut self.bytes
    }

    /// The end of the items.
    pub fn finish(mut self) {
        if !self.bytes.is_empty() {
            self.close();
        }
    }

    fn close(&mut self) {
        let name = format!("{}/{}", self.name, self.written);
        self.written += 1;
        self.writer.add(&name, std::mem::take(&mut self.bytes));
    }
}

impl<'a> Opened<'a> {
    /// Checks records; those that are not the engine's are passed over.
    pub fn new(records: &'a [Record]) -> Result<Self, RestoreError> {
        let mut opened = Self { records: BTreeMap::new(), bytes: 0 };
        for record in records {
            let Some(name) = record.name.strip_prefix(PREFIX) else { continue };
            let unknown = || RestoreError::Unknown { record: record.name.clone() };
            let known = versions(name).ok_or_else(unknown)?;
            if !known.contains(&record.version) {
                return Err(RestoreError::Version { record: record.name.clone(), version: record.version, known });
            }
            let damaged = || Fault::from("its checksum differs").of(&record.name);
            let (bytes, sum) = record.bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
            if crc32fast::hash(bytes) != u32::from_le_bytes(*sum) {
                return Err(damaged());
            }
            opened.bytes += bytes.len();
            if opened.records.insert(name, bytes).is_some() {
                return Err(Fault::from("it is there twice").of(&record.name));
            }
        }
        let listed: BTreeSet<&str> = opened.read("contents", Reader::take)?;
        let full = |name: &str| format!("{PREFIX}{name}");
        if let Some(name) = listed.iter().find(|name| opened.get(name).is_none()) {
            return Err(RestoreError::Missing { record: (*name).to_owned() });
        }
        let is_listed = |name: &&&str| **name == "contents" || listed.contains(&full(name).as_str());
        match opened.records.keys().find(|name| !is_listed(name)) {
            Some(name) => Err(RestoreError::Unknown { record: full(name) }),
            None => Ok(opened),
        }
    }

    /// Reads a record to its end.
    pub fn read<T>(&self, name: &str, f: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>) -> Result<T, RestoreError> {
        let full = || format!("{PREFIX}{name}");
        let bytes = self.records.get(name).ok_or_else(|| RestoreError::Missing { record: full() })?;
        let mut reader = Reader { rest: bytes };
        let value = f(&mut reader).map_err(|fault| fault.of(&full()))?;
        if reader.is_empty() { Ok(value) } else { Err(Fault::from("there is more than was read").of(&full())) }
    }

    /// Reads the items of records that were written in pieces.
    pub fn read_items(
        &self,
        name: &str,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<(), Fault>,
    ) -> Result<(), RestoreError> {
        for piece in 0.. {
            let name = format!("{name}/{piece}");
            if !self.records.contains_key(name.as_str()) {
                break;
            }
            self.read(&name, |reader| {
                while !reader.is_empty() {
                    item(reader)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn get(&self, full: &str) -> Option<&'a [u8]> {
        self.records.get(full.strip_prefix(PREFIX)?).copied()
    }
}

impl<'a> Reader<'a> {
    /// The next value.
    pub fn take<T: Deserialize<'a>>(&mut self) -> Result<T, Fault> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|e| Fault(e.to_string()))?;
        self.rest = rest;
        Ok(value)
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The versions known of a kind of record.
fn versions(name: &str) -> Option<&'static [u16]> {
    let kind = name.split('/').next()?;
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, versions)| *versions)
}
