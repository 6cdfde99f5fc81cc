//! Kafka: every transition as a message of a topic, keyed by its alert, and recorded series as messages of another.
//!
//! The producer is idempotent: its own retries neither double nor reorder messages, and it gives none up. What an attempt
//! leaves behind, acknowledged or still under way, the next one does not send again. Only where the client or the process
//! ends between a message and its acknowledgement can it come twice; it then has the same `forewarn-id`. The last message of
//! an alert in the topic is always its newest: what stands behind one that has to be sent again is sent again after it.

mod config;
mod payload;
mod producer;
mod recorded;
mod recorded_payload;
#[cfg(test)]
mod tests;

pub use config::{KafkaSinkConfig, RecordedConfig, RecordedFormat, TransitionFormat};
pub use payload::AlertTransition;
pub use recorded::start_recorded;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::base::Millis;

use self::payload::{headers, payload};
use self::producer::{Delivery, Outbound, Producer, may_be_sent_again};
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
    /// How long one attempt waits.
    timeout: Duration,
    /// The messages of deliveries that failed as a whole.
    sent: Mutex<HashMap<TransitionId, Sent>>,
}

/// A message that was handed to the client.
#[derive(Debug)]
struct Sent {
    alert: AlertKey,
    progress: Progress,
}

/// How far a message has come.
#[derive(Debug)]
enum Progress {
    UnderWay(Delivery),
    Acknowledged,
}

impl Kafka {
    /// None where only recorded series are wanted.
    pub(super) fn new(config: &KafkaSinkConfig) -> Result<Option<Self>, SinkError> {
        config.validate()?;
        let Some(topic) = config.topic.clone() else { return Ok(None) };
        let (producer, timeout) = (Producer::new(config), config.timeout);
        Ok(Some(Self { topic, format: config.format, producer, timeout, sent: Mutex::default() }))
    }

    /// Every transition but repetitions.
    pub(super) fn policy(config: &KafkaSinkConfig, capacity: usize) -> Policy {
        let order = Order::Every { pending: config.send_pending };
        Policy {
            capacity,
            batch: BATCH,
            one_rule: false,
            repeats: false,
            resolved: config.send_resolved,
            points: false,
            order,
        }
    }

    fn produce(&self, outgoing: &Outgoing) -> Result<Delivery, Failure> {
        let transition = &outgoing.transition;
        let message = Outbound {
            key: format!("{:032x}", outgoing.key.get()),
            payload: payload(transition, self.format),
            headers: headers(transition, self.format),
        };
        self.producer.produce(&self.topic, &message)
    }
}

impl Receiver for Kafka {
    async fn deliver(&self, batch: &[Outgoing], _now: Millis) -> Result<(), Failure> {
        let end = Instant::now() + self.timeout;
        let mut sent = self.sent.lock().await;
        let mut failure = None;
        let ids: Vec<TransitionId> = batch.iter().map(|outgoing| TransitionId::of(&outgoing.transition)).collect();
        for (n, (id, outgoing)) in ids.iter().zip(batch).enumerate() {
            if sent.contains_key(id) {
                continue;
            }
            match self.produce(outgoing) {
                Ok(delivery) => {
                    sent.insert(*id, Sent { alert: outgoing.key, progress: Progress::UnderWay(delivery) });
                }
                Err(refused) => {
                    let again = may_be_sent_again(&refused);
                    failure.get_or_insert(refused);
                    if again {
                        forget_behind(&mut sent, outgoing.key, &ids[..n]);
                        // There may be room for a later one by now, and it must not go before this one.
                        break;
                    }
                }
            }
        }
        for (n, (id, outgoing)) in ids.iter().zip(batch).enumerate() {
            let Some(Sent { progress, .. }) = sent.get_mut(id) else { continue };
            let Progress::UnderWay(delivery) = progress else { continue };
            match timeout_at(end, self.producer.outcome(delivery)).await {
                Ok(Ok(())) => *progress = Progress::Acknowledged,
                Ok(Err(failed)) => {
                    sent.remove(id);
                    if may_be_sent_again(&failed) {
                        forget_behind(&mut sent, outgoing.key, &ids[..n]);
                    }
                    failure.get_or_insert(failed);
                }
                Err(_) => {
                    failure.get_or_insert_with(|| self.producer.late());
                }
            }
        }
        let of_batch: HashSet<&TransitionId> = ids.iter().collect();
        if failure.is_none() {
            // Of the others a delivery may still come: what fails as a whole may be tried again in parts.
            sent.retain(|id, _| !of_batch.contains(id));
        } else if sent.len() > 2 * BATCH {
            // Some were given up before their turn came.
            sent.retain(|id, _| of_batch.contains(id));
        }
        failure.map_or(Ok(()), Err)
    }
}

/// One message of an alert has to be sent again, behind `before`: what was sent of the alert behind it has to follow once
/// more, acknowledged or not, in this batch or in one that was tried before it was halved.
fn forget_behind(sent: &mut HashMap<TransitionId, Sent>, alert: AlertKey, before: &[TransitionId]) {
    sent.retain(|id, sent| sent.alert != alert || before.contains(id));
}
