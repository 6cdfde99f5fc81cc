//! The compressed samples of one series.
//!
//! A sample is one header byte, then the time if it is not where the last step predicts it, then the bytes of the value
//! that differ from the value before:
//!
//! ```text
//! header   bit 7: a delta of delta follows; bits 0..=6: 0 = same value, else 1 + 8 * trailing zero bytes + (length - 1)
//! time     zigzag varint of (t - last t) - (last step), milliseconds
//! value    the non-zero bytes of (bits XOR last bits), low to high
//! ```
//!
//! This is Gorilla's scheme (Pelkonen et al., VLDB 2015: delta-of-delta times, XOR values) on whole bytes: a few per cent
//! larger than on bits, and several times faster to append and to walk.

use serde::{Deserialize, Serialize};

use crate::base::{Millis, Sample};

/// A place in a ring: what was decoded last, and where the next sample begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Offset of the next sample since the ring began, modulo 2^32.
    offset: u32,
    /// Step from the sample before to this one, milliseconds, clipped.
    step: u32,
    t: Millis,
    #[serde(with = "as_float")]
    bits: u64,
}

impl Cursor {
    /// The sample decoded last.
    #[inline]
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample { t: self.t, v: f64::from_bits(self.bits) }
    }

    /// Time of the sample decoded last.
    #[inline]
    #[must_use]
    pub fn t(&self) -> Millis {
        self.t
    }
}

/// Compressed samples in order of time, from the oldest that any window still needs.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    bytes: Vec<u8>,
    /// State before `bytes[0]`; its offset is that of `bytes[0]`.
    origin: Cursor,
    head: Cursor,
}

/// A ring as it is saved.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedRing<'a> {
    origin: Cursor,
    head: Cursor,
    /// Capacity beyond the bytes: it decides when the ring is trimmed, and so what a window that is added later finds.
    spare: usize,
    #[serde(serialize_with = "as_bytes")]
    bytes: &'a [u8],
}

/// The longest encoding: header, ten bytes of varint, eight of value.
const LONGEST: usize = 19;

impl Ring {
    /// A ring without samples.
    #[must_use]
    pub fn none() -> &'static Self {
        static NONE: Ring = {
            let at = Cursor { offset: 0, step: 0, t: 0, bits: 0 };
            Ring { bytes: Vec::new(), origin: at, head: at }
        };
        &NONE
    }

    /// The place before the oldest sample kept.
    #[must_use]
    pub fn origin(&self) -> Cursor {
        self.origin
    }

    /// The place after the newest sample.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.head
    }

    /// Whether the next [`Self::push`] would have to grow the ring: time to [`Self::trim`].
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() + LONGEST > self.bytes.capacity()
    }

    /// Whether it holds no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes held, spare capacity included.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a sample. Times must not go back.
    #[inline]
    pub fn push(&mut self, t: Millis, v: f64) {
        if self.is_full() {
            self.grow();
        }
        let last = self.head;
        let header_at = self.bytes.len();
        self.bytes.push(0);
        let mut header = 0;
        let step = t.wrapping_sub(last.t);
        let dod = step.wrapping_sub(i64::from(last.step));
        if dod != 0 {
            header = 0x80;
            let mut rest = ((dod << 1) ^ (dod >> 63)) as u64;
            while rest >= 0x80 {
                self.bytes.push((rest as u8) | 0x80);
                rest >>= 7;
            }
            self.bytes.push(rest as u8);
        }
        let bits = v.to_bits();
        let difference = bits ^ last.bits;
        if difference != 0 {
            let low = difference.trailing_zeros() / 8;
            let length = 8 - low - difference.leading_zeros() / 8;
            header |= 1 + (low * 8 + length - 1) as u8;
            let wide = (difference >> (low * 8)).to_le_bytes();
            self.bytes.extend_from_slice(&wide[..length as usize]);
        }
        self.bytes[header_at] = header;
        let written = (self.bytes.len() - header_at) as u32;
        self.head = Cursor { offset: last.offset.wrapping_add(written), step: clip(step), t, bits };
    }

    /// Moves the cursor over the next sample and gives it; None at the head.
    #[inline]
    pub fn next(&self, cursor: &mut Cursor) -> Option<Sample> {
        let mut at = cursor.offset.wrapping_sub(self.origin.offset) as usize;
        let header = *self.bytes.get(at)?;
        at += 1;
        let mut step = i64::from(cursor.step);
        if header & 0x80 != 0 {
            let (mut zigzag, mut shift) = (0u64, 0u32);
            loop {
                let byte = *self.bytes.get(at)?;
                at += 1;
                zigzag |= u64::from(byte & 0x7f).wrapping_shl(shift);
                if byte < 0x80 {
                    break;
                }
                shift += 7;
            }
            step = step.wrapping_add(((zigzag >> 1) as i64) ^ -((zigzag & 1) as i64));
        }
        let code = u32::from(header & 0x7f);
        if code != 0 {
            let (low, length) = ((code - 1) / 8, ((code - 1) % 8 + 1) as usize);
            cursor.bits ^= self.little_endian(at, length)?.wrapping_shl(low * 8);
            at += length;
        }
        cursor.t = cursor.t.wrapping_add(step);
        cursor.step = clip(step);
        cursor.offset = self.origin.offset.wrapping_add(at as u32);
        Some(cursor.sample())
    }

    /// The older of two places.
    #[must_use]
    pub fn older(&self, a: Cursor, b: Cursor) -> Cursor {
        let distance = |cursor: Cursor| cursor.offset.wrapping_sub(self.origin.offset);
        if distance(b) < distance(a) { b } else { a }
    }

    /// Forgets what lies before a place. Nothing happens until that is a good part of the ring.
    pub fn trim(&mut self, oldest: Cursor) {
        let dead = oldest.offset.wrapping_sub(self.origin.offset) as usize;
        if dead * 16 >= self.bytes.len() {
            self.bytes.drain(..dead);
            self.origin = oldest;
        }
    }

    /// Whether a place lies within the ring.
    #[must_use]
    pub fn holds(&self, at: Cursor) -> bool {
        at.offset.wrapping_sub(self.origin.offset) as usize <= self.bytes.len()
    }

    /// The ring as it is saved.
    #[must_use]
    pub fn saved(&self) -> SavedRing<'_> {
        let spare = self.bytes.capacity() - self.bytes.len();
        SavedRing { origin: self.origin, head: self.head, spare, bytes: &self.bytes }
    }

    fn grow(&mut self) {
        let more = (self.bytes.len() / 16).max(2 * LONGEST);
        self.bytes.reserve_exact(more);
    }

    #[inline]
    fn little_endian(&self, at: usize, length: usize) -> Option<u64> {
        if let Some(wide) = self.bytes.get(at..at + 8) {
            let value = u64::from_le_bytes([wide[0], wide[1], wide[2], wide[3], wide[4], wide[5], wide[6], wide[7]]);
            return Some(value & (u64::MAX >> (64 - 8 * length)));
        }
        let mut value = 0;
        for (i, &byte) in self.bytes.get(at..at + length)?.iter().enumerate() {
            value |= u64::from(byte) << (8 * i);
        }
        Some(value)
    }
}

