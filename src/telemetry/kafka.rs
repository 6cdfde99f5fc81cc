//! Metrics of Kafka clients: what was read, how far behind, what could not be decoded, and how the cluster is.

use prometheus::{IntCounterVec, IntGaugeVec, Result};

use super::Register;

/// Handles by source, topic and partition; those are what the configuration asks for.
#[derive(Clone, Debug)]
pub struct KafkaMetrics {
    messages: IntCounterVec,
    bytes: IntCounterVec,
    decode_errors: IntCounterVec,
    lag: IntGaugeVec,
    partitions: IntGaugeVec,
    elsewhere: IntGaugeVec,
    held_up: IntGaugeVec,
    waiting_for_clock: IntGaugeVec,
    rebalances: IntCounterVec,
    dead_letters: IntCounterVec,
    commits: IntCounterVec,
    faults: IntCounterVec,
}

impl KafkaMetrics {
    /// Makes and registers the metrics.
    ///
    /// # Errors
    /// A name is taken.
    pub fn register(area: &Register<'_>) -> Result<Self> {
        let topic = ["source", "topic"];
        Ok(Self {
            messages: area.counters("forewarn_kafka_messages_total", "Messages read.", &topic)?,
            bytes: area.counters("forewarn_kafka_bytes_total", "Bytes of messages read, unpacked.", &topic)?,
            decode_errors: area.counters(
                "forewarn_kafka_decode_errors_total",
                "Messages that could not be decoded, by reason.",
                &["source", "topic", "reason"],
            )?,
            lag: area.gauges(
                "forewarn_kafka_lag_messages",
                "Messages of a partition not read yet.",
                &["source", "topic", "partition"],
            )?,
            partitions: area.gauges("forewarn_kafka_partitions", "Partitions that are ours.", &["source"])?,
            elsewhere: area.gauges(
                "forewarn_kafka_partitions_elsewhere",
                "Partitions of the same topics that other members of the group read: rules see only ours.",
                &["source"],
            )?,
            held_up: area.gauges(
                "forewarn_kafka_held_up",
                "1 while nothing is fetched because the engine is behind.",
                &["source"],
            )?,
            waiting_for_clock: area.gauges(
                "forewarn_kafka_waiting_for_clock",
                "Partitions that wait because this host's clock seems to be behind.",
                &["source"],
            )?,
            rebalances: area.counters(
                "forewarn_kafka_rebalances_total",
                "Times partitions were assigned, or taken away.",
                &["source", "kind"],
            )?,
            dead_letters: area.counters(
                "forewarn_kafka_dead_letters_total",
                "Messages put aside, by what became of that: written, lost or not wanted.",
                &["source", "outcome"],
            )?,
            commits: area.counters(
                "forewarn_kafka_commits_total",
                "Commits of the group's offsets, by outcome.",
                &["source", "outcome"],
            )?,
            faults: area.counters(
                "forewarn_kafka_faults_total",
                "What went wrong between a client and its brokers, by reason.",
                &["client", "reason"],
            )?,
        })
    }

    /// Shows what may become of a source's messages before it does: of a series that begins at its first event `increase()`
    /// sees nothing. `undecoded` and `faults` are the reasons there are; topics that are named by a pattern are not known yet.
    pub fn begin(&self, source: &str, topics: &[&str], undecoded: &[&str], faults: &[&str]) {
        for topic in topics {
            self.messages.with_label_values(&[source, *topic]);
            self.bytes.with_label_values(&[source, *topic]);
            undecoded.iter().for_each(|reason| {
                self.decode_errors.with_label_values(&[source, *topic, *reason]);
            });
        }
        for (counter, values) in [
            (&self.rebalances, &["assigned", "revoked", "lost"][..]),
            (&self.dead_letters, &["written", "lost", "not_wanted"]),
            (&self.commits, &["done", "failed"]),
            (&self.faults, faults),
        ] {
            values.iter().for_each(|value| {
                counter.with_label_values(&[source, *value]);
            });
        }
        self.set_partitions(source, 0);
        self.set_held_up(source, false);
    }

    /// Counts a message read.
    pub fn read(&self, source: &str, topic: &str, bytes: usize) {
        self.messages.with_label_values(&[source, topic]).inc();
        self.bytes.with_label_values(&[source, topic]).inc_by(bytes as u64);
    }

    /// Counts a message that could not be decoded; `reason` must come from a fixed set.
    pub fn not_decoded(&self, source: &str, topic: &str, reason: &'static str) {
        self.decode_errors.with_label_values(&[source, topic, reason]).inc();
    }

    /// Sets how many messages of a partition are not read yet; None once it is no longer ours.
    pub fn set_lag(&self, source: &str, topic: &str, partition: i32, lag: Option<i64>) {
        let labels = [source, topic, &partition.to_string()];
        match lag {
            Some(lag) => self.lag.with_label_values(&labels).set(lag),
            // Absent already: it was never known.
            None => drop(self.lag.remove_label_values(&labels)),
        }
    }

    /// Sets how many partitions a source has.
    pub fn set_partitions(&self, source: &str, partitions: usize) {
        self.partitions.with_label_values(&[source]).set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }

    /// Sets how many partitions of its topics others read.
    pub fn set_elsewhere(&self, source: &str, partitions: usize) {
        self.elsewhere.with_label_values(&[source]).set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }

    /// Says whether fetching is stopped because the engine is behind.
    pub fn set_held_up(&self, source: &str, held_up: bool) {
        self.held_up.with_label_values(&[source]).set(i64::from(held_up));
    }

    /// Sets how many partitions wait for this host's clock.
    pub fn set_waiting_for_clock(&self, source: &str, partitions: i64) {
        self.waiting_for_clock.with_label_values(&[source]).set(partitions);
    }

    /// Counts an assignment or its end; `kind` must come from a fixed set.
    pub fn rebalanced(&self, source: &str, kind: &'static str) {
        self.rebalances.with_label_values(&[source, kind]).inc();
    }

    /// Counts dead letters; `outcome` must come from a fixed set.
    pub fn dead_letters(&self, source: &str, outcome: &'static str, letters: u64) {
        self.dead_letters.with_label_values(&[source, outcome]).inc_by(letters);
    }

    /// Counts a commit.
    pub fn committed(&self, source: &str, worked: bool) {
        self.commits.with_label_values(&[source, if worked { "done" } else { "failed" }]).inc();
    }

    /// Counts a fault; `reason` must come from a fixed set.
    pub fn fault(&self, client: &str, reason: &'static str) {
        self.faults.with_label_values(&[client, reason]).inc();
    }
}
