//! Sends messages and waits for their acknowledgements. The client is set up at the first message, and anew when it has
//! failed for good; it is let go of on a thread of its own, since that may take its time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::kafka_client::{Connection, FaultLog, Secrets, reason_of, reason_told};

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
    /// After this those who send learn from the log that they wait.
    patience: Duration,
    client: Arc<Client>,
    /// What the client has told of its connections since it was last acknowledged something.
    trouble: Trouble,
}

/// The client, once it is set up, with its number among those of its producer.
type Client = Mutex<(u64, Option<FutureProducer<Quiet>>)>;

/// Reason and text of an error.
type Trouble = Arc<Mutex<Option<(&'static str, String)>>>;

impl Producer {
    /// No message is given up: the client goes on with it, with the sequence number that lets the topic have it once. One that was
    /// given up could be in the topic all the same, and would stand there again behind later ones when it is sent anew. Nothing
    /// is set up yet.
    pub fn new(config: &KafkaSinkConfig) -> Self {
        Self {
            name: config.name.clone(),
            connection: config.connection(),
            compression: config.compression.name(),
            patience: config.timeout,
            client: Arc::default(),
            trouble: Trouble::default(),
        }
    }

    /// Sends messages in order; what became of each. Those of a key stay in order when the ones that failed are sent again:
    /// behind one that may be tried again, all of its key have failed.
    pub async fn send(&self, topic: &str, messages: Vec<Outbound>) -> Vec<Result<(), Failure>> {
        let mut sent: Vec<Result<Delivery, Failure>> = Vec::with_capacity(messages.len());
        let mut refused = None;
        for message in &messages {
            // There may be room for a later one by now, and it must not go before this one.
            let delivery = refused.clone().map_or_else(|| self.produce(topic, message), Err);
            refused = delivery.as_ref().err().filter(|failure| may_be_sent_again(failure)).cloned();
            sent.push(delivery);
        }
        let outcomes = self.outcomes(sent);
        tokio::pin!(outcomes);
        let mut outcomes = match tokio::time::timeout(self.patience, &mut outcomes).await {
            Ok(outcomes) => outcomes,
            Err(_) => {
                let error = self.late().message;
                tracing::warn!(sink = self.name, topic, error, "messages wait for their topic");
                outcomes.await
            }
        };
        let mut failed: HashMap<&str, Failure> = HashMap::new();
        for (message, outcome) in messages.iter().zip(&mut outcomes) {
            match outcome {
                Err(failure) if may_be_sent_again(failure) => {
                    failed.entry(&message.key).or_insert_with(|| failure.clone());
                }
                Err(_) => {}
                Ok(()) => *outcome = failed.get(message.key.as_str()).cloned().map_or(Ok(()), Err),
            }
        }
        outcomes
    }

    async fn outcomes(&self, sent: Vec<Result<Delivery, Failure>>) -> Vec<Result<(), Failure>> {
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
            Ok(Ok(_)) => {
                lock(&self.trouble).take();
                Ok(())
            }
            Ok(Err((error, _))) => Err(error),
            Err(_) => Err(KafkaError::Canceled),
        };
        outcome.map_err(|error| self.failure(&error))
    }

    /// That of a message whose time is over, though the client goes on with it. What a person must mend is told as the reason.
    pub fn late(&self) -> Failure {
        let late = self.failure(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
        match &*lock(&self.trouble) {
            Some((reason, text)) => {
                let is_lasting = matches!(*reason, "authentication" | "authorization" | "tls");
                Failure { reason: if is_lasting { reason } else { late.reason }, message: text.clone(), ..late }
            }
            None => late,
        }
    }

    fn client(&self) -> Result<FutureProducer<Quiet>, Failure> {
        let mut current = self.lock();
        if let Some(client) = &current.1 {
            return Ok(client.clone());
        }
        let setup = |message: String| Failure { reason: "client_setup", message, verdict: Verdict::Retry(None) };
        let settings =
            [("enable.idempotence", "true"), ("message.timeout.ms", "0"), ("compression.codec", self.compression)];
        let defaults = [("reconnect.backoff.max.ms", "2000")];
        // Looks at the files before they are read.
        let number = current.0 + 1;
        let quiet = self.quiet(number);
        let config = self.connection.client(&defaults, &settings).map_err(|e| setup(e.0))?;
        let made: FutureProducer<Quiet> =
            config.create_with_context(quiet).map_err(|e| setup(self.connection.refused(&e).0))?;
        *current = (number, Some(made.clone()));
        Ok(made)
    }

    fn failure(&self, error: &KafkaError) -> Failure {
        let verdict = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage) => Verdict::Split,
            Some(RDKafkaErrorCode::Fatal) => {
                // An idempotent producer that cannot go on in order must begin anew.
                let_go(self.lock().1.take());
                Verdict::Retry(None)
            }
            _ => Verdict::Retry(None),
        };
        Failure { reason: reason_of(error), message: error.to_string(), verdict }
    }

    fn quiet(&self, number: u64) -> Quiet {
        Quiet {
            name: self.name.clone(),
            trouble: Arc::clone(&self.trouble),
            client: Arc::downgrade(&self.client),
            secrets: Mutex::new(Secrets::of(&self.connection)),
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Option<FutureProducer<Quiet>>)> {
        lock(&self.client)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let_go(self.lock().1.take());
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

/// Whether the message would go before later ones of its key if these were sent now.
pub fn may_be_sent_again(failure: &Failure) -> bool {
    matches!(failure.verdict, Verdict::Retry(_))
}

fn let_go(client: Option<FutureProducer<Quiet>>) {
    if client.is_some() {
        // Without a thread to spare it is let go of here.
        let _ = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(client));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of them is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A context that says little: failed deliveries are told of by the worker. Lets go of its client where that has trouble and
/// the files with its credentials have changed: those who send then set up another.
struct Quiet {
    name: String,
    trouble: Trouble,
    /// Where its client stands, if it has not been let go of and another is in its place.
    client: Weak<Client>,
    number: u64,
    secrets: Mutex<Secrets>,
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        FaultLog.line(&self.name, level, facility, message);
    }

    fn error(&self, error: KafkaError, text: &str) {
        let reason = reason_told(&error, text);
        tracing::debug!(sink = self.name, reason, "Kafka: {text}");
        // That all brokers are down follows what is wrong with each.
        let mut trouble = lock(&self.trouble);
        if reason != "all_brokers_down" || trouble.is_none() {
            *trouble = Some((reason, text.to_owned()));
        }
        drop(trouble);
        let is_renewed = lock(&self.secrets).have_changed(Instant::now());
        let client = self.client.upgrade().filter(|_| is_renewed);
        let old = client.and_then(|client| {
            let mut client = lock(&client);
            let is_mine = client.0 == self.number;
            is_mine.then(|| client.1.take()).flatten()
        });
        if old.is_some() {
            tracing::info!(sink = self.name, "the credentials have changed: another Kafka client is set up");
            let_go(old);
        }
    }
}
