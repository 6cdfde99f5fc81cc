//! Which of librdkafka's settings users may not give under `options`, because forewarn sets them itself, and what to write
//! instead. Pure.
//!
//! Were one taken and then set otherwise, a `security.protocol` say, the client would do something else than what is written.

use std::collections::BTreeMap;

use crate::http_client::Secret;

use super::KafkaConfigError;

/// What a client with these options is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It reads topics; where dead letters go to a topic it writes these as well.
    Source,
    /// It writes topics.
    Sink,
}

/// Each with its other names, and what to do instead.
const BOTH: [(&[&str], &str); 14] = [
    (&["bootstrap.servers", "metadata.broker.list"], "brokers says it"),
    (&["security.protocol"], "the blocks tls and sasl say it: `tls: {}` alone for TLS"),
    (&["sasl.mechanism", "sasl.mechanisms"], "sasl.mechanism in the block sasl says it"),
    (&["sasl.username"], "username in the block sasl says it"),
    (&["sasl.password"], "password or password_file in the block sasl says it"),
    (&["ssl.ca.location", "ssl.ca.pem"], "ca_file in the block tls says it"),
    (&["ssl.certificate.location", "ssl.certificate.pem"], "cert_file in the block tls says it"),
    (&["ssl.key.location", "ssl.key.pem"], "key_file in the block tls says it"),
    (&["enable.ssl.certificate.verification"], "insecure_skip_verify in the block tls says it"),
    (&["ssl.endpoint.identification.algorithm"], "insecure_skip_verify in the block tls says it"),
    (&["enable.idempotence"], "forewarn's producers always are"),
    (&["acks", "request.required.acks"], "forewarn's producers wait for all replicas"),
    (&["transactional.id"], "forewarn writes in no transactions"),
    (&["log_level"], "--log.level says it"),
];

const SOURCE: [(&[&str], &str); 8] = [
    (&["group.id"], "group_id says it"),
    (&["enable.auto.commit", "auto.commit.enable"], "forewarn commits what need not be read again"),
    (&["enable.auto.offset.store"], "forewarn commits what need not be read again"),
    (&["auto.offset.reset"], "start says it"),
    (&["enable.partition.eof"], "forewarn has to know where partitions end"),
    (&["statistics.interval.ms"], "forewarn reads them every second"),
    (&["queued.max.messages.kbytes"], "fetched_ahead_kib says it"),
    (&["message.timeout.ms", "delivery.timeout.ms"], "dead letters that take longer than five seconds are lost"),
];

const SINK: [(&[&str], &str); 2] = [
    (&["compression.codec", "compression.type"], "compression says it"),
    (&["message.timeout.ms", "delivery.timeout.ms"], "timeout says how long an attempt may take"),
];

/// Refuses what would be overridden or would have no effect.
///
/// # Errors
/// The first such option, with what to write instead. Never its value, which may be a secret.
pub fn check(options: &BTreeMap<String, Secret>, role: Role, tls: bool, sasl: bool) -> Result<(), KafkaConfigError> {
    let of_role: &[(&[&str], &str)] = if role == Role::Source { &SOURCE } else { &SINK };
    for name in options.keys() {
        let ours = BOTH.iter().chain(of_role).find(|(names, _)| names.contains(&name.as_str()));
        let why = match ours {
            Some((_, instead)) => (*instead).to_owned(),
            None if name.starts_with("ssl.") && !tls => "it has no effect without the block tls".to_owned(),
            None if name.starts_with("sasl.") && !sasl => "it has no effect without the block sasl".to_owned(),
            None => continue,
        };
        return Err(KafkaConfigError(format!("options: {name} cannot be given here: {why}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, role: Role, tls: bool) -> Result<(), String> {
        check(&[(name.to_owned(), Secret::new("hunter2"))].into(), role, tls, false).map_err(|e| e.0)
    }

    #[test]
    fn what_forewarn_sets_is_refused_with_the_setting_that_does_it() {
        for (name, role, want) in [
            ("security.protocol", Role::Source, "tls and sasl"),
            ("security.protocol", Role::Sink, "tls and sasl"),
            ("group.id", Role::Source, "group_id"),
            ("enable.auto.commit", Role::Source, "commits"),
            ("metadata.broker.list", Role::Sink, "brokers"),
            ("compression.type", Role::Sink, "compression says"),
            ("delivery.timeout.ms", Role::Sink, "timeout says"),
            ("acks", Role::Sink, "replicas"),
            ("ssl.key.pem", Role::Source, "key_file"),
            ("ssl.cipher.suites", Role::Source, "without the block tls"),
            ("sasl.login.callback", Role::Source, "without the block sasl"),
        ] {
            let error = given(name, role, false).unwrap_err();
            assert!(error.contains(name) && error.contains(want) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_forewarn_leaves_alone_passes() {
        for name in ["client.rack", "client.id", "session.timeout.ms", "group.protocol", "group.instance.id"] {
            assert_eq!(given(name, Role::Source, false), Ok(()), "{name}");
        }
        assert_eq!(given("linger.ms", Role::Sink, false), Ok(()));
        assert_eq!(given("ssl.cipher.suites", Role::Sink, true), Ok(()));
    }
}
