//! Hands every transition to every sink. Never waits for one: each has its mailbox and its task or thread.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::alert::Transition;

use super::alertmanager::{Alertmanager, AlertmanagerConfig};
use super::backoff::Backoff;
use super::dry_run::DryRun;
use super::metrics::{SinkMeter, SinkMetrics};
use super::origin::Origin;
use super::pending::Policy;
use super::stdout::Printer;
use super::webhook::Webhook;
use super::worker::{Mailbox, Receiver, supervise, wall_clock};
use super::{SinkConfig, SinkError};

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
}

/// The running sinks.
#[derive(Debug)]
pub struct Dispatcher {
    senders: Vec<Sender>,
    printers: Vec<Printer>,
}

/// A sink with a mailbox, and the task that empties it.
#[derive(Debug)]
struct Sender {
    mailbox: Arc<Mailbox>,
    task: JoinHandle<()>,
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
        let mut starter = Starter {
            context,
            origin: Arc::new(context.origin.clone()),
            names: HashSet::new(),
            dispatcher: Self { senders: Vec::new(), printers: Vec::new() },
        };
        for config in configs {
            starter.start(config)?;
        }
        Ok(starter.dispatcher)
    }

    /// Hands transitions to every sink, in order; returns at once. Receivers are told of those that
    /// [`Transition::is_notified`]; standard output shows the others as well. Those of a warm-up from history should not
    /// come here: receivers would be told of what is long over.
    pub fn send(&self, transitions: &Arc<[Transition]>) {
        // One copy, shared by all sinks: what waits long in one of them must not keep a whole batch alive.
        let all: Vec<_> = transitions.iter().cloned().map(Arc::new).collect();
        for printer in &self.printers {
            printer.put(&all);
        }
        let notified: Vec<_> = all.into_iter().filter(|t| t.is_notified()).collect();
        if notified.is_empty() {
            return;
        }
        let now = wall_clock();
        for sender in &self.senders {
            sender.mailbox.put(&notified, now);
        }
    }

    /// Delivers what waits, for at most `limit`, and ends all sinks. Gives the number of alerts left undelivered.
    pub async fn shutdown(mut self, limit: Duration) -> usize {
        let end = tokio::time::Instant::now() + limit;
        for sender in &self.senders {
            sender.mailbox.close();
        }
        let mut left = 0;
        for printer in std::mem::take(&mut self.printers) {
            left += printer.shutdown(end.saturating_duration_since(tokio::time::Instant::now())).await;
        }
        for mut sender in std::mem::take(&mut self.senders) {
            if tokio::time::timeout_at(end, &mut sender.task).await.is_err() {
                sender.task.abort();
                left += sender.mailbox.abandon();
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
    dispatcher: Dispatcher,
}

impl Starter<'_> {
    fn start(&mut self, config: &SinkConfig) -> Result<(), SinkError> {
        let capacity = self.context.queued_alerts;
        match config {
            SinkConfig::Stdout(config) => {
                let meter = self.meter("stdout".to_owned());
                let printer = Printer::start(std::io::stdout(), config.format.settle(), capacity, meter)
                    .map_err(|e| SinkError::Invalid { sink: "stdout".to_owned(), text: e.to_string() })?;
                self.dispatcher.printers.push(printer);
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

    fn spawn(&mut self, receiver: impl Receiver, policy: Policy, meter: SinkMeter) {
        let sink = meter.name().to_owned();
        let mailbox = Arc::new(Mailbox::new(policy, meter));
        let backoff = self.context.backoff;
        let task = match self.context.dry_run {
            true => tokio::spawn(supervise(Arc::clone(&mailbox), Arc::new(DryRun { sink }), backoff)),
            false => tokio::spawn(supervise(Arc::clone(&mailbox), Arc::new(receiver), backoff)),
        };
        self.dispatcher.senders.push(Sender { mailbox, task });
    }
}
