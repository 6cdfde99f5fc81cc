//! A Kafka source as the host runs it, with its events gathered instead of evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forewarn::base::encode::{compress, encode_write_request, encode_write_request_v2};
use forewarn::base::{Batch, BatchBuilder, Labels, Limits, Millis};
use forewarn::source::clock::EventTime;
use forewarn::source::exemplars::Exemplars;
use forewarn::source::kafka::{self, Closing, KafkaConfig, KafkaParts};
use forewarn::source::watermark::Watermarks;
use forewarn::source::{Positions, SourceEvent, SourceIds};
use forewarn::telemetry::Metrics;
use tokio::sync::{mpsc, watch};

/// A running source.
pub struct Reading {
    /// Samples in the order in which they came: series, time, value.
    pub samples: Vec<(String, Millis, f64)>,
    /// Newest positions.
    pub positions: Positions,
    /// What the host would make of the events.
    pub marks: Watermarks,
    /// Names of other events, in order.
    pub told: Vec<String>,
    /// Metrics.
    pub metrics: Metrics,
    /// Traces of exemplars.
    pub exemplars: Exemplars,
    /// What it is told of event time.
    pub event_time: EventTime,
    events: mpsc::Receiver<SourceEvent>,
    durable: watch::Sender<Arc<Positions>>,
    task: tokio::task::JoinHandle<()>,
    closing: Option<Closing>,
}

impl Reading {
    /// Starts one with this configuration, which goes on from `restored`.
    pub fn start(config: &str, restored: Positions) -> Self {
        Self::with_limits(config, restored, Limits { queued_batches: 4, ..Limits::default() })
    }

    /// The same with these limits.
    pub fn with_limits(config: &str, restored: Positions, limits: Limits) -> Self {
        let config: KafkaConfig = serde_saphyr::from_str(config).unwrap();
        config.validate().unwrap();
        let metrics = Metrics::new().unwrap();
        let (ids, mut marks) = (SourceIds::default(), Watermarks::default());
        let id = ids.next();
        marks.register(id, kafka::pace(&config), now());
        let (queue, events) = mpsc::channel(limits.queued_batches);
        let (durable, followed) = watch::channel(Arc::default());
        let (exemplars, event_time) = (Exemplars::default(), EventTime::default());
        let parts = KafkaParts {
            source: metrics.source.of(&config.name),
            metrics: metrics.kafka.clone(),
            limits: Arc::new(limits),
            durable: followed,
            event_time: event_time.clone(),
            exemplars: exemplars.clone(),
            created_timestamps: Default::default(),
            dry_run: false,
            config,
            id,
            ids,
            restored,
        };
        let (task, closing) = kafka::start(parts, queue).unwrap();
        let task = tokio::spawn(task);
        let (samples, told) = (Vec::new(), Vec::new());
        let positions = BTreeMap::new();
        Self {
            samples,
            positions,
            marks,
            told,
            metrics,
            exemplars,
            event_time,
            events,
            durable,
            task,
            closing: Some(closing),
        }
    }

    /// Takes in what comes until `enough` says so; panics with `what` after `limit`.
    pub async fn until(&mut self, what: &str, limit: Duration, mut enough: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + limit;
        while !enough(self) {
            assert!(
                Instant::now() < end,
                "not within {limit:?}: {what}\n{} samples, {:?}",
                self.samples.len(),
                self.told
            );
            self.take_for(Duration::from_millis(50)).await;
        }
    }

    /// Takes in what comes until there are so many samples.
    pub async fn samples(&mut self, n: usize, limit: Duration) {
        self.until(&format!("{n} samples"), limit, |r| r.samples.len() >= n).await;
    }

    /// Takes in what comes for so long.
    pub async fn take_for(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(event)) = tokio::time::timeout_at(end, self.events.recv()).await {
            self.take(event);
        }
        self.durable.send_replace(Arc::new(self.positions.clone()));
    }

    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Read(id, batch, position) => {
                self.positions.insert(position.stream, position.next);
                self.marks.observe(id, batch.newest().unwrap(), now());
                for run in batch.runs() {
                    let series = batch.labels(run).to_string();
                    self.samples.extend(batch.samples(run).iter().map(|s| (series.clone(), s.t, s.v)));
                }
            }
            SourceEvent::Reached(position) => drop(self.positions.insert(position.stream, position.next)),
            SourceEvent::Left(stream) => drop(self.positions.remove(&stream)),
            SourceEvent::Waits(id) => self.marks.waits(id, now()),
            SourceEvent::Open(part) => {
                self.marks.register(part.id, part.pace, now());
                self.told.push(if part.id == part.of { "joining" } else { "open" }.to_owned());
            }
            SourceEvent::Close(id) => {
                self.marks.close(id);
                self.told.push("close".to_owned());
            }
            SourceEvent::AtEnd(id, at_end) => {
                self.marks.at_end(id, at_end, now());
                self.told.push(if at_end { "at end" } else { "not at end" }.to_owned());
            }
            SourceEvent::Trouble(_, trouble) => self.told.push(format!("trouble: {trouble:?}")),
            other => panic!("{other:?}"),
        }
    }

    /// How many events of this name have come.
    pub fn told(&self, name: &str) -> usize {
        self.told.iter().filter(|told| *told == name).count()
    }

    /// One of the metrics, by its line's beginning in the text format.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.encode().unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Ends it as the host does, and waits until the consumer has left its group; gives how long that took.
    pub async fn end(mut self, limit: Duration) -> Duration {
        let started = Instant::now();
        self.task.abort();
        // What is on its way is still taken in.
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        self.durable.send_replace(Arc::new(std::mem::take(&mut self.positions)));
        drop(self.durable);
        self.closing.take().unwrap().within(limit).await;
        started.elapsed()
    }
}

/// By this machine's clock.
pub fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

/// A remote-write message with one sample: `seq{n="…"}`, whose value is `n` too.
pub fn message(n: usize, t: Millis) -> Vec<u8> {
    messages_of(n, t, 1)
}

/// The same in version 2, not compressed.
pub fn message_v2(n: usize, t: Millis) -> Vec<u8> {
    encode_write_request_v2(&batch(n, t, 1))
}

/// The same with so many samples, a millisecond apart.
pub fn messages_of(n: usize, t: Millis, samples: usize) -> Vec<u8> {
    compress(&encode_write_request(&batch(n, t, samples)))
}

fn batch(n: usize, t: Millis, samples: usize) -> Batch {
    let mut builder = BatchBuilder::new(&Limits::default());
    builder.series(Labels::from_pairs([("__name__", "seq".to_owned()), ("n", n.to_string())]).as_ref());
    (0..samples).for_each(|i| builder.sample(t + i as Millis, n as f64));
    builder.finish()
}
