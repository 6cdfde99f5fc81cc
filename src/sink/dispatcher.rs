//! Hands every transition to every sink. Never waits for one: each has its mailbox and its task or thread.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::alert::Transition;

use super::alertmanager::{Alertmanager, AlertmanagerConfig};
use super::backoff::Backoff;
use super::dry_run::DryRun;
use super::grafana::{Grafana, GrafanaConfig};
use super::kafka::Kafka;
use super::metrics::{Drop, SinkMeter, SinkMetrics};
use super::origin::Origin;
use super::outbox::{Numbered, Outbox};
use super::pending::Policy;
use super::stdout::Printer;
use super::webhook::Webhook;
use super::worker::{Mailbox, Receiver, SinkState, supervise, wall_clock};
use super::{SinkConfig, SinkError};

/// How long the end may wait for the last write of the outbox.
const FLUSH: Duration = Duration::from_secs(5);

/// What all sinks of a process share.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// Where the alerts come from.
    pub origin: Origin,
    /// Alerts that may wait for one sink: `limits.queued_alerts`.
    pub queued_alerts: usize,
    /// Waiting times between attempts.
    pub backoff: Backoff,
    /// Log what would be sent over the network, and send nothing.
    pub dry_run: bool,
    /// Where deliveries are counted.
    pub metrics: SinkMetrics,
    /// Where alerts are kept until they are acknowledged. Not used in a dry run: what waits there is for the receivers.
    pub outbox: Option<Arc<Outbox>>,
}

/// The running sinks.
#[derive(Debug)]
pub struct Dispatcher {
    senders: Vec<Sender>,
    outbox: Option<Arc<Outbox>>,
}

/// A sink with a mailbox, and the task that empties it.
#[derive(Debug)]
struct Sender {
    mailbox: Arc<Mailbox>,
    task: JoinHandle<()>,
    kind: &'static str,
}

impl std::ops::Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dispatcher {
    /// Starts all sinks. Must be called within a tokio runtime. No receiver need be there yet.
    ///
    /// # Errors
    /// A sink's settings cannot work.
    pub fn start(configs: &[SinkConfig], context: &SinkContext) -> Result<Self, SinkError> {
        let mut starter = Starter::new(context);
        for config in configs {
            starter.start(config)?;
        }
        for (sink, alerts) in starter.dispatcher.outbox.iter().flat_map(|outbox| outbox.drop_unattached()) {
            tracing::warn!(sink, alerts, "alerts in the outbox are dropped: their sink is not configured any more");
            context.metrics.sink(&sink, 0).dropped(Drop::Unconfigured, alerts);
        }
        Ok(starter.dispatcher)
    }

    /// Starts one sink with a receiver of the test's.
    #[cfg(test)]
    pub(super) fn start_with(name: &str, receiver: impl Receiver, policy: Policy, context: &SinkContext) -> Self {
        let mut starter = Starter::new(context);
        let meter = starter.meter(name.to_owned());
        starter.spawn(receiver, policy, meter);
        starter.dispatcher
    }

    /// Hands transitions to every sink, in order. With an outbox it returns when they are on disk, or it is clear that they
    /// will not be so soon; without one at once. Receivers are told of those that [`Transition::is_notified`], journals of
    /// the others as well. Those of a warm-up from history should not come here: receivers would be told of what is long over.
    pub fn send(&self, transitions: &Arc<[Transition]>) {
        // One copy, shared by all sinks: what waits long in one of them must not keep a whole batch alive.
        let all = transitions.iter().cloned().map(Arc::new);
        let now = wall_clock();
        let numbered: Vec<Numbered> = match &self.outbox {
            Some(outbox) => outbox.accept(all.collect(), now),
            None => all.map(|transition| Numbered { seq: 0, transition }).collect(),
        };
        if !numbered.is_empty() {
            self.senders.iter().for_each(|sender| sender.mailbox.put(&numbered, now));
        }
    }

