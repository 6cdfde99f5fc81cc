//! One window over one series: where it begins in the ring, and what has been summed up of it.

use serde::{Deserialize, Serialize};

use super::ring::{Cursor, Ring};
use crate::base::{Millis, Sample, is_stale};

/// What a function family keeps of the samples in its window.
pub trait Accumulator: Default {
    /// A sample enters at the head; times never go back.
    fn push(&mut self, sample: Sample);

    /// The oldest sample leaves; `next` is the oldest then, None if the window is empty.
    fn evict(&mut self, oldest: Sample, next: Option<Sample>);

    /// Whether rounding may have eaten into the result, so that the window must be summed up anew.
    #[inline]
    fn is_worn(&self) -> bool {
        false
    }
}

/// The accumulator of functions that walk the window at every tick, or need nothing but its ends.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Nothing;

impl Accumulator for Nothing {
    #[inline]
    fn push(&mut self, _: Sample) {}

    #[inline]
    fn evict(&mut self, _: Sample, _: Option<Sample>) {}
}

/// A window `(end - range, end]` that only moves forward.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Window<A> {
    /// At the oldest sample inside where `count > 0`, else before the next sample to come.
    tail: Cursor,
    /// Samples inside, staleness markers not counted.
    count: u32,
    /// What is summed up.
    pub sums: A,
}

impl<A: Accumulator> Window<A> {
    /// A window that will take in what lies after `at`.
    #[must_use]
    pub fn new(at: Cursor) -> Self {
        Self { tail: at, count: 0, sums: A::default() }
    }

    /// Samples inside.
    #[inline]
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The oldest sample inside. Meaningless while the window is empty.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Sample {
        self.tail.sample()
    }

    /// The oldest place in the ring that this window still needs.
    #[inline]
    #[must_use]
    pub fn tail(&self) -> Cursor {
        self.tail
    }

    /// Takes in the sample that was just decoded or pushed, `at` being the place after it. Staleness markers are skipped.
    #[inline]
    pub fn push(&mut self, at: Cursor) {
        let sample = at.sample();
        if is_stale(sample.v) {
            return;
        }
        if self.count == 0 {
            self.tail = at;
        }
        self.count += 1;
        self.sums.push(sample);
    }

    /// Drops what is not after `start`.
    #[inline]
    pub fn evict(&mut self, ring: &Ring, start: Millis) {
        while self.count > 0 && self.tail.t() <= start {
            let oldest = self.tail.sample();
            self.count -= 1;
            let next = if self.count > 0 { self.step(ring) } else { None };
            self.sums.evict(oldest, next);
            if self.count == 0 {
                self.sums = A::default();
            }
        }
        if self.sums.is_worn() {
            self.rebuild(ring);
        }
    }

    /// The samples inside, oldest first.
    pub fn samples<'a>(&self, ring: &'a Ring) -> impl Iterator<Item = Sample> + 'a {
        let mut cursor = self.tail;
        let mut first = (self.count > 0).then(|| cursor.sample());
        let mut left = self.count;
        std::iter::from_fn(move || {
            while left > 0 {
                let sample = match first.take() {
                    Some(sample) => sample,
                    None => ring.next(&mut cursor)?,
                };
                if !is_stale(sample.v) {
                    left -= 1;
                    return Some(sample);
                }
            }
            None
        })
    }

    /// Whether a window that was read back fits its ring: it ends at `head` and has as many samples as it says.
    #[must_use]
    pub fn fits(&self, ring: &Ring, head: Cursor) -> bool {
        if self.count == 0 {
            return ring.holds(self.tail);
        }
        let (mut at, mut count) = (self.tail, u32::from(!is_stale(self.tail.sample().v)));
        while at.t() < head.t() {
            match ring.next(&mut at) {
                Some(sample) => count += u32::from(!is_stale(sample.v)),
                None => return false,
            }
        }
        ring.holds(self.tail) && at == head && count == self.count
    }

    fn step(&mut self, ring: &Ring) -> Option<Sample> {
        loop {
            let sample = ring.next(&mut self.tail)?;
            if !is_stale(sample.v) {
                return Some(sample);
            }
        }
    }

    #[cold]
    fn rebuild(&mut self, ring: &Ring) {
        let mut sums = A::default();
        for sample in self.samples(ring) {
            sums.push(sample);
        }
        self.sums = sums;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::stale_nan;

    /// Feeds samples one by one and calls `check` with the window and its true content after each.
    pub fn slide<A: Accumulator>(samples: &[Sample], range: Millis, mut check: impl FnMut(&Window<A>, &[Sample])) {
        let mut ring = Ring::default();
        let mut window = Window::<A>::new(ring.origin());
        for (i, s) in samples.iter().enumerate() {
            if ring.is_full() {
                ring.trim(window.tail());
            }
            ring.push(s.t, s.v);
            window.push(ring.head());
            window.evict(&ring, s.t - range);
            let inside: Vec<Sample> =
                samples[..=i].iter().copied().filter(|x| x.t > s.t - range && !is_stale(x.v)).collect();
            assert_eq!(window.count() as usize, inside.len());
            check(&window, &inside);
        }
    }

    #[test]
    fn markers_are_skipped_and_the_rest_is_walked() {
        let samples: Vec<Sample> =
            (0..50).map(|i| Sample { t: i * 10, v: if i % 7 == 3 { stale_nan() } else { i as f64 } }).collect();
        slide::<Nothing>(&samples, 95, |window, inside| {
            if let Some(first) = inside.first() {
                assert_eq!(window.first(), *first);
            }
        });
    }
}