impl SavedRing<'_> {
    /// The ring that was saved; None unless its bytes lead from its origin to its head. `room` is how many bytes of spare
    /// capacity there may be in all, and what is given is taken off.
    #[must_use]
    pub fn restore(&self, room: &mut usize) -> Option<Ring> {
        let spare = self.spare.min(*room);
        *room -= spare;
        let mut bytes = Vec::with_capacity(self.bytes.len() + spare);
        bytes.extend_from_slice(self.bytes);
        let ring = Ring { bytes, origin: self.origin, head: self.head };
        let mut at = ring.origin();
        while at.offset != ring.head.offset {
            ring.next(&mut at)?;
        }
        (at == ring.head && ring.bytes.len() as u32 == at.offset.wrapping_sub(ring.origin.offset)).then_some(ring)
    }
}

fn as_bytes<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// The bits of a value, eight bytes whatever they are.
mod as_float {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bits: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        f64::from_bits(*bits).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        f64::deserialize(deserializer).map(f64::to_bits)
    }
}

#[inline]
fn clip(step: i64) -> u32 {
    step.clamp(0, i64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(ring: &Ring, mut cursor: Cursor) -> Vec<(Millis, u64)> {
        let mut out = Vec::new();
        while let Some(s) = ring.next(&mut cursor) {
            out.push((s.t, s.v.to_bits()));
        }
        out
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(samples in prop::collection::vec((0i64..100_000_000_000, any::<u64>()), 1..200), cut in 0usize..200) {
            let mut sorted = samples;
            sorted.sort_unstable();
            let mut ring = Ring::default();
            for (t, bits) in &sorted {
                ring.push(*t, f64::from_bits(*bits));
            }
            prop_assert_eq!(&walk(&ring, ring.origin()), &sorted);
            // A trimmed ring still gives the rest, from a cursor that was there before.
            let mut cursor = ring.origin();
            let cut = cut.min(sorted.len());
            for _ in 0..cut {
                ring.next(&mut cursor);
            }
            ring.trim(ring.older(ring.head(), cursor));
            prop_assert_eq!(&walk(&ring, cursor), &sorted[cut..]);
            ring.push(200_000_000_000, 1.0);
            prop_assert_eq!(walk(&ring, cursor).len(), sorted.len() - cut + 1);
        }
    }

    #[test]
    fn a_regular_gauge_costs_few_bytes() {
        let mut ring = Ring::default();
        for i in 0..1000i64 {
            ring.push(i * 15_000, (400_000 + (i * 37) % 256) as f64 * 4096.0);
        }
        assert!(ring.bytes.len() < 4 * 1000, "{}", ring.bytes.len());
    }
}
