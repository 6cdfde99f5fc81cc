//! From which instant on sinks are told of what happens: the first start. What lies before it is history.
//!
//! A clock that was ahead at the first start would make history of the present, for as long as it was ahead, and in every
//! checkpoint from then on. So an instant that the clock shows later must not lie before it. Knows the clock as an argument only.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use crate::base::Millis;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Corrections below this are those of any clock, and not worth a word.
const WORTH_A_WORD: Millis = 1_000;

/// The instant. Clones share it.
#[derive(Clone, Debug)]
pub struct ToldSince(Arc<AtomicI64>);

impl From<Millis> for ToldSince {
    fn from(first_start: Millis) -> Self {
        Self(Arc::new(AtomicI64::new(first_start)))
    }
}

impl ToldSince {
    /// The instant as it is known now.
    #[must_use]
    pub fn get(&self) -> Millis {
        self.0.load(Relaxed)
    }

    /// Takes note of the clock.
    pub fn see_clock(&self, now: Millis) {
        let ahead = self.0.fetch_min(now, Relaxed).saturating_sub(now);
        if ahead >= WORTH_A_WORD {
            let ahead_seconds = ahead / 1_000;
            tracing::warn!(
                ahead_seconds,
                "the clock was ahead when forewarn first started: what happens from now on is no history, and sinks are told of it"
            );
        }
    }

    /// Looks at the clock for as long as the process runs.
    pub async fn follow(self, clock: impl Fn() -> Millis) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            self.see_clock(clock());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;

    #[test]
    fn it_goes_back_with_the_clock_and_never_forth() {
        let since = ToldSince::from(7_200_000);
        let shared = since.clone();
        let seen = [7_200_500, 10_000, 11_000, 9_000].map(|now| {
            since.see_clock(now);
            shared.get()
        });
        assert_eq!(seen, [7_200_000, 10_000, 10_000, 9_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_put_right_is_seen_within_a_second() {
        let (since, clock) = (ToldSince::from(7_200_000), Arc::new(AtomicI64::new(7_200_000)));
        let shown = Arc::clone(&clock);
        let following = tokio::spawn(since.clone().follow(move || shown.load(Relaxed)));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(since.get(), 7_200_000);
        clock.store(10_000, Relaxed);
        tokio::time::sleep(Duration::from_millis(1_001)).await;
        assert_eq!(since.get(), 10_000);
        following.abort();
    }
}
