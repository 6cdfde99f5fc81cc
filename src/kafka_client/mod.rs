//! What every client of a Kafka cluster needs: brokers, SASL, TLS, and what librdkafka tells of its connections.
//!
//! Knows librdkafka's settings; knows nothing of topics, messages, or what they are for.

mod config;
mod faults;
mod options;
mod secrets;

pub use config::{Connection, KafkaConfigError, Mechanism, Sasl};
pub use faults::{FaultLog, REASONS, reason_of, reason_told};
pub use options::Role;
pub use secrets::Secrets;
