//! What a person sees while history is played: a progress bar on a terminal, and what was found in them.
//!
//! Such findings are long over: they are shown, and told to no receiver. What still holds when the recording ends is sent
//! again by the engine soon after, then as of now.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::alert::{AlertState, Transition};
use crate::sink::LineFormat;
use crate::source::Progress;

/// Lines of findings shown; the rest is counted.
const LINES_MAX: u64 = 40;

/// Shows findings of the past above the progress bar.
#[derive(Clone, Debug)]
pub struct Past {
    bar: ProgressBar,
    format: Option<LineFormat>,
    shown: Arc<AtomicU64>,
    found: Arc<AtomicU64>,
}

impl Past {
    /// A bar that is hidden unless standard error is a terminal; `format` is None if findings are not wanted on standard
    /// output.
    #[must_use]
    pub fn new(format: Option<LineFormat>) -> Self {
        // indicatif draws nothing where standard error is no terminal.
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("  learning from history {bar:40} {percent:>3}%  {msg}") {
            bar.set_style(style);
        }
        Self { bar, format, shown: Arc::default(), found: Arc::default() }
    }

    /// Shows what became of alerts in the past: when they began to fire, and when that ended.
    pub fn show(&self, transitions: &[Transition]) {
        for transition in transitions.iter().filter(|t| t.from != t.to && t.is_notified()) {
            self.found.fetch_add(u64::from(transition.to == AlertState::Firing), Relaxed);
            let Some(format) = self.format else { continue };
            if self.shown.fetch_add(1, Relaxed) < LINES_MAX {
                let line = format.line(transition);
                // Whoever closed standard output does not want to see it.
                self.bar.suspend(|| drop(writeln!(std::io::stdout(), "{line}")));
            }
        }
    }

    /// Alerts that began to fire.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found.load(Relaxed)
    }

    /// Lines that were not shown because there were too many.
    #[must_use]
    pub fn hidden(&self) -> u64 {
        self.shown.load(Relaxed).saturating_sub(LINES_MAX)
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Moves the bar until all that was recorded has been evaluated.
    pub async fn watch(&self, progress: &[Arc<Progress>], mut warm: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                done = warm.wait_for(|warm| *warm) => {
                    // An error means that the engine is gone, which its own watcher reports.
                    drop(done);
                    break;
                }
                _ = look.tick() => {
                    let (done, total) = totals(progress);
                    self.bar.set_length(total);
                    self.bar.set_position(done);
                    let samples: u64 = progress.iter().map(|p| p.samples()).sum();
                    self.bar.set_message(format!("{samples} samples, {} findings", self.found()));
                }
            }
        }
        self.bar.finish_and_clear();
    }
}

/// Steps done, and steps there are.
#[must_use]
pub fn totals(progress: &[Arc<Progress>]) -> (u64, u64) {
    progress.iter().fold((0, 0), |(done, total), p| (done + p.done(), total + p.total()))
}
