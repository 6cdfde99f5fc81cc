//! What a session does every second, and at its end: commits, stops partitions that are too far ahead, looks whether the clock
//! is right. On the thread of the session.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;

use super::super::context::{TopicPartition, commit};
use super::super::future::Cause;
use super::{End, PASSING, Session};
use crate::base::{Millis, format_duration, format_rfc3339};
use crate::source::{SourceEvent, clock};

/// How long a client may take to go back to a position.
const SEEK: Duration = Duration::from_secs(5);
/// How long the end of the engine is waited for at the end, to commit what it has done.
const LAST_COMMIT: Duration = Duration::from_secs(5);

impl Session<'_> {
    /// Commits what need not be read again.
    pub(super) fn commit(&mut self) {
        commit(self.consumer, &self.safe_positions(), false);
    }

    fn safe_positions(&mut self) -> Vec<(TopicPartition, i64)> {
        if self.kafka.dry_run {
            return Vec::new();
        }
        let durable = self.kafka.durable.borrow().clone();
        let mut positions = Vec::new();
        for (topic, number, partition) in self.partitions.iter_mut() {
            let Some(next) = durable.get(&partition.stream).and_then(|next| i64::try_from(*next).ok()) else {
                continue;
            };
            if partition.commits(next, Instant::now()) {
                positions.push(((topic.to_owned(), number), next));
            }
        }
        positions
    }

    /// The engine works off what it was handed; what it has then done with is committed.
    pub(super) fn commit_last(&mut self) {
        self.pause(&self.partitions.names(), true);
        let end = Instant::now() + LAST_COMMIT;
        while self.kafka.durable.has_changed().is_ok() && Instant::now() < end {
            // Messages that were under way are read again after the restart.
            self.consumer.poll(Duration::from_millis(20));
        }
        self.partitions.iter_mut().for_each(|(_, _, partition)| partition.commit_again());
        commit(self.consumer, &self.safe_positions(), true);
    }

    pub(super) fn align(&mut self) {
        let config = &self.kafka.config;
        // A partition that event time waits for has not been read further than its lateness beyond it.
        let event_time = &self.kafka.event_time;
        let far = event_time.is_crowded().then(|| {
            event_time.get().map_or(Millis::MIN, |watermark| watermark.saturating_add(config.lateness.millis()))
        });
        let (stop, go) = self.partitions.align(config, far, Instant::now());
        self.pause(&stop, true);
        let may_go = |name: &TopicPartition| self.partitions.get_mut(&name.0, name.1).is_some_and(|p| p.goes());
        let go: Vec<_> = go.into_iter().filter(may_go).collect();
        self.pause(&go, false);
        for (_, _, partition) in self.partitions.iter_mut().filter(|(_, _, partition)| partition.waits) {
            if partition.leaves_end() {
                self.out.push(SourceEvent::AtEnd(partition.id, false));
            }
            self.out.push(SourceEvent::Waits(partition.id));
        }
        if !stop.is_empty() {
            let drift = format_duration(config.max_drift.millis());
            tracing::debug!(source = config.name, ?stop, drift, "partitions wait for others to catch up");
        }
    }

    /// Others have kept partitions of the checkpoint for too long.
    pub(super) fn go_on_without_awaited(&mut self) {
        if self.awaited.take_if(|awaited| awaited.waits_for(Instant::now()) == 0).is_some() && self.partitions.len() > 0
        {
            self.out.push(SourceEvent::AtEnd(self.kafka.inlet_id, true));
        }
    }

    /// Shows how many partitions others of the group read.
    pub(super) fn show_elsewhere(&mut self, partitions: usize) {
        let config = &self.kafka.config;
        self.kafka.metrics.set_elsewhere(&config.name, partitions);
        if self.shared.is_news(partitions, Instant::now()) {
            let (source, group) = (&config.name, &config.group_id);
            tracing::warn!(
                source,
                group,
                partitions,
                "other members of the group read some partitions: rules see only the series in ours; a forewarn that is to see \
                 all needs a group_id of its own"
            );
        }
    }

    /// Has another client set up where the files with credentials have changed and this one has trouble: librdkafka reads them
    /// when a client is set up, and not again.
    pub(super) fn renew(&mut self) -> Result<(), End> {
        if self.trouble.is_some() && self.secrets.have_changed(Instant::now()) {
            return Err(End::Renewed(self.trouble.clone()));
        }
        Ok(())
    }

    /// Goes on with what waits for the clock once that is right, or known to be right.
    pub(super) fn look_at_clock(&mut self) -> Result<(), End> {
        let host = self.kafka.clock_at(clock::now());
        let (mut going, mut waiting) = (Vec::new(), None);
        for (topic, number, partition) in self.partitions.iter_mut() {
            if let Some(offset) = partition.future.release(host) {
                partition.next = Some(offset);
                let sought = self.consumer.seek(topic, number, Offset::Offset(offset), SEEK);
                // Another client begins there: it was not read.
                sought.map_err(|error| End::Failed(error.to_string()))?;
                if partition.goes() {
                    going.push((topic.to_owned(), number));
                }
            } else if let Some(held) = partition.future.held() {
                let waits = waiting.get_or_insert((0, held.cause));
                waits.0 += 1;
            }
        }
        self.pause(&going, false);
        self.kafka.metrics.set_waiting_for_clock(&self.kafka.config.name, waiting.map_or(0, |(n, _)| n));
        if let Some((_, cause)) = waiting {
            self.trouble_until = Some(Instant::now() + PASSING);
            self.tell(Some(match cause {
                Cause::EventTime => "this host's clock is behind the time that was evaluated: partitions wait for it".to_owned(),
                Cause::Timestamp(at) => format!(
                    "messages and their samples lie in the future (the first was written at {}): this host's clock seems to be \
                     behind, partitions wait for it; if it is right, the clock of whoever wrote them is wrong",
                    format_rfc3339(at)
                ),
            }));
        }
        Ok(())
    }
}
