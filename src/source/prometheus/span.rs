//! How much time one request asks for: less after an answer that was too large for either side, more after small ones. Pure.

use crate::base::Millis;

/// Samples that a step should have: large enough that requests cost nothing, small enough to be held several times over.
const SAMPLES_WANTED: usize = 100_000;
const FIRST: Millis = 3_600_000;
const SHORTEST: Millis = 1_000;
const LONGEST: Millis = 86_400_000;

/// The length of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepSpan {
    span: Millis,
    /// A span that was too long once is not tried again.
    longest: Millis,
}

impl StepSpan {
    pub(super) fn new() -> Self {
        Self { span: FIRST, longest: LONGEST }
    }

    pub(super) fn millis(self) -> Millis {
        self.span
    }

    /// A step of this length was too long; false if it cannot be shorter.
    pub(super) fn shorten(&mut self, tried: Millis) -> bool {
        self.span = (tried / 2).max(SHORTEST);
        self.longest = self.span;
        tried > SHORTEST
    }

    /// A step of this length had so many samples.
    pub(super) fn learn(&mut self, tried: Millis, samples: usize) {
        if samples > SAMPLES_WANTED {
            self.span = (tried / 2).max(SHORTEST);
        } else if samples < SAMPLES_WANTED / 3 && tried >= self.span {
            self.span = (self.span * 2).min(self.longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_over_sparse_and_shrink_over_dense_history() {
        let mut span = StepSpan::new();
        for _ in 0..10 {
            span.learn(span.millis(), 10);
        }
        assert_eq!(span.millis(), LONGEST);
        span.learn(1_000, 10);
        assert_eq!(span.millis(), LONGEST, "a short last step tells nothing");
        span.learn(LONGEST, 1_000_000);
        assert_eq!(span.millis(), LONGEST / 2);
        assert!(span.shorten(LONGEST / 2));
        span.learn(LONGEST / 4, 10);
        assert_eq!(span.millis(), LONGEST / 4, "what was too long is not tried again");
        while span.shorten(span.millis()) {}
        assert_eq!(span.millis(), SHORTEST);
    }
}
