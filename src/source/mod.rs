//! Sources: one file each. A source turns what it receives into [`Batch`]es and sends them to the engine's host.
//!
//! Knows protocols and the host's clock; knows nothing of rules, expressions or alerts.

pub mod clock;
pub mod config;
pub mod decode;
pub mod durable;
pub mod exemplars;
pub mod host;
mod http_body;
pub mod kafka;
pub mod otlp;
mod progress;
pub mod prometheus;
pub mod remote_write;
pub mod replay;
mod schedule;
pub mod scrape;
#[cfg(test)]
mod testing;
pub mod watermark;

pub use crate::base::encode;
pub use progress::Progress;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use crate::base::{Batch, Millis};

/// Identity of a source; the host keeps one watermark for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub usize);

/// What a source tells the host.
#[derive(Debug)]
pub enum SourceEvent {
    /// Samples have arrived.
    Batch(SourceId, Batch),
    /// Samples have arrived and are in the segment log; the number is the log's position after them.
    Logged(SourceId, Batch, u64),
    /// Samples have arrived of a stream that can be read again, up to this position. Both at once: what a checkpoint has of one
    /// it has of the other.
    Read(SourceId, Batch, Position),
    /// Samples have arrived that the segment log has refused, of a source that nobody asks again: only a checkpoint keeps them.
    Unlogged(SourceId, Batch),
    /// Nothing at or before this instant will come any more from the source.
    Quiet(SourceId, Millis),
    /// Its silence is its reader's doing, which lets it wait: it has more to send.
    Waits(SourceId),
    /// The source has ended and will never send again (a file at its end).
    End(SourceId),
    /// All before this position has been sent in the events before this one: a restart goes on from here.
    Reached(Position),
    /// This stream is read by somebody else now: what we know of it is no concern of a restart.
    Left(Arc<str>),
    /// A part of a source begins, with a watermark of its own; or a known source begins anew.
    Open(Part),
    /// A part of a source is no longer ours.
    Close(SourceId),
    /// Whether a log is read to its end, see [`watermark::Watermarks::at_end`].
    AtEnd(SourceId, bool),
    /// What is wrong with a source, for people; None once it is well again.
    Trouble(SourceId, Option<String>),
}

/// A part of a source that comes and goes while it runs: a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its own identity.
    pub id: SourceId,
    /// The source whose name and metrics it shares.
    pub of: SourceId,
    /// How its watermark behaves.
    pub pace: watermark::Pace,
}

/// Hands out identities, each once.
#[derive(Clone, Debug, Default)]
pub struct SourceIds(Arc<AtomicUsize>);

impl SourceIds {
    /// The next one; the first is 0.
    #[must_use]
    pub fn next(&self) -> SourceId {
        SourceId(self.0.fetch_add(1, Relaxed))
    }
}

/// Positions by stream.
pub type Positions = BTreeMap<Arc<str>, u64>;

/// How far a stream that can be read again has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stream, such as `kafka/NAME/TOPIC/PARTITION` or `log`.
    pub stream: Arc<str>,
    /// Position of the first item not yet sent.
    pub next: u64,
}

/// Where a source sends its events: a bounded queue, so that a slow engine pushes back on its sources.
#[derive(Clone, Debug)]
pub struct Inlet {
    /// The source's own identity.
    pub id: SourceId,
    /// Queue to the host.
    pub queue: mpsc::Sender<SourceEvent>,
}

impl Inlet {
    /// Hands a batch over, waiting for room.
    ///
    /// # Errors
    /// The host has shut down.
    pub async fn send(&self, batch: Batch) -> Result<(), Closed> {
        if batch.is_empty() {
            return Ok(());
        }
        self.queue.send(SourceEvent::Batch(self.id, batch)).await.map_err(|_| Closed)
    }

    /// Promises that nothing at or before `upto` will come any more, waiting for room.
    ///
    /// # Errors
    /// The host has shut down.
    pub async fn quiet(&self, upto: Millis) -> Result<(), Closed> {
        self.queue.send(SourceEvent::Quiet(self.id, upto)).await.map_err(|_| Closed)
    }
}

/// The host has shut down: the source should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has shut down")]
pub struct Closed;

/// A client for tests against servers on this machine.
#[cfg(test)]
fn plain_client() -> reqwest::Client {
    // Installs the TLS provider, without which reqwest builds no client at all.
    drop(crate::http_client::HttpClient::new(
        &Default::default(),
        crate::http_client::Purpose::Read,
        std::time::Duration::from_secs(10),
    ));
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}
