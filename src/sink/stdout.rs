//! Standard output: every transition but repetitions, one line each, as JSON or as readable text.
//!
//! A thread of its own writes, so that a slow reader behind a pipe delays nobody; when too many lines wait, further ones
//! are dropped and counted. A closed pipe ends the printing, not the process.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::alert::{Reason, Transition};

use super::metrics::{Drop, SinkMeter};
use super::transition_text::{json_line, text_line};

/// Settings of the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutConfig {
    /// How a line looks.
    pub format: StdoutFormat,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StdoutFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// JSON lines.
    Json,
    /// Readable text; coloured on a terminal unless `NO_COLOR` is set.
    Text,
}

/// Writes a transition in a settled form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// JSON.
    Json,
    /// Text.
    Text {
        /// With ANSI colours.
        colour: bool,
    },
}

impl StdoutFormat {
    /// The form for this process' standard output.
    #[must_use]
    pub fn settle(self) -> LineFormat {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        match self {
            Self::Json => LineFormat::Json,
            Self::Auto if !terminal => LineFormat::Json,
            Self::Auto | Self::Text => LineFormat::Text { colour },
        }
    }
}

impl LineFormat {
    /// The line, without its break.
    #[must_use]
    pub fn line(self, transition: &Transition) -> String {
        match self {
            Self::Json => json_line(transition),
            Self::Text { colour } => text_line(transition, colour),
        }
    }
}

/// The running sink.
#[derive(Debug)]
pub(super) struct Printer {
    queue: mpsc::Sender<Arc<Transition>>,
    ended: oneshot::Receiver<()>,
    meter: SinkMeter,
}

impl Printer {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        format: LineFormat,
        capacity: usize,
        meter: SinkMeter,
    ) -> io::Result<Self> {
        let (queue, lines) = mpsc::channel(capacity.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
        let (end, ended) = oneshot::channel();
        let writer_meter = meter.clone();
        std::thread::Builder::new().name("forewarn-stdout".to_owned()).spawn(move || {
            print(lines, BufWriter::new(out), format, &writer_meter);
            // Nobody may be waiting for the end.
            let _ = end.send(());
        })?;
        Ok(Self { queue, ended, meter })
    }

    pub(super) fn put(&self, transitions: &[Arc<Transition>]) {
        for transition in transitions.iter().filter(|t| t.reason != Reason::Resent) {
            match self.queue.try_send(Arc::clone(transition)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => self.meter.dropped(Drop::QueueFull, 1),
                Err(mpsc::error::TrySendError::Closed(_)) => self.meter.dropped(Drop::Closed, 1),
            }
        }
        self.meter.queued(self.queue.max_capacity() - self.queue.capacity());
    }

    /// Lets the thread write what waits, for at most `limit`; gives how many lines were left.
    pub(super) async fn shutdown(self, limit: Duration) -> usize {
        let weak = self.queue.downgrade();
        drop(self.queue);
        if tokio::time::timeout(limit, self.ended).await.is_ok() {
            return 0;
        }
        let left = weak.upgrade().map_or(0, |q| q.max_capacity() - q.capacity());
        self.meter.dropped(Drop::Shutdown, left);
        left
    }
}

fn print(mut lines: mpsc::Receiver<Arc<Transition>>, mut out: impl Write, format: LineFormat, meter: &SinkMeter) {
    while let Some(transition) = lines.blocking_recv() {
        let written = writeln!(out, "{}", format.line(&transition)).and_then(|()| match lines.is_empty() {
            true => out.flush(),
            false => Ok(()),
        });
        meter.queued(lines.len());
        match written {
            Ok(()) => meter.delivered(1),
            Err(error) => {
                meter.failed("write");
                meter.dropped(Drop::Closed, 1 + lines.len());
                tracing::warn!(%error, "standard output cannot be written to; alerts are not printed any more");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use prometheus::Registry;

    use super::super::testing;
    use super::super::{SinkMetrics, metrics};
    use super::*;

    /// A pipe that keeps what it is given, or is closed.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn meter(registry: &Registry) -> metrics::SinkMeter {
        SinkMetrics::register(registry).unwrap().sink("stdout", 10)
    }

    fn transitions() -> Vec<Arc<Transition>> {
        let resent = Transition { reason: Reason::Resent, ..testing::firing("a", 2) };
        [testing::firing("a", 1), resent, testing::resolved("a", 1, 3)].map(Arc::new).to_vec()
    }

    #[tokio::test]
    async fn all_is_printed_but_repetitions() {
        let pipe = Pipe::default();
        let printer = Printer::start(pipe.clone(), LineFormat::Json, 10, meter(&Registry::new())).unwrap();
        printer.put(&transitions());
        assert_eq!(printer.shutdown(Duration::from_secs(5)).await, 0);
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let states: Vec<_> =
            text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["to"].clone()).collect();
        assert_eq!(states, ["firing", "inactive"]);
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_the_printing_only() {
        let registry = Registry::new();
        let pipe = Pipe(Arc::default(), true);
        let printer = Printer::start(pipe, LineFormat::Json, 10, meter(&registry)).unwrap();
        printer.put(&transitions());
        printer.shutdown(Duration::from_secs(5)).await;
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains(r#"forewarn_sink_errors_total{reason="write",sink="stdout"} 1"#), "{text}");
        assert!(text.contains(r#"forewarn_sink_dropped_total{reason="closed",sink="stdout"} "#), "{text}");
    }
}
