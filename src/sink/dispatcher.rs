//! Hands every transition to every sink. Never waits for one: each has its mailbox and its task or thread. What fires and
//! needs repetitions is repeated by the clock while none come from the engine, see `keep_alive.rs`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::alert::Transition;
use crate::base::Millis;
use crate::kafka_client::REASONS;

use super::alertmanager::{Alertmanager, AlertmanagerConfig};
use super::backoff::Backoff;
use super::dry_run::DryRun;
use super::failure::Failure;
use super::grafana::{Grafana, GrafanaConfig};
use super::kafka::Kafka;
use super::keep_alive::{KeepAlive, LONGEST};
use super::matching::Wish;
use super::metrics::{Drop, SinkMeter, SinkMetrics};
use super::origin::Origin;
use super::outbox::{KEPT_ALIVE, LAST_COMMIT, Numbered, Outbox, OutboxSlot};
use super::pending::{Order, Policy};
use super::stdout::Printer;
use super::webhook::Webhook;
use super::worker::{Gate, Mailbox, Receiver, SinkState, Task, supervise, wall_clock};
use super::{SinkConfig, SinkError};

/// How often it is looked at what has to be repeated by the clock.
const LOOK: Duration = Duration::from_secs(1);

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
    repeating: Arc<Repeating>,
    repeater: Option<JoinHandle<()>>,
}

/// What is repeated by the clock, and to whom. Whoever puts anything in a mailbox holds the lock, so that no repetition comes
/// after the end of its alert.
#[derive(Debug)]
struct Repeating {
    /// None where all sinks are journals, which have it all.
    alerts: Option<Mutex<KeepAlive>>,
    /// The alerts of those sinks.
    wish: Wish,
    slot: Option<OutboxSlot>,
    mailboxes: Vec<Arc<Mailbox>>,
    metrics: SinkMetrics,
    log: Mutex<Gate>,
}

/// A sink with a mailbox, and the task that empties it.
#[derive(Debug)]
struct Sender {
    mailbox: Arc<Mailbox>,
    /// None once somebody waits for its end.
    task: Mutex<Option<Task>>,
    kind: &'static str,
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
        Ok(starter.finish())
    }

    /// From now on repeats by the clock what fires while event time is held back; `event_time` says how far it has come. Must
    /// be called within a tokio runtime.
    pub fn keep_alive(&mut self, event_time: impl Fn() -> Option<Millis> + Send + 'static) {
        let repeating = Arc::clone(&self.repeating);
        self.repeater = Some(tokio::spawn(async move {
            let mut look = tokio::time::interval(LOOK);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                repeating.repeat(event_time(), Instant::now(), wall_clock());
            }
        }));
    }

    /// Starts one sink with a receiver of the test's.
    #[cfg(test)]
    pub(super) fn start_with(name: &str, receiver: impl Receiver, policy: Policy, context: &SinkContext) -> Self {
        let mut starter = Starter::new(context);
        let meter = starter.meter(name.to_owned());
        starter.spawn(receiver, policy.into(), meter);
        starter.finish()
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
            self.repeating.put(&numbered, now);
        }
    }

    /// How the sinks are at any time, in the order of the configuration.
    pub fn states(&self) -> impl Fn() -> Vec<SinkState> + Send + Sync + 'static {
        let sinks: Vec<_> = self.senders.iter().map(|sender| (Arc::clone(&sender.mailbox), sender.kind)).collect();
        move || sinks.iter().map(|(mailbox, kind)| mailbox.status(kind)).collect()
    }

    /// Delivers what waits, for at most `limit`, and ends all sinks, whoever still holds them: an engine that is busy to the end
    /// holds up no delivery. Gives the number of alerts left undelivered; with an outbox these wait for the next start.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        let end = tokio::time::Instant::now() + limit;
        if let Some(repeater) = &self.repeater {
            repeater.abort();
        }
        for sender in &self.senders {
            sender.mailbox.close();
        }
        for sender in &self.senders {
            let task = sender.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(mut task) = task {
                // Past its time it ends with its owner.
                let _ = tokio::time::timeout_at(end, &mut task.0).await;
            }
        }
        let left = self.senders.iter().map(|sender| sender.mailbox.abandon()).sum();
        if let Some(outbox) = self.outbox.clone() {
            // Blocks for one write, and a dead disk must not hold the runtime.
            let flushed = tokio::task::spawn_blocking(move || outbox.flush(LAST_COMMIT)).await;
            if !matches!(flushed, Ok(true)) {
                tracing::warn!(
                    "the last acknowledgements are not on disk: those alerts are sent again at the next start"
                );
            }
        }
        left
    }
}

impl std::ops::Drop for Dispatcher {
    fn drop(&mut self) {
        if let Some(repeater) = &self.repeater {
            repeater.abort();
        }
    }
}

