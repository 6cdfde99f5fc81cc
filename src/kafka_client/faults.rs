//! What goes wrong between librdkafka and its brokers: the reason as a metric's label, and what librdkafka logs.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// All there are: what [`reason_of`] says, and that no client can be set up.
pub const REASONS: [&str; 15] = [
    "client_setup",
    "connection",
    "all_brokers_down",
    "name_not_found",
    "authentication",
    "authorization",
    "tls",
    "timeout",
    "unknown_topic",
    "poll_interval",
    "message_size",
    "queue_full",
    "offset_out_of_range",
    "fatal",
    "other",
];

/// The reason of a fault, one of a fixed few.
#[must_use]
pub fn reason_of(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(Code::BrokerTransportFailure) => "connection",
        Some(Code::AllBrokersDown) => "all_brokers_down",
        Some(Code::Resolve) => "name_not_found",
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => "authentication",
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            "authorization"
        }
        Some(Code::SSL) => "tls",
        Some(Code::OperationTimedOut | Code::RequestTimedOut | Code::MessageTimedOut) => "timeout",
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => "unknown_topic",
        Some(Code::PollExceeded) => "poll_interval",
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => "message_size",
        Some(Code::QueueFull) => "queue_full",
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => "offset_out_of_range",
        Some(Code::Fatal) => "fatal",
        _ => "other",
    }
}

/// The same with what librdkafka says of it. A broker that does not like our certificate hangs up on a connection that stands:
/// librdkafka calls that a failure of the transport.
#[must_use]
pub fn reason_told(error: &KafkaError, text: &str) -> &'static str {
    match reason_of(error) {
        "connection" if text.contains("SSL routines") => "tls",
        reason => reason,
    }
}

/// Hands librdkafka's log to ours. Its warnings repeat with every attempt to connect, so they are for those who look closely:
/// what counts is in metrics and on the status page.
#[derive(Clone, Copy, Debug)]
pub struct FaultLog;

impl FaultLog {
    /// A line of librdkafka's.
    pub fn line(self, client: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(client, facility, "librdkafka: {message}");
            }
            _ => tracing::debug!(client, facility, "librdkafka: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_from_a_fixed_few() {
        let reason = |code| reason_of(&KafkaError::Global(code));
        for code in [Code::Resolve, Code::SSL, Code::Fatal, Code::QueueFull, Code::PollExceeded, Code::Conflict] {
            assert!(REASONS.contains(&reason(code)), "{code:?}");
        }
        assert_eq!(reason(Code::AllBrokersDown), "all_brokers_down");
        assert_eq!(reason(Code::Authentication), "authentication");
        assert_eq!(reason(Code::BrokerTransportFailure), "connection");
        assert_eq!(reason(Code::Conflict), "other");
        assert_eq!(reason_of(&KafkaError::Canceled), "other");
        let closed = KafkaError::Global(Code::BrokerTransportFailure);
        assert_eq!(reason_told(&closed, "Disconnected"), "connection");
        let refused = "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required";
        assert_eq!(reason_told(&closed, refused), "tls");
    }
}
