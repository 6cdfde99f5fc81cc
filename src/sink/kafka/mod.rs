//! Kafka: every transition as a message of a topic, keyed by its alert, and recorded series as messages of another.
//!
//! The producer is idempotent: its own retries neither double nor reorder messages. What a topic has acknowledged before an
//! attempt failed is not sent again with the next one. Only after a crash between the two can a message come twice; it then
//! has the same `forewarn-id`.

mod config;
mod payload;
mod producer;
mod recorded;
#[cfg(test)]
mod tests;

pub use config::{KafkaSinkConfig, RecordedConfig, RecordedFormat, TransitionFormat};
pub use payload::AlertTransition;
pub use recorded::{RecordedMessage, RecordedMetrics, RecordedTopic};

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::base::Millis;

use self::payload::{headers, payload};
use self::producer::{Outbound, Producer};
use super::SinkError;
use super::failure::Failure;
use super::key::{AlertKey, TransitionId};
use super::pending::{Order, Outgoing, Policy};
use super::worker::Receiver;

/// Transitions in one delivery.
const BATCH: usize = 500;

/// The receiver of transitions.
#[derive(Debug)]
pub(super) struct Kafka {
    topic: String,
    format: TransitionFormat,
    producer: Producer,
    /// What the topic has of a delivery that failed as a whole.
    acknowledged: Mutex<HashSet<TransitionId>>,
}

impl Kafka {
    /// None where only recorded series are wanted.
    pub(super) fn new(config: &KafkaSinkConfig) -> Result<Option<Self>, SinkError> {
        config.validate()?;
        let Some(topic) = config.topic.clone() else { return Ok(None) };
        let producer = Producer::new(config);
        Ok(Some(Self { topic, format: config.format, producer, acknowledged: Mutex::default() }))
    }

    /// Every transition but repetitions.
    pub(super) fn policy(config: &KafkaSinkConfig, capacity: usize) -> Policy {
        let order = Order::Every { pending: config.send_pending };
        Policy { capacity, batch: BATCH, one_rule: false, repeats: false, resolved: config.send_resolved, order }
    }
}

impl Receiver for Kafka {
    async fn deliver(&self, batch: &[Outgoing], _now: Millis) -> Result<(), Failure> {
        let known = std::mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
        let id = |sent: &Outgoing| TransitionId::of(&sent.transition);
        let ids: Vec<TransitionId> = batch.iter().map(id).filter(|id| !known.contains(id)).collect();
        let fresh = batch.iter().filter(|sent| !known.contains(&id(sent)));
        let messages: Vec<Outbound> = fresh
            .map(|sent| Outbound {
                key: format!("{:032x}", AlertKey::of(&sent.transition).get()),
                payload: payload(&sent.transition, self.format),
                headers: headers(&sent.transition, self.format),
            })
            .collect();
        let outcomes = self.producer.send(&self.topic, messages).await;
        let mut done = known;
        done.extend(ids.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| *id));
        let failure = outcomes.into_iter().find_map(Result::err);
        let of_batch: HashSet<TransitionId> = batch.iter().map(id).collect();
        if failure.is_none() {
            // Of the others a delivery may still come: what fails as a whole may be tried again in parts.
            done.retain(|id| !of_batch.contains(id));
        } else if done.len() > 2 * BATCH {
            // Some were given up before their turn came.
            done.retain(|id| of_batch.contains(id));
        }
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = done;
        failure.map_or(Ok(()), Err)
    }
}