    /// How the sinks are at any time, in the order of the configuration.
    pub fn states(&self) -> impl Fn() -> Vec<SinkState> + Send + Sync + 'static {
        let sinks: Vec<_> = self.senders.iter().map(|sender| (Arc::clone(&sender.mailbox), sender.kind)).collect();
        move || sinks.iter().map(|(mailbox, kind)| mailbox.status(kind)).collect()
    }

    /// Delivers what waits, for at most `limit`, and ends all sinks. Gives the number of alerts left undelivered; with an
    /// outbox these wait for the next start.
    pub async fn shutdown(mut self, limit: Duration) -> usize {
        let end = tokio::time::Instant::now() + limit;
        for sender in &self.senders {
            sender.mailbox.close();
        }
        let mut left = 0;
        for mut sender in std::mem::take(&mut self.senders) {
            if tokio::time::timeout_at(end, &mut sender.task).await.is_err() {
                sender.task.abort();
                left += sender.mailbox.abandon();
            }
        }
        if let Some(outbox) = self.outbox.take() {
            // Blocks for one write, and a dead disk must not hold the runtime.
            let flushed = tokio::task::spawn_blocking(move || outbox.flush(FLUSH)).await;
            if !matches!(flushed, Ok(true)) {
                tracing::warn!(
                    "the last acknowledgements are not on disk: those alerts are sent again at the next start"
                );
            }
        }
        left
    }
}

/// The list of sinks: one arm for each kind.
struct Starter<'a> {
    context: &'a SinkContext,
    origin: Arc<Origin>,
    names: HashSet<String>,
    /// Of the sink that is being started.
    kind: &'static str,
    dispatcher: Dispatcher,
}

impl<'a> Starter<'a> {
    fn new(context: &'a SinkContext) -> Self {
        let outbox = context.outbox.clone().filter(|_| !context.dry_run);
        let dispatcher = Dispatcher { senders: Vec::new(), outbox };
        let origin = Arc::new(context.origin.clone());
        Self { context, origin, names: HashSet::new(), kind: "", dispatcher }
    }

    fn start(&mut self, config: &SinkConfig) -> Result<(), SinkError> {
        let capacity = self.context.queued_alerts;
        self.kind = config.kind();
        match config {
            SinkConfig::Stdout(config) => {
                let meter = self.meter("stdout".to_owned());
                let printer = Printer::start(std::io::stdout(), config.format.settle())
                    .map_err(|e| SinkError::Invalid { sink: "stdout".to_owned(), text: e.to_string() })?;
                self.spawn_always(printer, Printer::policy(capacity), meter);
            }
            SinkConfig::Alertmanager(config) => {
                for url in config.urls()? {
                    let meter = self.meter(Alertmanager::name(&url));
                    let receiver = Alertmanager::new(config, url, Arc::clone(&self.origin))?;
                    self.spawn(receiver, AlertmanagerConfig::policy(capacity), meter);
                }
            }
            SinkConfig::Webhook(config) => {
                let meter = self.meter(config.name.clone());
                let receiver = Webhook::new(config, Arc::clone(&self.origin))?;
                self.spawn(receiver, config.policy(capacity), meter);
            }
            SinkConfig::Grafana(config) => {
                let meter = self.meter(config.name.clone());
                let receiver = Grafana::new(config, Arc::clone(&self.origin))?;
                self.spawn(receiver, GrafanaConfig::policy(capacity), meter);
            }
            SinkConfig::Kafka(config) => {
                if let Some(receiver) = Kafka::new(config)? {
                    let meter = self.meter(config.name.clone());
                    self.spawn(receiver, Kafka::policy(config, capacity), meter);
                }
            }
        }
        Ok(())
    }

    /// A name that no other sink has: metrics must not mix.
    fn meter(&mut self, name: String) -> SinkMeter {
        let mut unique = name.clone();
        let mut n = 2;
        while !self.names.insert(unique.clone()) {
            unique = format!("{name}#{n}");
            n += 1;
        }
        self.context.metrics.sink(&unique, self.context.queued_alerts)
    }

    /// Starts a receiver, or a dry run in its place.
    fn spawn(&mut self, receiver: impl Receiver, policy: Policy, meter: SinkMeter) {
        match self.context.dry_run {
            true => self.spawn_always(DryRun { sink: meter.name().to_owned() }, policy, meter),
            false => self.spawn_always(receiver, policy, meter),
        }
    }

    fn spawn_always(&mut self, receiver: impl Receiver, policy: Policy, meter: SinkMeter) {
        let attached = self.dispatcher.outbox.as_ref().and_then(|outbox| outbox.attach(meter.name(), policy));
        let (slot, due) = attached.map_or((None, vec![]), |(slot, due)| (Some(slot), due));
        let mailbox = Arc::new(Mailbox::with_outbox(policy, meter, slot, due));
        let task = tokio::spawn(supervise(Arc::clone(&mailbox), Arc::new(receiver), self.context.backoff));
        self.dispatcher.senders.push(Sender { mailbox, task, kind: self.kind });
    }
}
