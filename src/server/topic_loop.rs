//! Topics that a configuration both reads and writes: what forewarn writes would come back to it. Pure.

use crate::sink::SinkConfig;
use crate::source::kafka::KafkaConfig;

/// The first such topic, told with what to do about it. Clusters are the same if they have a broker in common.
#[must_use]
pub fn topic_loop<'a>(sources: &[KafkaConfig], sinks: impl Iterator<Item = &'a SinkConfig>) -> Option<String> {
    let kafkas = sinks.filter_map(|sink| if let SinkConfig::Kafka(kafka) = sink { Some(kafka) } else { None });
    let written = kafkas.flat_map(|kafka| {
        let recorded = kafka.recorded.as_ref().map(|recorded| ("recorded.topic", recorded.topic.as_str()));
        let topics = kafka.topic.as_deref().map(|topic| ("topic", topic)).into_iter().chain(recorded);
        topics.map(move |(setting, topic)| (kafka, setting, topic))
    });
    for (sink, setting, topic) in written {
        let shares = |source: &&KafkaConfig| source.brokers.iter().any(|broker| sink.brokers.contains(broker));
        let read = sources.iter().filter(shares).flat_map(|source| source.topics.iter().map(move |of| (source, of)));
        if let Some((source, of)) = read.into_iter().find(|(_, of)| of.has(topic)) {
            let by = match (&of.name, &of.pattern) {
                (None, Some(pattern)) => format!("the pattern {pattern:?} of sources.kafka {:?}", source.name),
                _ => format!("sources.kafka {:?}", source.name),
            };
            return Some(format!(
                "sink {}: {setting} {topic:?} is read by {by} too: what forewarn writes would come back to it; name another topic",
                sink.name
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;

    #[test]
    fn what_is_written_is_not_read() {
        let fault = |topics: &str, sink: &str| {
            let yaml = format!(
                "sources: {{kafka: [{{brokers: ['a:1', 'b:1'], topics: [{topics}]}}]}}\nsinks: [kafka: {{name: out, {sink}}}]"
            );
            Config::parse(&yaml, Path::new("")).err().map(|e| e.to_string())
        };
        let named = "{name: metrics, decoder: remote_write}";
        let pattern = "{pattern: 'fw\\..*', decoder: remote_write}";
        assert_eq!(fault(named, "brokers: ['b:1'], topic: alerts, recorded: {topic: recorded}"), None);
        assert_eq!(fault(pattern, "brokers: ['b:1'], topic: xfw.alerts"), None);
        assert_eq!(fault(named, "brokers: ['c:1'], topic: metrics"), None, "another cluster");
        let direct = fault(named, "brokers: ['b:1'], topic: metrics").unwrap();
        assert!(direct.contains("sink out: topic \"metrics\" is read by sources.kafka \"kafka\" too"), "{direct}");
        let recorded = fault(pattern, "brokers: ['b:1'], recorded: {topic: fw.recorded}").unwrap();
        assert!(recorded.contains("recorded.topic \"fw.recorded\" is read by the pattern"), "{recorded}");
    }
}
