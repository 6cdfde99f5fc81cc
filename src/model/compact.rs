//! A week of hourly values in two bytes each.
//!
//! A cell is a small floating-point number: sign, 6 bits of exponent, 9 of mantissa, relative to a unit that grows when a
//! value needs it. Error at most 0.1% of the distance from the series' origin, over 19 decades. The members that read old
//! values are weighted by their measured error, so that what is lost here is seen there.

use serde::{Deserialize, Serialize};

use super::saved::words;

/// Hours remembered: a week.
pub(super) const HOURS: usize = 168;

/// Exponent of f32 that becomes 0 here.
const BIAS: u32 = 96;
const DROPPED_BITS: u32 = 14;
const SIGN: u16 = 0x8000;
/// Values reach up to this many units.
const REACH: f32 = 4_294_967_296.0; // 2^32

/// A ring of [`HOURS`] values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CompactRing {
    #[serde(with = "words")]
    cells: [u16; HOURS],
    /// Position of the next value.
    next: u16,
    /// A power of two; 0 before the first value that is not 0.
    unit: f32,
}

impl CompactRing {
    /// All zero.
    pub fn new() -> Self {
        Self { cells: [0; HOURS], next: 0, unit: 0.0 }
    }

    /// Adds the newest value; the oldest falls out.
    pub fn push(&mut self, v: f64) {
        let v = v.clamp(-1e30, 1e30) as f32;
        if v.abs() >= self.unit * REACH * 0.5 && v != 0.0 {
            self.raise_unit(v.abs());
        }
        self.cells[self.next as usize] = encode(v, self.unit);
        self.next = (self.next + 1) % HOURS as u16;
    }

    /// The value that many hours before the newest, 0 being the newest itself.
    pub fn back(&self, hours: usize) -> f64 {
        let at = (self.next as usize + 2 * HOURS - 1 - hours.min(HOURS - 1)) % HOURS;
        f64::from(decode(self.cells[at], self.unit))
    }

    fn raise_unit(&mut self, largest: f32) {
        // The value itself comes to lie 20 octaves under the reach, at 2^12 units; normal f32 numbers only.
        let exponent = (largest.to_bits() >> 23).clamp(40, 254) - 12;
        let unit = f32::from_bits(exponent << 23);
        for cell in &mut self.cells {
            *cell = encode(decode(*cell, self.unit), unit);
        }
        self.unit = unit;
    }
}

fn encode(v: f32, unit: f32) -> u16 {
    if unit == 0.0 {
        return 0;
    }
    let bits = (v.abs() / unit).to_bits() + (1 << (DROPPED_BITS - 1));
    let exponent = bits >> 23;
    if exponent <= BIAS {
        return 0;
    }
    let code = (bits >> DROPPED_BITS) - (BIAS << (23 - DROPPED_BITS));
    let code = code.min(u32::from(SIGN - 1)) as u16;
    if v < 0.0 { code | SIGN } else { code }
}

fn decode(cell: u16, unit: f32) -> f32 {
    let code = u32::from(cell & !SIGN);
    if code == 0 {
        return 0.0;
    }
    let size = f32::from_bits((code + (BIAS << (23 - DROPPED_BITS))) << DROPPED_BITS) * unit;
    if cell & SIGN != 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_is_zero_hours_back() {
        let mut ring = CompactRing::new();
        for i in 0..500 {
            ring.push(f64::from(i));
        }
        for back in [0, 1, 23, 100, 167] {
            let (is, should) = (ring.back(back), 499.0 - back as f64);
            assert!((is - should).abs() <= should * 1e-3, "{back}: {is}");
        }
    }

    #[test]
    fn the_unit_grows_with_the_values() {
        let mut ring = CompactRing::new();
        for v in [0.0, 1e-9, -5.0, 1e12] {
            ring.push(v);
        }
        assert_eq!(ring.back(0), ring.back(0));
        assert!((ring.back(0) / 1e12 - 1.0).abs() < 1e-3);
        assert!((ring.back(1) / -5.0 - 1.0).abs() < 1e-3);
        assert_eq!(ring.back(2), 0.0, "21 decades below the largest");
    }

    proptest! {
        #[test]
        fn a_value_comes_back_within_a_thousandth(v in -1e20..1e20f64) {
            let mut ring = CompactRing::new();
            ring.push(v);
            prop_assert!((ring.back(0) - v).abs() <= v.abs() * 1e-3);
        }
    }
}