impl Repeating {
    fn begin(senders: &[Sender], context: &SinkContext, outbox: Option<&Arc<Outbox>>) -> Self {
        // Those that get no repetitions have what waits refreshed by them.
        let newest = || senders.iter().map(|sender| &sender.mailbox).filter(|m| m.policy().order == Order::Newest);
        let (wanted, order) = (newest().next().is_some(), Order::Newest);
        let policy =
            Policy { capacity: 1, batch: 1, one_rule: false, repeats: true, resolved: true, points: false, order };
        let wish = Wish::of_any(policy, newest().map(|mailbox| mailbox.wish().clone()).collect());
        let attached = outbox.filter(|_| wanted).and_then(|outbox| outbox.attach(KEPT_ALIVE, wish.clone()));
        let (slot, kept) = attached.map_or((None, vec![]), |(slot, kept)| (Some(slot), kept));
        let mut alerts = KeepAlive::new(context.queued_alerts);
        let (now, clock) = (Instant::now(), wall_clock());
        let ago = |then: Millis| Duration::from_millis(u64::try_from(clock.saturating_sub(then)).unwrap_or(0));
        for old in &kept {
            // When the engine said so is known by its own time, which is no later.
            alerts.restore(old.seq, &old.transition, ago(old.transition.at), ago(old.received), now);
        }
        settle(slot.as_ref(), &mut alerts);
        let mailboxes = senders.iter().map(|sender| Arc::clone(&sender.mailbox)).collect();
        let (metrics, log) = (context.metrics.clone(), Mutex::default());
        Self { alerts: wanted.then(|| Mutex::new(alerts)), wish, slot, mailboxes, metrics, log }
    }

    /// What the engine has said.
    fn put(&self, transitions: &[Numbered], now: Millis) {
        let mut alerts = self.lock();
        if let Some(alerts) = &mut alerts {
            let at = Instant::now();
            let concerned = transitions.iter().filter(|t| self.wish.concerns(&t.transition));
            concerned.for_each(|t| alerts.note(t.seq, &t.transition, at));
            settle(self.slot.as_ref(), alerts);
        }
        self.mailboxes.iter().for_each(|mailbox| mailbox.put(transitions, now));
    }

    /// What has to be said again. Journals have it all; for those that get no repetitions only what waits is refreshed.
    fn repeat(&self, event_time: Option<Millis>, now: Instant, clock: Millis) {
        let Some(mut alerts) = self.lock() else { return };
        let due = alerts.due(event_time, now);
        settle(self.slot.as_ref(), &mut alerts);
        if let Some(slot) = self.slot.as_ref().filter(|_| !due.is_empty()) {
            slot.renew(due.iter().map(|(seq, _)| *seq), clock);
        }
        let newest: Vec<_> = self.mailboxes.iter().filter(|m| m.policy().order == Order::Newest).collect();
        let needed = |t: &Transition| newest.iter().any(|mailbox| mailbox.needs_again(t));
        let due = due.into_iter().map(|(_, transition)| Numbered { seq: 0, transition });
        let due: Vec<Numbered> = due.filter(|again| needed(&again.transition)).collect();
        if due.is_empty() {
            return;
        }
        if self.log.lock().unwrap_or_else(PoisonError::into_inner).open().is_some() {
            let (alerts, limit_seconds) = (due.len(), LONGEST.as_secs());
            tracing::warn!(
                alerts,
                limit_seconds,
                "event time is held back: alerts that fire are repeated by the clock, so that receivers do not let them expire"
            );
        }
        self.metrics.kept_alive(due.len());
        newest.iter().for_each(|mailbox| mailbox.put(&due, clock));
    }

    fn lock(&self) -> Option<MutexGuard<'_, KeepAlive>> {
        // Its invariants hold between its methods, and none of them panics half-way.
        self.alerts.as_ref().map(|alerts| alerts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets go of what the outbox need not keep any more.
fn settle(slot: Option<&OutboxSlot>, alerts: &mut KeepAlive) {
    let released = alerts.take_released();
    if let Some(slot) = slot.filter(|_| !released.is_empty()) {
        slot.settle(&released);
    }
}

/// The list of sinks: one arm for each kind.
struct Starter<'a> {
    context: &'a SinkContext,
    origin: Arc<Origin>,
    names: HashSet<String>,
    /// Of the sink that is being started.
    kind: &'static str,
    /// How its attempts may fail.
    reasons: Vec<&'static str>,
    outbox: Option<Arc<Outbox>>,
    senders: Vec<Sender>,
}

/// How attempts at a sink may fail.
fn reasons(config: &SinkConfig) -> Vec<&'static str> {
    let own: &[&str] = match config {
        SinkConfig::Stdout(_) => &["write"],
        SinkConfig::Alertmanager(_) | SinkConfig::Webhook(_) | SinkConfig::Kafka(_) => &[],
        SinkConfig::Grafana(_) => &["answer"],
    };
    let of_client: &[&str] = match config {
        SinkConfig::Stdout(_) => &[],
        SinkConfig::Kafka(_) => &REASONS,
        _ => &Failure::OF_HTTP,
    };
    [own, of_client, &["panic"]].concat()
}

