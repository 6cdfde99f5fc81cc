//! The bytes of the log: a segment's head and its frames. Pure.
//!
//! All numbers little-endian. Head: `FWLOG`, version u16, created i64, first sequence number u64, acknowledged u64,
//! CRC-32 of these. Frame: length u32 of what follows the checksum, CRC-32 of length and the rest; then sequence number u64, arrival i64,
//! watermark i64 (`i64::MIN`: none), form u8, length u8 of the source's name, the name, the payload.

use std::ops::Range;

use crate::base::Millis;

/// Form of segments that this release writes. `tests/fixtures/state` keeps one of each.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 5] = b"FWLOG";
/// Bytes of a segment's head.
pub const HEAD: usize = MAGIC.len() + 2 + 8 + 8 + 8 + 4;
/// Bytes of a frame before the source's name.
pub const FIXED: usize = 4 + 4 + 8 + 8 + 8 + 1 + 1;

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// When the log was opened by the process that made it, by the clock.
    pub created: Millis,
    /// Sequence number of the first entry.
    pub first: u64,
    /// All entries below this number had been acknowledged when the segment began.
    pub acknowledged: u64,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<P = Vec<u8>> {
    /// Its number; each is one greater than that before, but for gaps where writing had failed.
    pub sequence: u64,
    /// When it arrived, by the clock.
    pub at: Millis,
    /// How far event time had come then: nothing up to there is accepted of it.
    pub watermark: Option<Millis>,
    /// What the payload is; the source knows.
    pub form: u8,
    /// Name of the source; at most 255 bytes are kept.
    pub source: String,
    /// The bytes.
    pub payload: P,
}

impl Head {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.created.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.acknowledged.to_le_bytes());
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads it from the beginning of a segment.
    ///
    /// # Errors
    /// The version, where it is of a later release; None where the bytes are no head.
    pub fn decode(segment: &[u8]) -> Result<Self, Option<u16>> {
        let head = segment.get(..HEAD).ok_or(None)?;
        let version = u16::from_le_bytes(array(head, 5));
        let whole = crc32fast::hash(&head[..HEAD - 4]) == u32::from_le_bytes(array(head, HEAD - 4));
        if &head[..5] != MAGIC || !whole {
            return Err(None);
        }
        if version > VERSION {
            return Err(Some(version));
        }
        Ok(Self {
            created: i64::from_le_bytes(array(head, 7)),
            first: u64::from_le_bytes(array(head, 15)),
            acknowledged: u64::from_le_bytes(array(head, 23)),
        })
    }
}

impl<P: AsRef<[u8]>> Entry<P> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let source = &self.source.as_bytes()[..self.source.len().min(255)];
        let payload = self.payload.as_ref();
        let start = out.len();
        let length = FIXED - 8 + source.len() + payload.len();
        // Requests are bounded far below 4 GiB, see `limits.request_bytes`.
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.at.to_le_bytes());
        out.extend_from_slice(&self.watermark.unwrap_or(i64::MIN).to_le_bytes());
        out.extend_from_slice(&[self.form, source.len() as u8]);
        out.extend_from_slice(source);
        out.extend_from_slice(payload);
        let sum = checksum(&out[start..]);
        out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    }
}

/// A frame found in a segment.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The entry, its payload still in the segment.
    pub entry: Entry<&'a [u8]>,
    /// Where the frame stands.
    pub place: Range<usize>,
}

/// The whole frame that begins at `at`; None where there is none.
#[must_use]
pub fn frame(segment: &[u8], at: usize) -> Option<Frame<'_>> {
    let rest = segment.get(at..)?;
    let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
    let bytes = rest.get(..length.checked_add(8)?).filter(|bytes| bytes.len() >= FIXED)?;
    if checksum(bytes) != u32::from_le_bytes(array(bytes, 4)) {
        return None;
    }
    let name = FIXED..FIXED + usize::from(bytes[FIXED - 1]);
    let watermark = i64::from_le_bytes(array(bytes, 24));
    let entry = Entry {
        sequence: u64::from_le_bytes(array(bytes, 8)),
        at: i64::from_le_bytes(array(bytes, 16)),
        watermark: Some(watermark).filter(|w| *w != i64::MIN),
        form: bytes[32],
        source: String::from_utf8_lossy(bytes.get(name.clone())?).into_owned(),
        payload: bytes.get(name.end..)?,
    };
    Some(Frame { entry, place: at..at + bytes.len() })
}

/// The first whole frame at or after `at` with a number from `at_least` on: what follows damage can still be read.
#[must_use]
pub fn next_frame(segment: &[u8], at: usize, at_least: u64) -> Option<Frame<'_>> {
    // Looked at before the checksum, which among garbage would cost a pass over megabytes at every byte.
    let plausible =
        |at: &usize| u64::from_le_bytes(array(segment, at + 8)).wrapping_sub(at_least) <= u64::from(u32::MAX);
    (at..segment.len().saturating_sub(FIXED - 1)).filter(plausible).find_map(|at| frame(segment, at))
}

/// Of a frame but for the four bytes that the checksum itself takes.
fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

/// Bytes that are known to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(sequence: u64, payload: &[u8]) -> Entry {
        let source = "remote_write".to_owned();
        Entry { sequence, at: -1, watermark: Some(5), form: 2, source, payload: payload.to_vec() }
    }

    #[test]
    fn a_head_of_a_later_release_is_told_from_a_torn_one() {
        let head = Head { created: -3, first: 7, acknowledged: 6 };
        let mut bytes = head.encode();
        assert_eq!((Head::decode(&bytes), bytes.len()), (Ok(head), HEAD));
        assert_eq!(Head::decode(&bytes[..HEAD - 1]), Err(None));
        bytes[5] = 9;
        assert_eq!(Head::decode(&bytes), Err(None));
        let sum = crc32fast::hash(&bytes[..HEAD - 4]);
        bytes[HEAD - 4..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Head::decode(&bytes), Err(Some(9)));
    }

    proptest! {
        #[test]
        fn frames_are_read_as_written_and_damage_costs_one(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let mut bytes = Vec::new();
            payloads.iter().enumerate().for_each(|(i, p)| entry(i as u64, p).encode(&mut bytes));
            let read = |bytes: &[u8]| {
                let (mut found, mut at) = (Vec::new(), 0);
                while let Some(frame) = next_frame(bytes, at, 0) {
                    at = frame.place.end;
                    let Entry { sequence, at, watermark, form, source, payload } = frame.entry;
                    found.push(Entry { sequence, at, watermark, form, source, payload: payload.to_vec() });
                }
                found
            };
            let whole = read(&bytes);
            prop_assert_eq!(&whole, &payloads.iter().enumerate().map(|(i, p)| entry(i as u64, p)).collect::<Vec<_>>());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let damaged = read(&bytes);
            prop_assert!(damaged.iter().all(|e| whole.contains(e)), "nothing is made up");
            prop_assert_eq!(damaged.len(), whole.len() - 1);
            let cut = read(&bytes[..at]);
            prop_assert!(cut.iter().eq(whole.iter().take(cut.len())));
        }
    }
}
