//! Sends messages and waits for their acknowledgements. The client is set up at the first message, and anew when it has
//! failed for good; it is let go of on a thread of its own, since that may take its time.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::kafka_client::{Connection, FaultLog, reason_of};

use super::super::failure::{Failure, Verdict};
use super::config::KafkaSinkConfig;

/// A message on its way.
#[derive(Debug)]
pub struct Outbound {
    /// Its key: messages of one key stay in order.
    pub key: String,
    /// Its content.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
}

/// A message that was handed to the client.
pub struct Delivery(DeliveryFuture);

/// Sends to one cluster.
pub struct Producer {
    name: String,
    connection: Connection,
    compression: &'static str,
    /// After this the client gives a message up; 0 for never.
    timeout_ms: String,
    client: Mutex<Option<FutureProducer<Quiet>>>,
}

impl Producer {
    /// A message is given up after the configured time, and may be in the topic all the same: whoever sends it again then
    /// may double it. Nothing is set up yet.
    pub fn new(config: &KafkaSinkConfig) -> Self {
        Self::giving_up(config, config.timeout.as_millis().max(1))
    }

    /// No message is given up: the client goes on with it, with the sequence number that lets the topic have it once.
    pub fn patient(config: &KafkaSinkConfig) -> Self {
        Self::giving_up(config, 0)
    }

    fn giving_up(config: &KafkaSinkConfig, after_ms: u128) -> Self {
        Self {
            name: config.name.clone(),
            connection: config.connection(),
            compression: config.compression.name(),
            timeout_ms: after_ms.to_string(),
            client: Mutex::new(None),
        }
    }

    /// Sends messages in order; what became of each, within the configured time.
    pub async fn send(&self, topic: &str, messages: Vec<Outbound>) -> Vec<Result<(), Failure>> {
        let sent: Vec<_> = messages.iter().map(|message| self.produce(topic, message)).collect();
        let mut outcomes = Vec::with_capacity(sent.len());
        for delivery in sent {
            outcomes.push(match delivery {
                Ok(mut delivery) => self.outcome(&mut delivery).await,
                Err(failure) => Err(failure),
            });
        }
        outcomes
    }

    /// Hands a message to the client, behind those before it.
    pub fn produce(&self, topic: &str, message: &Outbound) -> Result<Delivery, Failure> {
        let headers = message
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value.as_str()) }));
        let record = FutureRecord::to(topic).key(message.key.as_str()).payload(&message.payload).headers(headers);
        let sent = self.client()?.send_result(record);
        sent.map(Delivery).map_err(|(error, _)| self.failure(&error))
    }

    /// Waits until it is known what became of a message. Whoever stops waiting may ask again, but once it was told no more.
    pub async fn outcome(&self, delivery: &mut Delivery) -> Result<(), Failure> {
        let outcome = match (&mut delivery.0).await {
            Ok(acknowledged) => acknowledged.map(drop).map_err(|(error, _)| error),
            Err(_) => Err(KafkaError::Canceled),
        };
        outcome.map_err(|error| self.failure(&error))
    }

    /// That of a message whose time is over, though the client goes on with it.
    pub fn late(&self) -> Failure {
        self.failure(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut))
    }

    fn client(&self) -> Result<FutureProducer<Quiet>, Failure> {
        let mut client = self.lock();
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let setup = |message: String| Failure { reason: "client_setup", message, verdict: Verdict::Retry(None) };
        let settings = [("enable.idempotence", "true"), ("message.timeout.ms", self.timeout_ms.as_str())];
        let defaults = [("compression.codec", self.compression), ("reconnect.backoff.max.ms", "2000")];
        let config = self.connection.client(&defaults, &settings).map_err(|e| setup(e.0))?;
        let made: FutureProducer<Quiet> =
            config.create_with_context(Quiet(self.name.clone())).map_err(|e| setup(e.to_string()))?;
        *client = Some(made.clone());
        Ok(made)
    }

    fn failure(&self, error: &KafkaError) -> Failure {
        let verdict = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage) => Verdict::Split,
            Some(RDKafkaErrorCode::Fatal) => {
                // An idempotent producer that cannot go on in order must begin anew.
                let_go(self.lock().take());
                Verdict::Retry(None)
            }
            _ => Verdict::Retry(None),
        };
        Failure { reason: reason_of(error), message: error.to_string(), verdict }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<FutureProducer<Quiet>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let_go(self.lock().take());
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delivery")
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("name", &self.name).finish_non_exhaustive()
    }
}

fn let_go(client: Option<FutureProducer<Quiet>>) {
    if client.is_some() {
        // Without a thread to spare it is let go of here.
        let _ = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(client));
    }
}

/// A context that says little: failed deliveries are told of by the worker.
struct Quiet(String);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        FaultLog.line(&self.0, level, facility, message);
    }

    fn error(&self, error: KafkaError, text: &str) {
        tracing::debug!(sink = self.0, reason = reason_of(&error), "Kafka: {text}");
    }
}