impl<'a> Starter<'a> {
    fn new(context: &'a SinkContext) -> Self {
        Self {
            context,
            origin: Arc::new(context.origin.clone()),
            names: HashSet::from([KEPT_ALIVE.to_owned()]),
            kind: "",
            reasons: vec![],
            outbox: context.outbox.clone().filter(|_| !context.dry_run),
            senders: Vec::new(),
        }
    }

    /// All sinks of the configuration run.
    fn finish(self) -> Dispatcher {
        let Self { context, outbox, senders, .. } = self;
        let repeating = Arc::new(Repeating::begin(&senders, context, outbox.as_ref()));
        let unattached = outbox.iter().flat_map(|outbox| outbox.drop_unattached());
        for (sink, alerts) in unattached.filter(|(sink, _)| sink != KEPT_ALIVE) {
            tracing::warn!(sink, alerts, "alerts in the outbox are dropped: their sink is not configured any more");
            context.metrics.sink(&sink, 0).dropped(Drop::Unconfigured, alerts);
        }
        Dispatcher { senders, outbox, repeating, repeater: None }
    }

    fn start(&mut self, config: &SinkConfig) -> Result<(), SinkError> {
        let (capacity, started) = (self.context.queued_alerts, wall_clock());
        (self.kind, self.reasons) = (config.kind(), reasons(config));
        match config {
            SinkConfig::Stdout(config) => {
                let meter = self.meter("stdout".to_owned());
                let printer = Printer::start(std::io::stdout(), config.format.settle())
                    .map_err(|e| SinkError::Invalid { sink: "stdout".to_owned(), text: e.to_string() })?;
                self.spawn_always(printer, Printer::policy(capacity).into(), meter);
            }
            SinkConfig::Alertmanager(config) => {
                for url in config.urls()? {
                    let meter = self.meter(Alertmanager::name(&url));
                    let receiver = Alertmanager::new(config, url, Arc::clone(&self.origin))?;
                    let wish = Wish::new(AlertmanagerConfig::policy(capacity), &config.matching, &self.origin);
                    self.spawn(receiver, wish.with_ends_before(started), meter);
                }
            }
            SinkConfig::Webhook(config) => {
                let meter = self.meter(config.name.clone());
                let receiver = Webhook::new(config, Arc::clone(&self.origin))?;
                self.spawn(receiver, Wish::new(config.policy(capacity), &config.matching, &self.origin), meter);
            }
            SinkConfig::Grafana(config) => {
                let meter = self.meter(config.name.clone());
                let receiver = Grafana::new(config, Arc::clone(&self.origin))?;
                let wish = Wish::new(GrafanaConfig::policy(capacity), &config.matching, &self.origin);
                self.spawn(receiver, wish.with_ends_before(started), meter);
            }
            SinkConfig::Kafka(config) => {
                if let Some(receiver) = Kafka::new(config)? {
                    let meter = self.meter(config.name.clone());
                    let wish = Wish::new(Kafka::policy(config, capacity), &config.matching, &self.origin);
                    self.spawn(receiver, wish, meter);
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
        let meter = self.context.metrics.sink(&unique, self.context.queued_alerts);
        meter.may_fail_by(&self.reasons);
        meter
    }

    /// Starts a receiver, or a dry run in its place.
    fn spawn(&mut self, receiver: impl Receiver, wish: Wish, meter: SinkMeter) {
        match self.context.dry_run {
            true => self.spawn_always(DryRun { sink: meter.name().to_owned() }, wish, meter),
            false => self.spawn_always(receiver, wish, meter),
        }
    }

    fn spawn_always(&mut self, receiver: impl Receiver, wish: Wish, meter: SinkMeter) {
        let attached = self.outbox.as_ref().and_then(|outbox| outbox.attach(meter.name(), wish.clone()));
        let (slot, due) = attached.map_or((None, vec![]), |(slot, due)| (Some(slot), due));
        let mailbox = Arc::new(Mailbox::with_outbox(wish, meter, slot, due));
        let task = tokio::spawn(supervise(Arc::clone(&mailbox), Arc::new(receiver), self.context.backoff));
        self.senders.push(Sender { mailbox, task: Mutex::new(Some(Task(task))), kind: self.kind });
    }
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
