//! Kafka as a source, against a real broker: what is written arrives, once, whatever happens in between.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use forewarn::base::Labels;
use forewarn::source::Positions;
use rdkafka::producer::FutureRecord;
use support::kafka::{self, Kafka};
use support::kafka_source::{Reading, message, message_v2, messages_of, now};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn every_decoder_and_every_codec() {
    let Some(broker) = Kafka::shared().await else { return };
    for topic in ["rw", "telegraf.cpu", "adapter"] {
        broker.topic(topic, 2).await;
    }
    let t = now() / 1000 * 1000;
    let mut want = BTreeSet::new();
    for (i, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let (compressed, n) = (message(i, t), i + 100);
        let plain = snap::raw::Decoder::new().decompress_vec(&message(n, t)).unwrap();
        let (second, third) = (message_v2(i + 200, t), message_v2(i + 300, t));
        let second = snap::raw::Encoder::new().compress_vec(&second).unwrap();
        broker.write(codec, "rw", (i % 2) as i32, &[compressed, plain, second, third]).await;
        want.extend([i, n, i + 200, i + 300].map(|n| format!("seq{{n=\"{n}\"}} {t} {n}")));
        let seconds = t / 1000;
        let telegraf = format!(
            r#"{{"name":"cpu","tags":{{"host":"h{i}"}},"fields":{{"idle":{i}.5,"ok":true}},"timestamp":{seconds}}}"#
        );
        broker.write(codec, "telegraf.cpu", 0, &[telegraf.into_bytes()]).await;
        want.extend([format!("cpu_idle{{host=\"h{i}\"}} {t} {i}.5"), format!("cpu_ok{{host=\"h{i}\"}} {t} 1")]);
        let time = forewarn::base::format_rfc3339(t);
        let adapter =
            format!(r#"{{"timestamp":"{time}","value":"{i}","name":"up","labels":{{"__name__":"up","i":"{i}"}}}}"#);
        broker.write(codec, "adapter", 1, &[adapter.into_bytes()]).await;
        want.insert(format!("up{{i=\"{i}\"}} {t} {i}"));
    }
    let config = format!(
        "{{brokers: ['{}'], group_id: codecs, topics: [{{name: rw, decoder: remote_write}}, \
         {{pattern: 'telegraf\\..*', decoder: telegraf_json}}, {{name: adapter, decoder: prometheus_kafka_adapter}}]}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    reading.samples(want.len(), SOON).await;
    reading.take_for(Duration::from_millis(300)).await;
    let got: Vec<String> = reading.samples.iter().map(|(series, t, v)| format!("{series} {t} {v}")).collect();
    assert_eq!(got.len(), want.len(), "none twice");
    assert_eq!(BTreeSet::from_iter(got), want);
    assert_eq!(reading.told("open"), 6);
    assert_eq!(reading.positions.len(), 4, "{:?}", reading.positions);
    assert_eq!(reading.metric(r#"forewarn_kafka_messages_total{source="kafka",topic="rw"}"#), Some(20.0));
    let commits = r#"forewarn_kafka_commits_total{outcome="done",source="kafka"}"#;
    reading.until("commits", SOON, |r| r.metric(commits) >= Some(4.0)).await;
    assert!(reading.end(SOON).await < SOON);
    // What was handed over is committed at the end.
    assert_eq!(broker.committed("codecs", "telegraf.cpu", 0), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_in_the_middle_loses_nothing_and_doubles_nothing() {
    let Some(mut broker) = Kafka::own().await else { return };
    broker.topic("rw", 3).await;
    let config = format!("{{brokers: ['{}'], topics: [{{name: rw, decoder: remote_write}}]}}", broker.plain);
    let mut reading = Reading::start(&config, Positions::new());
    const ALL: usize = 3_000;
    // The producer's own retries bridge the crash.
    let producer = broker.producer("lz4");
    let writer = tokio::spawn(async move {
        for chunk in 0..ALL / 30 {
            let payloads: Vec<Vec<u8>> = (0..30).map(|i| message(chunk * 30 + i, now())).collect();
            kafka::write(&producer, "rw", (chunk % 3) as i32, &payloads).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    reading.samples(ALL / 10, SOON).await;
    broker.kill();
    reading.until("trouble", SOON, |r| r.told.iter().any(|t| t.starts_with("trouble: Some"))).await;
    let before = reading.samples.len();
    broker.revive().await;
    reading.samples(ALL, Duration::from_secs(60)).await;
    writer.await.unwrap();
    reading.take_for(Duration::from_secs(1)).await;
    assert!(before < ALL, "the crash came in the middle");
    let mut numbers: Vec<usize> = reading.samples.iter().map(|(_, _, v)| *v as usize).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..ALL).collect::<Vec<_>>());
    let last = |r: &Reading, kind: &str| r.told.iter().rfind(|told| told.contains(kind)).cloned();
    reading.until("the end", SOON, |r| last(r, "at end").is_some_and(|told| told == "at end")).await;
    reading.until("no trouble", SOON, |r| last(r, "trouble").is_some_and(|told| told == "trouble: None")).await;
    assert!(reading.metric(r#"forewarn_kafka_faults_total{client="kafka",reason="connection"}"#) >= Some(1.0));
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_as_the_collector_writes_it() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("otlp", 1).await;
    broker.topic("otlp-json", 1).await;
    let t = now() / 1000 * 1000;
    let point = |job: &str, value: f64, trace: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{job}"}}}}]}},
            "scopeMetrics":[{{"metrics":[{{"name":"queue.length","gauge":{{"dataPoints":[
            {{"timeUnixNano":"{t}000000","asDouble":{value},"exemplars":[{{"timeUnixNano":"{t}000000","asDouble":1,
              "traceId":"{trace}"}}]}}]}}}}]}}]}}]}}"#
        )
    };
    let of_json: opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest =
        serde_json::from_str(&point("shop", 3.5, &"ab".repeat(16))).unwrap();
    broker.write("none", "otlp", 0, &[prost::Message::encode_to_vec(&of_json)]).await;
    broker.write("zstd", "otlp-json", 0, &[point("bank", 4.5, &"cd".repeat(16)).into_bytes()]).await;
    let config = format!(
        "{{brokers: ['{}'], group_id: otlp, topics: [{{name: otlp, decoder: otlp_proto}}, \
         {{name: otlp-json, decoder: otlp_json}}]}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    let want = [("shop", 3.5), ("bank", 4.5)].map(|(job, v)| (format!("queue_length{{job=\"{job}\"}}"), t, v));
    reading.until("both", SOON, |r| want.iter().all(|w| r.samples.contains(w))).await;
    for (job, trace) in [("shop", "ab"), ("bank", "cd")] {
        let alert = Labels::from_pairs([("alertname", "Long"), ("job", job)]);
        assert_eq!(reading.exemplars.find(alert.as_ref()), Some(trace.repeat(16)));
    }
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_its_topic_and_the_stream_goes_on() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("mixed", 1).await;
    broker.topic("dead", 1).await;
    let bomb = forewarn::base::encode::compress(&vec![0; 50_000]);
    let poison = [b"garbage".to_vec(), bomb, vec![7; 30_001]];
    let mut all: Vec<Vec<u8>> = (0..4).map(|n| message(n, now())).collect();
    for (i, bad) in poison.iter().enumerate() {
        all.insert(2 * i + 1, bad.clone());
    }
    broker.write("none", "mixed", 0, &all).await;
    let config = |group: &str, letters: &str| {
        let topics = "topics: [{name: mixed, decoder: remote_write}]";
        format!("{{brokers: ['{}'], group_id: {group}, {topics}, dead_letter: {letters}}}", broker.plain)
    };
    let limits = || forewarn::base::Limits { request_bytes: 30_000, decompressed_bytes: 40_000, ..Default::default() };
    let mut reading = Reading::with_limits(&config("mixed", "{topic: dead}"), Positions::new(), limits());
    reading.samples(4, SOON).await;
    let values: Vec<f64> = reading.samples.iter().map(|s| s.2).collect();
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0]);
    reading.until("the position", SOON, |r| r.positions.values().eq([&7])).await;
    let written = r#"forewarn_kafka_dead_letters_total{outcome="written",source="kafka"}"#;
    assert_eq!(reading.metric(written), Some(3.0));
    let errors = r#"forewarn_kafka_decode_errors_total{reason="too_large",source="kafka",topic="mixed"}"#;
    assert_eq!(reading.metric(errors), Some(2.0));
    reading.end(SOON).await;
    let letters = broker.read("dead");
    assert_eq!(letters.len(), 3);
    for (i, letter) in letters.iter().enumerate() {
        use rdkafka::Message as _;
        assert_eq!(letter.payload(), Some(&poison[i][..]), "letter {i}");
        let headers: std::collections::BTreeMap<_, _> = kafka::headers(letter).into_iter().collect();
        assert_eq!((headers["forewarn-topic"].as_str(), headers["forewarn-partition"].as_str()), ("mixed", "0"));
        assert_eq!(headers["forewarn-offset"], (2 * i + 1).to_string());
        assert_eq!(headers["forewarn-reason"], ["malformed", "too_large", "too_large"][i]);
        assert!(!headers["forewarn-error"].is_empty());
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dead.jsonl");
    let config = config("mixed-file", &format!("{{file: '{}'}}", file.display()));
    let mut reading = Reading::with_limits(&config, Positions::new(), limits());
    reading.samples(4, SOON).await;
    reading.end(SOON).await;
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn start_positions() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("starts", 1).await;
    let payloads: Vec<Vec<u8>> = (0..3).map(|n| message(n, now())).collect();
    broker.write("none", "starts", 0, &payloads).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let since = forewarn::base::format_rfc3339(now());
    broker.write("none", "starts", 0, &[message(3, now())]).await;
    let start = |group: &str, start: &str, restored: &[(&str, u64)]| {
        let topics = "topics: [{name: starts, decoder: remote_write}]";
        let config = format!("{{name: s, brokers: ['{}'], group_id: {group}, {topics}, start: {start}}}", broker.plain);
        Reading::start(&config, restored.iter().map(|(stream, next)| ((*stream).into(), *next)).collect())
    };
    let mut next = 4;
    let kept = [("kafka/s/starts/0", 1)];
    for (group, from, restored, want) in [
        ("g1", "earliest", &[][..], vec![0, 1, 2, 3]),
        ("g2", "checkpoint", &[][..], vec![0, 1, 2, 3]),
        ("g3", "latest", &[][..], vec![]),
        ("g4", &format!("'{since}'"), &[][..], vec![3]),
        ("g5", "latest", &kept[..], vec![1, 2, 3]),
        ("g6", "2099-01-01", &[][..], vec![]),
    ] {
        let written_before = next;
        let mut reading = start(group, from, restored);
        reading.until("partitions", SOON, |r| r.told("open") == 1).await;
        // One that was there before others came, and one more.
        broker.write("none", "starts", 0, &[message(next, now())]).await;
        next += 1;
        let want: Vec<usize> = want.into_iter().chain(4..written_before).chain([written_before]).collect();
        let skipped = |n: &usize| matches!(from, "latest" | "2099-01-01") && restored.is_empty() && *n < written_before;
        let want: Vec<usize> = want.into_iter().filter(|n| !skipped(n)).collect();
        reading.samples(want.len(), SOON).await;
        reading.take_for(Duration::from_millis(200)).await;
        let got: Vec<usize> = reading.samples.iter().map(|s| s.2 as usize).collect();
        assert_eq!(got, want, "{from}");
        reading.end(SOON).await;
        assert_eq!(broker.committed(group, "starts", 0), Some(next as i64), "{from}");
    }
    // Where the group left off.
    broker.write("none", "starts", 0, &[message(next, now())]).await;
    let mut reading = start("g1", "checkpoint", &[]);
    reading.samples(next - 4, SOON).await;
    reading.take_for(Duration::from_millis(200)).await;
    let got: Vec<usize> = reading.samples.iter().map(|s| s.2 as usize).collect();
    assert_eq!(got, (5..=next).collect::<Vec<_>>());
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_while_messages_flow_loses_none() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("shared", 4).await;
    let config = format!(
        "{{brokers: ['{}'], group_id: shared, topics: [{{name: shared, decoder: remote_write}}]}}",
        broker.plain
    );
    let producer = broker.producer("none");
    const ALL: usize = 1_200;
    let writer = tokio::spawn(async move {
        for n in 0..ALL {
            kafka::write(&producer, "shared", (n % 4) as i32, &[message(n, now())]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut first = Reading::start(&config, Positions::new());
    first.samples(ALL / 8, SOON).await;
    let mut second = Reading::start(&config, Positions::new());
    let end = std::time::Instant::now() + SOON;
    while second.samples.len() < 40 {
        assert!(std::time::Instant::now() < end, "the second gets nothing: {:?}", second.told);
        tokio::join!(first.take_for(Duration::from_millis(100)), second.take_for(Duration::from_millis(100)));
    }
    assert_eq!((second.told("open"), first.told("close")), (2, 2), "{:?} {:?}", second.told, first.told);
    assert_eq!(first.metric(r#"forewarn_kafka_partitions{source="kafka"}"#), Some(2.0));
    let elsewhere = r#"forewarn_kafka_partitions_elsewhere{source="kafka"}"#;
    first.until("the other's partitions", SOON, |r| r.metric(elsewhere) == Some(2.0)).await;
    // It leaves in good order: the first gets its partitions back, from where it has committed.
    let seen: BTreeSet<usize> = second.samples.iter().map(|s| s.2 as usize).collect();
    second.end(SOON).await;
    let numbers = |r: &Reading| r.samples.iter().map(|s| s.2 as usize).collect::<BTreeSet<_>>();
    first.until("the rest", SOON, |r| numbers(r).union(&seen).count() == ALL).await;
    writer.await.unwrap();
    assert_eq!(first.told("open"), 6, "{:?}", first.told);
    first.until("all partitions", SOON, |r| r.metric(elsewhere) == Some(0.0)).await;
    let twice = first.samples.len() + seen.len() - ALL;
    println!("{twice} of {ALL} were read twice, as the commits of a second allow");
    assert!(twice < ALL / 2, "{twice}");
    assert!(first.metric(r#"forewarn_kafka_rebalances_total{kind="revoked",source="kafka"}"#) >= Some(1.0));
    first.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_behind_holds_fetching_up_and_lag_shows_it() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("much", 1).await;
    const MESSAGES: usize = 1_000;
    const EACH: usize = 200;
    const ALL: usize = MESSAGES * EACH;
    let payloads: Vec<Vec<u8>> = (0..MESSAGES).map(|n| messages_of(n, now(), EACH)).collect();
    broker.write("lz4", "much", 0, &payloads).await;
    let config = format!(
        "{{brokers: ['{}'], group_id: much, fetched_ahead_kib: 8, topics: [{{name: much, decoder: remote_write}}], \
         options: {{fetch.message.max.bytes: '4096', max.poll.interval.ms: '10000', \
         session.timeout.ms: '6000', heartbeat.interval.ms: '1000'}}}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    let (held_up, lag) = (
        r#"forewarn_kafka_held_up{source="kafka"}"#,
        r#"forewarn_kafka_lag_messages{partition="0",source="kafka",topic="much"}"#,
    );
    // Nobody takes anything: longer than the group waits for a member that does not poll.
    let end = std::time::Instant::now() + SOON;
    while reading.metric(held_up) != Some(1.0) {
        assert!(std::time::Instant::now() < end, "never held up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(reading.metric(held_up), Some(1.0));
    let read = reading.metric(r#"forewarn_kafka_messages_total{source="kafka",topic="much"}"#).unwrap();
    assert!(read < MESSAGES as f64 / 2.0, "{read} messages read while nobody takes them");
    // The lag is what is in the topic and was not read, to the message.
    let backlog = reading.metric(lag).unwrap();
    assert_eq!(backlog, MESSAGES as f64 - read);
    // It falls as they are read, and ends at nothing.
    let mut between = 0;
    reading
        .until("no lag", SOON, |r| {
            let lag = r.metric(lag).unwrap();
            between += usize::from(lag > 0.0 && lag < backlog);
            lag == 0.0 && r.samples.len() >= ALL
        })
        .await;
    assert!(between >= 1, "it fell at once");
    assert_eq!(reading.samples.len(), ALL, "none twice");
    assert_eq!((reading.metric(held_up), reading.told("close")), (Some(0.0), 0));
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_at_its_end_lets_time_go_on_and_one_with_a_backlog_does_not() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("uneven", 2).await;
    let begin = now();
    broker.write("none", "uneven", 0, &[message(0, begin - 60_000)]).await;
    let config = format!(
        "{{brokers: ['{}'], group_id: uneven, topics: [{{name: uneven, decoder: remote_write}}], lateness: 0s, \
         idle_timeout: 3s}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    assert_eq!(reading.marks.current(now()), None, "what the partitions hold is not known yet");
    reading.samples(1, SOON).await;
    assert!(reading.marks.current(now()).is_none_or(|mark| mark <= begin - 60_000));
    reading.until("both at their ends", SOON, |r| r.told("at end") >= 3).await;
    // The empty partition is at its end and holds nobody back; the other one only with what it has sent, and for as long
    // as it is not silent.
    broker.write("none", "uneven", 1, &[message(1, begin)]).await;
    reading.samples(2, SOON).await;
    let held = reading.marks.current(now()).unwrap();
    assert!(held <= begin, "{}", held - begin);
    broker.write("none", "uneven", 1, &[message(2, begin + 1)]).await;
    reading.samples(3, SOON).await;
    reading.until("time goes on", SOON, |r| r.marks.current(now()) > Some(begin)).await;
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_whose_clock_is_ahead_holds_up_nobody_for_long() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("ahead", 2).await;
    // Brokers refuse what is an hour ahead of their own clock.
    let (t, ahead) = (now(), now() + 45 * 60_000);
    let producer = broker.producer("none");
    let write = async |partition: i32, n: usize, at: i64| {
        let payload = message(n, at);
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to("ahead").partition(partition).payload(&*payload);
        let record = record.timestamp(at);
        producer.send_result(record).unwrap_or_else(|(e, _)| panic!("{e}")).await.unwrap().unwrap();
    };
    // One of them is followed by others, whose clocks tell whose is wrong; behind the other nothing comes yet.
    for (n, at) in [t, ahead, t + 1, ahead + 1, t + 2].into_iter().enumerate() {
        write(0, n, at).await;
    }
    write(1, 5, t).await;
    write(1, 6, ahead).await;
    let config = format!(
        "{{brokers: ['{}'], group_id: ahead, start: earliest, topics: [{{name: ahead, decoder: remote_write}}]}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    reading.samples(4, SOON).await;
    let waiting = r#"forewarn_kafka_waiting_for_clock{source="kafka"}"#;
    let dropped = r#"forewarn_source_dropped_samples_total{reason="future",source="kafka"}"#;
    reading.until("one that waits", SOON, |r| r.metric(waiting) == Some(1.0) && r.metric(dropped) == Some(2.0)).await;
    reading.until("trouble", SOON, |r| r.told.iter().any(|told| told.contains("clock seems to be behind"))).await;
    let lag = r#"forewarn_kafka_lag_messages{partition="1",source="kafka",topic="ahead"}"#;
    reading.until("what waits is lag", SOON, |r| r.metric(lag) == Some(1.0)).await;
    write(1, 7, t + 3).await;
    reading.samples(5, SOON).await;
    reading.until("nobody waits", SOON, |r| r.metric(waiting) == Some(0.0) && r.metric(lag) == Some(0.0)).await;
    assert_eq!(reading.metric(dropped), Some(3.0), "counted once");
    let mut values: Vec<f64> = reading.samples.iter().map(|(_, _, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [0.0, 2.0, 4.0, 5.0, 7.0], "each once");
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_away_for_longer_than_a_session_lasts_holds_time_back() {
    let Some(mut broker) = Kafka::own().await else { return };
    broker.topic("away", 2).await;
    let write = async |broker: &Kafka, n: usize| {
        broker.write("none", "away", (n % 2) as i32, &[message(n, now())]).await;
    };
    write(&broker, 0).await;
    write(&broker, 1).await;
    let config = format!(
        "{{brokers: ['{}'], start: earliest, topics: [{{name: away, decoder: remote_write}}], idle_timeout: 1s, \
         lateness: 1s, options: {{session.timeout.ms: '6000', heartbeat.interval.ms: '1000'}}}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    reading.samples(2, SOON).await;
    reading.until("time to go on", SOON, |r| r.told("at end") >= 3 && r.marks.current(now()).is_some()).await;
    broker.kill();
    let lost = r#"forewarn_kafka_rebalances_total{kind="lost",source="kafka"}"#;
    reading.until("the end of the session", SOON, |r| r.metric(lost) == Some(1.0)).await;
    reading.take_for(Duration::from_secs(1)).await;
    let held_to = reading.marks.current(now());
    reading.take_for(Duration::from_secs(4)).await;
    assert_eq!(reading.marks.current(now()), held_to, "{:?}", reading.told);
    assert_eq!(reading.positions.len(), 2, "they stay in checkpoints: {:?}", reading.positions);
    broker.revive().await;
    write(&broker, 2).await;
    write(&broker, 3).await;
    reading.samples(4, Duration::from_secs(60)).await;
    let numbers: BTreeSet<usize> = reading.samples.iter().map(|(_, _, v)| *v as usize).collect();
    assert_eq!((numbers.len(), reading.samples.len()), (4, 4), "{:?}", reading.samples);
    reading.until("time to go on", SOON, |r| r.marks.current(now()) > held_to).await;
    reading.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_paused_when_it_left_is_read_when_it_comes_back() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("back", 2).await;
    const MESSAGES: usize = 500;
    const EACH: usize = 200;
    for partition in 0..2 {
        let payloads: Vec<Vec<u8>> = (0..MESSAGES).map(|n| messages_of(n, now(), EACH)).collect();
        broker.write("lz4", "back", partition, &payloads).await;
    }
    let config = format!(
        "{{brokers: ['{}'], group_id: back, fetched_ahead_kib: 8, topics: [{{name: back, decoder: remote_write}}], \
         options: {{fetch.message.max.bytes: '4096'}}}}",
        broker.plain
    );
    let mut first = Reading::start(&config, Positions::new());
    let held_up = r#"forewarn_kafka_held_up{source="kafka"}"#;
    let end = std::time::Instant::now() + SOON;
    while first.metric(held_up) != Some(1.0) {
        assert!(std::time::Instant::now() < end, "never held up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One of the two goes while all are paused.
    let mut second = Reading::start(&config, Positions::new());
    second.until("a partition", SOON, |r| r.told("open") >= 1).await;
    assert_eq!(first.metric(held_up), Some(1.0));
    first.until("room", SOON, |r| r.metric(held_up) == Some(0.0)).await;
    second.end(SOON).await;
    // Of both partitions there is nothing left to read.
    let lag = |r: &Reading, n: usize| {
        r.metric(&format!(r#"forewarn_kafka_lag_messages{{partition="{n}",source="kafka",topic="back"}}"#))
    };
    first.until("both partitions", SOON, |r| (0..2).all(|n| lag(r, n) == Some(0.0))).await;
    for partition in 0..2 {
        broker.write("none", "back", partition as i32, &[message(1_000_000 + partition, now())]).await;
    }
    first.until("the last of both", SOON, |r| r.samples.iter().filter(|s| s.2 >= 1e6).count() == 2).await;
    first.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_engine_is_crowded_what_time_does_not_wait_for_waits() {
    let Some(broker) = Kafka::shared().await else { return };
    broker.topic("crowd", 2).await;
    let t = now() - 60_000;
    let config = format!(
        "{{brokers: ['{}'], group_id: crowd, start: earliest, lateness: 1s, patience: 2s, \
         idle_timeout: 4s, topics: [{{name: crowd, decoder: remote_write}}]}}",
        broker.plain
    );
    let mut reading = Reading::start(&config, Positions::new());
    let write = async |partition: i32, n: usize, at: i64| {
        broker.write("none", "crowd", partition, &[message(n, at)]).await;
    };
    write(0, 0, t).await;
    write(1, 1, t + 30_000).await;
    reading.samples(2, SOON).await;
    reading.event_time.set(t);
    reading.event_time.set_crowded(true);
    reading.take_for(Duration::from_secs(2)).await;
    write(0, 2, t + 500).await;
    write(1, 3, t + 30_500).await;
    reading.samples(3, SOON).await;
    // Longer than patience: it is not taken for one that cannot be read. The first is idle by then.
    reading.take_for(Duration::from_secs(5)).await;
    let mut values: Vec<f64> = reading.samples.iter().map(|s| s.2).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [0.0, 1.0, 2.0], "time does not wait for the other partition");
    assert_eq!(reading.marks.current(now()), Some(t + 29_000));
    reading.event_time.set(t + 29_500);
    reading.samples(4, SOON).await;
    // A sender whose clock is ahead: event time waits for its partition no further than for the present.
    write(0, 4, now() + 60_000).await;
    reading.samples(5, SOON).await;
    reading.event_time.set(now() - 1_000);
    reading.take_for(Duration::from_secs(2)).await;
    write(0, 5, now()).await;
    reading.samples(6, SOON).await;
    reading.end(SOON).await;
}
