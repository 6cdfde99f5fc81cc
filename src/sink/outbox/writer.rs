//! The one thread that writes the outbox: all that has changed since its last commit goes into the next.
//!
//! Whoever accepts transitions waits for the commit that has them; what sinks settle waits a little for company. After a
//! failure the database is opened anew and written from the image, until that works.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::LAST_COMMIT;
use super::image::{Changes, Image};
use super::metrics::OutboxMetrics;
use super::store::{Open, Store, StoreError, open_again};
use crate::state::{Faults, Point};

/// How long settled entries wait for more of them before they are written.
const LINGER: Duration = Duration::from_millis(50);
/// Wait before the database is opened again after a failure; doubles up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Handle to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where callers and the thread meet.
#[derive(Debug)]
struct Desk {
    state: Mutex<State>,
    /// Something is to be done.
    work: Condvar,
    /// Something was done.
    done: Condvar,
    metrics: OutboxMetrics,
}

#[derive(Debug)]
struct State {
    /// Number of the newest call that waits for its commit.
    asked: u64,
    /// All calls up to this one are on disk.
    written: u64,
    /// Whether anything has changed.
    dirty: bool,
    /// Whether commits work, and in time.
    healthy: bool,
    closing: bool,
    ended: bool,
}

impl Writer {
    pub(super) fn start(
        image: Arc<Mutex<Image>>,
        (file, open): (PathBuf, Open),
        store: Option<Store>,
        metrics: OutboxMetrics,
        faults: Faults,
    ) -> std::io::Result<Self> {
        let healthy = store.is_some();
        metrics.durable.set(i64::from(healthy));
        let state = State { asked: 0, written: 0, dirty: false, healthy, closing: false, ended: false };
        let (work, done) = (Condvar::new(), Condvar::new());
        let desk = Arc::new(Desk { state: Mutex::new(state), work, done, metrics });
        let job = Job { desk: Arc::clone(&desk), image, file, open, faults };
        let thread = std::thread::Builder::new().name("forewarn-outbox".to_owned()).spawn(move || job.run(store))?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Something has changed that can wait.
    pub(super) fn ring(&self) {
        self.desk.lock().dirty = true;
        self.desk.work.notify_one();
    }

    /// Has all changes up to now written and waits for that, for at most `limit`, and not at all while the disk is known to
    /// fail. Says whether they are on disk.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let mut state = self.desk.lock();
        state.asked += 1;
        state.dirty = true;
        let mine = state.asked;
        self.desk.work.notify_one();
        let end = Instant::now() + limit;
        while state.written < mine && state.healthy && !state.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.healthy = false;
                self.desk.metrics.durable.set(0);
                tracing::error!(
                    "the disk of the outbox takes longer than {limit:?} for one write; alerts are delivered from memory until it catches up"
                );
                return false;
            }
            state = self.desk.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.written >= mine
    }

    pub(super) fn is_durable(&self) -> bool {
        let state = self.desk.lock();
        state.healthy && state.written >= state.asked
    }
}

/// Writes what is left, but does not wait for a dead disk for ever.
impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        state.closing = true;
        self.desk.work.notify_one();
        let end = Instant::now() + LAST_COMMIT;
        while !state.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("the outbox was still being written at the end");
                return;
            }
            state = self.desk.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            // A panic there has been logged by its hook.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers, whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread has.
struct Job {
    desk: Arc<Desk>,
    image: Arc<Mutex<Image>>,
    file: PathBuf,
    open: Open,
    faults: Faults,
}

/// Tells those who wait when the thread is gone, also by a panic.
struct Ended(Arc<Desk>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.healthy = false;
        self.0.metrics.durable.set(0);
        self.0.done.notify_all();
    }
}

impl Job {
    fn run(self, mut store: Option<Store>) {
        let _ended = Ended(Arc::clone(&self.desk));
        let mut wait = RETRY.0;
        loop {
            let Some(open) = store.take() else {
                match self.recover() {
                    Ok(opened) => {
                        tracing::info!("the outbox is durable again");
                        wait = RETRY.0;
                        store = Some(opened);
                    }
                    Err(error) => {
                        self.failed(&error);
                        if self.pause(wait) {
                            return;
                        }
                        wait = (wait * 2).min(RETRY.1);
                    }
                }
                continue;
            };
            let Some((changes, names, asked)) = self.next() else { return };
            if changes.is_empty() {
                self.wrote(asked);
                store = Some(open);
                continue;
            }
            let started = Instant::now();
            match self.write(&open, &changes, &names) {
                Ok(()) => {
                    self.desk.metrics.commit.observe(started.elapsed().as_secs_f64());
                    self.wrote(asked);
                    store = Some(open);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Durable when it returns.
    fn write(&self, store: &Store, changes: &Changes, names: &[String]) -> Result<(), StoreError> {
        self.faults.at(Point::OutboxWrite).map_err(redb::Error::Io)?;
        store.apply(changes, names)?;
        Ok(self.faults.at(Point::OutboxCommitted).map_err(redb::Error::Io)?)
    }

    /// The next changes, when there are some; none once the outbox is closing and all is written.
    fn next(&self) -> Option<(Changes, Vec<String>, u64)> {
        let mut state = self.desk.lock();
        while !state.dirty {
            if state.closing {
                return None;
            }
            state = self.desk.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let end = Instant::now() + LINGER;
        while state.asked == state.written && !state.closing {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.desk.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.dirty = false;
        let asked = state.asked;
        drop(state);
        let mut image = self.image();
        Some((image.take_changes(), image.names(), asked))
    }

    /// Opens the database anew and writes everything.
    fn recover(&self) -> Result<Store, StoreError> {
        let store = open_again(&self.file, &self.open)?;
        let asked = {
            let mut state = self.desk.lock();
            state.dirty = false;
            state.asked
        };
        let (whole, names) = {
            let mut image = self.image();
            (image.whole(), image.names())
        };
        store.rewrite(&whole, &names)?;
        self.wrote(asked);
        Ok(store)
    }

    fn wrote(&self, asked: u64) {
        let mut state = self.desk.lock();
        state.written = state.written.max(asked);
        // A slow disk counts as mended only when it has caught up.
        if !state.healthy && state.written == state.asked {
            state.healthy = true;
            self.desk.metrics.durable.set(1);
        }
        self.desk.done.notify_all();
    }

    fn failed(&self, error: &StoreError) {
        self.desk.metrics.failures.inc();
        self.desk.metrics.durable.set(0);
        let mut state = self.desk.lock();
        state.healthy = false;
        self.desk.done.notify_all();
        drop(state);
        tracing::error!(%error, "the outbox cannot be written; alerts are delivered from memory until it can");
    }

    /// Waits before the next try; says whether the outbox is closing.
    fn pause(&self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        let mut state = self.desk.lock();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if state.closing || left.is_zero() {
                return state.closing;
            }
            state = self.desk.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
