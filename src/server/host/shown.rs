//! What the engine's owner shows of itself, whether time goes on or not: how far it is behind and for whom it waits, and what
//! the engine holds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::lag::{Slowest, Wait};
use super::Host;
use crate::base::Millis;
use crate::source::clock;
use crate::telemetry::{EngineMetrics, OneSource};

/// How often holdings are measured, which walks all series.
const HOLDINGS_EVERY: Duration = Duration::from_secs(15);
/// How long time has to wait for a source before people are shown that.
const SHOWN_AFTER: Duration = Duration::from_secs(10);

impl Host {
    /// Brings what is shown up to date, if it is time. Not a matter of event time, which may stand still.
    pub(super) fn look_around(&mut self) {
        let at = Instant::now();
        if self.lag.is_due(at) {
            let now = clock::now();
            self.tell_lag(now, at);
            self.show_kept(now);
        }
        if self.held_at.is_none_or(|held| at.saturating_duration_since(held) >= HOLDINGS_EVERY) {
            self.held_at = Some(at);
            self.measure();
        }
    }

    /// Shows how far event time is behind the clock, and who holds it back where that is too much. Where there is no event time
    /// yet, it is behind since the start.
    fn tell_lag(&mut self, now: Millis, at: Instant) {
        let mut newest: HashMap<&str, (Millis, &OneSource)> = HashMap::new();
        let mut marks: HashMap<&str, (Millis, &OneSource)> = HashMap::new();
        for source in &self.sources {
            // Known from before a restart, too, of a source that has said nothing since.
            if let Some(t) = self.marks.newest(source.id) {
                let seen = newest.entry(source.metrics.name()).or_insert((t, &source.metrics));
                seen.0 = seen.0.max(t);
            }
            let Some(mark) = self.marks.of(source.id) else { continue };
            let slowest = marks.entry(source.metrics.name()).or_insert((mark, &source.metrics));
            slowest.0 = slowest.0.min(mark);
        }
        newest.values().for_each(|(t, metrics)| metrics.set_newest(*t));
        for (name, (mark, metrics)) in &marks {
            metrics.set_watermark(*mark);
            self.board.complete(name, *mark);
        }

        let lag = now.saturating_sub(self.engine.watermark().unwrap_or(self.started)).max(0);
        self.metrics.lag_seconds.set(lag as f64 / 1e3);
        // While history is read time is behind, and everybody is shown that. Where all are silent, it follows the clock at the
        // distance that is configured.
        let holder = self.marks.slowest(now).filter(|_| self.recorded.is_empty());
        let name = |id| self.sources.iter().find(|s| s.id == id).map_or("", |s| s.metrics.name());
        let slowest = holder.map(|h| Slowest { source: name(h.id), lateness: h.lateness, blocks: h.blocks });
        let said = self.lag.look(lag, slowest, at);
        if let Some(over) = &said.over {
            self.show_wait(over, None);
        }
        let Some(wait) = &said.waits else { return };
        self.show_wait(wait, Some(wait.taken));
        if said.warn {
            let (source, lag_seconds, queued) = (&wait.source, lag / 1000, self.metrics.queued.get());
            let waited_seconds = wait.taken.as_secs();
            if holder.is_some_and(|h| h.blocks) {
                tracing::warn!(
                    source,
                    lag_seconds,
                    waited_seconds,
                    "no rule is evaluated: nothing can be read from this source yet, and time waits for it"
                );
            } else {
                tracing::warn!(
                    source,
                    lag_seconds,
                    waited_seconds,
                    queued,
                    "rules are evaluated late: this source holds time back"
                );
            }
        }
    }

    fn show_wait(&self, wait: &Wait, taken: Option<Duration>) {
        let source = self.sources.iter().find(|s| s.metrics.name() == wait.source);
        source.iter().for_each(|s| s.metrics.set_holding(taken.unwrap_or_default().as_secs_f64()));
        self.board.waited_for(&wait.source, taken.filter(|taken| *taken >= SHOWN_AFTER));
    }

    fn measure(&mut self) {
        let held = self.engine.holdings();
        let kinds = [("series", held.series), ("unwanted_series", held.unwanted), ("models", held.models)];
        for (kind, n) in kinds.into_iter().chain([("waiting_samples", held.waiting)]) {
            self.metrics.held.with_label_values(&[kind]).set(n as i64);
        }
        self.metrics.series_bytes.set(held.series_bytes as i64);
        let now = [held.duplicate, held.conflict, held.out_of_order, held.unmodelled];
        for (i, reason) in EngineMetrics::DROPPED.into_iter().enumerate() {
            self.metrics.dropped.with_label_values(&[reason]).inc_by(now[i].saturating_sub(self.refused_before[i]));
        }
        self.refused_before = now;
    }
}
